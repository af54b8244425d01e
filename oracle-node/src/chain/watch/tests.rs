//! The watcher against an endpoint of our own, with the adversary who posts a certified batch beside something else.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolEvent;
use attest::{Signer as _, SoftEd25519};
use oracle_core::registry::events::{DeviceKeyActivated, DeviceRegistered, TermActivated, TermConfigured};

use oracle_core::limits::SNAPSHOTS_AHEAD_MAX;

use super::*;
use crate::keys::Secret;
use crate::testing::{Dir, store};

/// The endpoint has no answer about batches.
const SILENT: u64 = u64::MAX;

/// An endpoint that knows a chain id and `DeviceRegistry.nextBatch`, of finalized block 2 only; ends with the test process.
fn endpoint(next_batch: &Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let next_batch = Arc::clone(next_batch);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("stream"), next_batch.load(Ordering::Relaxed));
        }
    });
    url
}

fn answer(mut stream: TcpStream, next_batch: u64) {
    let mut request = Vec::new();
    let asked = loop {
        let mut piece = [0; 4_096];
        let read = stream.read(&mut piece).expect("request");
        assert!(read > 0, "cut short");
        request.extend_from_slice(&piece[..read]);
        let body = request.windows(4).position(|w| w == b"\r\n\r\n").map(|at| &request[at + 4..]);
        if let Some(asked) = body.and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok()) {
            break asked;
        }
    };
    let result = match asked["method"].as_str() {
        Some("eth_chainId") => Some("0x7a69".to_owned()),
        Some("eth_call") if asked["params"][1] == "0x2" && next_batch != SILENT => Some(format!("{next_batch:#066x}")),
        _ => None,
    };
    let said = match result {
        Some(result) => serde_json::json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }),
        None => serde_json::json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -1, "message": "no" } }),
    };
    let said = said.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{said}", said.len()).expect("answer");
}

fn contracts() -> Contracts {
    let [registry, devices, escrow, hub] = [1, 2, 3, 4].map(Address::repeat_byte);
    Contracts { registry, devices, escrow, hub }
}

fn stored<E: SolEvent>(address: Address, event: &E, transaction: u8) -> StoredLog {
    let data = event.encode_log_data();
    StoredLog {
        address: Bytes::from(address.into_array()),
        topics: data.topics().iter().map(|topic| Hash::from(topic.0)).collect(),
        data: data.data.to_vec().into(),
        transaction: Hash::from([transaction; 32]),
    }
}

fn registered(token: u8) -> DeviceRegistered {
    let (key, owner) = (SoftEd25519::from_seed([token; 32]), Address::repeat_byte(0xa1));
    let mut space = [0; attest::DEVICE_KEY_STATEMENT_MAX];
    let (devices, owned) = (contracts().devices.into_array(), owner.into_array());
    let statement = attest::device_key_statement(0x7a69, &devices, &owned, &key.public_key(), &mut space);
    DeviceRegistered {
        tokenId: U256::from(token),
        owner,
        alg: 1,
        publicKey: key.public_key().bytes().to_vec().into(),
        proof: key.sign(attest::ToBeSigned::new(statement)).expect("signature").to_vec().into(),
        locationCommitment: B256::ZERO,
        class: 1,
    }
}

/// The same device key under another token: the fold does not mind.
fn registered_as(token: u64) -> DeviceRegistered {
    DeviceRegistered { tokenId: U256::from(token), ..registered(1) }
}

/// Block 1: an active term and two devices that wait. Block 2: somebody posts the committee's batch of the first himself,
/// in one transaction with a registration of his own.
fn blocks() -> [StoredBlock; 2] {
    let keys = vec![B256::repeat_byte(9); 4];
    let configured = TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        members: (1..5).map(Address::repeat_byte).collect(),
        peerKeys: keys.clone(),
        dkgKeys: keys,
        policyHash: B256::repeat_byte(6),
        epochSeconds: 10,
        slotMs: 1_000,
        genesisDelay: 50,
    };
    let group_key = vec![7; 256].into();
    let activated =
        TermActivated { committee: 1, term: 1, groupKey: group_key, shareRoot: B256::repeat_byte(8), genesis: 1_000 };
    let (Contracts { registry, devices, .. }, first) = (contracts(), SoftEd25519::from_seed([1; 32]));
    let key = DeviceKeyActivated { tokenId: U256::from(1), thumbprint: first.public_key().thumbprint().into() };
    let before = vec![
        stored(registry, &configured, 1),
        stored(registry, &activated, 2),
        stored(devices, &registered(1), 3),
        stored(devices, &registered(2), 4),
    ];
    let together = vec![stored(devices, &registered(3), 5), stored(devices, &key, 5)];
    [(1, before), (2, together)].map(|(number, logs)| StoredBlock {
        hash: Hash::from([number; 32]),
        timestamp: u64::from(number),
        logs,
    })
}

