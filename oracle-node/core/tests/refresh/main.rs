//! Four oracles refresh their shares while epochs run: every epoch is certified and every slot has its beacon, before,
//! across and after the switch; with a member that is killed around it and one that hears of it late; and afterwards no old
//! secret is left on any disk. Leaves out: the ceremony's own troubles (`bootstrap::tests`), real processes (`testnet`).

#[allow(dead_code)]
#[path = "../rotation/given.rs"]
mod given;
#[path = "../rotation/process.rs"]
mod process;
#[path = "../rotation/shelf.rs"]
mod shelf;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use oracle_core::bootstrap::is_secret;
use oracle_core::effect::{Effect, Entropy, Input, Record, Seen, Transmission};
use oracle_core::term::Term;

use given::{EPOCH_MS, LAG_MS, buckets, snapshot, term};
use process::Process;

const START: u64 = 1_700_000_000_000;
const MEMBERS: usize = 4;
const TERM: u64 = 1;

enum Event {
    /// To a process, in one of its lives.
    Input(usize, u64, Input),
    Wake(usize),
    NewEpoch(u64),
    Final(B256),
    Die(usize),
    Revive(usize),
}

struct World {
    now: u64,
    term: Term,
    processes: Vec<Process>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    genesis: Option<u64>,
    roots: Vec<(B256, u64)>,
    /// How much later than the others a process hears of a refresh, ms.
    late: BTreeMap<usize, u64>,
    certified: BTreeMap<u64, BTreeSet<usize>>,
    beacons: BTreeMap<usize, BTreeSet<u64>>,
    notes: BTreeMap<&'static str, Vec<String>>,
}

impl World {
    fn new() -> Self {
        let everybody: Vec<usize> = (0..MEMBERS).collect();
        let mut world = Self {
            now: START,
            term: term(TERM, &everybody),
            processes: everybody.iter().map(|_| Process::default()).collect(),
            queue: BTreeMap::new(),
            sequence: 0,
            genesis: None,
            roots: Vec::new(),
            late: BTreeMap::new(),
            certified: BTreeMap::new(),
            beacons: BTreeMap::new(),
            notes: BTreeMap::new(),
        };
        everybody.into_iter().for_each(|index| world.after(1, Event::Revive(index)));
        world
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// Runs until something holds; fails after two minutes of the world's time.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + 120_000;
        while !holds(self) {
            let Some(((at, _), event)) = self.queue.pop_first().filter(|((at, _), _)| *at <= end) else {
                panic!("never {what}: certified {:?}, notes {:?}", self.certified, self.notes);
            };
            self.now = at;
            match event {
                Event::Input(to, life, input) if self.processes[to].life == life => self.step(to, input),
                Event::Input(..) => {}
                Event::Wake(index) => {
                    self.processes[index].wakes_at.clear();
                    self.step(index, Input::Tick);
                }
                Event::NewEpoch(epoch) => self.new_epoch(epoch),
                Event::Final(root) => self.refreshed(root),
                Event::Die(index) => self.processes[index].die(),
                Event::Revive(index) => self.revive(index),
            }
        }
    }

    fn revive(&mut self, index: usize) {
        self.processes[index].up = true;
        self.processes[index].seat(index, &self.term, self.now);
        for (_, input) in self.processes[index].told.clone() {
            self.step(index, input);
        }
        self.step(index, Input::Tick);
    }

    /// The chain's word, now and after every restart.
    fn tell(&mut self, index: usize, input: Input) {
        self.processes[index].told.push((TERM, input.clone()));
        self.step(index, input);
    }

    fn tell_all(&mut self, input: &Input) {
        (0..MEMBERS).for_each(|index| self.tell(index, input.clone()));
    }

    fn new_epoch(&mut self, epoch: u64) {
        self.tell_all(&Input::Snapshot { epoch, snapshot: snapshot(epoch) });
        self.after(EPOCH_MS, Event::NewEpoch(epoch + 1));
    }

    fn epoch(&self) -> u64 {
        self.genesis.map_or(0, |genesis| self.now.saturating_sub(genesis) / EPOCH_MS)
    }

