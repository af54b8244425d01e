//! What was written is there after reopening; arrival windows are half open; duplicates are seen.

use super::*;
use crate::testing::{Dir, seal, store as open};
use oracle_core::guard::Floor;
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
fn arrivals_of_another_version_are_an_error_and_hide_nothing() {
    let dir = Dir::new("store-older");
    let store = open(&dir);
    let items = [item(1, 5_000)];
    store.put_evidence(&items, &receipts(0, &items)).expect("written");
    // One row a message, as an older build wrote them.
    store
        .put_synced(EVIDENCE, &[b"a".as_slice(), &4_000u64.to_be_bytes(), &[7; 52]].concat(), &[1; 21])
        .expect("written");
    assert!(matches!(store.arrivals(3_000, 9_000), Err(StoreError::Damaged { family: EVIDENCE, .. })));
    assert!(matches!(store.prune(9_000, 9_000), Err(StoreError::Damaged { family: EVIDENCE, .. })));
    assert_eq!(store.arrivals(4_500, 9_000).expect("read").len(), 1);
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
fn what_is_lent_goes_when_its_epoch_is_settled_unless_the_decided_names_it() {
    let dir = Dir::new("store-lent");
    let blob = |text: &[u8]| Content { id: blob_hash(text), class: 0, bytes: text.to_vec() };
    let [own, named, liars, both, later] = [b"own", b"nam", b"lie", b"two", b"lat"].map(|text| blob(text));
    let held = |store: &Store| {
        [&own, &named, &liars, &both, &later].map(|blob| store.content(&blob.id).expect("read").is_some())
    };
    {
        let store = open(&dir);
        store.serve(std::slice::from_ref(&own)).expect("written");
        // The own one is listed by a liar, too; one is listed in two streams.
        store.lend(0, 4, &[own.clone(), named.clone(), liars.clone(), both.clone()]).expect("written");
        store.lend(7, 4, &[both.clone(), liars.clone()]).expect("written");
        store.lend(0, 5, std::slice::from_ref(&later)).expect("written");
        assert_eq!(held(&store), [true; 5]);
    }
    let store = open(&dir);
    store.settle(0, 4, &[named.id]).expect("settled");
    assert_eq!(held(&store), [true, true, true, true, true], "stream 7 still votes about what two of them list");
    store.settle(7, 4, &[both.id]).expect("settled");
    assert_eq!(held(&store), [true, true, false, true, true], "what the liar alone lists is gone");
    // Another proposal that comes to nothing takes nothing away that is kept.
    store.lend(0, 6, &[named.clone(), both.clone(), liars.clone()]).expect("written");
    store.serve(std::slice::from_ref(&liars)).expect("kept after all");
    store.settle(0, 6, &[]).expect("settled");
    assert_eq!(held(&store), [true, true, true, true, false], "an epoch that was never settled goes with the next");
    let mut rows = 0;
    store
        .scan(LENT, b"", |_, _| {
            rows += 1;
            true
        })
        .expect("read");
    assert_eq!(rows, 0, "nothing is left of the lending");
}

#[test]
fn an_empty_value_deletes_a_record_and_an_older_stores_is_skipped() {
    let dir = Dir::new("store-tombstones");
    let record = |key: &[u8], value: &[u8]| Record { key: key.to_vec(), value: value.to_vec() };
    {
        let store = open(&dir);
        for (key, value) in [(b"obs/a", b"1".as_slice()), (b"obs/b", b"2"), (b"obs/a", b"")] {
            store.persist(&record(key, value)).expect("written");
        }
        assert_eq!(store.get(JOURNAL, b"obs/a").expect("read"), None);
        assert_eq!(store.written(), 3, "a deletion counts as what it is: something that was said is forgotten");
        store.put_synced(JOURNAL, b"obs/c", b"").expect("as an older version wrote it");
    }
    assert_eq!(open(&dir).journal().expect("read"), [record(b"obs/b", b"2")]);
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
fn a_store_of_another_version_is_refused_by_name() {
    let dir = Dir::new("store-format");
    let store = open(&dir);
    // As the version before wrote it: no format at all.
    store.db.delete_cf(store.family(SEAL).expect("family"), SEAL_FORMAT).expect("deleted");
    drop(store);
    let refused = Store::open(dir.path(), seal(7)).expect_err("an older store").to_string();
    assert!(refused.contains("has format 1, and this version reads 2"), "{refused}");
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

#[test]
fn an_erased_secret_is_in_no_file_any_more() {
    let dir = Dir::new("store-erase");
    let store = open(&dir);
    let secret = Record { key: b"key/1/share".to_vec(), value: vec![0x5e; 36] };
    store.persist(&Record { key: b"key/1/root/aa/share".to_vec(), value: vec![1; 36] }).expect("written");
    store.persist(&secret).expect("written");
    store.db.flush_cf(store.family(JOURNAL).expect("family")).expect("flushed");
    // Once more, so that an old version lies in a table and a new one in the log.
    let first = store.get(JOURNAL, &secret.key).expect("read").expect("sealed");
    store.persist(&secret).expect("written");
    let second = store.get(JOURNAL, &secret.key).expect("read").expect("sealed");
    let holding = |sealed: &[u8]| {
        let files = std::fs::read_dir(dir.path()).expect("dir").flatten().filter(|entry| entry.path().is_file());
        let held =
            |path: &Path| std::fs::read(path).unwrap_or_default().windows(sealed.len()).any(|window| window == sealed);
        files.map(|entry| entry.path()).filter(|path| held(path)).count()
    };
    assert!(holding(&second) > 0, "the search finds what is there");
    store.erase(&[secret.key.clone(), b"key/1/none".to_vec()]).expect("erased");
    assert_eq!((holding(&first), holding(&second)), (0, 0));
    let journal = store.journal().expect("read");
    assert_eq!(journal.len(), 1, "and nothing else is gone");
}

#[test]
fn old_messages_lose_their_bytes_then_their_ids_and_are_never_new_in_between() {
    let dir = Dir::new("store-pruned");
    let store = open(&dir);
    let items: Vec<Evidence> = (1..=6).map(|id| item(id, u64::from(id) * 1_000)).collect();
    store.put_evidence(&items, &receipts(0, &items)).expect("written");
    let held = |store: &Store| -> Vec<(bool, bool)> {
        let one =
            |i: &Evidence| (store.has_evidence(&i.id).expect("disk"), store.evidence(&i.id).expect("disk").is_some());
        items.iter().map(one).collect()
    };
    let (whole, id, gone) = ((true, true), (true, false), (false, false));
    assert_eq!(store.prune(4_000, 2_000).expect("pruned"), Pruned { bytes: 3, ids: 1 });
    assert_eq!(held(&store), [gone, id, id, whole, whole, whole]);
    assert_eq!(store.content(&[2; 32]).expect("read"), None, "nothing to pull, and no error");
    assert_eq!(store.prune(4_000, 2_000).expect("pruned"), Pruned::default(), "nothing twice");
    // A bound that goes back, or runs ahead of the other, drops nothing more than it may.
    assert_eq!(store.prune(1_000, u64::MAX).expect("pruned"), Pruned::default());
    assert_eq!(store.prune(6_000, 5_000).expect("pruned"), Pruned { bytes: 2, ids: 3 });
    assert_eq!(held(&store), [gone, gone, gone, gone, id, whole]);
    let left: Vec<u8> = store.arrivals(0, u64::MAX).expect("read").iter().map(|held| held.id[0]).collect();
    assert_eq!(left, [5, 6]);
    // The receipt batches stay; by id they are found as long as the bytes are.
    let receipted: Vec<bool> = items.iter().map(|item| store.receipt(&item.id).expect("read").is_some()).collect();
    assert_eq!(receipted, [false, false, false, false, false, true]);
}

#[test]
fn a_store_counts_what_statements_may_rest_on() {
    let dir = Dir::new("store-counts");
    let record = |key: &[u8]| Record { key: key.to_vec(), value: vec![1] };
    let identity = {
        let store = open(&dir);
        for key in [b"obs/1".as_slice(), b"beacon/0001", b"key/1/share", b"sign/1"] {
            store.persist(&record(key)).expect("written");
        }
        assert_eq!(store.written(), 3, "beacons are not counted");
        *store.identity()
    };
    let store = open(&dir);
    assert_eq!((store.written(), *store.identity()), (3, identity));
    assert_ne!(*open(&Dir::new("store-other")).identity(), identity);
    let floor = Floor { reports: 7, batches: 2, once_said: true, refreshes: 3 };
    store.put_floor(3, &floor).expect("written");
    assert_eq!((store.floor(3).expect("read"), store.floor(4).expect("read")), (Some(floor), None));
}

#[test]
fn fault_proofs_are_listed_and_nothing_else() {
    use oracle_core::fault::FaultProof;
    use oracle_core::wire::{InstanceId, Statement};
    let dir = Dir::new("store-faults");
    let store = open(&dir);
    let say = |value: u8| Statement {
        member: 1,
        instance: InstanceId { kind: 1, stream: 0, epoch: 4 },
        phase: 3,
        view: 1,
        value: Hash::from([value; 32]),
        signature: Bytes::from([0; 65]),
    };
    let proof = FaultProof { a: say(1), b: say(2) };
    let value = oracle_core::wire::encode(&proof);
    for (key, value) in [(b"fault/x".as_slice(), value.clone()), (b"g", value), (b"fault/y", vec![])] {
        store.persist(&Record { key: key.to_vec(), value }).expect("written");
    }
    assert_eq!(store.faults().expect("read"), [proof]);
}
