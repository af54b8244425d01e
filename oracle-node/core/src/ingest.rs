//! Judging a batch of received messages: decode, look up the key, verify. Pure, so that workers may run it anywhere.
//! docs/protocol.md §2. Leaves out: duplicates (the store knows what it holds), rate limits and the topic's parsing.

use std::collections::BTreeMap;

use attest::{Class, EvidenceId, Network, PublicKey};

use crate::reason::Reason;
use crate::registry::Snapshot;
use crate::verify;

/// The first bytes of a device key's thumbprint, as in topics and envelopes.
pub type Kid = [u8; 8];

/// The keys that count, by kid: the device's token and its key.
pub type Keys = BTreeMap<Kid, (u64, PublicKey)>;

/// One received message.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Class, from the topic (or from the member that forwarded it).
    pub class: Class,
    /// Key id, from the topic; the envelope must name the same.
    pub kid: Kid,
    /// The bytes as received.
    pub bytes: &'a [u8],
}

/// What a message that verifies says, as far as storing and collecting need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Device token id.
    pub device: u64,
    /// Class.
    pub class: Class,
    /// Boot count.
    pub boot: u32,
    /// Sequence number within the boot.
    pub seq: u64,
    /// Evidence id.
    pub id: EvidenceId,
    /// Where it stands in time: the slot that it names, the first one of a commitment; for data the second that it claims
    /// (unix, 0 without a clock); 0 for what is about the device itself ([`slot_of`]).
    pub slot: u64,
}

/// The active keys of a snapshot. Where two devices share a key id, the lower token keeps it.
#[must_use]
pub fn keys(snapshot: &Snapshot) -> Keys {
    let mut keys = Keys::new();
    for (token, device) in snapshot.devices.iter().filter(|(_, device)| device.active) {
        keys.entry(device.key.kid()).or_insert_with(|| (*token, device.key));
    }
    keys
}

/// Judges every message of a batch; the answers stand in the order of the questions and do not depend on the batch.
#[must_use]
pub fn judge(batch: &[Incoming<'_>], keys: &Keys, network: &Network) -> Vec<Result<Accepted, Reason>> {
    let decoded: Vec<Result<Candidate<'_>, Reason>> = batch.iter().map(|one| decode(one, keys)).collect();
    let checks: Vec<_> = decoded.iter().flatten().map(|c| (c.class, c.envelope, c.key)).collect();
    let mut verdicts = verify::all(&checks, network).into_iter();
    let judged = decoded.into_iter().map(|candidate| {
        let candidate = candidate?;
        let id = verdicts.next().and_then(Result::ok).ok_or(Reason::BAD_SIGNATURE)?;
        Ok(Accepted {
            device: candidate.device,
            class: candidate.class,
            boot: candidate.boot,
            seq: candidate.seq,
            id,
            slot: candidate.slot,
        })
    });
    judged.collect()
}

/// A message that decodes and whose key is known.
struct Candidate<'a> {
    device: u64,
    class: Class,
    boot: u32,
    seq: u64,
    slot: u64,
    envelope: attest::Envelope<'a>,
    key: &'a PublicKey,
}

fn decode<'a>(one: &Incoming<'a>, keys: &'a Keys) -> Result<Candidate<'a>, Reason> {
    if one.bytes.len() > attest::MAX_MESSAGE {
        return Err(Reason::TOO_LONG);
    }
    let envelope = attest::decode(one.bytes).map_err(|_| Reason::MALFORMED)?;
    if envelope.kid != one.kid {
        return Err(Reason::MALFORMED);
    }
    let (device, key) = keys.get(&one.kid).ok_or(Reason::UNKNOWN_DEVICE)?;
    let claims = attest::Claims::decode(one.class, envelope.payload).map_err(|_| Reason::MALFORMED)?;
    let slot = slot_of(&claims);
    Ok(Candidate { device: *device, class: one.class, boot: claims.boot, seq: claims.seq, slot, envelope, key })
}

/// Where a message stands in time, as [`Accepted::slot`].
#[must_use]
pub fn slot_of(claims: &attest::Claims<'_>) -> u64 {
    let of_device = matches!(claims.body, attest::Body::Boot(_) | attest::Body::Endorsement(_));
    let claimed = if of_device { None } else { claims.iat };
    claims.body.slot().or(claimed).unwrap_or(0)
}
