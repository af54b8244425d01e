//! One random campaign: open, report, claim, top up, close, cancel, leave, withdraw, pause, rotate, freeze, in any order and
//! with bad leaves among the good; each outcome is predicted, then everything is compared. Leaves out: the sums (`model`), the means (`world`).

mod accounts;
mod market;
mod reports;
mod terms;

use std::collections::BTreeMap;
use std::ops::AddAssign;

use alloy::primitives::{Address, B256, U256};
use alloy::signers::local::PrivateKeySigner;

use crate::model::{Ending, Lease};
use crate::world::{self, ClaimItem, Leaf, World};

/// Roots that the hub keeps per stream.
const RING: u64 = 64;
/// Accounts that pay and put up bonds, and accounts that are paid.
const PEOPLE: usize = 2;
/// Devices to lease.
const DEVICES: usize = 4;
const CLASS: u8 = 1;

/// What campaigns did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) opened: u64,
    pub(crate) posted: u64,
    pub(crate) paying_claims: u64,
    pub(crate) idle_claims: u64,
    pub(crate) refused: u64,
    pub(crate) closed: u64,
    pub(crate) withdrawn: u64,
    /// Leases that the lessee ended because the device was silent.
    pub(crate) silent: u64,
    /// Leases that ended by notice.
    pub(crate) left: u64,
    pub(crate) pauses: u64,
    /// Calls that a pause refused.
    pub(crate) paused_out: u64,
    pub(crate) rotations: u64,
    /// Reports refused because of the term that signed them.
    pub(crate) wrong_term: u64,
    pub(crate) frozen: u64,
    pub(crate) resumed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.opened += other.opened;
        self.posted += other.posted;
        self.paying_claims += other.paying_claims;
        self.idle_claims += other.idle_claims;
        self.refused += other.refused;
        self.closed += other.closed;
        self.withdrawn += other.withdrawn;
        self.silent += other.silent;
        self.left += other.left;
        self.pauses += other.pauses;
        self.paused_out += other.paused_out;
        self.rotations += other.rotations;
        self.wrong_term += other.wrong_term;
        self.frozen += other.frozen;
        self.resumed += other.resumed;
    }
}

/// Seeded randomness: splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn pick(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

/// A lease, its parties, and the calculation beside it.
struct Case {
    id: u64,
    token: usize,
    lessor: usize,
    lessee: Address,
    payee: Address,
    notice: Option<u64>,
    lease: Lease,
}

/// A posted report.
struct Report {
    epoch: u64,
    active_at: u64,
    disabled: bool,
    /// Of the report that it follows on chain.
    base: B256,
    leaves: Vec<Leaf>,
    paths: Vec<Vec<B256>>,
}

/// A claim and whether it must be taken for proven.
struct Attempt {
    case: usize,
    item: ClaimItem,
    proven: bool,
}

struct Campaign {
    dice: Dice,
    world: World,
    lessors: Vec<PrivateKeySigner>,
    tokens: Vec<U256>,
    cases: Vec<Case>,
    reports: Vec<Report>,
    withdrawn: BTreeMap<Address, u128>,
    fees_withdrawn: u128,
    nonce: u64,
    /// Digest of the header posted last.
    head: B256,
    /// First epoch of each term in force or to come, term 1 first.
    terms: Vec<u64>,
    /// Of a frozen stream: the term that must be over, and the header to build on.
    freeze: Option<(u64, B256)>,
    paused: bool,
    slip: bool,
    tally: Tally,
}

/// Plays one campaign to its end.
pub(crate) fn run(seed: u64, steps: u32) -> Tally {
    Campaign::new(seed).play(steps)
}

/// The same with a calculation that counts one unit too many.
pub(crate) fn run_with_a_slip(seed: u64, steps: u32) -> Tally {
    let mut campaign = Campaign::new(seed);
    campaign.slip = true;
    campaign.play(steps)
}

fn account(kind: u8, which: usize) -> Address {
    Address::left_padding_from(&[kind, which as u8 + 1])
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let lessors: Vec<_> = (0..PEOPLE).map(|i| world::signer(&B256::repeat_byte(0x40 + i as u8))).collect();
        let tokens = (0..DEVICES).map(|i| world.device(lessors[i % PEOPLE].address(), i as u8 + 1, CLASS)).collect();
        for lessor in &lessors {
            world.fund(lessor.address(), 1 << 90);
        }
        for which in 0..PEOPLE {
            world.fund(account(0x1e, which), 1 << 94);
        }
        world.chain.pass_to(world.start_of(0));
        Self {
            dice: Dice(seed),
            world,
            lessors,
            tokens,
            cases: Vec::new(),
            reports: Vec::new(),
            withdrawn: BTreeMap::new(),
            fees_withdrawn: 0,
            nonce: 0,
            head: B256::ZERO,
            terms: vec![0],
            freeze: None,
            paused: false,
            slip: false,
            tally: Tally::default(),
        }
    }

    fn play(mut self, steps: u32) -> Tally {
        for step in 0..steps {
            self.step();
            self.compare(&format!("step {step}"));
        }
        self.end_everything();
        self.compare("the end");
        let left = self.world.balance(self.world.escrow);
        assert_eq!(left, 0, "coins that belong to nobody stay behind");
        self.tally
    }

    fn step(&mut self) {
        self.tally.steps += 1;
        // What waits for something else gets it soon, or campaigns would stand still.
        if self.paused && self.dice.one_in(4) {
            return self.pause_or_go_on();
        }
        if self.freeze.is_some() && self.dice.one_in(4) {
            return self.rotate();
        }
        match self.dice.up_to(48) {
            0..=4 => self.open(),
            5..=12 => self.post(),
            13..=21 => self.claim(),
            22..=26 => self.claim_batch(),
            27 | 28 => self.wait(),
            29 | 30 => self.collect(),
            31 => self.top_up(),
            32 | 33 => self.close(),
            34 => self.close_late(),
            35 => self.close_stalled(),
            36 => self.cancel(),
            37 | 45..=47 => self.leave(),
            38 if self.dice.one_in(3) => self.disable(),
            39..=42 => self.close_silent(),
            43 => self.rotate(),
            44 => self.pause_or_go_on(),
            _ => self.withdraw(),
        }
    }

    fn now(&self) -> u64 {
        self.world.chain.now()
    }

    /// A random lease: seldom one that is over.
    fn any_case(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.cases.len()).filter(|i| self.cases[*i].lease.ending.is_none()).collect();
        if open.is_empty() || self.dice.one_in(10) {
            return (!self.cases.is_empty()).then(|| self.dice.pick(self.cases.len()));
        }
        Some(open[self.dice.pick(open.len())])
    }

    fn is_open(&self, case: usize) -> bool {
        self.cases[case].lease.ending.is_none()
    }

    fn finish(&mut self, case: usize, ending: Ending) {
        self.cases[case].lease.finish(ending);
        self.tally.closed += 1;
    }
}
