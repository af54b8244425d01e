//! A small world for tests of whole epochs: four members with real keys, a chain log, devices that sign.
//! Leaves out: networks and clocks; what arrives where and when is said outright.

use std::collections::{BTreeMap, BTreeSet};

use aggregator::{Partial, Share, Sharing, deal_for_tests};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use attest::{
    AnswerBody, Body as Said, BootBody, Claims, CommitmentBody, Location, PublicKey, Signer, SoftEd25519, SoftP256,
};
use oracle_core::collect::{self, Held};
use oracle_core::effect::{Blobs, Bodies, Content};
use oracle_core::ingest;
use oracle_core::observation::{Body, Bucket};
use oracle_core::policy::{Book, Policy};
use oracle_core::registry::{Block, Contracts, History, RawLog, Snapshot, events};
use oracle_core::report::{self, EpochInput, EpochSet, Outcome, ReportError};
use oracle_core::state::State;
use oracle_core::term::Term;
use oracle_core::typed::{Kind, MemberKey, Phase};
use oracle_core::wire::{self, InstanceId, Statement};

/// Members.
pub(crate) const N: usize = 4;
/// Start of epoch 0, unix seconds.
pub(crate) const GENESIS: u64 = 1_700_000_000;
/// The committee's conduct.
pub(crate) const CONDUCT: &str = r#"{"version":2,"document":"conduct","gossip_allowance_ms":1000,"observe_delay_ms":500,"void_bound_ms":700,"snapshot_lag_ms":4000,"late_epochs":1,"view_timeout_ms":1000,"transmit_stage_ms":500,"messages_per_device":1000}"#;
/// The policy that every lease is opened under.
pub(crate) const POLICY: &str = r#"{"version":2,"document":"policy","classes":{"uptime":{"service":{"deadline_ms":2000,"challenge_p":"16602069666338596454","z_squared_millionths":2706025,"credit_bp":5000}},"coverage":{"service":{"deadline_ms":2000,"challenge_p":"16602069666338596454","z_squared_millionths":2706025,"credit_bp":5000},"radio":{"eirp_cdbm":1600,"gain_rx_cdb":300,"margin_cdb":0,"frequency_khz":868100,"bandwidth_khz":125,"spreading_factor":12,"receiver_slack_cdb":500,"location_slack_m":0,"min_distance_m":300,"max_distance_m":800000,"min_witnesses":1}}}}"#;

/// Its part of slots with a challenge, of 2^64.
const CHALLENGE_P: u64 = 16_602_069_666_338_596_454;

/// A device's key.
pub(crate) enum Key {
    Ed(SoftEd25519),
    P(SoftP256),
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        match self {
            Self::Ed(key) => key.public_key(),
            Self::P(key) => key.public_key(),
        }
    }

    fn sign(&self, tbs: attest::ToBeSigned<'_>) -> Result<[u8; 64], attest::SignError> {
        match self {
            Self::Ed(key) => key.sign(tbs),
            Self::P(key) => key.sign(tbs),
        }
    }
}

/// A device with one lease; lease number = 100 + token.
pub(crate) struct Device {
    pub(crate) token: u64,
    pub(crate) lease: u64,
    pub(crate) class: u8,
    pub(crate) key: Key,
    pub(crate) seq: u64,
    pub(crate) secret: [u8; 32],
    pub(crate) place: Option<Location>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) members: Vec<MemberKey>,
    pub(crate) sharing: Sharing,
    pub(crate) shares: Vec<Share>,
    pub(crate) term: Term,
    pub(crate) book: Book,
    pub(crate) history: History,
    pub(crate) chain: Vec<(Block, Vec<RawLog>)>,
    pub(crate) devices: Vec<Device>,
    pub(crate) blobs: Blobs,
    pub(crate) held: [Vec<Held>; N],
    pub(crate) state: State,
    certificates: BTreeMap<u64, [u8; 48]>,
}

