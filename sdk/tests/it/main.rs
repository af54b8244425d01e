//! The sdk against whole epochs with real signatures.

#![allow(clippy::unwrap_used)]

mod access;
mod audit;
mod client;
mod command;
mod simulate;
mod support;
mod verify;
