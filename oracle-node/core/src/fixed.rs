//! Integer arithmetic where others would use floats: every node and auditor must get the same bits.
//! Confidence bounds, great-circle distance, free-space loss. Leaves out: what they are compared with (`class`).

mod earth;
mod radio;
mod wilson;

pub use earth::distance_m;
pub use radio::free_space_loss_cdb;
pub use wilson::{BILLION, wilson_lower, wilson_upper};