    fn ask(&mut self, index: usize) {
        let entropy = Entropy(zeroize::Zeroizing::new([index as u8 + 0x40; 32]));
        self.step(index, Input::Refresh { number: 0, entropy });
    }

    fn step(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(oracle) = self.processes[index].seats.get_mut(&TERM) else { return };
        let effects = oracle.step(now, input);
        let wakeup = oracle.next_wakeup();
        effects.into_iter().for_each(|effect| self.carry_out(index, effect));
        let known = self.processes[index].wakes_at.get(&TERM).copied().unwrap_or(u64::MAX);
        if let Some(at) = wakeup.filter(|at| *at < known) {
            self.processes[index].wakes_at.insert(TERM, at);
            self.after(at.saturating_sub(now).max(1), Event::Wake(index));
        }
    }

    fn send(&mut self, to: usize, input: Input) {
        let (delay, life) = (5 + self.sequence % 4 * 10, self.processes[to].life);
        self.after(delay, Event::Input(to, life, input));
    }

    fn carry_out(&mut self, from: usize, effect: Effect) {
        let me = from as u32;
        match effect {
            Effect::Persist(Record { key, value }) => drop(self.processes[from].disk.insert(key, value)),
            Effect::Erase(keys) => keys.iter().for_each(|key| drop(self.processes[from].disk.remove(key))),
            Effect::Broadcast(bytes) => {
                for to in (0..MEMBERS).filter(|to| *to != from) {
                    self.send(to, Input::Message { from: me, bytes: bytes.clone() });
                }
            }
            Effect::Direct { to, bytes } => self.send(to as usize, Input::Direct { from: me, bytes }),
            Effect::Fetch { ids, .. } | Effect::FetchOf { ids, .. } => {
                let shelves = || self.processes.iter().flat_map(|process| process.shelf.contents.values());
                let found = shelves().filter(|content| ids.contains(&content.id)).cloned().collect();
                self.send(from, Input::Content(found));
            }
            Effect::Observe { stream, epoch, .. } => {
                let buckets = buckets(from, epoch);
                self.send(
                    from,
                    Input::Observed {
                        stream,
                        epoch,
                        seen: Seen { buckets, receipts_root: [from as u8; 32], measurements: vec![] },
                    },
                );
            }
            Effect::Serve(contents) => self.processes[from].shelf.serve(contents),
            Effect::Lend { stream, epoch, contents } => self.processes[from].shelf.lend(stream, epoch, contents),
            Effect::Settled { stream, epoch, kept } => self.processes[from].shelf.settle(stream, epoch, &kept),
            Effect::Certified(report) => {
                self.certified.entry(report.header.epoch).or_default().insert(from);
            }
            Effect::Beacon { slot, .. } => drop(self.beacons.entry(from).or_default().insert(slot)),
            Effect::Transmit { what, .. } => self.transmit(what),
            Effect::Note { code, text } => self.notes.entry(code).or_default().push(format!("{from}: {text}")),
        }
    }

    fn transmit(&mut self, what: Transmission) {
        match what {
            Transmission::Activate { share_root, .. } if self.genesis.is_none() => {
                let genesis_ms = self.now + 2_000;
                self.genesis = Some(genesis_ms);
                self.roots = vec![(share_root, 0)];
                self.tell_all(&Input::ShareRoots(self.roots.clone()));
                self.tell_all(&Input::Activated { genesis_ms });
                self.after(2_000, Event::NewEpoch(0));
            }
            Transmission::RefreshShares { share_root, .. } => self.after(300, Event::Final(share_root)),
            _ => {}
        }
    }

    /// A refresh is final: it counts from the first epoch whose snapshot holds it.
    fn refreshed(&mut self, root: B256) {
        if self.roots.iter().any(|(known, _)| *known == root) {
            return;
        }
        let since = (self.now + LAG_MS).saturating_sub(self.genesis.expect("an active term"));
        self.roots.push((root, since.div_ceil(EPOCH_MS)));
        for index in 0..MEMBERS {
            let input = Input::ShareRoots(self.roots.clone());
            match self.late.get(&index).copied() {
                None => self.tell(index, input),
                Some(late) => {
                    let life = self.processes[index].life;
                    self.after(late, Event::Input(index, life, input));
                }
            }
        }
    }

