//! A store that is an older copy, another one or moved is noticed; an intact one is not; who listens says nothing new.

use alloy::primitives::{Address, B256};
use oracle_core::effect::Record;
use oracle_core::term::Member;
use oracle_core::typed::{MemberKey, Phase, Scope};

use super::*;
use crate::store::Said;
use crate::testing::{Dir, store as open};

const START: u64 = 1_000_000;
const EPOCH: u64 = 15_000;

fn key() -> MemberKey {
    MemberKey::from_bytes(&[7; 32]).expect("a key")
}

fn term() -> Term {
    let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
    let member = |address| Member { address, peer_key: [0; 32], dkg_key: [0; 32] };
    let members = vec![member(key().address()), member(Address::repeat_byte(9))];
    Term { scope, members, book_root: B256::ZERO, epoch_ms: EPOCH, slot_ms: 1_000, genesis_ms: Some(START) }
}

fn statement(epoch: u64, phase: Phase, value: u8) -> Statement {
    let instance = InstanceId::new(Kind::Report, 0, epoch);
    Statement::sign(
        &term().scope,
        &key(),
        0,
        instance,
        phase,
        u32::from(phase != Phase::Observation),
        [value; 32].into(),
    )
}

fn record(value: u8) -> Record {
    Record { key: b"obs/x".to_vec(), value: vec![value] }
}

/// A folder with keys, whose mark is new, and one for the store.
struct Home {
    keys: Dir,
    data: Dir,
}

impl Home {
    fn new() -> Self {
        let home = Self { keys: Dir::new("guard-keys"), data: Dir::new("guard-data") };
        Mark::of_new_key(&home.mark()).expect("made");
        home
    }

    fn mark(&self) -> PathBuf {
        self.keys.path().join("member.mark")
    }

    fn memory(&self) -> Memory {
        Mark::open(&self.mark(), &open(&self.data)).expect("read").1
    }

    /// Says something, as a running node does: the record first, then the mark.
    fn say(&self, value: u8) {
        let store = open(&self.data);
        let (mark, _) = Mark::open(&self.mark(), &store).expect("read");
        store.persist(&record(value)).expect("written");
        mark.before_speaking(&store).expect("written");
    }

