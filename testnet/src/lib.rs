//! A whole Plumbline network on one machine, for `make demo` and the end-to-end test: the story that it plays, its honest
//! and dishonest devices, and an independent calculation of what each lease must be paid.
//!
//! What is paid is checked against code that shares nothing with `oracle-core`: only the devices' doors (`device::door`) use
//! the SDK, as a device maker would, and a test sees to it.

#![forbid(unsafe_code)]

pub mod aftermath;
pub mod api;
pub mod audit;
pub mod book;
pub mod broker;
pub mod bundle;
pub mod chain;
pub mod committee;
pub mod contracts;
pub mod deeds;
pub mod demo;
pub mod device;
pub mod equipment;
pub mod expect;
pub mod faults;
pub mod firsthand;
pub mod fleet;
pub mod kind;
pub mod market;
pub mod network;
pub mod place;
pub mod process;
pub mod progress;
pub mod recording;
pub mod rules;
pub mod settle;
pub mod table;
pub mod vandal;