    /// Whether everybody holds the certificates of all epochs up to this one.
    fn all_certified(&self, last: u64) -> bool {
        (0..=last).all(|epoch| self.certified.get(&epoch).is_some_and(|by| by.len() == MEMBERS))
    }

    fn noted(&self, code: &str) -> usize {
        self.notes.get(code).map_or(0, Vec::len)
    }

    fn secrets(&self, index: usize) -> Vec<String> {
        let keys = self.processes[index].disk.keys().filter(|key| is_secret(key));
        keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }
}

#[test]
fn epochs_and_beacons_go_on_across_the_switch_and_old_secrets_are_gone() {
    let mut world = World::new();
    world.until("an epoch is certified", |w| w.all_certified(0));
    (0..MEMBERS).for_each(|index| world.ask(index));
    world.until("the chain takes the refresh", |w| w.roots.len() == 2);
    let from = world.roots[1].1;
    assert!(from > world.epoch(), "it counts from a later epoch");
    world.until("epochs of the new shares are certified", |w| w.all_certified(from + 2));
    assert_eq!(world.notes.keys().copied().collect::<Vec<_>>(), ["shares_erased"], "{:?}", world.notes);
    assert_eq!(world.noted("shares_erased"), MEMBERS);
    for index in 0..MEMBERS {
        let secrets = world.secrets(index);
        assert!(secrets.len() == 1 && secrets[0].starts_with("key/1/root/"), "{secrets:?}");
        // Three slots an epoch; the last ones may still be on their way.
        let beacons = &world.beacons[&index];
        assert!((0..(from + 2) * 3).all(|slot| beacons.contains(&slot)), "process {index}: {beacons:?}");
    }
    // What is on disk carries the next refresh, too, with one member away.
    world.processes[3].die();
    (0..3).for_each(|index| world.ask(index));
    world.until("the chain takes another one", |w| w.roots.len() == 3);
    let again = world.roots[2].1;
    let by_three = |w: &World| w.certified.get(&(again + 1)).is_some_and(|by| by.len() >= 3);
    world.until("three of four go on with their new shares", by_three);
    // The one that was away comes back: it cannot sign any more, and certifies with the others all the same.
    world.after(1, Event::Revive(3));
    world.until("it has caught up", |w| w.certified.get(&(again + 3)).is_some_and(|by| by.contains(&3)));
    let refresh = world.processes[3].seats[&TERM].status(world.now).bootstrap.refresh;
    assert!(!refresh.has_share && refresh.refreshed == 2, "{refresh:?}");
}

#[test]
fn a_crash_at_the_switch_and_a_late_hearer_cost_time_and_nothing_else() {
    let mut world = World::new();
    // Process 1 hears of the refresh when the new shares are in force already.
    world.late.insert(1, 3 * EPOCH_MS);
    world.until("an epoch is certified", |w| w.all_certified(0));
    (0..MEMBERS).for_each(|index| world.ask(index));
    world.until("the chain takes the refresh", |w| w.roots.len() == 2);
    let from = world.roots[1].1;
    // Process 2 is killed shortly before the switch and comes back after it.
    let switch = world.genesis.expect("active") + from * EPOCH_MS;
    let before = switch.saturating_sub(world.now + 200);
    world.after(before, Event::Die(2));
    world.after(before + 2_000, Event::Revive(2));
    world.until("everybody holds every certificate", |w| w.all_certified(from + 4));
    let grave = ["fault_proof", "sign_once_refused", "refresh_failed", "proposal_differs"];
    assert!(grave.iter().all(|code| world.noted(code) == 0), "{:?}", world.notes);
    let newest = |index: usize| world.processes[index].seats[&TERM].status(world.now).bootstrap.refresh;
    assert!((0..MEMBERS).all(|index| newest(index).has_share && newest(index).refreshed == 1));
}
