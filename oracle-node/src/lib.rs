//! The oracle node around the core: MQTT in, agreement between, reports out. One file per IO dependency; [`node`] wires
//! them. What is decided is decided in `oracle-core`; this crate only carries.
//!
//! | file | dependency | what it carries |
//! |---|---|---|
//! | [`mqtt`] | rumqttc | evidence from devices, in; beacons, hints and receipts, out |
//! | [`gossip`] | libp2p | members' messages and pulls |
//! | [`store`] | rocksdb | everything durable |
//! | [`chain`] | alloy | finalized blocks, in; transactions, out |
//! | [`http`] | axum | the API |
//! | [`metrics`] | prometheus | counters |

#![forbid(unsafe_code)]

pub mod board;
pub mod books;
pub mod broker_config;
pub mod chain;
pub mod clock;
pub mod config;
pub mod control;
pub mod downlink;
pub mod duties;
pub mod gossip;
pub mod guard;
pub mod http;
pub mod intake;
pub mod keys;
pub mod keystore;
pub mod metrics;
pub mod mqtt;
pub mod node;
pub mod receipts;
pub mod store;
#[cfg(test)]
mod testing;
