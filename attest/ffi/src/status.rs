//! The codes that every function returns, and their text. Codes are never renumbered.

use core::ffi::{CStr, c_char};

use attest::{BootError, EncodeError, SealError, SignError};

/// Declares the codes once: constant, number, text.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: i32 = $number;)+

        /// Every code with its name in the header.
        pub const CODES: &[(&str, i32)] = &[$((stringify!($name), $name)),+];

        /// The text of a code; never null, static, not to be freed.
        #[unsafe(no_mangle)]
        pub extern "C" fn attest_status_text(status: i32) -> *const c_char {
            let text: &'static CStr = match status {
                $($number => $text,)+
                _ => c"unknown status",
            };
            text.as_ptr()
        }
    };
}

codes! {
    /// Done.
    ATTEST_OK = 0, c"ok";
    /// A required pointer was null.
    ATTEST_NULL = 1, c"null pointer";
    /// A struct has another size than this library knows.
    ATTEST_STRUCT_SIZE = 2, c"struct_size does not match this library";
    /// An algorithm, key length or missing callback that does not fit.
    ATTEST_SIGNER = 3, c"algorithm, key length and callbacks do not fit";
    /// The device was never booted.
    ATTEST_NOT_BOOTED = 4, c"device was not booted";
    /// The boot count could not be loaded or stored: nothing may be sent.
    ATTEST_STORAGE = 5, c"boot count storage failed";
    /// Boot counts or sequence numbers have run out.
    ATTEST_EXHAUSTED = 6, c"counter exhausted";
    /// The buffer is too small.
    ATTEST_BUFFER = 7, c"buffer too small";
    /// A number or list is over its bound.
    ATTEST_BOUNDS = 8, c"out of bounds";
    /// Rows of a list do not ascend.
    ATTEST_ORDER = 9, c"rows do not ascend";
    /// The signer gave no signature: try again, no number was used.
    ATTEST_SIGN = 10, c"signer gave no signature";
    /// Bytes that are not what they should be.
    ATTEST_FORM = 11, c"malformed bytes";
    /// No challenge in this slot: nothing to do.
    ATTEST_NOT_CHALLENGED = 12, c"not challenged";
    /// The queue has no room for the message.
    ATTEST_FULL = 13, c"queue full";
    /// No message at this place of the queue.
    ATTEST_EMPTY = 14, c"no message at this place";
    /// Receipts that the member they name did not sign.
    ATTEST_RECEIPT = 15, c"receipts that the member did not sign";
    /// A beacon or rotation that the term's key did not sign.
    ATTEST_UNSIGNED = 16, c"committee did not sign";
    /// Rotations that lead no further: only the device's maker or owner can give it a current key.
    ATTEST_KEY_NEEDED = 17, c"needs a current key";
    /// A second rotation from one term, after the first was proven or for the same epoch.
    ATTEST_CONFLICT = 18, c"contradicts a known one";
    /// Rotations of another network or committee.
    ATTEST_ELSEWHERE = 19, c"another committee";
}

pub(crate) const fn of_boot(error: &BootError<()>) -> i32 {
    match error {
        BootError::Storage(()) => ATTEST_STORAGE,
        BootError::Exhausted => ATTEST_EXHAUSTED,
    }
}

pub(crate) const fn of_seal(error: &SealError) -> i32 {
    match error {
        SealError::Encode(EncodeError::Buffer) => ATTEST_BUFFER,
        SealError::Encode(EncodeError::Bounds | EncodeError::Class) => ATTEST_BOUNDS,
        SealError::Encode(EncodeError::Order) => ATTEST_ORDER,
        SealError::Sign(SignError::Unavailable | SignError::Refused) => ATTEST_SIGN,
        SealError::Exhausted => ATTEST_EXHAUSTED,
    }
}