    fn sentry(&self, now: u64) -> Sentry {
        let store = Arc::new(open(&self.data));
        let (mark, memory) = Mark::open(&self.mark(), &store).expect("read");
        let kept = (store, Metrics::new().expect("metrics"));
        Sentry::post((Arc::new(mark), memory), kept, (&term(), 0), 500, now).expect("posted")
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("dir").flatten() {
        if entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

fn lost(memory: Memory) -> &'static str {
    let Memory::Lost(why) = memory else { panic!("not noticed") };
    why
}

#[test]
fn a_restart_with_an_intact_store_is_no_loss() {
    let home = Home::new();
    assert_eq!(home.memory(), Memory::Whole);
    for value in 0..5 {
        home.say(value);
        assert_eq!(home.memory(), Memory::Whole);
    }
    // Written and not spoken of: the process died in between.
    open(&home.data).persist(&record(9)).expect("written");
    assert_eq!(home.memory(), Memory::Whole);
    let sentry = home.sentry(START + 40_000);
    assert_eq!((sentry.listens(), sentry.from_epoch()), (false, 0));
}

#[test]
fn an_older_copy_of_the_store_is_noticed() {
    let home = Home::new();
    home.say(1);
    let backup = Dir::new("guard-backup");
    copy(home.data.path(), backup.path());
    assert_eq!(home.memory(), Memory::Whole, "a backup is no loss");
    home.say(2);
    let put_back = Home { keys: home.keys, data: backup };
    assert!(lost(put_back.memory()).contains("older copy"));
}

#[test]
fn another_store_moved_keys_and_a_lost_mark_are_noticed() {
    let home = Home::new();
    home.say(1);
    let empty = Home { keys: Dir::new("guard-moved"), data: Dir::new("guard-empty") };
    std::fs::copy(home.mark(), empty.mark()).expect("copied");
    assert!(lost(empty.memory()).contains("copied"));
    let data = Dir::new("guard-new-data");
    let other = Home { keys: home.keys, data };
    assert!(lost(other.memory()).contains("not the one"));
    std::fs::write(other.mark(), "mark 1 x").expect("written");
    assert!(lost(other.memory()).contains("damaged"));
    std::fs::remove_file(other.mark()).expect("removed");
    assert!(lost(other.memory()).contains("no mark"));
    assert!(lost(other.memory()).contains("damaged"), "the next start does not forget it");
}

#[test]
fn a_torn_write_leaves_the_line_before() {
    let home = Home::new();
    (1..4).for_each(|value| home.say(value));
    let whole = std::fs::read(home.mark()).expect("read");
    assert_eq!(whole.len(), 2 * LINE_BYTES);
    let line = |bytes: &[u8]| Line::parse(std::str::from_utf8(bytes).expect("text"));
    let lines = [line(&whole[..LINE_BYTES]).expect("first"), line(&whole[LINE_BYTES..]).expect("second")];
    let newer = usize::from(lines[1].sequence > lines[0].sequence);
    let mut torn = whole.clone();
    torn[newer * LINE_BYTES + 40] ^= 1;
    std::fs::write(home.mark(), torn).expect("written");
    let store = open(&home.data);
    let (mark, memory) = Mark::open(&home.mark(), &store).expect("read");
    assert_eq!((memory, mark.lock().sequence), (Memory::Whole, lines[1 - newer].sequence));
}

#[test]
fn who_forgot_listens_and_then_takes_part_and_a_restart_does_not_wait_again() {
    let home = Home::new();
    home.say(1);
    let data = Dir::new("guard-put-back");
    let home = Home { keys: home.keys, data };
    let now = START + 2 * EPOCH + 7_000;
    {
        let mut sentry = home.sentry(now);
        assert!(sentry.listens());
        let said = statement(2, Phase::Observation, 1);
        assert!(!sentry.may_say(&said).expect("disk"), "nothing new");
        assert_eq!(sentry.settle(&term(), Some(1), 0, now + 1_000).expect("disk"), None);
    }
    {
        // Killed while it listened: it begins again.
        let mut sentry = home.sentry(now + 2_000);
        assert!(sentry.listens());
        let until = START + 4 * EPOCH + 500;
        assert_eq!(sentry.settle(&term(), Some(1), 0, until).expect("disk"), None, "nothing heard is no proof");
        for epoch in [2, 3] {
            assert!(!sentry.certified(&term(), 0, epoch, false, until).expect("disk"));
        }
        assert_eq!(sentry.settle(&term(), Some(1), 0, until).expect("disk"), Some(3));
        assert!(!sentry.may_say(&statement(2, Phase::Commit, 1)).expect("disk"));
        assert!(sentry.may_say(&statement(3, Phase::Observation, 1)).expect("disk"));
    }
    let sentry = home.sentry(START + 5 * EPOCH);
    assert!(!sentry.listens() && sentry.from_epoch() == 3, "the floor stays, the wait does not");
    assert!(!sentry.may_say(&statement(2, Phase::Commit, 1)).expect("disk"));
}

#[test]
fn what_was_said_may_be_said_again_even_while_listening() {
    let home = Home::new();
    home.say(1);
    let said = statement(1, Phase::Commit, 5);
    assert_eq!(open(&home.data).note_statement(&said).expect("disk"), Said::Consistent);
    std::fs::remove_file(home.mark()).expect("removed");
    let sentry = home.sentry(START + 3 * EPOCH);
    assert!(sentry.listens() && sentry.may_say(&said).expect("disk"));
    assert!(!sentry.may_say(&statement(1, Phase::Commit, 6)).expect("disk"));
}

#[test]
fn a_power_cut_between_the_word_and_its_note_is_no_loss() {
    let home = Home::new();
    let (scope, now) = (term().scope, START + 2 * EPOCH + 7_000);
    let observed = statement(1, Phase::Observation, 3);
    let (vote, lost) = (statement(1, Phase::Commit, 5), statement(1, Phase::Commit, 6));
    {
        let store = open(&home.data);
        let (mark, _) = Mark::open(&home.mark(), &store).expect("read");
        // As the core writes them: an observation with its body, a vote. Both are durable, then the mark, then they leave.
        let hash = observed.instance.hash(&scope).expect("a report");
        let key = [b"obs/".as_slice(), hash.as_slice()].concat();
        let value = oracle_core::wire::encode(&(&observed, minicbor::bytes::ByteVec::from(vec![7; 9])));
        store.persist(&Record { key, value }).expect("written");
        let place = oracle_core::qbft::journal_prefix(&scope, vote.instance).expect("a report");
        let key = [place.as_slice(), b"v2", &1u32.to_be_bytes()].concat();
        store.persist(&Record { key, value: oracle_core::wire::encode(&vote) }).expect("written");
        mark.before_speaking(&store).expect("written");
        // Here the power goes, before a synced write takes their notes along.
    }
    let mut sentry = home.sentry(now);
    assert!(!sentry.listens(), "the store is whole");
    assert!(!sentry.hear(&term(), &Message::Vote(vote), now).expect("disk"), "its own word, quoted by others");
    assert!(!sentry.certified(&term(), 0, 1, true, now).expect("disk"), "a report with its observation");
    assert!(
        sentry.hear(&term(), &Message::Vote(lost), now).expect("disk"),
        "what the journal does not hold is forgotten"
    );
    // Another term's journal is no memory of this one's.
    let other = Scope { term: 2, ..scope };
    sentry.store.note_journal(&other, |_| true).expect("disk");
    assert!(!sentry.store.observed_in(2, 0, 1).expect("disk"));
}

#[test]
fn what_was_written_down_and_withheld_is_not_said_after_a_restart() {
    // A member that forgot follows a rotation: its core votes, the vote is in the journal, the sentry lets it not out. The
    // vote that it forgot may be another one: that it stands in the journal now does not make it said.
    let home = Home::new();
    let (scope, now) = (term().scope, START + 2 * EPOCH + 7_000);
    let instance = InstanceId::new(oracle_core::typed::Kind::Rotation, 0, 2);
    let vote = Statement { instance, ..statement(1, Phase::Prepare, 5) };
    {
        let store = open(&home.data);
        let (mark, _) = Mark::open(&home.mark(), &store).expect("read");
        // It has listened since: what happens once in a term stays with the others.
        store.put_floor(1, &Floor { reports: 3, once_said: true, ..Floor::default() }).expect("written");
        let place = oracle_core::qbft::journal_prefix(&scope, instance).expect("a kind");
        let key = [place.as_slice(), b"v1", &1u32.to_be_bytes()].concat();
        store.persist(&Record { key, value: oracle_core::wire::encode(&vote) }).expect("written");
        mark.before_speaking(&store).expect("written");
    }
    let sentry = home.sentry(now);
    assert!(!sentry.listens(), "the store is whole");
    assert!(!sentry.may_say(&vote).expect("disk"));
}

#[test]
fn two_processes_with_one_key_the_second_stops() {
    let now = START + 2 * EPOCH + 7_000;
    // The keys were copied to a second machine, whose store is empty; the first one goes on to speak of epoch 2.
    let second = Home { keys: Dir::new("guard-second"), data: Dir::new("guard-second-data") };
    let by_message = second.sentry(now).hear(&term(), &Message::Vote(statement(2, Phase::Commit, 1)), now + 9_000);
    let said = by_message.expect_err("two of them").to_string();
    let own = key().address().to_string();
    assert!(said.contains("epoch 2") && said.contains("stop that one") && said.contains(&own), "{said}");
    // The network may keep the first one's messages from the second: the certified report tells.
    let by_report = second.sentry(now).certified(&term(), 0, 2, true, now + 9_000);
    assert!(matches!(by_report, Err(GuardError::Doppelganger { .. })));
    assert!(!second.sentry(now).certified(&term(), 0, 2, false, now + 9_000).expect("it had no part in it"));
    // The first one, whose memory is whole, stops as well if it hears the second speak.
    let first = Home::new();
    first.say(1);
    let mut original = first.sentry(now);
    assert!(!original.listens());
    let heard = original.hear(&term(), &Message::Vote(statement(2, Phase::Commit, 1)), now + 9_000);
    assert!(matches!(heard, Err(GuardError::Doppelganger { .. })));
    // What is heard of the time before the start is only remembered as forgotten.
    let old = second.sentry(now).hear(&term(), &Message::Vote(statement(1, Phase::Commit, 1)), now + 9_000);
    assert!(old.expect("no doppelganger"));
}
