//! The verifier's hot path asks the allocator for nothing per message: decoding, claims, ids and single verification for
//! nothing at all, a batch for as much as the bare library's own batch and a constant.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use attest::{BatchVerifier, Claims, MAX_MESSAGE, SoftEd25519, decode, evidence_id, seal, verify};
use common::{SEED, bodies, claims, network, signers};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: forwards every call to the system's allocator unchanged; the counter is a plain thread-local cell.
#[allow(unsafe_code, reason = "counting allocations needs an allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _torn_down = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = CALLS.with(Cell::get);
    let done = work();
    (CALLS.with(Cell::get) - before, done)
}

#[test]
fn one_message_allocates_nothing() {
    assert!(allocations(|| vec![0u8; 9]).0 > 0, "the counter counts");
    for (alg, signer) in signers() {
        let key = signer.public_key();
        for body in bodies() {
            let mut buf = [0; MAX_MESSAGE];
            let signed = seal(&&*signer, &network(), &claims(body), &mut buf).expect("seals");
            let (count, verdict) = allocations(|| {
                let env = decode(signed.bytes).expect("decodes");
                let read = Claims::decode(signed.class, env.payload).expect("claims");
                assert_eq!(read.body.class(), signed.class);
                assert_eq!(evidence_id(signed.class, &network(), &env), signed.id);
                verify(&env, signed.class, &network(), &key)
            });
            assert_eq!((count, verdict), (0, Ok(signed.id)), "{alg} {}", signed.class);
        }
    }
}

#[test]
fn a_batch_allocates_as_the_bare_library_does() {
    const COUNT: usize = 200;
    let signer = SoftEd25519::from_seed(SEED);
    let mut messages = Vec::new();
    for seq in 0..COUNT as u64 {
        let mut buf = [0; MAX_MESSAGE];
        let claims = Claims { seq, ..claims(bodies()[0]) };
        let signed = seal(&signer, &network(), &claims, &mut buf).expect("seals");
        messages.push(signed.bytes.to_vec());
    }
    let class = bodies()[0].class();
    let key = attest::Signer::public_key(&signer);
    let (pushing, verifier) = allocations(|| {
        let mut verifier = BatchVerifier::with_capacity(network(), COUNT);
        for bytes in &messages {
            verifier.push(class, &decode(bytes).expect("decodes"), &key);
        }
        verifier
    });
    assert_eq!(pushing, 2, "room for the verdicts and for what waits");
    let (finishing, verdicts) = allocations(|| verifier.finish());
    assert!(verdicts.iter().all(Result::is_ok));
    let structures: Vec<Vec<u8>> =
        messages.iter().map(|m| attest::sig_structure(class, &network(), &decode(m).expect("decodes"))).collect();
    let (bare, ()) = allocations(|| {
        let mut verifier = batch::Verifier::new();
        for (bytes, structure) in messages.iter().zip(&structures) {
            let signature = Signature::from_bytes(decode(bytes).expect("decodes").signature);
            let key: [u8; 32] = key.bytes().try_into().expect("Ed25519");
            verifier.queue((VerificationKeyBytes::from(key), signature, structure));
        }
        verifier.verify(Fixed).expect("they hold");
    });
    println!("allocations of a batch of {COUNT}: {finishing}, the bare library's {bare}");
    assert!(finishing <= bare + 4, "{finishing} allocations, the bare library makes {bare}");
}

/// Coefficients for the count only.
struct Fixed;

impl rand_core::TryRng for Fixed {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(3)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(5)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Fixed {}
