//! The core's door: what can happen ([`Input`]) and what the core may ask for ([`Effect`]).
//! Effects of one step run in order; an [`Effect::Persist`] is durable before anything after it runs.
//! Leaves out: how any of it is done (`oracle-node/src/node.rs`).

use std::collections::BTreeMap;

use alloy_primitives::B256;

use crate::handover::{NewKey, Start};
use crate::observation::{Body, Bucket, Measurement};
use crate::registry::Snapshot;
use crate::term::Term;
use crate::typed::{Header, Rotation};
use crate::wire::InstanceId;

/// What this node saw of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Buckets by device.
    pub buckets: BTreeMap<u64, Bucket>,
    /// Receipt-log root.
    pub receipts_root: [u8; 32],
    /// What it measured itself, as [`crate::observation::Body::measurements`].
    pub measurements: Vec<Measurement>,
}

/// Everything that can happen to an oracle.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed; call at `next_wakeup`.
    Tick,
    /// A broadcast from a member (bytes of [`crate::wire::Message`]); `from` = authenticated member index of its author, whoever passed it on.
    Message {
        /// The author; signatures inside may be others'.
        from: u32,
        /// Encoded message.
        bytes: Vec<u8>,
    },
    /// What was said in another term's network and is for this one, too: a `NewKey` of a later term, a `Checkpoint` of an
    /// earlier one (bytes of [`crate::wire::Message`]). Anything else is ignored.
    Overheard {
        /// The term it was said in.
        term: u64,
        /// The authenticated author's index in that term.
        from: u32,
        /// Encoded message.
        bytes: Vec<u8>,
    },
    /// A message for this member alone (bytes of [`crate::wire::Direct`] `Deal` or `Ack`).
    Direct {
        /// The authenticated sender.
        from: u32,
        /// Encoded message.
        bytes: Vec<u8>,
    },
    /// The answer to [`Effect::Observe`]: this node's body (its `lateness` filled in by the core) and buckets.
    Observed {
        /// Stream.
        stream: u32,
        /// Epoch.
        epoch: u64,
        /// What it holds.
        seen: Seen,
    },
    /// The snapshot of an epoch became final.
    Snapshot {
        /// Epoch.
        epoch: u64,
        /// The chain as of the snapshot block.
        snapshot: Snapshot,
    },
    /// Content arrived (pulled or local): blobs by hash, evidence by id with its class. Already matched to its id.
    Content(Vec<Content>),
    /// The registry activated the term: genesis, unix ms.
    Activated {
        /// Start of epoch 0, unix ms.
        genesis_ms: u64,
    },
    /// Ed25519 devices whose keys wait for activation, whose claims this node has verified: (token, thumbprint), ascending,
    /// and the first batch number that the chain has not used.
    PendingKeys {
        /// Next batch number.
        batch: u64,
        /// (token id, thumbprint), ascending.
        keys: Vec<(u64, [u8; 32])>,
    },
    /// The chain holds a post of this epoch's report (any member's).
    Posted {
        /// Stream.
        stream: u32,
        /// Epoch.
        epoch: u64,
    },
    /// Say nothing new about reports of epochs below this one, for what was said of them may be forgotten (a store put back
    /// from a copy, keys moved here; [`crate::guard`]). Said before anything else, and again when the floor is known.
    Floor {
        /// First epoch that may be spoken of; `u64::MAX` = only listen.
        from_epoch: u64,
    },
    /// The public-share roots that the registry took for the term, in its order, each with the first epoch it counts in:
    /// 0 for the key's own, else the first epoch whose snapshot holds the refresh. All of them, whenever one is added.
    ShareRoots(Vec<(B256, u64)>),
    /// This member's operator asks for a refresh of the shares.
    Refresh {
        /// Its number, above all earlier ones: unix seconds of the first ask. 0: the one that others wait for, or a new one.
        number: u64,
        /// New randomness: this member's dealings follow from it. Secret.
        entropy: Entropy,
    },
    /// Another term of the committee is in force: this one's key is offered to it, never activated by itself. Said before
    /// anything else.
    Follows,
    /// A later term of the committee is configured: its key is awaited, and this term's key hands over to it.
    Successor {
        /// The later term.
        term: Box<Term>,
    },
    /// The registry rotated away from this term.
    Ends(Box<Start>),
    /// The registry rotated to this term. Said before [`Input::Activated`].
    Begins(Box<Start>),
}

/// 32 bytes of randomness from outside, wiped when dropped, never printed.
#[derive(Clone)]
pub struct Entropy(pub zeroize::Zeroizing<[u8; 32]>);

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(<redacted>)")
    }
}

/// One piece of pulled or local content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Hash (blob) or evidence id.
    pub id: [u8; 32],
    /// 0 for a blob, else the evidence class.
    pub class: u8,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

/// Something durable: a key in the journal and its bytes. Writing is synchronous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unique key; writing it again replaces the value.
    pub key: Vec<u8>,
    /// Versioned bytes that only the core reads.
    pub value: Vec<u8>,
}