/// What members observed in an epoch.
pub(crate) struct Observed {
    pub(crate) bodies: Bodies,
    pub(crate) statements: Vec<Statement>,
}

/// Contract addresses.
pub(crate) fn contracts() -> Contracts {
    let [registry, devices, escrow, hub] = [0x11, 0x22, 0x33, 0x44].map(Address::repeat_byte);
    Contracts { registry, devices, escrow, hub }
}

/// An event as a raw log.
pub(crate) fn log<E: SolEvent>(address: Address, event: &E) -> RawLog {
    let data = event.encode_log_data();
    RawLog { address, topics: data.topics().to_vec(), data: data.data.to_vec() }
}

/// A block so many seconds from genesis.
pub(crate) fn block(number: u64, from_genesis: i64) -> Block {
    let timestamp = GENESIS.checked_add_signed(from_genesis).unwrap();
    Block { number, hash: B256::with_last_byte(u8::try_from(number % 251).unwrap()), timestamp }
}

fn device(token: u64, class: u8) -> Device {
    let seed = [u8::try_from(token).unwrap(); 32];
    let key =
        if token.is_multiple_of(2) { Key::P(SoftP256::from_seed(seed)) } else { Key::Ed(SoftEd25519::from_seed(seed)) };
    // About 1.1 km from one to the next.
    let lat = 472_000_000 + i32::try_from(token).unwrap() * 100_000;
    let place = (class == 2).then_some(Location { lat, lon: 85_000_000, salt: [9; 16] });
    Device { token, lease: 100 + token, class, key, seq: 0, secret: [0xa0 | seed[0]; 32], place }
}

impl World {
    /// Devices 1 to 3 prove uptime, 4 to 6 coverage.
    pub(crate) fn new() -> Self {
        Self::of(6)
    }

    /// So many devices: 1 to 3 prove uptime, the others coverage.
    pub(crate) fn of(tokens: u64) -> Self {
        let devices = (1..=tokens).map(|token| device(token, if token <= 3 { 1 } else { 2 })).collect();
        Self::built(devices, POLICY)
    }

    /// These devices, with leases under this policy document, alone in its book; each has booted, those of coverage have committed.
    pub(crate) fn built(devices: Vec<Device>, policy: &str) -> Self {
        Self::under(devices, policy, &[])
    }

    /// As [`World::built`], with more documents in the book.
    pub(crate) fn under(devices: Vec<Device>, policy: &str, more: &[String]) -> Self {
        let book = book(policy, more);
        let members: Vec<MemberKey> = (1..=4u8).map(|i| MemberKey::from_bytes(&[i; 32]).unwrap()).collect();
        let (sharing, shares) = deal_for_tests(4, 7);
        let mut history = History::new(contracts(), 31_337, 1, 1, 4_000);
        let chain = chain(&members, &sharing, &devices, (book.root(), Policy::hash(policy.as_bytes())));
        for (block, logs) in &chain {
            history.apply(*block, logs);
        }
        let mut world = Self {
            members,
            sharing,
            shares,
            term: history.term().unwrap(),
            book,
            history,
            chain,
            devices,
            blobs: Blobs::new(),
            held: Default::default(),
            state: State::default(),
            certificates: BTreeMap::new(),
        };
        for index in 0..world.devices.len() {
            let location = world.devices[index].place;
            let boot = BootBody { seed: [1; 16], firmware: [2; 32], location };
            world.say(index, None, &Said::Boot(boot), [Some(GENESIS * 1_000 - 9_000); N]);
            let (lease, secret) = (world.devices[index].lease, world.devices[index].secret);
            if world.devices[index].class == 2 {
                let anchor = attest::challenge::chain_anchor(&secret, 1_000).unwrap();
                let body = Said::Commitment(CommitmentBody { lease, first_slot: 0, length: 1_000, anchor });
                world.say(index, None, &body, [Some(GENESIS * 1_000 - 5_000); N]);
            }
        }
        world
    }

