//! For relying parties: fetch, verify and replay what a committee reported, without trusting any node.
//!
//! - [`audit`] replays archived epochs against a chain log: the same code path as a node, offline.
//! - [`verify`] checks one report: certificate, leaves, and one lease's proof.
//! - [`access`] is a device's check of who may use it.
//! - [`addresses`] reads the address book of a deployment.
//! - [`report`] is a report as a node's API tells it.
//! - [`simulate`] judges an archive again by a new policy.
//! - [`client`] fetches all of that from a node. What it brings is a claim until one of the others has checked it.
//!
//! Leaves out: sending transactions (any wallet claims with a fetched proof), and TLS (put a proxy before the node).

#![forbid(unsafe_code)]

pub mod access;
pub mod addresses;
pub mod audit;
pub mod chain_log;
pub mod client;
pub mod report;
pub mod simulate;
pub mod verify;
