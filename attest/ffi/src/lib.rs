//! The C face of `attest`: plain structs, callbacks for the key and the boot count, buffers of the caller, no
//! allocation and no globals. `include/attest.h` says what each function does; `tests/header.rs` holds the two together.
//! Left out: verification (that is the node's) and any transport.
#![cfg_attr(target_os = "none", no_std)]

mod answers;
mod classes;
mod messages;
mod pure;
mod queue;
#[cfg(any(feature = "soft-ed25519", feature = "soft-p256"))]
mod soft;
mod status;
mod terms;
mod types;

pub use answers::*;
pub use classes::*;
pub use messages::*;
pub use pure::*;
pub use queue::*;
#[cfg(any(feature = "soft-ed25519", feature = "soft-p256"))]
pub use soft::*;
pub use status::*;
pub use terms::*;
pub use types::*;

/// No path of the attester is known to panic; should one exist, the device stands still instead of signing nonsense.
#[cfg(target_os = "none")]
#[panic_handler]
fn stand_still(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