    /// Signs with an explicit number and gives the bytes to the members at these times.
    pub(crate) fn say_as(
        &mut self,
        index: usize,
        seq: u64,
        nonce: Option<[u8; 32]>,
        body: &Said<'_>,
        at: [Option<u64>; N],
    ) -> [u8; 32] {
        let device = &self.devices[index];
        let claims = Claims { iat: Some(GENESIS), nonce, boot: 1, seq, prev: [0; 16], body: *body };
        let mut space = [0; attest::MAX_MESSAGE];
        let signed = attest::seal(&device.key, &self.term.scope.network(), &claims, &mut space).unwrap();
        let content = Content { id: signed.id, class: signed.class as u8, bytes: signed.bytes.to_vec() };
        for (member, arrival) in at.iter().enumerate() {
            if let Some(arrival_ms) = *arrival {
                let slot = ingest::slot_of(&claims);
                let held =
                    Held { device: device.token, class: signed.class, boot: 1, seq, id: signed.id, slot, arrival_ms };
                self.held[member].push(held);
            }
        }
        let id = content.id;
        self.blobs.insert(id, content);
        id
    }

    /// Signs the device's next message.
    pub(crate) fn say(
        &mut self,
        index: usize,
        nonce: Option<[u8; 32]>,
        body: &Said<'_>,
        at: [Option<u64>; N],
    ) -> [u8; 32] {
        let seq = self.devices[index].seq;
        self.devices[index].seq += 1;
        self.say_as(index, seq, nonce, body, at)
    }

    /// The beacon of a slot, made by three members.
    pub(crate) fn certificate(&mut self, slot: u64) -> [u8; 48] {
        let message = report::beacon_message(&self.term.scope, slot);
        let (shares, sharing) = (&self.shares, &self.sharing);
        *self.certificates.entry(slot).or_insert_with(|| {
            let partials: Vec<Partial> = shares.iter().take(3).map(|share| share.sign(&message)).collect();
            sharing.recover(&message, &partials).unwrap().to_bytes()
        })
    }

    /// The draw of a device in a slot, if it is challenged.
    pub(crate) fn drawn(&mut self, index: usize, slot: u64) -> Option<[u8; 32]> {
        let seed = attest::challenge::seed(&self.certificate(slot));
        let draw = attest::challenge::draw(&seed, self.devices[index].token, self.devices[index].lease);
        attest::challenge::challenged(&draw, CHALLENGE_P).then_some(draw)
    }

    /// Start of a slot, unix ms.
    pub(crate) fn start(&self, slot: u64) -> u64 {
        self.term.slot_start(slot).unwrap()
    }

    /// An uptime device answers in a slot, if it is challenged.
    pub(crate) fn answer(&mut self, index: usize, slot: u64, after_ms: [Option<u64>; N]) -> Option<[u8; 32]> {
        let draw = self.drawn(index, slot)?;
        let (lease, start) = (self.devices[index].lease, self.start(slot));
        let at = after_ms.map(|after| after.map(|after| start + after));
        Some(self.say(index, Some(draw), &Said::Answer(AnswerBody { lease, slot }), at))
    }

    /// The slots that start in an epoch's span (answers to them may be due in the next one).
    pub(crate) fn slots(&self, epoch: u64) -> std::ops::Range<u64> {
        epoch * 15..epoch * 15 + 15
    }

    /// Every uptime device but `silent` answers every challenge at once.
    pub(crate) fn all_answer(&mut self, epoch: u64, silent: &BTreeSet<usize>) {
        for slot in self.slots(epoch) {
            for index in (0..3).filter(|index| !silent.contains(index)) {
                self.answer(index, slot, [Some(300), Some(350), Some(400), Some(900)]);
            }
        }
    }

