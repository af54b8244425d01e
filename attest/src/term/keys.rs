//! The keys that a device believes: of the term in force and of the one that follows. Leaves out: bytes of rotations
//! (`statement`).

use super::{GROUP_KEY_LEN, GroupKey, Home, Rotation, Rotations, TermError};
use crate::{Beacon, BeaconError, CheckCertificate, beacon_message};

/// Bytes of [`TermKeys::to_bytes`].
pub const TERM_KEYS_LEN: usize = 10 + 2 * (8 + GROUP_KEY_LEN);

const VERSION: u8 = 1;

/// A term and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermKey {
    /// The term.
    pub term: u64,
    /// Its group key.
    pub group_key: GroupKey,
}

/// The term after the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    key: TermKey,
    from_epoch: u64,
    /// Whether a beacon has shown that the key is in force.
    proven: bool,
}

/// What following a payload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Rotations taken over, 0 when all were known. If more, store [`TermKeys::to_bytes`] before relying on them.
    pub steps: u8,
}

/// A device's trust in its committee's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermKeys {
    home: Home,
    current: TermKey,
    next: Option<Next>,
}

impl TermKeys {
    /// Trusts one term's key, as the maker or owner gave it: at provisioning, and again after a rotation that nobody signed
    /// or too many that were missed. Nothing here is checked.
    #[must_use]
    pub const fn trust(home: Home, key: TermKey) -> Self {
        Self { home, current: key, next: None }
    }

    /// The committee.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The term that everything known before leads to.
    #[must_use]
    pub const fn current(&self) -> &TermKey {
        &self.current
    }

    /// The term after it, if known, with its first epoch.
    #[must_use]
    pub fn next(&self) -> Option<(u64, &TermKey)> {
        self.next.as_ref().map(|next| (next.from_epoch, &next.key))
    }

