//! From a signed reading to f+1 receipts, over MQTT 3.1.1 at quality of service 1, for devices that run an operating
//! system. A reading stays in the device's [`attest::Queue`] until enough members have signed that they hold it; brokers
//! may refuse, restart, forget and come back meanwhile. The same signed bytes are sent again, never a new sequence number.
//!
//! [`Uplink::start`] connects (TLS with a client certificate, or user name and password), stays connected to
//! [`Options::at_once`] of the brokers and moves on to the next when one fails, after a pause that grows, is bounded and
//! random. What nodes send down (beacons, lease hints, access, rotations) comes out as [`Event`]s.
//!
//! Left out: signing and challenges (`attest`), firmware without an operating system (there, `attest` gives bytes and
//! topic to any MQTT client), and trust in what a broker says: a PUBACK is not a receipt.

mod backoff;
mod lane;
mod options;
mod outbox;
mod receipts;
mod secret;
mod tls;
mod uplink;
mod why;

pub use backoff::Backoff;
pub use options::{Broker, Options, OptionsError};
pub use receipts::Checked;
pub use secret::Password;
pub use tls::{Tls, TlsError};
pub use uplink::{Event, Left, Uplink};
pub use why::Why;

/// Where a device says that it is connected: `online` or `offline`, retained; the broker says `offline` for it when the
/// connection breaks (MQTT's last will). Unsigned, so a hint for dashboards: nodes do not read it.
#[must_use]
pub fn status_topic(kid: &[u8; 8]) -> String {
    // The key id as the other topics write it.
    let down = attest::topic_down(attest::Down::Lease, kid);
    let hex = down.split('/').rev().nth(1).unwrap_or_default();
    format!("plumbline/v1/status/{hex}")
}

/// The README's example, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
