//! The public side of one committee key: who holds which share, and how partials become a certificate.
//! Recovery is optimistic: combine first, verify the one result, and look for culprits only when that fails.

use blst::{MultiPoint as _, min_sig};
use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha256};

use crate::{DST, Error, GroupKey, MAX_MEMBERS, Partial, PublicShare, Signature, lagrange, quorum};

/// Version written in front of an encoded sharing.
const VERSION: u8 = 1;
/// Bits of the random factors of a batch check.
const BATCH_BITS: usize = 128;

/// What everybody may know about one committee key. Member i's share is the secret polynomial's value at
/// [`Sharing::point`]`(i)` = i + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Number of members, 1 to [`MAX_MEMBERS`].
    pub n: u32,
    /// The threshold t = n − f: that many partials recover a certificate, fewer reveal nothing.
    pub threshold: u32,
    /// The key under which certificates verify.
    pub group: GroupKey,
    /// Public shares in member order.
    pub public_shares: Vec<PublicShare>,
}

impl Sharing {
    /// A sharing from its keys, after checking that they belong together: all public shares and the group key lie on
    /// one polynomial of degree t − 1.
    ///
    /// # Errors
    /// [`Error::Sharing`] if the number of members is out of range or the keys do not fit.
    pub fn new(group: GroupKey, public_shares: Vec<PublicShare>) -> Result<Self, Error> {
        let n = u32::try_from(public_shares.len()).unwrap_or(u32::MAX);
        if n == 0 || n > MAX_MEMBERS {
            return Err(Error::Sharing("number of members out of range"));
        }
        let sharing = Self { n, threshold: quorum(n), group, public_shares };
        let keys: Vec<min_sig::PublicKey> =
            std::iter::once(&sharing.group).chain(&sharing.public_shares).map(|key| key.0).collect();
        let seed: [u8; 32] = Sha256::digest(sharing.encode()).into();
        if !lagrange::one_polynomial(&keys, sharing.threshold, &seed) {
            return Err(Error::Sharing("public shares do not belong to the group key"));
        }
        Ok(sharing)
    }

    /// The evaluation point of a member's share: `index + 1`, never 0.
    #[must_use]
    pub const fn point(index: u32) -> u32 {
        index.saturating_add(1)
    }

