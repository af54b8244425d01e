//! The envelope on the wire, a tagged COSE_Sign1 of one fixed shape, and the evidence id. Decoding checks the form
//! only: the payload's claims are `claims.rs`, the signature is `verify.rs`.

use crate::{
    Alg, Class, DecodeError, EvidenceId, MAX_MESSAGE, Network,
    cbor::{Reader, head_len},
    hash::Hash,
};

/// The bytes before the key id inside the protected header: map(2), 1: alg, 4: bstr(8).
pub(crate) const PROTECTED_LEN: usize = 13;
/// Tag 18, array(4) and the head of the protected bstr.
pub(crate) const FRAME: [u8; 3] = [0xd2, 0x84, 0x4d];
/// The empty unprotected map.
pub(crate) const UNPROTECTED: u8 = 0xa0;
/// The head of the 64-byte signature.
pub(crate) const SIGNATURE_HEAD: [u8; 2] = [0x58, 0x40];
/// Sig_structure up to the payload's head: array(4), "Signature1", protected, external data.
pub(crate) const TBS_PREFIX_LEN: usize = 1 + 11 + 1 + PROTECTED_LEN + 1 + AAD_LEN;
const AAD_LEN: usize = 22;

/// A decoded envelope: its parts as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The algorithm that the protected header names. The registered key decides; `verify` refuses a mismatch.
    pub alg: Alg,
    /// The key id that the protected header names.
    pub kid: [u8; 8],
    /// The protected header as received (an alias of the algorithm included): signed.
    pub protected: &'a [u8],
    /// The claims as received: signed, see [`Claims::decode`](crate::Claims::decode).
    pub payload: &'a [u8],
    /// The signature: R‖s or r‖s.
    pub signature: &'a [u8; 64],
}

/// Reads an envelope: at most [`MAX_MESSAGE`] bytes, one item, the one frame of docs/protocol.md §2.
///
/// # Errors
/// Any deviation from that frame, by kind.
pub fn decode(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong);
    }
    let rest = strip(bytes, &FRAME)?;
    let (protected, rest) = rest.split_at_checked(PROTECTED_LEN).ok_or(DecodeError::Truncated)?;
    let (alg, kid) = read_protected(protected)?;
    let rest = strip(rest, &[UNPROTECTED])?;
    let mut reader = Reader::new(rest);
    let payload = reader.bytes()?;
    let rest = rest.get(reader.position()..).unwrap_or_default();
    let rest = strip(rest, &SIGNATURE_HEAD)?;
    let (signature, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing);
    }
    Ok(Envelope { alg, kid, protected, payload, signature })
}

fn strip<'a>(bytes: &'a [u8], expected: &[u8]) -> Result<&'a [u8], DecodeError> {
    bytes.strip_prefix(expected).ok_or(if expected.starts_with(bytes) {
        DecodeError::Truncated
    } else {
        DecodeError::Frame
    })
}

fn read_protected(protected: &[u8]) -> Result<(Alg, [u8; 8]), DecodeError> {
    let [0xa2, 0x01, alg, 0x04, 0x48, kid @ ..] = protected else { return Err(DecodeError::Frame) };
    let alg = Alg::from_cose_byte(*alg).ok_or(DecodeError::Algorithm)?;
    Ok((alg, kid.try_into().map_err(|_| DecodeError::Frame)?))
}

/// The protected header as we write it.
pub(crate) fn protected(alg: Alg, kid: &[u8; 8]) -> [u8; PROTECTED_LEN] {
    let [a, b, c, d, e, f, g, h] = *kid;
    [0xa2, 0x01, alg.cose_byte(), 0x04, 0x48, a, b, c, d, e, f, g, h]
}

/// The identity of a message: SHA-256 of its Sig_structure. Taken over the bytes as received.
#[must_use]
pub fn evidence_id(class: Class, network: &Network, env: &Envelope<'_>) -> EvidenceId {
    let (head, head_len) = bytes_head(env.payload.len());
    let mut hash = Hash::new();
    for part in tbs_prefix(class, network, env.protected) {
        hash.update(part);
    }
    hash.update(head.get(..head_len).unwrap_or_default());
    hash.update(env.payload);
    hash.finish()
}

/// The Sig_structure of a message, the bytes that its signature covers.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sig_structure(class: Class, network: &Network, env: &Envelope<'_>) -> alloc::vec::Vec<u8> {
    Structure::of(class, network, env).bytes().to_vec()
}

/// A Sig_structure in place, so that verifying a message asks the allocator for nothing.
#[cfg(feature = "alloc")]
pub(crate) struct Structure {
    bytes: [u8; STRUCTURE_MAX],
    len: usize,
    long: alloc::vec::Vec<u8>,
}

/// A decoded envelope's payload is shorter than the message.
#[cfg(feature = "alloc")]
const STRUCTURE_MAX: usize = TBS_PREFIX_LEN + 3 + MAX_MESSAGE;

#[cfg(feature = "alloc")]
impl Structure {
    pub(crate) fn of(class: Class, network: &Network, env: &Envelope<'_>) -> Self {
        let (head, head_len) = bytes_head(env.payload.len());
        let [a, b, c, d, e] = tbs_prefix(class, network, env.protected);
        let parts = [a, b, c, d, e, head.get(..head_len).unwrap_or_default(), env.payload];
        let mut out = Self { bytes: [0; STRUCTURE_MAX], len: 0, long: alloc::vec::Vec::new() };
        for part in parts {
            match out.bytes.get_mut(out.len..out.len + part.len()) {
                Some(room) => room.copy_from_slice(part),
                // Only an envelope that somebody put together by hand: its payload is above the bound of `decode`.
                None => out.long = parts.concat(),
            }
            out.len += part.len();
        }
        out
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.long.is_empty() { self.bytes.get(..self.len).unwrap_or_default() } else { &self.long }
    }
}

/// Everything of the Sig_structure before the payload's head. The protected header has its one length by decode.
fn tbs_prefix<'p>(class: Class, network: &'p Network, protected: &'p [u8]) -> [&'p [u8]; 5] {
    [b"\x84\x6aSignature1\x4d", protected, b"\x56\x84\x69plumbline\x01", class.signed_head(), network]
}

/// [`tbs_prefix`] in one piece, for the attester.
pub(crate) fn tbs_prefix_bytes(
    class: Class,
    network: &Network,
    protected: &[u8; PROTECTED_LEN],
) -> [u8; TBS_PREFIX_LEN] {
    let mut out = [0; TBS_PREFIX_LEN];
    for (slot, byte) in out.iter_mut().zip(tbs_prefix(class, network, protected).into_iter().flatten()) {
        *slot = *byte;
    }
    out
}

/// The shortest head of a byte string of `len` ≤ 65,535 bytes, and the head's own length.
pub(crate) fn bytes_head(len: usize) -> ([u8; 3], usize) {
    let short = u16::try_from(len).unwrap_or(u16::MAX);
    let [high, low] = short.to_be_bytes();
    match head_len(u64::from(short)) {
        1 => ([0x40 | low, 0, 0], 1),
        2 => ([0x58, low, 0], 2),
        _ => ([0x59, high, low], 3),
    }
}
