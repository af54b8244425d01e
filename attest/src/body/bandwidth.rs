//! Bandwidth: what arrived from each challenger in a measured span. Who must be left out of the sum is the appraisal's.

use crate::{
    List,
    field::tuple,
    list::{Row, row},
};

tuple! {
    /// What arrived from one challenger.
    pub struct Tally {
        /// The challenging member's index.
        pub member: u32,
        /// Bytes of payload.
        pub bytes: u64,
        /// Packets.
        pub packets: u64,
        /// The first 16 bytes of SHA-256 over the packets' tags, in the order of their numbers.
        pub tags: [u8; 16],
    }
    check |_| true
}

impl row::Codec for Tally {
    const MAX: usize = 16;

    fn precedes(&self, next: &Self) -> bool {
        self.member < next.member
    }
}
impl Row for Tally {}

/// Tallies of a report, at most 16, strictly ascending by member.
pub type Tallies<'a> = List<'a, Tally>;

tuple! {
    /// A report.
    pub struct BandwidthBody<'a> {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw.
        pub slot: u64,
        /// The length of the span that was measured, in microseconds, at least 1.
        pub span_us: u64,
        /// What arrived.
        pub tallies: Tallies<'a>,
    }
    check |body| body.span_us >= 1
}
