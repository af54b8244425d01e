//! How a device signs: an `attest` device with its boot count on disk, plus the two things only a cheat does, signing twice
//! with one sequence number and sending old bytes again. Leaves out: what to say (`watch`) and to whom (`link`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use attest::{
    Body, BootBody, Claims, Class, Device, Location, MAX_MESSAGE, Network, PublicKey, SignError, Signer, SoftEd25519,
    SoftP256, Storage, ToBeSigned,
};
use sha2::{Digest as _, Sha256};

use super::config::Algorithm;
use super::speech::Speech;

/// Own messages kept for replays.
const PAST: usize = 64;
/// Old messages sent again at once.
const REPLAYS: usize = 3;

/// A software key of either algorithm.
#[derive(Debug)]
pub enum Key {
    /// Ed25519.
    Ed25519(SoftEd25519),
    /// P-256.
    P256(SoftP256),
}

impl Key {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(alg: Algorithm, seed: [u8; 32]) -> Self {
        match alg {
            Algorithm::Ed25519 => Self::Ed25519(SoftEd25519::from_seed(seed)),
            Algorithm::P256 => Self::P256(SoftP256::from_seed(seed)),
        }
    }
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => key.public_key(),
            Self::P256(key) => key.public_key(),
        }
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        match self {
            Self::Ed25519(key) => key.sign(tbs),
            Self::P256(key) => key.sign(tbs),
        }
    }
}

/// Boot count in a file, replaced whole and synced.
#[derive(Debug)]
pub struct BootFile(PathBuf);

impl BootFile {
    /// `boot` in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.join("boot"))
    }
}

impl Storage for BootFile {
    type Error = std::io::Error;

    fn load_boot(&mut self) -> std::io::Result<u32> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.trim().parse().map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn store_boot(&mut self, boot: u32) -> std::io::Result<()> {
        replace(&self.0, boot.to_string().as_bytes())
    }
}

/// Replaces a file's content so that a crash leaves the old or the new, and returns after it is on disk.
pub(crate) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// One signed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Class; the topic names it.
    pub class: Class,
    /// What goes on the wire.
    pub bytes: Vec<u8>,
    /// Evidence id.
    pub id: [u8; 32],
    /// Sequence number.
    pub seq: u64,
    /// Second message of a fork.
    pub fork: bool,
}

/// A device's signing state in one boot.
#[derive(Debug)]
pub struct Voice {
    device: Device<Key>,
    prev: [u8; 16],
    seed: [u8; 32],
    place: Option<Location>,
    past: VecDeque<Sealed>,
}

impl Voice {
    /// Starts a boot, `place` to be opened in its first message; the new boot count is durable before this returns.
    ///
    /// # Errors
    /// When the boot count cannot be read or stored.
    pub fn boot(
        alg: Algorithm,
        seed: [u8; 32],
        network: Network,
        place: Option<Location>,
        storage: &mut BootFile,
    ) -> Result<Self> {
        let device = Device::boot(Key::from_seed(alg, seed), storage, network).context("boot count")?;
        Ok(Self { device, prev: [0; 16], seed, place, past: VecDeque::new() })
    }

    /// Key id.
    #[must_use]
    pub fn kid(&self) -> [u8; 8] {
        self.device.kid()
    }

    /// Boot count of this boot.
    #[must_use]
    pub const fn boot_count(&self) -> u32 {
        self.device.boot_count()
    }

    /// Signs one message; two, with one sequence number, where a fork is wanted. `iat`: unix seconds.
    ///
    /// # Errors
    /// When the claims do not encode or the key does not sign.
    pub fn say(&mut self, iat: u64, speech: &Speech) -> Result<Vec<Sealed>> {
        let (nonce, body, prev) = (speech.nonce, speech.body(), self.prev);
        let first = self.seal(iat, nonce, &body)?;
        let mut out = vec![first];
        if let Some(first) = out.first().filter(|_| speech.fork) {
            let claims = Claims {
                iat: Some(iat.saturating_add(1)),
                nonce,
                boot: self.device.boot_count(),
                seq: first.seq,
                prev,
                body,
            };
            let mut buffer = [0; MAX_MESSAGE];
            let twin = attest::seal(self.device.signer(), self.device.network(), &claims, &mut buffer)?;
            out.push(Sealed { class: twin.class, bytes: twin.bytes.to_vec(), id: twin.id, seq: twin.seq, fork: true });
        }
        self.past.extend(out.iter().cloned());
        while self.past.len() > PAST {
            self.past.pop_front();
        }
        Ok(out)
    }

    /// Old messages to send again, oldest first, byte for byte.
    #[must_use]
    pub fn old(&self) -> Vec<Sealed> {
        let step = (self.past.len() / REPLAYS).max(1);
        self.past.iter().step_by(step).take(REPLAYS).cloned().collect()
    }

    /// Signs the boot message, which opens the device's place.
    ///
    /// # Errors
    /// As [`Self::say`].
    pub fn introduce(&mut self, iat: u64) -> Result<Sealed> {
        let body = BootBody { seed: self.boot_seed(), firmware: firmware(), location: self.place };
        let sealed = self.seal(iat, None, &Body::Boot(body))?;
        self.past.push_back(sealed.clone());
        Ok(sealed)
    }

