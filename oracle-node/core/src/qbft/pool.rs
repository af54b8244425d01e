//! Content by the value it claims to have. A signature covers the value only, so whoever relays a message can put other
//! bytes beside it: several contents are tried for one value, a bounded number, and only a valid one is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{B256, keccak256};

/// Contents of one value that wait to be judged.
const WAITING_MAX: usize = 4;
/// Values of which content is kept: at most one per view in the window, plus what earlier views prepared.
const VALUES_MAX: usize = 48;
/// Contents remembered as refused.
const REFUSED_MAX: usize = 256;

/// Contents, judged and not.
#[derive(Debug, Default)]
pub(super) struct Pool {
    valid: BTreeMap<B256, Vec<u8>>,
    waiting: BTreeMap<B256, VecDeque<Vec<u8>>>,
    asked: BTreeMap<B256, (bool, Vec<u8>)>,
    refused: BTreeSet<(B256, B256)>,
}

impl Pool {
    /// Keeps content that this member itself vouches for.
    pub(super) fn trust(&mut self, value: B256, content: Vec<u8>) {
        self.waiting.remove(&value);
        self.asked.remove(&value);
        self.valid.insert(value, content);
    }

    /// Takes content that somebody says has this value.
    pub(super) fn offer(&mut self, value: B256, content: &[u8]) {
        let known = self.valid.contains_key(&value)
            || self.asked.get(&value).is_some_and(|(_, asked)| asked == content)
            || self.refused.contains(&(value, keccak256(content)));
        if known || (!self.waiting.contains_key(&value) && self.waiting.len() >= VALUES_MAX) {
            return;
        }
        let queue = self.waiting.entry(value).or_default();
        if queue.len() < WAITING_MAX && queue.iter().all(|other| other != content) {
            queue.push_back(content.to_vec());
        }
    }

    /// The valid content of a value.
    pub(super) fn valid(&self, value: B256) -> Option<&[u8]> {
        self.valid.get(&value).map(Vec::as_slice)
    }

    /// The next content of `value` to ask the application about; `None` while an answer is awaited. With `decided` an
    /// earlier question, put before the decision, is put again.
    pub(super) fn ask(&mut self, value: B256, decided: bool) -> Option<Vec<u8>> {
        if let Some((as_decided, content)) = self.asked.get_mut(&value) {
            if decided && !*as_decided {
                *as_decided = true;
                return Some(content.clone());
            }
            return None;
        }
        let content = self.waiting.get_mut(&value)?.pop_front()?;
        self.asked.insert(value, (decided, content.clone()));
        Some(content)
    }

    /// Whether any content of this value may still turn out valid.
    pub(super) fn hopeful(&self, value: B256) -> bool {
        self.valid.contains_key(&value)
            || self.asked.contains_key(&value)
            || self.waiting.get(&value).is_some_and(|queue| !queue.is_empty())
    }

    /// The application's answer about the content last asked for.
    pub(super) fn judge(&mut self, value: B256, valid: bool) {
        let Some((_, content)) = self.asked.remove(&value) else { return };
        if valid {
            self.trust(value, content);
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        self.refused.insert((value, keccak256(&content)));
    }

    /// Puts questions without an answer behind the other contents of their value, where there are any.
    pub(super) fn rotate(&mut self) {
        let waiting = &mut self.waiting;
        self.asked.retain(|value, (_, content)| match waiting.get_mut(value) {
            Some(queue) if !queue.is_empty() => {
                queue.push_back(core::mem::take(content));
                false
            }
            _ => true,
        });
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
