//! Bookkeeping of the partials for one message: who has sent what, and when it is worth recovering.
//! Pure; it neither asks who authenticated a partial (the caller did) nor remembers other messages.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, Partial, Sharing, Signature};

/// What became of a partial that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The member's first partial; kept.
    New,
    /// The same bytes as before; nothing changed.
    Duplicate,
    /// The member sent another partial before; the first is kept. BLS is deterministic, so one of the two is wrong.
    Conflict,
}

/// The partials gathered so far for one message, at most one per member.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    partials: BTreeMap<u32, Partial>,
    culprits: BTreeSet<u32>,
    certificate: Option<Signature>,
}

impl Tally {
    /// An empty tally.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member's partial. The first one counts, even if it turns out wrong: a member has one partial per message.
    pub fn add(&mut self, partial: Partial) -> Outcome {
        match self.partials.get(&partial.index) {
            None => {
                self.partials.insert(partial.index, partial);
                Outcome::New
            }
            Some(kept) if *kept == partial => Outcome::Duplicate,
            Some(_) => Outcome::Conflict,
        }
    }

    /// Number of members heard and not known to be wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partials.len() - self.culprits.len()
    }

    /// Whether no usable partial is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members whose partials were proven wrong, ascending.
    #[must_use]
    pub fn culprits(&self) -> Vec<u32> {
        self.culprits.iter().copied().collect()
    }

    /// The certificate, once recovered.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Signature> {
        self.certificate.as_ref()
    }

    /// Recovers the certificate if there are enough usable partials; afterwards gives the same certificate again.
    ///
    /// `None`: too few partials. A failed attempt sets the culprits aside for good, which leaves too few for another
    /// attempt until a further member is heard: each culprit costs one search only.
    ///
    /// # Errors
    /// [`Error::Culprits`]; the tally goes on collecting afterwards. Members that the sharing does not know do not count.
    pub fn try_recover(&mut self, sharing: &Sharing, message: &[u8; 32]) -> Option<Result<Signature, Error>> {
        if let Some(certificate) = self.certificate {
            return Some(Ok(certificate));
        }
        let usable = self.usable(sharing);
        let threshold = usize::try_from(sharing.threshold).unwrap_or(usize::MAX);
        if usable.len() < threshold {
            return None;
        }
        let result = self.attempt(sharing, message, &usable);
        self.certificate = result.as_ref().ok().copied();
        Some(result)
    }

    /// One attempt: the optimistic way with the first t, then without the culprits.
    fn attempt(&mut self, sharing: &Sharing, message: &[u8; 32], usable: &[Partial]) -> Result<Signature, Error> {
        let threshold = usize::try_from(sharing.threshold).unwrap_or(usize::MAX);
        let first = usable.get(..threshold).unwrap_or(usable);
        match sharing.recover(message, first) {
            Err(Error::Culprits(_)) => {}
            settled => return settled,
        }
        self.culprits.extend(sharing.culprits(message, usable)?);
        let good = self.usable(sharing);
        if good.len() < threshold {
            return Err(Error::Culprits(self.culprits()));
        }
        sharing.recover(message, &good)
    }

    /// Partials of known members that were not proven wrong.
    fn usable(&self, sharing: &Sharing) -> Vec<Partial> {
        let known = |partial: &&Partial| sharing.public_share(partial.index).is_ok();
        self.partials
            .values()
            .filter(known)
            .filter(|partial| !self.culprits.contains(&partial.index))
            .copied()
            .collect()
    }
}