    /// Deterministic CBOR: `[1, n, t, group key (96 bytes), [public share (96 bytes), …]]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        // Writing to a Vec cannot fail: its error type has no values.
        let written = (|| {
            encoder.array(5)?.u8(VERSION)?.u32(self.n)?.u32(self.threshold)?.bytes(&self.group.to_bytes())?;
            encoder.array(self.public_shares.len() as u64)?;
            self.public_shares.iter().try_for_each(|share| encoder.bytes(&share.to_bytes()).map(drop))
        })();
        match written {
            Ok(()) => out,
            Err(error) => match error.into_write() {
                Some(never) => match never {},
                None => out,
            },
        }
    }

    /// Decodes [`Sharing::encode`]'s bytes and checks everything that [`Sharing::new`] checks.
    ///
    /// # Errors
    /// [`Error::Sharing`] if the bytes are not exactly such an encoding; the error of the key that is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        #[cfg(feature = "shared-checks")]
        return crate::shared_checks::sharing(bytes, || Self::decode_checked(bytes));
        #[cfg(not(feature = "shared-checks"))]
        Self::decode_checked(bytes)
    }

    fn decode_checked(bytes: &[u8]) -> Result<Self, Error> {
        let (n, threshold, group, public_shares) = fields(bytes)?;
        let sharing = Self::new(group, public_shares)?;
        if sharing.n != n || sharing.threshold != threshold {
            return Err(Error::Sharing("n or threshold does not fit"));
        }
        // Refuses trailing bytes, longer integers, indefinite lengths: anything but the one encoding.
        if sharing.encode() != bytes {
            return Err(Error::Sharing("not the canonical encoding"));
        }
        Ok(sharing)
    }

    /// A member's public share.
    ///
    /// # Errors
    /// [`Error::Index`] if there is no such member.
    pub fn public_share(&self, index: u32) -> Result<&PublicShare, Error> {
        usize::try_from(index).ok().and_then(|i| self.public_shares.get(i)).ok_or(Error::Index { index, n: self.n })
    }

    /// `abi.encode(uint32 index, bytes key256)`: the 352 bytes that the double-hashed leaf of the share root commits to.
    ///
    /// # Errors
    /// [`Error::Index`] if there is no such member.
    pub fn share_leaf(&self, index: u32) -> Result<Vec<u8>, Error> {
        let key = self.public_share(index)?.to_eip2537();
        let word = |value: u32| [[0; 28].as_slice(), &value.to_be_bytes()].concat();
        // Head: the index, then the offset of the bytes; tail: their length, then the bytes (a multiple of 32).
        Ok([word(index), word(64), word(256), key.to_vec()].concat())
    }

    /// Verifies one partial under its member's public share.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Signature`].
    pub fn verify_partial(&self, message: &[u8; 32], partial: &Partial) -> Result<(), Error> {
        self.public_share(partial.index)?.verify(message, &partial.signature)
    }

    /// Recovers the certificate over `message` from partials in any order; what it returns has been verified.
    ///
    /// The first t are combined without looking at them. Only if the result does not verify are the partials checked,
    /// and the certificate recovered from the good ones if t of them remain.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Duplicate`] for a set that is not one partial per member, [`Error::TooFew`], or
    /// [`Error::Culprits`] naming the members whose partials are wrong when too few good ones remain.
    pub fn recover(&self, message: &[u8; 32], partials: &[Partial]) -> Result<Signature, Error> {
        self.check_set(partials)?;
        let first = self.combine(partials)?;
        if self.group.verify(message, &first).is_ok() {
            return Ok(first);
        }
        let culprits = self.culprits(message, partials)?;
        let good: Vec<Partial> = partials.iter().filter(|p| !culprits.contains(&p.index)).copied().collect();
        match self.combine(&good) {
            Ok(signature) => self.group.verify(message, &signature).map(|()| signature),
            Err(_) => Err(Error::Culprits(culprits)),
        }
    }

    /// The members whose partials do not verify, ascending: one batch check, halved until the culprits stand alone.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Duplicate`] for a set that is not one partial per member.
    pub fn culprits(&self, message: &[u8; 32], partials: &[Partial]) -> Result<Vec<u32>, Error> {
        self.check_set(partials)?;
        let mut culprits = Vec::new();
        let mut open = vec![partials];
        while let Some(part) = open.pop() {
            match part {
                [] => {}
                [one] if self.verify_partial(message, one).is_err() => culprits.push(one.index),
                [_] => {}
                _ if self.batch_verifies(message, part) => {}
                _ => {
                    let (left, right) = part.split_at(part.len() / 2);
                    open.extend([left, right]);
                }
            }
        }
        culprits.sort_unstable();
        Ok(culprits)
    }

    /// Known members, each at most once.
    fn check_set(&self, partials: &[Partial]) -> Result<(), Error> {
        let mut seen = std::collections::BTreeSet::new();
        for partial in partials {
            self.public_share(partial.index)?;
            if !seen.insert(partial.index) {
                return Err(Error::Duplicate(partial.index));
            }
        }
        Ok(())
    }

    /// Interpolates the first t partials at 0; the result is not verified.
    fn combine(&self, partials: &[Partial]) -> Result<Signature, Error> {
        let have = u32::try_from(partials.len()).unwrap_or(u32::MAX);
        let need = self.threshold;
        let first = usize::try_from(need).ok().and_then(|need| partials.get(..need));
        let first = first.ok_or(Error::TooFew { have, need })?;
        let points: Vec<u32> = first.iter().map(|partial| Self::point(partial.index)).collect();
        let signatures: Vec<min_sig::Signature> = first.iter().map(|partial| partial.signature.0).collect();
        lagrange::interpolate(&points, &signatures).map(Signature).ok_or(Error::TooFew { have, need })
    }

    /// Whether all these partials verify: both sides multiplied with factors that nobody can choose, then one pairing
    /// check. A wrong partial slips through with a chance of 2⁻¹²⁸.
    fn batch_verifies(&self, message: &[u8; 32], partials: &[Partial]) -> bool {
        let mut transcript = Sha256::new_with_prefix(b"plumbline/batch/v1");
        transcript.update(message);
        let mut keys = Vec::with_capacity(partials.len());
        let mut signatures = Vec::with_capacity(partials.len());
        for partial in partials {
            let Ok(key) = self.public_share(partial.index) else { return false };
            transcript.update(key.to_bytes());
            transcript.update(partial.signature.to_bytes());
            keys.push(key.0);
            signatures.push(partial.signature.0);
        }
        let seed = transcript.finalize();
        let factors: Vec<u8> = (0..partials.len() as u64)
            .flat_map(|i| {
                let digest = Sha256::new_with_prefix(seed).chain_update(i.to_be_bytes()).finalize();
                digest.into_iter().take(BATCH_BITS / 8)
            })
            .collect();
        if factors.is_empty() {
            return true;
        }
        let key = keys.mult(&factors, BATCH_BITS).to_public_key();
        let signature = signatures.mult(&factors, BATCH_BITS).to_signature();
        signature.verify(false, message, DST, &[], &key, false) == blst::BLST_ERROR::BLST_SUCCESS
    }
}

/// Reads the five fields; canonicity is checked by the caller.
fn fields(bytes: &[u8]) -> Result<(u32, u32, GroupKey, Vec<PublicShare>), Error> {
    const BAD: Error = Error::Sharing("not a sharing");
    let mut decoder = Decoder::new(bytes);
    if decoder.array().map_err(|_| BAD)? != Some(5) {
        return Err(BAD);
    }
    if decoder.u8().map_err(|_| BAD)? != VERSION {
        return Err(Error::Sharing("unknown version"));
    }
    let n = decoder.u32().map_err(|_| BAD)?;
    let threshold = decoder.u32().map_err(|_| BAD)?;
    let key = |decoder: &mut Decoder<'_>| {
        let bytes = decoder.bytes().map_err(|_| BAD)?;
        GroupKey::from_bytes(bytes.try_into().map_err(|_| BAD)?)
    };
    let group = key(&mut decoder)?;
    if n > MAX_MEMBERS || decoder.array().map_err(|_| BAD)? != Some(u64::from(n)) {
        return Err(Error::Sharing("number of members out of range"));
    }
    let public_shares = (0..n).map(|_| key(&mut decoder)).collect::<Result<_, _>>()?;
    Ok((n, threshold, group, public_shares))
}
