//! Hello: a device opens the way back for one member's probes from behind an address translator. What the probes are, and
//! what an unopened path costs, is the measuring class's.
//!
//! The device sends the message as one datagram to the member, from the socket on which it waits for probes, and publishes
//! it like any other once the span is over, so that its sequence has no gap. Before that the token is the member's and the
//! device's secret: whoever reads it can take the path over. So there is one message per member, and none goes through a
//! broker first. A member sends to an address no more bytes than came from there until a datagram with the token has
//! answered one of its own: a false sender address must not turn probes on somebody else.

use crate::field::tuple;

tuple! {
    /// The opening of a path to one member.
    pub struct HelloBody {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw that the probes belong to.
        pub slot: u64,
        /// The member that the path leads to.
        pub member: u32,
        /// Random, fresh for each member and slot. It names the path in later datagrams, so that a translator may change
        /// the device's address or port in between.
        pub token: [u8; 16],
    }
    check |_| true
}
