//! Integer arithmetic where others would use floats: every node and auditor must get the same bits.
//! Confidence bounds, great-circle distance, line of sight, free-space loss, signal and noise. Leaves out: what they are compared with (`class`).

mod earth;
mod radio;
mod wilson;

pub use earth::{distance_m, line_of_sight_m};
pub use radio::{effective_signal_cdbm, free_space_loss_cdb, thermal_noise_cdbm};
pub use wilson::{BILLION, wilson_lower, wilson_upper};