/// Everything an oracle may ask for.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make durable before any later effect of this step.
    Persist(Record),
    /// Send to every other member.
    Broadcast(Vec<u8>),
    /// Send to one member over the authenticated, encrypted channel.
    Direct {
        /// Receiver.
        to: u32,
        /// Encoded [`crate::wire::Direct`].
        bytes: Vec<u8>,
    },
    /// Look up locally, else pull from `holders`; answer with [`Input::Content`].
    Fetch {
        /// Hashes and ids wanted.
        ids: Vec<[u8; 32]>,
        /// Members that said they hold them.
        holders: Vec<u32>,
    },
    /// The same, of one member of this or another term.
    FetchOf {
        /// The term that `holder` is the index in.
        term: u64,
        /// Member that says it holds them.
        holder: u32,
        /// Hashes wanted.
        ids: Vec<[u8; 32]>,
    },
    /// Build this epoch's buckets from the store now; answer with [`Input::Observed`].
    Observe {
        /// Stream.
        stream: u32,
        /// Epoch.
        epoch: u64,
        /// The devices it is about, with their class of work ([`crate::collect::observed_devices`]).
        devices: BTreeMap<u64, u8>,
        /// All buckets together, encoded bytes, at the most ([`crate::collect::author_bytes`]).
        budget: usize,
    },
    /// Keep these blobs where pulls find them, for good.
    Serve(Vec<Content>),
    /// Keep these blobs where pulls find them until the epoch is settled ([`Effect::Settled`]): a proposal that this member
    /// votes for lists them, and it may yet come to nothing. What is kept for good stays so.
    Lend {
        /// Stream.
        stream: u32,
        /// Epoch that the proposal is about.
        epoch: u64,
        /// Blobs.
        contents: Vec<Content>,
    },
    /// An epoch of a stream is decided. Of what was lent for it and for the stream's earlier epochs `kept` stays for good;
    /// the rest goes, unless it is lent to another epoch or stream, too.
    Settled {
        /// Stream.
        stream: u32,
        /// The decided epoch.
        epoch: u64,
        /// Hashes and ids of all that the decided S names, ascending.
        kept: Vec<[u8; 32]>,
    },
    /// Broadcast a beacon certificate to the devices.
    Beacon {
        /// Slot.
        slot: u64,
        /// 48 bytes, compressed G1.
        certificate: [u8; 48],
    },
    /// A report is certified: archive the bundle, hand it to the API, publish access to devices.
    Certified(Box<CertifiedReport>),
    /// Put on the chain, unless it is there by `not_before`.
    Transmit {
        /// Unix ms: this member's turn.
        not_before: u64,
        /// What to put there.
        what: Transmission,
    },
    /// Destroy these records of the journal, as far as the disk allows: secrets that nothing needs any more.
    Erase(Vec<Vec<u8>>),
    /// Something an operator should see: a stable code and details.
    Note {
        /// Severity and stable code, for example `fault_proof`.
        code: &'static str,
        /// A sentence.
        text: String,
    },
}

/// A transaction the committee owes the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmission {
    /// `CommitteeRegistry.activate`.
    Activate {
        /// 256 bytes.
        group_key: Vec<u8>,
        /// Root of the public shares.
        share_root: B256,
        /// 96 bytes: the KeyConfirmation certificate.
        confirmation: Vec<u8>,
        /// (member index, signature over Activation), ascending.
        signatures: Vec<(u32, [u8; 65])>,
    },
    /// `DeviceRegistry.activateKeys`.
    ActivateKeys {
        /// Batch number.
        batch: u64,
        /// (token id, thumbprint), ascending.
        keys: Vec<(u64, [u8; 32])>,
        /// 96 bytes.
        certificate: Vec<u8>,
    },
    /// `CommitteeRegistry.refreshShares`.
    RefreshShares {
        /// Root of the new public shares.
        share_root: B256,
        /// (member index, signature over Activation), ascending.
        signatures: Vec<(u32, [u8; 65])>,
    },
    /// `CommitteeRegistry.rotate`.
    Rotate {
        /// What the old key signed.
        rotation: Box<Rotation>,
        /// 96 bytes.
        certificate: Vec<u8>,
        /// The new term's key.
        key: Box<NewKey>,
    },
    /// `ReportHub.post`.
    Report {
        /// The header.
        header: Box<Header>,
        /// 96 bytes.
        certificate: Vec<u8>,
    },
}

/// A report with its certificate and everything needed to replay it.
#[derive(Clone, Debug)]
pub struct CertifiedReport {
    /// Which decision.
    pub instance: InstanceId,
    /// The header that was signed.
    pub header: Header,
    /// 48 bytes, compressed G1.
    pub certificate: [u8; 48],
    /// The epoch's result: leaves, verdicts, the next state.
    pub outcome: crate::report::Outcome,
    /// The archive bundle, encoded (docs/protocol.md §10).
    pub bundle: Vec<u8>,
}

/// What a restarted node gives back to the core: every record, ascending by key.
pub type Journal = Vec<Record>;

/// Content that F may need, by id.
pub type Blobs = BTreeMap<[u8; 32], Content>;

/// An observation body with its author, as F sees it.
pub type Bodies = BTreeMap<u32, Body>;
