//! kill -9 at the worst moment: a child process dies without closing anything, right after its durable writes. What it
//! had made durable is there, and what it had said cannot be contradicted.

use std::path::{Path, PathBuf};
use std::process::Command;

use oracle_core::effect::Record;
use oracle_core::wire::{Bytes, Hash, InstanceId, Statement};
use oracle_node::keys::Secret;
use oracle_node::receipts::{self, ReceiptLog};
use oracle_node::store::{Evidence, Said, Seal, Store};

/// Set in the child: the folder of its store.
const CHILD: &str = "PLUMBLINE_RESTART_CHILD";

fn partial(value: u8) -> Statement {
    let instance = InstanceId { kind: 1, stream: 0, epoch: 7 };
    Statement {
        member: 0,
        instance,
        phase: 6,
        view: 0,
        value: Hash::from([value; 32]),
        signature: Bytes::from([0; 65]),
    }
}

fn evidence(id: u8) -> Evidence {
    let bytes = vec![id; 131].into();
    Evidence { id: Hash::from([id; 32]), class: 2, device: 1, boot: 1, seq: id.into(), slot: 0, arrival_ms: 10, bytes }
}

fn seal() -> Seal {
    Seal::new(&Secret::new([4; 32]), Path::new("store.key"))
}

fn share() -> Record {
    Record { key: b"key/1/share".to_vec(), value: vec![0xa5; 36] }
}

fn sign_once(value: u8) -> Record {
    Record { key: b"sign-once/7".to_vec(), value: vec![value] }
}

/// The child's life: write, then die at once.
fn die_after_writing(dir: &Path) -> ! {
    let store = Store::open(dir, seal()).expect("open");
    store.persist(&share()).expect("journal");
    store.persist(&sign_once(1)).expect("journal");
    assert_eq!(store.note_statement(&partial(1)).expect("statement"), Said::Consistent);
    let items = [evidence(1), evidence(2)];
    let log = ReceiptLog::new(&Secret::new([5; 32]), store.receipt_head().expect("head"));
    store.put_evidence(&items, &log.seal(&items)).expect("evidence");
    std::process::abort();
}

#[test]
fn nothing_durable_is_lost_and_nothing_is_said_twice() {
    if let Some(dir) = std::env::var_os(CHILD) {
        die_after_writing(Path::new(&dir));
    }
    let dir: PathBuf = std::env::temp_dir().join(format!("plumbline-restart-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "nothing_durable_is_lost_and_nothing_is_said_twice", "--nocapture"])
        .env(CHILD, &dir)
        .status()
        .expect("child");
    assert!(!status.success(), "the child must have died");

    let store = Store::open(&dir, seal()).expect("open after the crash");
    assert_eq!(store.journal().expect("journal"), [share(), sign_once(1)]);
    assert_eq!(store.note_statement(&partial(1)).expect("statement"), Said::Consistent, "repeating is allowed");
    assert_eq!(store.note_statement(&partial(2)).expect("statement"), Said::Contradicts, "another value never leaves");
    for id in [1, 2] {
        assert_eq!(store.evidence(&[id; 32]).expect("evidence"), Some(evidence(id)));
    }
    assert_eq!(store.arrivals(0, 10).expect("arrivals").len(), 2);
    let (batch, place) = store.receipt(&[2; 32]).expect("receipt").expect("given");
    assert!(receipts::verify(&batch, &receipts::public_key(&Secret::new([5; 32]))));
    assert_eq!((place, store.receipt_head().expect("head").0), (1, 1));
    drop(store);
    let _ = std::fs::remove_dir_all(&dir);
}
