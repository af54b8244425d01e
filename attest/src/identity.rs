//! Who a device is: network, algorithm, public key, thumbprint and the statement that proves possession of the key
//! (docs/protocol.md §§1 and 3). Secret keys are elsewhere.

use crate::{Network, hash::sha256};

/// The bytes of the longest [`device_key_statement`] (a P-256 key).
pub const DEVICE_KEY_STATEMENT_MAX: usize = DEVICE_KEY_TAG.len() + 8 + 20 + 20 + 1 + 64;

const DEVICE_KEY_TAG: &[u8] = b"plumbline/device-key/v1";
const NETWORK_TAG: &[u8] = b"plumbline/network/v1";

/// The network id of a chain and its CommitteeRegistry.
#[must_use]
pub fn network_id(chain_id: u64, registry: &[u8; 20]) -> Network {
    first_eight(&sha256(&[NETWORK_TAG, &chain_id.to_be_bytes(), registry]))
}

/// A device's signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alg {
    /// Ed25519 (COSE -19), verified by ZIP-215.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (COSE -9).
    Esp256,
}

impl Alg {
    /// The number on chain (docs/protocol.md §3): 1 Ed25519, 2 P-256.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Esp256 => 2,
        }
    }

    /// The algorithm of a number on chain, if there is one.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Ed25519),
            2 => Some(Self::Esp256),
            _ => None,
        }
    }

    /// The CBOR byte of the COSE algorithm as we write it: -19 or -9.
    pub(crate) const fn cose_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x32,
            Self::Esp256 => 0x28,
        }
    }

    /// The algorithm of a COSE byte, the older aliases -8 and -7 included.
    pub(crate) const fn from_cose_byte(byte: u8) -> Option<Self> {
        match byte {
            0x32 | 0x27 => Some(Self::Ed25519),
            0x28 | 0x26 => Some(Self::Esp256),
            _ => None,
        }
    }
}

/// A device's public key. The bytes are taken as given: whether they are a point of the curve is checked by `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// The 32-byte encoding of RFC 8032.
    Ed25519([u8; 32]),
    /// The affine coordinates x then y, 32 bytes each, big-endian.
    P256([u8; 64]),
}

impl PublicKey {
    /// The algorithm that this key is for.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        match self {
            Self::Ed25519(_) => Alg::Ed25519,
            Self::P256(_) => Alg::Esp256,
        }
    }

    /// The key's bytes: 32 for Ed25519, 64 for P-256.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::P256(bytes) => bytes,
        }
    }

    /// A key from its number on chain and its bytes; `None` for another algorithm or length.
    #[must_use]
    pub fn from_parts(alg: u8, bytes: &[u8]) -> Option<Self> {
        match Alg::from_id(alg)? {
            Alg::Ed25519 => bytes.try_into().ok().map(Self::Ed25519),
            Alg::Esp256 => bytes.try_into().ok().map(Self::P256),
        }
    }

    /// The RFC 9679 thumbprint: SHA-256 of the deterministic COSE_Key.
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        match self {
            Self::Ed25519(x) => sha256(&[&[0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20], x]),
            Self::P256(xy) => {
                let (x, y) = xy.split_at(32);
                sha256(&[&[0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20], x, &[0x22, 0x58, 0x20], y])
            }
        }
    }

    /// The key id in messages and topics: the first 8 bytes of the thumbprint. A hint; the registry decides.
    #[must_use]
    pub fn kid(&self) -> [u8; 8] {
        first_eight(&self.thumbprint())
    }
}

fn first_eight(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

/// The statement with which a device proves possession of its key to the DeviceRegistry at `registry` for `owner`.
/// Written into `out`; the filled part is returned. Sign it with [`Signer::sign`](crate::Signer::sign) over
/// [`ToBeSigned::new`](crate::ToBeSigned::new).
pub fn device_key_statement<'o>(
    chain_id: u64,
    registry: &[u8; 20],
    owner: &[u8; 20],
    key: &PublicKey,
    out: &'o mut [u8; DEVICE_KEY_STATEMENT_MAX],
) -> &'o [u8] {
    let parts: [&[u8]; 6] = [DEVICE_KEY_TAG, &chain_id.to_be_bytes(), registry, owner, &[key.alg().id()], key.bytes()];
    let mut len = 0;
    for (slot, byte) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *slot = *byte;
        len += 1;
    }
    out.get(..len).unwrap_or_default()
}
