//! What was written is there after reopening; arrival windows are half open; duplicates are seen.

use super::*;
use crate::testing::{Dir, seal, store as open};
use oracle_core::wire::{Bytes, Hash};

fn item(id: u8, arrival_ms: u64) -> Evidence {
    let bytes = vec![id; 3].into();
    Evidence { id: Hash::from([id; 32]), class: 4, device: 9, boot: 1, seq: id.into(), slot: 5, arrival_ms, bytes }
}

fn receipts(batch: u64, items: &[Evidence]) -> ReceiptBatch {
    let leaf = |e: &Evidence| ReceiptLeaf { id: e.id, arrival_ms: e.arrival_ms, verdict: 1 };
    let leaves = items.iter().map(leaf).collect();
    let root = Hash::from([batch as u8 + 1; 32]);
    ReceiptBatch { batch, previous: Hash::default(), root, signature: Bytes::from([0; 64]), leaves }
}

#[test]
fn evidence_and_receipts_survive_reopening() {
    let dir = Dir::new("store-evidence");
    let items = [item(1, 100), item(2, 200), item(3, 300)];
    {
        let store = open(&dir);
        store.put_evidence(&items, &receipts(0, &items)).expect("written");
        assert!(Store::open(dir.path(), seal(7)).is_err(), "a second process must be refused");
    }
    let store = open(&dir);
    assert!(store.has_evidence(&[2; 32]).expect("read") && !store.has_evidence(&[4; 32]).expect("read"));
    assert_eq!(store.evidence(&[2; 32]).expect("read").as_ref(), Some(&items[1]));
    assert_eq!(store.content(&[2; 32]).expect("read").map(|c| (c.class, c.bytes)), Some((4, vec![2; 3])));
    assert_eq!(store.receipt_head().expect("read"), (1, [1; 32]));
    assert_eq!(store.receipt(&[3; 32]).expect("read").map(|(batch, index)| (batch.batch, index)), Some((0, 2)));

    let ids = |from, to| -> Vec<u8> { store.arrivals(from, to).expect("read").iter().map(|held| held.id[0]).collect() };
    assert_eq!(ids(0, 1_000), [1, 2, 3]);
    assert_eq!(ids(100, 300), [2, 3], "after the first, up to and with the second");
    assert_eq!(ids(99, 299), [1, 2]);
    assert_eq!(store.arrivals(0, 100).expect("read").first().map(|h| (h.device, h.slot, h.seq)), Some((9, 5, 1)));
}

#[test]
fn the_journal_keeps_the_last_value_of_a_key() {
    let dir = Dir::new("store-journal");
    let record = |key: &[u8], value: &[u8]| Record { key: key.to_vec(), value: value.to_vec() };
    {
        let store = open(&dir);
        for (key, value) in [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")] {
            store.persist(&record(key, value)).expect("written");
        }
        // A crash: the process ends without closing anything.
        std::mem::forget(store.db);
    }
    // The lock of the forgotten database is held by this process; a copy of its files is what a restart would find.
    let copy = Dir::new("store-journal-copy");
    for entry in std::fs::read_dir(dir.path()).expect("dir").flatten() {
        if entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
        }
    }
    let journal = open(&copy).journal().expect("read");
    assert_eq!(journal, [record(b"a", b"2"), record(b"b", b"3")]);
}

#[test]
fn blobs_are_kept_only_under_their_hash() {
    let dir = Dir::new("store-blobs");
    let store = open(&dir);
    let good = Content { id: blob_hash(b"good"), class: 0, bytes: b"good".to_vec() };
    let bad = Content { id: [7; 32], class: 0, bytes: b"bad".to_vec() };
    store.serve(&[good.clone(), bad]).expect("written");
    assert_eq!(store.content(&good.id).expect("read"), Some(good));
    assert_eq!(store.content(&[7; 32]).expect("read"), None);
}

#[test]
fn outbox_and_chain_log_are_in_order() {
    let dir = Dir::new("store-outbox");
    let store = open(&dir);
    for id in [256, 1, 2] {
        store.put_outbox(id, &[1]).expect("written");
    }
    store.drop_outbox(2).expect("dropped");
    assert_eq!(store.outbox().expect("read"), [(1, vec![1]), (256, vec![1])]);
    store.put_fact("chain_id", &[9]).expect("written");
    store.append_chain(&[(300, vec![3]), (2, vec![2])]).expect("written");
    let mut blocks = Vec::new();
    store
        .chain(|number, _| {
            blocks.push(number);
            true
        })
        .expect("read");
    assert_eq!((blocks, store.fact("chain_id").expect("read")), (vec![2, 300], Some(vec![9])));
}

