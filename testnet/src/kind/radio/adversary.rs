//! How a hotspot cheats: it witnesses what nobody sent. Leaves out: what is lost by it, which `deeds` reads out of the
//! diaries of all hotspots together.

use anyhow::{Result, bail};

use crate::device::Told;
use crate::kind::{Adversary, Pay};

const FALSE_WITNESS: &str = "false witness";

/// Reports, in place of what it heard, payloads that nobody sent, about every other hotspot.
pub(super) const fn false_witness() -> Adversary {
    Adversary { name: FALSE_WITNESS, number: 0, caught_by: &["FALSE_WITNESS"], pay: Pay::Part }
}

/// Whether a hotspot was told to lie.
///
/// # Errors
/// When it was told anything else.
pub(super) fn lies(told: Option<&Told>) -> Result<bool> {
    match told {
        None => Ok(false),
        Some(told) if told.name == FALSE_WITNESS => Ok(true),
        Some(told) => bail!("{:?} is no way in which a hotspot cheats", told.name),
    }
}