    /// The snapshot of an epoch.
    pub(crate) fn snapshot(&mut self, epoch: u64) -> Snapshot {
        while self.history.snapshot(epoch).is_none() {
            let number = self.chain.len() as u64 + 1;
            let seconds = i64::try_from(number).unwrap() - 9;
            self.chain.push((block(number, seconds), vec![]));
            self.history.apply(block(number, seconds), &[]);
        }
        self.history.snapshot(epoch).unwrap().clone()
    }

    /// The buckets a member would list.
    pub(crate) fn buckets(&self, epoch: u64, member: usize) -> BTreeMap<u64, Bucket> {
        let classes = self.devices.iter().map(|device| (device.token, device.class)).collect();
        collect::buckets(
            &self.term,
            &self.book,
            &classes,
            oracle_core::limits::AUTHOR_BYTES_MAX,
            epoch,
            &self.held[member],
        )
    }

    /// A body over buckets, all beacons recovered 100 ms late. The buckets become content.
    pub(crate) fn body(&mut self, epoch: u64, buckets: &BTreeMap<u64, Bucket>) -> Body {
        let range = report::beacon_range(&self.term, &self.book, epoch);
        for bucket in buckets.values() {
            let content = Content { id: bucket.hash(), class: 0, bytes: wire::encode(bucket) };
            self.blobs.insert(content.id, content);
        }
        Body {
            epoch,
            buckets: buckets.iter().map(|(device, bucket)| (*device, bucket.hash().into())).collect(),
            first_slot: range.start,
            lateness: range.map(|_| 100).collect(),
            receipts_root: [0; 32].into(),
            measurements: vec![],
        }
    }

    /// All members observe honestly.
    pub(crate) fn observe(&mut self, epoch: u64) -> Observed {
        let bodies = (0..N).map(|member| {
            let buckets = self.buckets(epoch, member);
            (u32::try_from(member).unwrap(), self.body(epoch, &buckets))
        });
        let bodies = bodies.collect();
        self.sign(epoch, bodies)
    }

    /// Statements over bodies.
    pub(crate) fn sign(&self, epoch: u64, bodies: Bodies) -> Observed {
        let instance = InstanceId::new(Kind::Report, 0, epoch);
        let statements = bodies.iter().map(|(member, body)| {
            let key = &self.members[usize::try_from(*member).unwrap()];
            Statement::sign(&self.term.scope, key, *member, instance, Phase::Observation, 0, body.hash().into())
        });
        Observed { statements: statements.collect(), bodies }
    }

    /// Runs F on what was observed; the proposal makes the round trip over the wire.
    pub(crate) fn compute(&mut self, epoch: u64, observed: &Observed) -> Result<Outcome, ReportError> {
        let set = self.proposal(epoch, observed);
        self.with_input(epoch, observed, &set, report::compute)
    }

    /// The proposal an honest leader makes.
    pub(crate) fn proposal(&mut self, epoch: u64, observed: &Observed) -> EpochSet {
        for slot in report::beacon_range(&self.term, &self.book, epoch) {
            self.certificate(slot);
        }
        let shuffled = observed.statements.iter().rev().cloned().collect();
        let set = EpochSet::assemble(&self.term, &self.book, epoch, shuffled, &observed.bodies, &self.certificates);
        EpochSet::decode(&set.unwrap().encode()).unwrap()
    }