    fn seal(&mut self, iat: u64, nonce: Option<[u8; 32]>, body: &Body<'_>) -> Result<Sealed> {
        let mut buffer = [0; MAX_MESSAGE];
        let signed = self.device.message(Some(iat), nonce, body, &mut buffer)?;
        self.prev = attest::link(&signed.id);
        Ok(Sealed { class: signed.class, bytes: signed.bytes.to_vec(), id: signed.id, seq: signed.seq, fork: false })
    }

    /// Fresh in every boot, since the boot count is.
    fn boot_seed(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(b"plumbline/testnet-boot");
        hash.update(self.seed);
        hash.update(self.device.boot_count().to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        attest::link(&digest)
    }
}

/// Stands for a firmware image: the hash of this crate's name and version.
fn firmware() -> [u8; 32] {
    Sha256::digest(concat!("plumbline testnet device ", env!("CARGO_PKG_VERSION"))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Network = [1; 8];

    fn voice(name: &str, alg: Algorithm) -> (Voice, PathBuf) {
        let dir = std::env::temp_dir().join(format!("plumbline-voice-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        (Voice::boot(alg, [5; 32], NETWORK, None, &mut BootFile::new(&dir)).unwrap(), dir)
    }

    fn answer(slot: u64, fork: bool) -> Speech {
        Speech::answer(9, slot, [3; 32]).forked(fork)
    }

    #[test]
    fn a_fork_is_two_valid_messages_with_one_sequence_number() {
        for alg in [Algorithm::Ed25519, Algorithm::P256] {
            let (mut voice, dir) = voice(&format!("fork-{alg:?}"), alg);
            voice.say(1_000, &Speech::new(Body::Heartbeat)).unwrap();
            let both = voice.say(1_001, &answer(4, true)).unwrap();
            let [first, twin] = &both[..] else { panic!("{both:?}") };
            assert_eq!((first.seq, twin.seq), (1, 1));
            assert_ne!(first.id, twin.id);
            let key = Key::from_seed(alg, [5; 32]).public_key();
            let mut prevs = Vec::new();
            for message in &both {
                let envelope = attest::decode(&message.bytes).unwrap();
                assert_eq!(attest::verify(&envelope, Class::Answer, &NETWORK, &key).unwrap(), message.id);
                let claims = Claims::decode(Class::Answer, envelope.payload).unwrap();
                assert_eq!(
                    (claims.nonce, claims.body),
                    (Some([3; 32]), Body::Answer(attest::AnswerBody { lease: 9, slot: 4 }))
                );
                prevs.push(claims.prev);
            }
            assert_eq!(prevs.first(), prevs.last());
            assert_eq!(voice.say(1_002, &answer(5, false)).unwrap().first().map(|m| m.seq), Some(2));
            std::fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn a_replay_repeats_old_bytes() {
        let (mut voice, dir) = voice("replay", Algorithm::Ed25519);
        let said: Vec<Sealed> =
            (0..9).flat_map(|slot| voice.say(1_000 + slot, &answer(slot, false)).unwrap()).collect();
        let old = voice.old();
        assert_eq!(old.len(), REPLAYS);
        assert!(old.iter().all(|message| said.contains(message)));
        for slot in 9..200 {
            voice.say(1_000 + slot, &answer(slot, false)).unwrap();
        }
        assert_eq!(voice.past.len(), PAST);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn boots_count_up_across_processes_and_every_class_signs() {
        let (mut first, dir) = voice("boots", Algorithm::P256);
        let second = Voice::boot(Algorithm::P256, [5; 32], NETWORK, None, &mut BootFile::new(&dir)).unwrap();
        assert_eq!((first.boot_count() + 1, first.kid()), (second.boot_count(), second.kid()));
        assert_ne!(first.boot_seed(), second.boot_seed());
        assert_eq!(first.introduce(1_000).unwrap().class, Class::Boot);
        let commitment = attest::CommitmentBody { lease: 9, first_slot: 3, length: 60, anchor: [4; 32] };
        let speeches = [
            Speech::new(vec![attest::Reading { channel: 1, exponent: -2, mantissa: 5_012 }]),
            Speech::new(Body::Heartbeat),
            Speech::new(Body::Commitment(commitment)),
            Speech::new(Body::Witness(attest::WitnessBody { slot: 5, commitment: [6; 32] })),
        ];
        let key = Key::from_seed(Algorithm::P256, [5; 32]).public_key();
        for (seq, speech) in (1..).zip(&speeches) {
            let sealed = first.say(1_000, speech).unwrap();
            let [message] = &sealed[..] else { panic!("{sealed:?}") };
            assert_eq!(message.seq, seq);
            let envelope = attest::decode(&message.bytes).unwrap();
            assert!(attest::verify(&envelope, message.class, &NETWORK, &key).is_ok(), "{speech:?}");
        }
        std::fs::write(dir.join("boot"), "not a count").unwrap();
        assert!(Voice::boot(Algorithm::P256, [5; 32], NETWORK, None, &mut BootFile::new(&dir)).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