/// The devices that the watcher told about, with the batch to put them in.
fn pending(events: &mut mpsc::Receiver<Event>) -> Vec<(u64, Vec<u64>)> {
    let tokens = |keys: Vec<(u64, [u8; 32])>| keys.into_iter().map(|(token, _)| token).collect();
    std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event {
            Event::PendingKeys { term: 1, batch, keys } => Some((batch, tokens(keys))),
            _ => None,
        })
        .collect()
}

/// A watcher that has folded what the store holds.
async fn watching(store: Arc<Store>, rpc: String) -> (Watch, watch::Receiver<View>, mpsc::Receiver<Event>) {
    let (events, told) = mpsc::channel(1_024);
    let setup = WatchSetup {
        rpc: Rpc::new(&rpc, &Secret::new([7; 32])).expect("endpoint"),
        store,
        contracts: contracts(),
        start_block: 1,
        committee: 1,
        term: 1,
        streams: BTreeSet::from([0]),
        snapshot_lag_ms: 0,
        poll: Duration::from_millis(10),
        started_ms: u64::MAX,
        events,
        again: mpsc::channel(1).1,
        metrics: Metrics::new().expect("metrics"),
    };
    let (watch, view) = Watch::open(setup).await.expect("stored log");
    (watch, view, told)
}

#[tokio::test]
async fn a_batch_that_somebody_posts_beside_something_else_is_not_proposed_again() {
    let dir = Dir::new("watch-batches");
    let store = Arc::new(store(&dir));
    let log: Vec<_> = (1..).zip(&blocks()).map(|(number, block)| (number, block.encode())).collect();
    store.append_chain(&log).expect("disk");
    let next_batch = Arc::new(AtomicU64::new(SILENT));
    let (mut watch, view, mut told) = watching(store, endpoint(&next_batch)).await;
    watch.tell().await.expect("told");
    // The endpoint is silent: the number is not guessed. Nothing else waits for it.
    assert!(watch.read_batches(2).await.is_err());
    watch.publish(true);
    watch.tell_pending().await.expect("told");
    assert!(pending(&mut told).is_empty() && view.borrow().batches.is_empty() && view.borrow().caught_up);
    // The chain has used batch 0, whatever else that transaction did: a committee that went on proposing it has signed it.
    next_batch.store(1, Ordering::Relaxed);
    watch.read_batches(2).await.expect("answer");
    watch.publish(true);
    watch.tell_pending().await.expect("told");
    assert_eq!((pending(&mut told), view.borrow().batches.get(&1)), (vec![(1, vec![2, 3])], Some(&1)));
    // Known from now on, and told once.
    next_batch.store(SILENT, Ordering::Relaxed);
    watch.read_batches(2).await.expect("nothing to ask");
    watch.tell_pending().await.expect("told");
    assert!(pending(&mut told).is_empty());
}

#[tokio::test]
async fn snapshots_that_a_stream_had_no_room_for_are_told_again() {
    let dir = Dir::new("watch-again");
    let store = Arc::new(store(&dir));
    // A block every seven seconds, epochs of ten from second 1,000 on, and a device more every fifth block.
    let mut blocks = blocks().to_vec();
    for number in 3_u64..700 {
        let transaction = u8::try_from(number % 251).expect("small");
        let device = stored(contracts().devices, &registered_as(number), transaction);
        let logs = if number % 5 == 0 { vec![device] } else { Vec::new() };
        blocks.push(StoredBlock { hash: Hash::from([transaction; 32]), timestamp: 1_000 + 7 * number, logs });
    }
    let log: Vec<_> = (1..).zip(&blocks).map(|(number, block)| (number, block.encode())).collect();
    store.append_chain(&log).expect("disk");
    let (mut watch, _view, mut told) = watching(store, endpoint(&Arc::new(AtomicU64::new(0)))).await;
    watch.tell().await.expect("told");
    let mut snapshots = || {
        std::iter::from_fn(|| told.try_recv().ok())
            .filter_map(|event| match event {
                Event::Snapshot { epoch, snapshot } => Some((epoch, snapshot)),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let first = snapshots();
    assert!(first.len() > 480 && first.last().expect("some").1.devices.len() > 130, "{}", first.len());
    for (from, count) in [(100, SNAPSHOTS_AHEAD_MAX as usize), (first.len() as u64 - 3, 3), (first.len() as u64, 0)] {
        watch.tell_again(from).await.expect("told");
        let at = usize::try_from(from).expect("small");
        assert_eq!(snapshots(), first[at..at + count], "the same ones, from epoch {from} on");
    }
    watch.tell().await.expect("told");
    assert_eq!(snapshots(), [], "what follows is told as before");
}