    /// Hands the input of F to `run`.
    pub(crate) fn with_input<T>(
        &mut self,
        epoch: u64,
        observed: &Observed,
        set: &EpochSet,
        run: impl FnOnce(&EpochInput<'_>) -> T,
    ) -> T {
        let (snapshot, beacons) = (self.snapshot(epoch), set.beacon_map());
        run(&EpochInput {
            term: &self.term,
            book: &self.book,
            stream: 0,
            epoch,
            state: &self.state,
            snapshot: &snapshot,
            observations: &set.observations,
            bodies: &observed.bodies,
            beacons: &beacons,
            sharing: &self.sharing,
            blobs: &self.blobs,
        })
    }

    /// The committee's certificate over a digest.
    pub(crate) fn certify(&self, digest: &B256) -> [u8; 48] {
        let partials: Vec<Partial> = self.shares.iter().skip(1).map(|share| share.sign(&digest.0)).collect();
        self.sharing.recover(&digest.0, &partials).unwrap().to_bytes()
    }
}

/// The chain's log: everything registered and activated 20 s before genesis.
fn chain(
    members: &[MemberKey],
    sharing: &Sharing,
    devices: &[Device],
    (root, policy): (B256, B256),
) -> Vec<(Block, Vec<RawLog>)> {
    let all = contracts();
    let keys: Vec<B256> = (1..=4).map(B256::with_last_byte).collect();
    let configured = events::TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        members: members.iter().map(MemberKey::address).collect(),
        peerKeys: keys.clone(),
        dkgKeys: keys,
        policyHash: root,
        epochSeconds: 15,
        slotMs: 1_000,
        genesisDelay: 20,
    };
    let activated = events::TermActivated {
        committee: 1,
        term: 1,
        groupKey: sharing.group.to_eip2537().to_vec().into(),
        shareRoot: oracle_core::merkle::share_root(sharing),
        genesis: GENESIS,
    };
    let mut first = vec![log(all.registry, &configured)];
    let mut second = vec![log(all.registry, &activated)];
    for device in devices {
        first.push(log(all.devices, &registered(device)));
        let (token, key) = (U256::from(device.token), device.key.public_key());
        let active = events::DeviceKeyActivated { tokenId: token, thumbprint: key.thumbprint().into() };
        second.push(log(all.devices, &active));
        second.push(opened(device, policy).log(all.escrow));
    }
    vec![(block(1, -30), first), (block(2, -20), second)]
}

/// A device's registration event, its claim signed.
pub(crate) fn registered(device: &Device) -> events::DeviceRegistered {
    let (owner, key) = (Address::repeat_byte(0x77), device.key.public_key());
    let mut space = [0; attest::DEVICE_KEY_STATEMENT_MAX];
    let registry = contracts().devices.into_array();
    let statement = attest::device_key_statement(31_337, &registry, &owner.into_array(), &key, &mut space);
    let proof = device.key.sign(attest::ToBeSigned::new(statement)).unwrap();
    events::DeviceRegistered {
        tokenId: U256::from(device.token),
        owner,
        alg: key.alg().id(),
        publicKey: key.bytes().to_vec().into(),
        proof: proof.to_vec().into(),
        locationCommitment: device.place.map_or([0; 32], |place| attest::location_commitment(&place)).into(),
        class: device.class,
    }
}

/// A device's lease: one hour from genesis.
pub(crate) fn opened(device: &Device, policy: B256) -> events::LeaseOpened {
    let terms = events::OfferTerms {
        lessor: Address::repeat_byte(0x77),
        class: device.class,
        committee: 1,
        stream: 0,
        policyHash: policy,
        ..Default::default()
    };
    let data = events::LeaseOpenedData {
        start: GENESIS,
        end: GENESIS + 3_600,
        deposit: Default::default(),
        terms,
        bounds: Default::default(),
    };
    let (lease, token_id, lessee) = (device.lease, U256::from(device.token), Address::repeat_byte(0x88));
    events::LeaseOpened { lease, token_id, lessee, data }
}

/// The book's text: the conduct, a policy and more documents.
pub(crate) fn book_text(policy: &str, more: &[String]) -> Vec<u8> {
    let lines = [CONDUCT, policy].into_iter().chain(more.iter().map(String::as_str));
    lines.collect::<Vec<&str>>().join("\n").into_bytes()
}

/// The book of it.
pub(crate) fn book(policy: &str, more: &[String]) -> Book {
    Book::parse(&book_text(policy, more)).unwrap()
}
