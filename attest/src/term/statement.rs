//! A rotation as the old key signed it, and the payload in which nodes keep the last ones (docs/protocol.md §§6, 11): bytes
//! and digest. Leaves out: which rotation a device believes (`keys`), and every signature check.

use super::{GroupKey, Home, TermError};
use crate::hash::keccak256;

/// Rotations in one payload at most; nodes keep the newest.
pub const MAX_ROTATIONS: usize = 8;
/// Bytes before the first rotation: version, network, committee, count.
pub const ROTATIONS_HEAD: usize = 18;
/// Bytes of one rotation.
pub const ROTATION_LEN: usize = 424;

const VERSION: u8 = 1;
const ROTATION_TYPE: &[u8] = b"Rotation(uint64 committee,uint64 term,bytes32 configDigest,uint64 newTerm,\
    bytes32 newConfigDigest,bytes32 newGroupKeyHash,uint64 fromEpoch,bytes32 baseHeader)";
const DOMAIN_TYPE: &[u8] = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

/// A committee's hand-over from one term to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation<'a> {
    /// The term that ends.
    pub term: u64,
    /// Digest of its configuration.
    pub config: &'a [u8; 32],
    /// The term that begins; a higher number, not always the next.
    pub new_term: u64,
    /// Digest of its configuration.
    pub new_config: &'a [u8; 32],
    /// Its first epoch.
    pub from_epoch: u64,
    /// `baseHeader`, which only matters to the chain.
    pub base: &'a [u8; 32],
    /// Its group key. The signature covers the Keccak-256 of it.
    pub group_key: &'a GroupKey,
    /// The old group's signature over [`Rotation::digest`]; zeros when governance rotated and nobody signed.
    pub certificate: &'a [u8; 48],
}

impl<'a> Rotation<'a> {
    /// Reads one rotation of exactly [`ROTATION_LEN`] bytes: `term u64be ‖ configDigest (32) ‖ newTerm u64be ‖
    /// newConfigDigest (32) ‖ fromEpoch u64be ‖ baseHeader (32) ‖ new group key (256) ‖ certificate (48)`.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (term, rest) = bytes.split_first_chunk()?;
        let (config, rest) = rest.split_first_chunk()?;
        let (new_term, rest) = rest.split_first_chunk()?;
        let (new_config, rest) = rest.split_first_chunk()?;
        let (from_epoch, rest) = rest.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (group_key, certificate) = rest.split_first_chunk()?;
        Some(Self {
            term: u64::from_be_bytes(*term),
            config,
            new_term: u64::from_be_bytes(*new_term),
            new_config,
            from_epoch: u64::from_be_bytes(*from_epoch),
            base,
            group_key,
            certificate: certificate.try_into().ok()?,
        })
    }

    /// Writes the [`ROTATION_LEN`] bytes that the payload holds.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ROTATION_LEN] {
        let (term, new_term, from_epoch) =
            (self.term.to_be_bytes(), self.new_term.to_be_bytes(), self.from_epoch.to_be_bytes());
        let parts: [&[u8]; 8] =
            [&term, self.config, &new_term, self.new_config, &from_epoch, self.base, self.group_key, self.certificate];
        let mut out = [0; ROTATION_LEN];
        out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(slot, byte)| *slot = *byte);
        out
    }

    /// Whether governance rotated, without the old key: no certificate exists.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        // Never a signature: a compressed point has its highest bit set.
        *self.certificate == [0; 48]
    }

    /// The EIP-712 digest that the old key signs.
    #[must_use]
    pub fn digest(&self, home: &Home) -> [u8; 32] {
        let domain = keccak256(&[
            &keccak256(&[DOMAIN_TYPE]),
            &keccak256(&[b"Plumbline"]),
            &keccak256(&[b"1"]),
            &word(home.chain_id),
            &[0; 12],
            &home.registry,
        ]);
        let statement = keccak256(&[
            &keccak256(&[ROTATION_TYPE]),
            &word(home.committee),
            &word(self.term),
            self.config,
            &word(self.new_term),
            self.new_config,
            &keccak256(&[self.group_key]),
            &word(self.from_epoch),
            self.base,
        ]);
        keccak256(&[&[0x19, 0x01], &domain, &statement])
    }
}

/// A number as the chain's ABI encodes it.
fn word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
    word
}

/// The payload of the term topic: the committee's last rotations, oldest first, each beginning where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotations<'a> {
    rows: &'a [u8],
}

impl<'a> Rotations<'a> {
    /// The bytes before `count` rotations (at most [`MAX_ROTATIONS`]): `version 1 ‖ network (8) ‖ committee u64be ‖ count u8`.
    #[must_use]
    pub fn head(home: &Home, count: u8) -> [u8; ROTATIONS_HEAD] {
        let (network, committee) = (home.network(), home.committee.to_be_bytes());
        let parts: [&[u8]; 4] = [&[VERSION], &network, &committee, &[count]];
        let mut out = [0; ROTATIONS_HEAD];
        out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(slot, byte)| *slot = *byte);
        out
    }

    /// Reads a payload meant for this committee. Nothing in it is believed yet.
    ///
    /// # Errors
    /// [`TermError::Form`] for anything but the format of version 1 with ascending terms and epochs,
    /// [`TermError::Elsewhere`] for another network's or committee's.
    pub fn parse(payload: &'a [u8], home: &Home) -> Result<Self, TermError> {
        let (head, rows) = payload.split_first_chunk::<ROTATIONS_HEAD>().ok_or(TermError::Form)?;
        let [version, .., count] = *head;
        let count = usize::from(count);
        if version != VERSION || count > MAX_ROTATIONS || rows.len() != count.saturating_mul(ROTATION_LEN) {
            return Err(TermError::Form);
        }
        if *head != Self::head(home, u8::try_from(count).unwrap_or(u8::MAX)) {
            return Err(TermError::Elsewhere);
        }
        let this = Self { rows };
        let mut last: Option<Rotation<'_>> = None;
        for rotation in this.iter() {
            let follows =
                last.is_none_or(|last| last.new_term == rotation.term && last.from_epoch < rotation.from_epoch);
            if rotation.new_term <= rotation.term || !follows {
                return Err(TermError::Form);
            }
            last = Some(rotation);
        }
        Ok(this)
    }

    /// The rotations, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Rotation<'a>> + use<'a> {
        self.rows.chunks_exact(ROTATION_LEN).filter_map(Rotation::parse)
    }
}
