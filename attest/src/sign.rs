//! From claims to a signed message in the caller's buffer, through whatever holds the key. Keeps no state: the next
//! sequence number and the previous id are `device.rs`.

use crate::{
    Claims, Class, EncodeError, EvidenceId, MAX_MESSAGE, Network, PublicKey, Said,
    claims::Head,
    envelope::{FRAME, SIGNATURE_HEAD, TBS_PREFIX_LEN, UNPROTECTED, bytes_head, protected, tbs_prefix_bytes},
    hash::sha256,
};

/// The bytes to be signed, in the two shapes that key holders take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToBeSigned<'a>(&'a [u8]);

impl<'a> ToBeSigned<'a> {
    /// Wraps a message, for instance a key statement.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The whole message: what Ed25519 signs.
    #[must_use]
    pub const fn message(&self) -> &'a [u8] {
        self.0
    }

    /// Its SHA-256: what a P-256 secure element signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.0])
    }
}

/// Why a signer gave no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The secure element did not answer.
    #[error("signer unavailable")]
    Unavailable,
    /// The signer refused the message.
    #[error("signer refused")]
    Refused,
}

/// Whatever holds the device's key: a secure element, or one of the software signers.
pub trait Signer {
    /// The public key; the same one for the signer's whole life.
    fn public_key(&self) -> PublicKey;

    /// Signs: Ed25519 over [`ToBeSigned::message`], P-256 over [`ToBeSigned::digest`]; 64 bytes, R‖s or r‖s.
    ///
    /// # Errors
    /// When the key's holder gives no signature.
    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError>;
}

impl<S: Signer + ?Sized> Signer for &S {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        (**self).sign(tbs)
    }
}

/// Why no message was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The claims do not encode.
    #[error("claims: {0}")]
    Encode(#[from] EncodeError),
    /// The signer gave no signature.
    #[error("signature: {0}")]
    Sign(#[from] SignError),
    /// The boot has used its last sequence number.
    #[error("sequence numbers exhausted")]
    Exhausted,
}

/// A signed message, ready to publish on [`topic_up`](crate::topic_up) of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'b> {
    /// The class.
    pub class: Class,
    /// The evidence, at most [`MAX_MESSAGE`] bytes.
    pub bytes: &'b [u8],
    /// Its id.
    pub id: EvidenceId,
    /// Its sequence number.
    pub seq: u64,
}

/// Where the claims are encoded first: room for the longest Sig_structure prefix before them.
const PAYLOAD_AT: usize = TBS_PREFIX_LEN + 3;

/// Signs any claims into `buf` ([`MAX_MESSAGE`] bytes always suffice). It remembers nothing: two calls with one
/// sequence number make a fork. Devices use [`Device`](crate::Device).
///
/// # Errors
/// Claims that do not encode, a buffer that is too small, or a signer that gives no signature.
pub fn seal<'b, S: Signer>(
    signer: &S,
    network: &Network,
    claims: &Claims<'_>,
    buf: &'b mut [u8],
) -> Result<Signed<'b>, SealError> {
    seal_parts(signer, network, &claims.head(), &claims.body, buf)
}

/// [`seal`] over the claims' two parts.
pub(crate) fn seal_parts<'b, S: Signer>(
    signer: &S,
    network: &Network,
    head: &Head,
    body: &dyn Said,
    buf: &'b mut [u8],
) -> Result<Signed<'b>, SealError> {
    let key = signer.public_key();
    let (class, seq) = (body.class(), head.seq);
    let protected = protected(key.alg(), &key.kid());
    // First the Sig_structure: claims at a fixed place, its head and prefix right before them.
    let payload_len = head.encode(body, buf.get_mut(PAYLOAD_AT..).ok_or(EncodeError::Buffer)?)?;
    let payload_end = PAYLOAD_AT + payload_len;
    let (head, head_len) = bytes_head(payload_len);
    let head = head.get(..head_len).unwrap_or_default();
    let start = PAYLOAD_AT - head_len - TBS_PREFIX_LEN;
    put(buf, start, &[&tbs_prefix_bytes(class, network, &protected), head])?;
    let tbs = ToBeSigned::new(buf.get(start..payload_end).ok_or(EncodeError::Buffer)?);
    let id = tbs.digest();
    let signature = signer.sign(tbs)?;
    // Then the envelope: the claims move to their place on the wire.
    let wire_payload_at = FRAME.len() + protected.len() + 1 + head_len;
    buf.copy_within(PAYLOAD_AT..payload_end, wire_payload_at);
    put(buf, 0, &[&FRAME, &protected, &[UNPROTECTED], head])?;
    let len = put(buf, wire_payload_at + payload_len, &[&SIGNATURE_HEAD, &signature])?;
    if len > MAX_MESSAGE {
        return Err(EncodeError::Buffer.into());
    }
    let bytes = buf.get(..len).ok_or(EncodeError::Buffer)?;
    Ok(Signed { class, bytes, id, seq })
}

/// Writes the parts one after the other from `at`; returns where they end.
fn put(buf: &mut [u8], mut at: usize, parts: &[&[u8]]) -> Result<usize, EncodeError> {
    for part in parts {
        let end = at + part.len();
        buf.get_mut(at..end).ok_or(EncodeError::Buffer)?.copy_from_slice(part);
        at = end;
    }
    Ok(at)
}
