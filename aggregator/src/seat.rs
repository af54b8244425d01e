//! Seats: the identities of a key generation ceremony. A seat is a member's index and his ed25519 key; seats sort by
//! index, so that the ceremony library, which numbers participants in sorted order from 1, gives member i the
//! evaluation point i + 1 whatever the keys are. Knows nothing of the ceremony itself.

use core::{fmt, ops::Deref};

use bytes::BufMut;
use commonware_codec::{Buf, Error, FixedArray, FixedSize, Read, ReadExt as _, Write};
use commonware_cryptography::{BatchEntry, BatchVerifier, PublicKey, Signer, Verifier, ed25519};
use commonware_math::algebra::Random;
use commonware_parallel::Strategy;
use commonware_utils::{Array, Span};

/// Bytes of a seat: index, big-endian, then the ed25519 key.
const SIZE: usize = 4 + 32;

/// A member's public identity in a ceremony.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, FixedArray)]
pub(crate) struct Seat {
    bytes: [u8; SIZE],
    key: ed25519::PublicKey,
}

impl Seat {
    pub(crate) fn new(index: u32, key: ed25519::PublicKey) -> Self {
        let mut bytes = [0; SIZE];
        let (head, tail) = bytes.split_at_mut(4);
        head.copy_from_slice(&index.to_be_bytes());
        tail.copy_from_slice(&key);
        Self { bytes, key }
    }

    /// The member index.
    pub(crate) fn index(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl Write for Seat {
    fn write(&self, buf: &mut impl BufMut) {
        self.bytes.write(buf);
    }
}

impl Read for Seat {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let index = u32::from_be_bytes(<[u8; 4]>::read(buf)?);
        Ok(Self::new(index, ed25519::PublicKey::read(buf)?))
    }
}

impl FixedSize for Seat {
    const SIZE: usize = SIZE;
}

impl Span for Seat {}
impl Array for Seat {}
impl PublicKey for Seat {}

impl AsRef<[u8]> for Seat {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Seat {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}", self.index())
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Verifier for Seat {
    type Signature = ed25519::Signature;

    fn verify(&self, namespace: &[u8], msg: &[u8], sig: &Self::Signature) -> bool {
        self.key.verify(namespace, msg, sig)
    }
}

impl BatchVerifier for Seat {
    fn verify_batch<'a, R, T, F>(rng: &mut R, items: &'a [T], project: F, strategy: &impl Strategy) -> bool
    where
        R: rand::CryptoRng,
        T: Sync,
        F: Fn(usize, &'a T) -> BatchEntry<'a, Self> + Sync,
    {
        let by_key = |i, item| {
            let BatchEntry { namespace, message, public_key, signature } = project(i, item);
            BatchEntry { namespace, message, public_key: &public_key.key, signature }
        };
        ed25519::PublicKey::verify_batch(rng, items, by_key, strategy)
    }
}

/// A member's secret identity in a ceremony.
#[derive(Clone)]
pub(crate) struct SeatKey {
    index: u32,
    key: ed25519::PrivateKey,
}

impl SeatKey {
    pub(crate) const fn new(index: u32, key: ed25519::PrivateKey) -> Self {
        Self { index, key }
    }
}

impl Random for SeatKey {
    fn random(rng: impl rand::CryptoRng) -> Self {
        Self::new(0, ed25519::PrivateKey::random(rng))
    }
}

impl Signer for SeatKey {
    type Signature = ed25519::Signature;
    type PublicKey = Seat;

    fn public_key(&self) -> Seat {
        Seat::new(self.index, self.key.public_key())
    }

    fn sign(&self, namespace: &[u8], msg: &[u8]) -> Self::Signature {
        self.key.sign(namespace, msg)
    }
}
