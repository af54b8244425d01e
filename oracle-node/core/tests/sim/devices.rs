//! Devices with real keys that hear beacons and sign answers: one diligent, one silent, one that forks, one late, in turn.
//! What they do is known beforehand, so that verdicts can be held against it. Leaves out: how answers travel (`traffic`).

use attest::{AnswerBody, Body, Claims, Network, PublicKey, Signer, SoftEd25519, SoftP256};
use oracle_core::collect::Held;
use oracle_core::effect::Content;
use oracle_core::ingest::{self, Incoming, Keys};

/// How a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// At once, to everybody.
    Diligent,
    /// Never.
    Silent,
    /// At once, and in every other slot with two answers under one number.
    Forking,
    /// Long after the deadline.
    Late,
}

/// A device's key.
#[expect(clippy::large_enum_variant, reason = "a few devices in a test")]
pub(crate) enum Key {
    Ed(SoftEd25519),
    P(Box<SoftP256>),
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

/// A device with one lease, numbered 100 + token; or its second lease, in another stream.
pub(crate) struct Device {
    pub(crate) token: u64,
    pub(crate) lease: u64,
    pub(crate) stream: u32,
    pub(crate) habit: Habit,
    pub(crate) key: Key,
    seq: u64,
}

/// The lease that a device has in another stream.
pub(crate) const SECOND_LEASE: u64 = 900;

/// A signed answer on its way.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) lease: u64,
    pub(crate) slot: u64,
    /// As the members' stores know it; the arrival is filled in where it arrives.
    pub(crate) held: Held,
    pub(crate) content: Content,
    /// The second answer of a fork.
    pub(crate) twin: bool,
}

/// The devices of every stream. Where there are several, the first device has a lease in the second one, too: its messages
/// are in the buckets of both.
pub(crate) fn fleet(streams: u32) -> Vec<Device> {
    let habits = [Habit::Diligent, Habit::Silent, Habit::Forking, Habit::Late];
    let each = (0..streams).flat_map(|stream| habits.into_iter().map(move |habit| (stream, habit)));
    let devices = (1..).zip(each).map(|(token, (stream, habit))| Device::new(token, stream, habit));
    let again =
        (streams > 1).then(|| Device { lease: SECOND_LEASE, seq: 1 << 32, ..Device::new(1, 1, Habit::Diligent) });
    devices.chain(again).collect()
}

impl Device {
    /// Whether this is the device itself, and not its second lease.
    pub(crate) const fn is_itself(&self) -> bool {
        self.lease != SECOND_LEASE
    }

    fn new(token: u64, stream: u32, habit: Habit) -> Self {
        let seed = [u8::try_from(token).unwrap_or(255); 32];
        let even = token.is_multiple_of(2);
        let key =
            if even { Key::P(Box::new(SoftP256::from_seed(seed))) } else { Key::Ed(SoftEd25519::from_seed(seed)) };
        Self { token, lease: 100 + token, stream, habit, key, seq: 0 }
    }

    /// What the device says when it hears a slot's beacon.
    pub(crate) fn hear(&mut self, network: &Network, p: u64, slot: u64, certificate: &[u8; 48]) -> Vec<Answer> {
        let seed = attest::challenge::seed(certificate);
        let draw = attest::challenge::draw(&seed, self.token, self.lease);
        if self.habit == Habit::Silent || !attest::challenge::challenged(&draw, p) {
            return Vec::new();
        }
        self.seq += 1;
        let mut answers = vec![self.sign(network, draw, slot, slot, false)];
        if self.habit == Habit::Forking && slot.is_multiple_of(2) {
            answers.push(self.sign(network, draw, slot, slot + 500, true));
        }
        answers
    }

    fn sign(&self, network: &Network, draw: [u8; 32], slot: u64, says: u64, twin: bool) -> Answer {
        let body = Body::Answer(AnswerBody { lease: self.lease, slot: says });
        let claims = Claims { iat: None, nonce: Some(draw), boot: 1, seq: self.seq, prev: [0; 16], body };
        let mut space = [0; attest::MAX_MESSAGE];
        let signed = attest::seal(&self.key, network, &claims, &mut space).expect("an answer fits");
        let content = Content { id: signed.id, class: signed.class as u8, bytes: signed.bytes.to_vec() };
        let kid = self.key.public_key().kid();
        // The door that every member has for telemetry: nothing gets past it that does not verify.
        let keys: Keys = [(kid, (self.token, self.key.public_key()))].into();
        let incoming = Incoming { class: signed.class, kid, bytes: &content.bytes };
        let judged = ingest::judge(&[incoming], &keys, network);
        let accepted = judged.first().and_then(|verdict| verdict.as_ref().ok()).expect("a device's message verifies");
        let held = Held {
            device: accepted.device,
            class: accepted.class,
            boot: accepted.boot,
            seq: accepted.seq,
            id: accepted.id,
            slot: accepted.slot,
            arrival_ms: 0,
        };
        Answer { lease: self.lease, slot, held, content, twin }
    }
}
