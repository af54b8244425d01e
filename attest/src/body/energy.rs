//! Meter windows: how far a register advanced between two times. The rules of form (a window has a length, windows do not
//! overlap) are checked here; register against integrated power, rated power and the sun are the appraisal's.

use crate::{
    List,
    field::tuple,
    list::{Row, row},
};

tuple! {
    /// One window `[start, end)`. Energies are `n · 10^exponent` watt hours, powers `n · 10^exponent` watts.
    pub struct MeterWindow {
        /// Start, unix seconds.
        pub start: u64,
        /// End, unix seconds, above `start`.
        pub end: u64,
        /// The register at the start; it only counts up, and may roll over to 0.
        pub first: u64,
        /// The register at the end.
        pub last: u64,
        /// The energy that the device summed up from its own power samples; negative when fed back.
        pub sampled: i64,
        /// The highest power sampled.
        pub peak: i64,
    }
    check |window| window.start < window.end
}

impl row::Codec for MeterWindow {
    const MAX: usize = 16;

    fn precedes(&self, next: &Self) -> bool {
        self.end <= next.start
    }
}
impl Row for MeterWindow {}

/// Windows of a meter, at most 16, ascending and without overlap.
pub type MeterWindows<'a> = List<'a, MeterWindow>;

tuple! {
    /// Windows of one register.
    pub struct MeterBody<'a> {
        /// The register, as the device class numbers them.
        pub register: u64,
        /// The decimal exponent of all energies and powers.
        pub exponent: i8,
        /// The windows.
        pub windows: MeterWindows<'a>,
    }
    check |_| true
}