    /// The newest term known.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.next.map_or(self.current.term, |next| next.key.term)
    }

    /// The term and key in force in a slot, as far as known.
    #[must_use]
    pub fn at_slot(&self, slot: u64) -> &TermKey {
        match &self.next {
            Some(next) if slot >= self.home.first_slot_of(next.from_epoch) => &next.key,
            _ => &self.current,
        }
    }

    /// The term and key in force in an epoch, as far as known: for certificates over reports.
    #[must_use]
    pub fn at_epoch(&self, epoch: u64) -> &TermKey {
        match &self.next {
            Some(next) if epoch >= next.from_epoch => &next.key,
            _ => &self.current,
        }
    }

    /// Follows the payload of the term topic. `under` gives the check under a key (a device that cannot check follows
    /// nothing: it needs no key, and with [`Unchecked`](crate::Unchecked) it would believe anybody).
    ///
    /// # Errors
    /// The first rotation that leads no further, by kind. Steps before it are kept, so the state is to be stored either way.
    pub fn follow<C: CheckCertificate>(
        &mut self,
        payload: &[u8],
        under: impl Fn(&GroupKey) -> C,
    ) -> Result<Followed, TermError> {
        let home = self.home;
        let rotations = Rotations::parse(payload, &home)?;
        let mut steps = 0;
        for rotation in rotations.iter() {
            steps += u8::from(self.step(&rotation, &under)?);
        }
        Ok(Followed { steps })
    }

    /// Whether one rotation changed anything.
    fn step<C: CheckCertificate>(
        &mut self,
        rotation: &Rotation<'_>,
        under: &impl Fn(&GroupKey) -> C,
    ) -> Result<bool, TermError> {
        let term = rotation.term;
        let signer = match &self.next {
            _ if term == self.current.term => self.current,
            Some(next) if term == next.key.term => next.key,
            // Long followed, or a side way of an attempt that came too late.
            _ if term < self.newest() => return Ok(false),
            _ => return Err(TermError::Behind { known: self.newest(), oldest: term }),
        };
        let key = TermKey { term: rotation.new_term, group_key: *rotation.group_key };
        let rival = self.next.filter(|_| term == self.current.term);
        // Known; or of another attempt with the same key, which its beacons have proven: which epoch it began in is past.
        if rival.is_some_and(|next| next.key == key && (next.proven || next.from_epoch == rotation.from_epoch)) {
            return Ok(false);
        }
        if rotation.is_unsigned() {
            return Err(TermError::Governance { term, new_term: rotation.new_term });
        }
        if !under(&signer.group_key).holds(&rotation.digest(&self.home), rotation.certificate) {
            return Err(TermError::Forged { term });
        }
        match (rival, self.next) {
            // An attempt that came too late for the chain, or the one that replaced it.
            (Some(next), _) if rotation.from_epoch < next.from_epoch => return Ok(false),
            (Some(next), _) if next.proven || rotation.from_epoch == next.from_epoch => {
                return Err(TermError::Conflict { term });
            }
            (None, Some(next)) if rotation.from_epoch <= next.from_epoch => return Err(TermError::Conflict { term }),
            _ => {}
        }
        self.current = signer;
        self.next = Some(Next { key, from_epoch: rotation.from_epoch, proven: false });
        Ok(true)
    }

    /// Reads a beacon broadcast and checks it under the key of its slot; [`Beacon::challenge`] says whom it challenges. A
    /// beacon that holds under the next term's key proves that term.
    ///
    /// # Errors
    /// A broadcast of another length, or one whose certificate is not the group's.
    pub fn beacon<C: CheckCertificate>(
        &mut self,
        broadcast: &[u8],
        under: impl Fn(&GroupKey) -> C,
    ) -> Result<Beacon, BeaconError> {
        let beacon = Beacon::parse(broadcast).ok_or(BeaconError::Length)?;
        let TermKey { term, group_key } = self.at_slot(beacon.slot);
        let term = *term;
        let message = beacon_message(&self.home.network(), self.home.committee, term, beacon.slot);
        if !under(group_key).holds(&message, &beacon.certificate) {
            return Err(BeaconError::Certificate);
        }
        if let Some(next) = self.next.as_mut().filter(|next| next.key.term == term) {
            next.proven = true;
        }
        Ok(beacon)
    }

    /// What to store: `version 1 ‖ current (term u64be, key 256) ‖ 0 none, 1 a next term, 2 a proven one ‖ its first epoch
    /// u64be ‖ next (term u64be, key 256)`, zeros where there is none.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TERM_KEYS_LEN] {
        let next = self.next.unwrap_or(Next {
            key: TermKey { term: 0, group_key: [0; GROUP_KEY_LEN] },
            from_epoch: 0,
            proven: false,
        });
        let state = self.next.map_or(0, |next| 1 + u8::from(next.proven));
        let (term, from_epoch, next_term) =
            (self.current.term.to_be_bytes(), next.from_epoch.to_be_bytes(), next.key.term.to_be_bytes());
        let parts: [&[u8]; 7] =
            [&[VERSION], &term, &self.current.group_key, &[state], &from_epoch, &next_term, &next.key.group_key];
        let mut out = [0; TERM_KEYS_LEN];
        out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(slot, byte)| *slot = *byte);
        out
    }

    /// Takes back what [`TermKeys::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(home: Home, bytes: &[u8; TERM_KEYS_LEN]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (term, rest) = rest.split_first_chunk()?;
        let (group_key, rest) = rest.split_first_chunk()?;
        let (state, rest) = rest.split_first()?;
        let (from_epoch, rest) = rest.split_first_chunk()?;
        let (next_term, rest) = rest.split_first_chunk()?;
        let next_key: &GroupKey = rest.try_into().ok()?;
        let current = TermKey { term: u64::from_be_bytes(*term), group_key: *group_key };
        let next = Next {
            key: TermKey { term: u64::from_be_bytes(*next_term), group_key: *next_key },
            from_epoch: u64::from_be_bytes(*from_epoch),
            proven: *state == 2,
        };
        let this = Self { home, current, next: (*state != 0).then_some(next) };
        let ascends = this.next.is_none_or(|next| next.key.term > this.current.term);
        (*version == VERSION && *state <= 2 && ascends && this.to_bytes() == *bytes).then_some(this)
    }
}
