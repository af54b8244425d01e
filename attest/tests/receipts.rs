//! Receipts: those of a real tree are read and settle the queue, and nothing else does.

mod common;

use attest::{
    Body, CheckReceipt, DecodeError, Device, MAX_MESSAGE, Queue, ReceiptError, ReceiptKeys, Receipts, Signer,
    SoftEd25519, ToBeSigned, VolatileBoot,
};
use common::{SEED, network};
use coset::{CborSerializable, cbor::value::Value as Cbor};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// A batch of a member, as docs/protocol.md §§6 and 8 describe it, written without our code.
struct Batch {
    leaves: Vec<([u8; 32], u64)>,
}

type Path = Vec<([u8; 32], bool)>;

impl Batch {
    /// The root, and the path of each leaf.
    fn tree(&self) -> ([u8; 32], Vec<Path>) {
        let leaf = |(id, arrival): &([u8; 32], u64)| sha(&[&[0], id, &arrival.to_be_bytes(), &[0]]);
        let mut level: Vec<([u8; 32], Vec<usize>)> =
            self.leaves.iter().enumerate().map(|(n, one)| (leaf(one), vec![n])).collect();
        let mut paths = vec![Path::new(); self.leaves.len()];
        while level.len() > 1 {
            let mut above = Vec::new();
            for pair in level.chunks(2) {
                let [(left, under), (right, beside)] = pair else {
                    above.push(pair[0].clone());
                    continue;
                };
                under.iter().for_each(|n| paths[*n].push((*right, false)));
                beside.iter().for_each(|n| paths[*n].push((*left, true)));
                above.push((sha(&[&[1], left, right]), [&under[..], beside].concat()));
            }
            level = above;
        }
        (level[0].0, paths)
    }

    /// The payload for the device that sent `mine` of the leaves.
    fn payload(&self, member: u32, key: &SoftEd25519, mine: &[usize]) -> Vec<u8> {
        let (tree, paths) = self.tree();
        let (previous, batch, count) = ([0x77; 32], 12u64, u32::try_from(self.leaves.len()).expect("small"));
        let tag = &b"plumbline/receipt/v1"[..];
        let root = sha(&[tag, &previous, &batch.to_be_bytes(), &tree, &count.to_be_bytes()]);
        let signature = key.sign(ToBeSigned::new(&root)).expect("signs");
        let step = |(sibling, left): &([u8; 32], bool)| Cbor::Array(vec![bytes(sibling), Cbor::Bool(*left)]);
        let row = |n: &usize| {
            let ((id, arrival), path) = (&self.leaves[*n], paths[*n].iter().map(step).collect());
            Cbor::Array(vec![bytes(id), Cbor::from(*arrival), Cbor::from(0), Cbor::Array(path)])
        };
        let rows = Cbor::Array(mine.iter().map(row).collect());
        let (member, batch, count) = (Cbor::from(member), Cbor::from(batch), Cbor::from(count));
        Cbor::Array(vec![member, batch, bytes(&previous), count, bytes(&signature), rows]).to_vec().expect("encodes")
    }
}

fn bytes(value: &[u8]) -> Cbor {
    Cbor::Bytes(value.to_vec())
}

fn members() -> [SoftEd25519; 4] {
    [1, 2, 3, 4].map(|n| SoftEd25519::from_seed([n; 32]))
}

fn keys() -> [[u8; 32]; 4] {
    members().map(|member| member.public_key().bytes().try_into().expect("Ed25519"))
}

#[test]
fn receipts_of_two_members_let_a_message_go() {
    let mut device =
        Device::boot(SoftEd25519::from_seed(SEED), &mut VolatileBoot::default(), network()).expect("boots");
    let (mut memory, mut leaves) = ([0; 2000], vec![([9; 32], 5)]);
    let mut queue = Queue::new(&mut memory);
    for arrival in 0..4 {
        let mut buf = [0; MAX_MESSAGE];
        let signed = device.message(None, None, &Body::Heartbeat, &mut buf).expect("speaks");
        queue.push(&signed).expect("fits");
        leaves.push((signed.id, 1_700_000_000_000 + arrival));
    }
    let (batch, keys, members) = (Batch { leaves }, keys(), members());
    let check = ReceiptKeys(&keys);
    // One member alone, even twice, is not enough; the second one's receipts let go what both have.
    let first = batch.payload(0, &members[0], &[1, 2, 4]);
    assert_eq!(queue.settle(&first, &check, 2), Ok(0));
    assert_eq!(queue.settle(&first, &check, 2), Ok(0));
    assert_eq!(queue.settle(&batch.payload(3, &members[3], &[4, 3, 1]), &check, 2), Ok(2));
    let left: Vec<_> = queue.iter().map(|item| (item.id, item.receipts)).collect();
    assert_eq!(left, [(batch.leaves[2].0, 1), (batch.leaves[3].0, 1)]);
    // A member speaks for itself only, and only about what is in its tree.
    let forged = batch.payload(1, &members[2], &[2, 3]);
    assert_eq!(queue.settle(&forged, &check, 2), Err(ReceiptError::Signature(1)));
    assert_eq!(queue.settle(&batch.payload(9, &members[2], &[2]), &check, 2), Err(ReceiptError::Signature(9)));
    let mut spoiled = batch.payload(1, &members[1], &[2, 3]);
    assert!(Receipts::decode(&spoiled).is_ok_and(|receipts| receipts.holds(&check)));
    let at = spoiled.windows(32).position(|part| part == batch.leaves[2].0).expect("its id");
    spoiled[at] ^= 1;
    assert_eq!(queue.settle(&spoiled, &check, 2), Err(DecodeError::Bounds.into()), "its path leads elsewhere");
    let mut alone = batch.payload(1, &members[1], &[2]);
    let at = alone.windows(32).position(|part| part == batch.leaves[2].0).expect("its id");
    alone[at] ^= 1;
    assert_eq!(queue.settle(&alone, &check, 2), Err(ReceiptError::Signature(1)));
    assert_eq!(queue.iter().count(), 2, "nothing of that counted");
}

/// Takes every signature: what is left is the form.
struct Anyone;

impl CheckReceipt for Anyone {
    fn holds(&self, _: u32, _: &[u8; 32], _: &[u8; 64]) -> bool {
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A spoiled payload is refused, or says what the good one does but for numbers that the signature covers.
    #[test]
    fn no_other_bytes_carry_the_same_signature(size in 1usize..40, at in any::<usize>(), with in 1u8..) {
        let batch = Batch { leaves: (0..size).map(|n| ([u8::try_from(n).expect("small"); 32], 1_000 + n as u64)).collect() };
        let mine: Vec<usize> = (0..size).step_by(3).collect();
        let good = batch.payload(2, &members()[2], &mine);
        let read = Receipts::decode(&good).expect("well-formed");
        prop_assert_eq!(read.ids().collect::<Vec<_>>(), mine.iter().map(|n| batch.leaves[*n].0).collect::<Vec<_>>());
        prop_assert!(read.holds(&ReceiptKeys(&keys())) && read.holds(&Anyone));
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] ^= with;
        let held = Receipts::decode(&bad).is_ok_and(|receipts| receipts.holds(&ReceiptKeys(&keys())));
        prop_assert!(!held, "byte {} of {}", at, bad.len());
    }

    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(receipts) = Receipts::decode(&bytes) {
            prop_assert!(receipts.ids().count() > 0);
        }
    }
}
