//! What a device says, signed: the evidence envelope, its claims, the device's own state and the pure functions that
//! answer a challenge (docs/protocol.md §§1, 2, 3 and 5).
//!
//! The attester path (`Device`, [`seal`], [`challenge`]) is `no_std`, allocates nothing and writes into buffers of the
//! caller. The feature `verify` adds the verifier's side. Decoding, verifying and appraising are three steps:
//! [`decode`] checks the form, `verify` the signature; appraisal (is it in time, plausible, new?) is `oracle-core`'s.
//!
//! A new message class is one line in `class.rs` and one file under `body/`; everything else (encoding, strict decoding,
//! topics, batches, nodes that store it) follows from the table.
//!
//! Left out on purpose: transport, clocks, random numbers and any appraisal.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "verify")]
pub mod batch;
mod beacon;
mod body;
mod cbor;
pub mod challenge;
mod claims;
mod class;
mod device;
mod endorsement;
mod envelope;
mod error;
mod field;
mod hash;
mod identity;
mod list;
mod place;
mod queue;
mod receipt;
mod sign;
#[cfg(any(feature = "soft-ed25519", feature = "soft-p256"))]
mod soft;
mod term;
mod topic;
#[cfg(feature = "verify")]
pub mod verify;

#[cfg(feature = "verify")]
pub use batch::BatchVerifier;
pub use beacon::{
    BEACON_LEN, Beacon, BeaconDomain, BeaconError, Challenge, CheckCertificate, Unchecked, beacon_message, derive,
};
pub use body::{
    AnswerBody, Arrived, BandwidthBody, BootBody, ChannelName, ChannelNames, CommitmentBody, EndorsementBody, FixBody,
    HelloBody, MAX_CHAIN, MAX_FOREIGN, MAX_LEAF_AND_PATH, MAX_MATRIX, MAX_RECORD, MAX_SAMPLES, MeterBody, MeterCurve,
    MeterWindow, MeterWindows, MeteredBody, Name, OpeningBody, PossessionBody, Record, RecordFormat, Recorder,
    RevealBody, Sample, SampleIter, Samples, Satellite, Satellites, Taken, Tallies, Tally, TimedReading, Unit,
    WitnessBody, WorkBody, arrived, losses_digest, meter_key_thumbprint, tags_digest,
};
pub use claims::{Claims, EAT_PROFILE};
pub use class::{Answers, Body, Class, Nothing, Said};
pub use device::{BootError, Device, Storage, VolatileBoot, link};
pub use endorsement::{Endorsement, EndorsementError, MAX_ENDORSEMENT, MAX_MODEL, Tier};
#[cfg(feature = "alloc")]
pub use envelope::sig_structure;
pub use envelope::{Envelope, decode, evidence_id};
pub use error::{DecodeError, EncodeError};
pub use identity::{Alg, DEVICE_KEY_STATEMENT_MAX, PublicKey, device_key_statement, network_id};
pub use list::{List, ListIter, Reading, Readings, Reception, Receptions, Row};
pub use place::{Location, location_commitment};
pub use queue::{QUEUE_HEAD, QUEUE_RECORD_HEAD, Queue, QueueFull, QueueIter, Queued, ReceiptError, Receipted};
#[cfg(feature = "verify")]
pub use receipt::ReceiptKeys;
pub use receipt::{CheckReceipt, MAX_PATH, MAX_RECEIPTS, Receipts};
pub use sign::{SealError, SignError, Signed, Signer, ToBeSigned, seal};
#[cfg(feature = "soft-ed25519")]
pub use soft::SoftEd25519;
#[cfg(feature = "soft-p256")]
pub use soft::SoftP256;
pub use term::{
    Followed, GROUP_KEY_LEN, GroupKey, Home, MAX_ROTATIONS, ROTATION_LEN, ROTATIONS_HEAD, Rotation, Rotations,
    TERM_KEYS_LEN, TermError, TermKey, TermKeys,
};
pub use topic::{BEACON_TOPIC, Down, Topic, UP_FILTER, parse_topic_up, topic_down, topic_term, topic_up};
#[cfg(feature = "verify")]
pub use verify::{VerifyError, verify, verify_statement};

/// The longest evidence on the wire, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// The network a signature is meant for: the first 8 bytes of a hash over chain and registry ([`network_id`]).
pub type Network = [u8; 8];

/// SHA-256 of the Sig_structure; never of the wire bytes or the signature.
pub type EvidenceId = [u8; 32];

/// The README's example, compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "soft-ed25519"))]
#[doc = include_str!("../README.md")]
struct Readme;
