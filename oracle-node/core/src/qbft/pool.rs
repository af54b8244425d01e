//! Content by the value it claims to have. A signature covers the value only, so whoever hands a message over can put other
//! bytes beside it, even bytes about which no verdict ever comes. So each member has places of its own for what it hands
//! over, one for a value, and is asked about in its turn: nobody's bytes keep out another's. Only valid content is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alloy_primitives::{B256, keccak256};

/// Values for which one member's content is kept: what it prepared, what it proposes and a decision, and one to spare.
const PER_MEMBER_MAX: usize = 4;
/// Contents remembered as refused.
const REFUSED_MAX: usize = 256;

/// Contents, judged and not.
#[derive(Debug, Default)]
pub(super) struct Pool {
    valid: BTreeMap<B256, Vec<u8>>,
    /// By member, what it handed over last, oldest first.
    waiting: BTreeMap<u32, VecDeque<Offer>>,
    asked: BTreeMap<B256, Asked>,
    /// By value, whose content was asked about last.
    turns: BTreeMap<B256, u32>,
    refused: BTreeSet<(B256, B256)>,
}

/// Content that somebody says has this value.
#[derive(Clone, Debug)]
struct Offer {
    value: B256,
    content: Arc<[u8]>,
}

/// A question to the application.
#[derive(Debug)]
struct Asked {
    decided: bool,
    from: u32,
    content: Arc<[u8]>,
}

impl Pool {
    /// Keeps content that this member itself vouches for.
    pub(super) fn trust(&mut self, value: B256, content: Vec<u8>) {
        self.waiting.values_mut().for_each(|offers| offers.retain(|offer| offer.value != value));
        self.asked.remove(&value);
        self.turns.remove(&value);
        self.valid.insert(value, content);
    }

    /// Takes content that member `from` handed over; it replaces what that member gave for the value before.
    pub(super) fn offer(&mut self, from: u32, value: B256, content: &[u8]) {
        let known = self.valid.contains_key(&value)
            || self.asked.get(&value).is_some_and(|asked| *asked.content == *content)
            || self.refused.contains(&(value, keccak256(content)));
        if !known {
            // Honest members hand over the same: held once.
            let same = self.offers(value).find(|(_, offer)| *offer.content == *content);
            let content = same.map_or_else(|| Arc::from(content), |(_, offer)| Arc::clone(&offer.content));
            self.put(from, Offer { value, content });
        }
    }

    fn put(&mut self, from: u32, offer: Offer) {
        let offers = self.waiting.entry(from).or_default();
        offers.retain(|other| other.value != offer.value);
        offers.push_back(offer);
        if offers.len() > PER_MEMBER_MAX {
            offers.pop_front();
        }
    }

    /// What waits for one value, by member.
    fn offers(&self, value: B256) -> impl Iterator<Item = (u32, &Offer)> {
        let all = self.waiting.iter().flat_map(|(from, offers)| offers.iter().map(|offer| (*from, offer)));
        all.filter(move |(_, offer)| offer.value == value)
    }

    /// The valid content of a value.
    pub(super) fn valid(&self, value: B256) -> Option<&[u8]> {
        self.valid.get(&value).map(Vec::as_slice)
    }

    /// The next content of `value` to ask the application about; `None` while an answer is awaited. With `decided` an
    /// earlier question, put before the decision, is put again.
    pub(super) fn ask(&mut self, value: B256, decided: bool) -> Option<Vec<u8>> {
        if let Some(asked) = self.asked.get_mut(&value) {
            let again = decided && !asked.decided;
            asked.decided |= decided;
            return again.then(|| asked.content.to_vec());
        }
        let last = self.turns.get(&value).copied();
        let next = self.offers(value).map(|(from, _)| from).min_by_key(|from| (Some(*from) <= last, *from))?;
        let offers = self.waiting.get_mut(&next)?;
        let place = offers.iter().position(|offer| offer.value == value)?;
        let content = offers.remove(place)?.content;
        self.turns.insert(value, next);
        self.asked.insert(value, Asked { decided, from: next, content: Arc::clone(&content) });
        Some(content.to_vec())
    }

    /// Whether any content of this value may still turn out valid.
    pub(super) fn hopeful(&self, value: B256) -> bool {
        self.valid.contains_key(&value) || self.asked.contains_key(&value) || self.offers(value).next().is_some()
    }

    /// The application's answer about the content last asked for.
    pub(super) fn judge(&mut self, value: B256, valid: bool) {
        let Some(Asked { content, .. }) = self.asked.remove(&value) else { return };
        if valid {
            self.trust(value, content.to_vec());
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        self.refused.insert((value, keccak256(&content)));
    }

    /// Gives questions without an answer back, where another member's content of their value waits for its turn.
    pub(super) fn rotate(&mut self) {
        let stuck: Vec<B256> =
            self.asked.keys().copied().filter(|value| self.offers(*value).next().is_some()).collect();
        for value in stuck {
            let Some(Asked { from, content, .. }) = self.asked.remove(&value) else { continue };
            // What the member handed over since replaces it.
            if self.offers(value).all(|(member, _)| member != from) {
                self.put(from, Offer { value, content });
            }
        }
    }

    /// A new view, or a decision: what was refused may be asked again (the reason may have been passing).
    pub(super) fn forgive(&mut self) {
        self.refused.clear();
    }

    /// After the decision nothing is needed but its content.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
