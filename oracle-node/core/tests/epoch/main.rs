//! Whole epochs with real keys: what F decides, what the archive replays, the bytes that others rely on.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its assertions do")]

mod archive;
mod book;
mod coverage;
mod endorsed;
mod energy;
mod golden;
mod ingest;
mod replaced;
mod stream;
mod uptime;
mod vectors;
mod world;
