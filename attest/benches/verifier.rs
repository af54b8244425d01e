//! The verifier's two bars: messages decoded per second and core, and verification in batches beside the bare library
//! in the same run. Rows: `what | measured | bar | ok or missed`; exits 1 when one is missed.
//! Run: `cargo bench -p attest --bench verifier`.

use std::{fs, hint::black_box, process::ExitCode, time::Instant};

use attest::{
    BatchVerifier, Body, Claims, Class, MAX_MESSAGE, Network, PublicKey, Reading, Signer, SoftEd25519, decode, seal,
    sig_structure,
};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};

const NETWORK: Network = [7; 8];
const BATCH: usize = 256;
const ROUNDS: usize = 25;
const DECODES: usize = 100 * BATCH;

fn main() -> ExitCode {
    let fleet = Fleet::new();
    let decoding = (0..ROUNDS).map(|_| fleet.decode_all()).fold(f64::MAX, f64::min);
    // Turn by turn, and the best of each: on a shared machine whatever slows a round down is not ours nor the library's.
    let (mut ours, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..4 * ROUNDS {
        ours = ours.min(seconds(|| fleet.verify_ours()));
        bare = bare.min(seconds(|| fleet.verify_bare()));
    }
    println!(
        "attest: envelope and claims, 8 readings, CPU seconds of one core (best of {ROUNDS} rounds, batches {})",
        4 * ROUNDS
    );
    let rows = [
        row("decode, messages/s", DECODES as f64 / decoding, 2_000_000.0, 0),
        row(&format!("batch of {BATCH} verified / bare ed25519-zebra batch"), bare / ours, 0.9, 3),
    ];
    println!("batch of {BATCH} verified, messages/s | {:.0} | – | –", BATCH as f64 / ours);
    if rows.into_iter().all(|held| held) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(what: &str, measured: f64, bar: f64, digits: usize) -> bool {
    let held = measured >= bar;
    println!("{what} | {measured:.digits$} | ≥ {bar} | {}", if held { "ok" } else { "missed" });
    held
}

/// CPU seconds of this thread that `work` takes: other processes on a busy machine do not count. Wall time where the
/// kernel does not tell.
fn seconds(work: impl FnOnce()) -> f64 {
    let on_cpu = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (before, start) = (on_cpu(), Instant::now());
    work();
    match (before, on_cpu()) {
        (Some(before), Some(after)) if after > before => (after - before) as f64 / 1e9,
        _ => start.elapsed().as_secs_f64(),
    }
}

/// One message each of [`BATCH`] devices.
struct Fleet {
    messages: Vec<(Vec<u8>, PublicKey)>,
}

impl Fleet {
    fn new() -> Self {
        let message = |n: usize| {
            let mut seed = [0x5e; 32];
            seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let signer = SoftEd25519::from_seed(seed);
            let readings: [Reading; 8] =
                std::array::from_fn(|c| Reading { channel: c as u64, exponent: -2, mantissa: 2_153 + n as i64 });
            let body = Body::Telemetry((&readings).into());
            let claims = Claims { iat: Some(1_700_000_000), nonce: None, boot: 3, seq: 900, prev: [9; 16], body };
            let mut buf = [0; MAX_MESSAGE];
            let signed = seal(&signer, &NETWORK, &claims, &mut buf).expect("seals");
            (signed.bytes.to_vec(), signer.public_key())
        };
        Self { messages: (0..BATCH).map(message).collect() }
    }

    /// CPU seconds of [`DECODES`] messages.
    fn decode_all(&self) -> f64 {
        seconds(|| {
            for _ in 0..DECODES / BATCH {
                for (bytes, _) in &self.messages {
                    let env = decode(black_box(bytes)).expect("decodes");
                    black_box(Claims::decode(Class::Telemetry, env.payload).expect("claims"));
                }
            }
        })
    }

    /// The node's way: bytes to verdicts, decoding and ids included.
    fn verify_ours(&self) {
        let mut verifier = BatchVerifier::with_capacity(NETWORK, BATCH);
        for (bytes, key) in &self.messages {
            verifier.push(Class::Telemetry, &decode(bytes).expect("decodes"), key);
        }
        assert!(verifier.finish().iter().all(Result::is_ok));
    }

    /// The library alone: over ready-made Sig_structures.
    fn verify_bare(&self) {
        let mut verifier = batch::Verifier::new();
        for (bytes, key) in &self.messages {
            let env = decode(bytes).expect("decodes");
            let structure = sig_structure(Class::Telemetry, &NETWORK, &env);
            let key: [u8; 32] = key.bytes().try_into().expect("Ed25519");
            verifier.queue((VerificationKeyBytes::from(key), Signature::from_bytes(env.signature), &structure));
        }
        verifier.verify(Random(1)).expect("they hold");
    }
}

/// The quickest source of coefficients: the bare library must not lose time on randomness.
struct Random(u64);

impl rand_core::TryRng for Random {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|wide| (wide >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ (self.0 >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in out.chunks_mut(8) {
            let next = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}