#[test]
fn a_contradiction_is_seen_even_after_reopening() {
    use oracle_core::wire::{InstanceId, Statement};
    let dir = Dir::new("store-statements");
    let say = |value: u8, view| Statement {
        member: 0,
        instance: InstanceId { kind: 1, stream: 0, epoch: 4 },
        phase: 3,
        view,
        value: Hash::from([value; 32]),
        signature: Bytes::from([0; 65]),
    };
    {
        let store = open(&dir);
        assert_eq!(store.note_statement(&say(1, 1)).expect("disk"), Said::Consistent);
        assert_eq!(store.note_statement(&say(2, 2)).expect("disk"), Said::Consistent);
    }
    let store = open(&dir);
    assert_eq!(store.note_statement(&say(1, 1)).expect("disk"), Said::Consistent);
    assert_eq!(store.note_statement(&say(2, 1)).expect("disk"), Said::Contradicts);
    let listed = store.statements(1, 0, 0, 10).expect("disk");
    assert_eq!(listed.iter().map(|row| (row.0.epoch, row.2, row.3[0])).collect::<Vec<_>>(), [(4, 1, 1), (4, 2, 2)]);
}

/// A share as the core writes it: index, then 32 bytes that occur nowhere else.
fn share(key: &[u8]) -> Record {
    let secret: Vec<u8> = (0..32u8).map(|i| i.wrapping_mul(73) ^ 0x5c).collect();
    Record { key: key.to_vec(), value: [&2u32.to_be_bytes()[..], &secret].concat() }
}

/// Files of a folder, however deep, that hold some bytes.
fn files_with(dir: &Path, bytes: &[u8]) -> usize {
    let entries = std::fs::read_dir(dir).expect("dir").flatten().map(|entry| entry.path());
    let holds = |path: &Path| std::fs::read(path).expect("file").windows(bytes.len()).any(|found| found == bytes);
    entries.map(|path| if path.is_dir() { files_with(&path, bytes) } else { usize::from(holds(&path)) }).sum()
}

#[test]
fn a_share_is_nowhere_in_the_folder_and_comes_back() {
    let dir = Dir::new("store-sealed");
    let (secret, deal) = (share(b"key/1/share"), share(b"deal/1/3"));
    let open_one = Record { key: b"key/1/sharing".to_vec(), value: b"a public sharing, as it is".to_vec() };
    {
        let store = open(&dir);
        for record in [&secret, &deal, &open_one] {
            store.persist(record).expect("written");
        }
        // In the write-ahead log, then, compacted, in the tables.
        assert_eq!(files_with(dir.path(), &secret.value[4..]), 0);
        assert!(files_with(dir.path(), &open_one.value) > 0, "the search finds what is not sealed");
        store.db.flush_cf(store.family(JOURNAL).expect("family")).expect("flushed");
    }
    let store = open(&dir);
    assert_eq!(store.journal().expect("read"), [deal, secret.clone(), open_one.clone()]);
    drop(store);
    for part in [&secret.value[4..], &secret.value[..20], &secret.value[20..]] {
        assert_eq!(files_with(dir.path(), part), 0);
    }
    assert!(files_with(dir.path(), &open_one.value) > 0);
}

#[test]
fn the_wrong_key_refuses_to_start_and_names_its_file() {
    let dir = Dir::new("store-wrong-key");
    open(&dir).persist(&share(b"key/1/share")).expect("written");
    let refused = Store::open(dir.path(), seal(8)).expect_err("another key");
    assert!(matches!(refused, StoreError::WrongKey { .. }) && refused.to_string().contains("keys/store.key"));
    assert_eq!(open(&dir).journal().expect("the right key still opens").len(), 1);
}

#[test]
fn a_tampered_moved_or_unsealed_secret_is_refused() {
    let dir = Dir::new("store-tampered");
    let store = open(&dir);
    let record = share(b"key/1/share");
    store.persist(&record).expect("written");
    let sealed = store.get(JOURNAL, &record.key).expect("read").expect("there");
    for place in [0, 1, 24, 25, sealed.len() - 17, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        store.put_synced(JOURNAL, &record.key, &changed).expect("written");
        let refused = store.journal().expect_err("changed");
        assert!(matches!(&refused, StoreError::Sealed { key, .. } if key == "key/1/share"), "{place}: {refused}");
    }
    for cut in [0, 1, 24, 25, sealed.len() - 1] {
        store.put_synced(JOURNAL, &record.key, &sealed[..cut]).expect("written");
        assert!(store.journal().is_err(), "cut to {cut}");
    }
    store.put_synced(JOURNAL, &record.key, &record.value).expect("written");
    assert!(store.journal().is_err(), "an unsealed one, as of an older version");
    store.put_synced(JOURNAL, &record.key, &sealed).expect("written");
    assert_eq!(store.journal().expect("itself again"), [record]);
    store.put_synced(JOURNAL, b"key/2/share", &sealed).expect("written");
    assert!(store.journal().is_err(), "a record under another key than its own");
}

#[test]
fn one_value_is_never_sealed_twice_alike() {
    let (seal, value) = (seal(1), [5; 32]);
    let [one, two] = [0, 1].map(|_| seal.close(b"k", &value).expect("sealed"));
    assert_ne!(one, two);
    assert_eq!((seal.open(b"k", &one).expect("opens").to_vec(), one.len()), (value.to_vec(), 1 + 24 + 32 + 16));
}
