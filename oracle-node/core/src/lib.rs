//! What the network decides: pure and deterministic. No clock, no IO, no randomness, no float, no map order.
//!
//! A node calls [`oracle::Oracle::step`] with what happened and carries out the effects it gets back, in order.
//! An auditor calls [`report::compute`] on an archived epoch and gets the digest that the chain settled.
//!
//! Leaves out: sockets, disks, the chain client and the clock (`oracle-node`).

#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

mod answers;
pub mod archive;
pub mod beacon;
pub mod bootstrap;
pub mod class;
pub mod clock;
pub mod collect;
pub mod effect;
pub mod endorse;
pub mod fault;
pub mod fixed;
pub mod guard;
pub mod handover;
pub mod ingest;
pub mod keyring;
pub mod limits;
pub mod merkle;
pub mod observation;
pub mod oracle;
pub mod partials;
#[cfg(feature = "planted-faults")]
pub mod planted;
pub mod policy;
pub mod qbft;
pub mod reason;
pub mod registry;
pub mod report;
#[cfg(feature = "shared-checks")]
pub mod shared_checks;
pub mod state;
pub mod term;
pub mod typed;
mod verify;
pub mod wire;
