//! What a device says before it is signed: a body of any class of docs/protocol.md §2, and what it is about.
//! Leaves out: sequence numbers and signatures (`voice`).

use std::fmt::Debug;
use std::sync::Arc;

use attest::{AnswerBody, Body, Reading};

/// The content of a message, owned. A kind with lists of its own implements it for them.
pub trait Words: Debug + Send + Sync {
    /// The body to be signed.
    fn body(&self) -> Body<'_>;
}

impl Words for Body<'static> {
    fn body(&self) -> Body<'_> {
        *self
    }
}

impl Words for Vec<Reading> {
    fn body(&self) -> Body<'_> {
        Body::Telemetry(self.as_slice().into())
    }
}

/// A message to be signed.
#[derive(Clone, Debug)]
pub struct Speech {
    words: Arc<dyn Words>,
    /// The draw that it answers.
    pub nonce: Option<[u8; 32]>,
    /// The slot that it is about, for the diary.
    pub slot: Option<u64>,
    /// The lease that it is about, for the diary.
    pub lease: Option<u64>,
    /// Whether a second, different message with the same sequence number is wanted.
    pub fork: bool,
}

impl Speech {
    /// A message that answers nothing.
    #[must_use]
    pub fn new(words: impl Words + 'static) -> Self {
        Self { words: Arc::new(words), nonce: None, slot: None, lease: None, fork: false }
    }

    /// The answer to an uptime challenge.
    #[must_use]
    pub fn answer(lease: u64, slot: u64, draw: [u8; 32]) -> Self {
        let body = Body::Answer(AnswerBody { lease, slot });
        Self { nonce: Some(draw), lease: Some(lease), ..Self::new(body).of_slot(slot) }
    }

    /// The same, about a slot.
    #[must_use]
    pub fn of_slot(self, slot: u64) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// The same, about a lease.
    #[must_use]
    pub fn of_lease(self, lease: u64) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The same, signed twice where a fork is wanted.
    #[must_use]
    pub fn forked(self, fork: bool) -> Self {
        Self { fork, ..self }
    }

    /// The body to be signed.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        self.words.body()
    }
}

impl PartialEq for Speech {
    fn eq(&self, other: &Self) -> bool {
        let about = |speech: &Self| (speech.nonce, speech.slot, speech.lease, speech.fork);
        self.body() == other.body() && about(self) == about(other)
    }
}
