//! Answers to draws: one function per class, so that firmware links the encoders of its classes only, and
//! `attest_answer_draw` for any of them.

use attest::{AnswerBody, Answers, BandwidthBody, Class, HelloBody, PossessionBody, Tally, WorkBody};

use crate::{
    messages::make,
    status::ATTEST_BOUNDS,
    types::{
        attest_arrivals, attest_device, attest_draw_answer, attest_message, attest_path, attest_possession,
        attest_work, bytes, list, read, same_size, status,
    },
};

/// The answer to a challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    lease: u64,
    slot: u64,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe { make(device, iat, Some(*bytes(draw)?), &AnswerBody { lease, slot }, buf, buf_len, out) };
    status(tell())
}

/// The answer to a storage challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes, leaf and path as long as their structs say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_storage_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    given: *const attest_possession,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe { make(device, iat, Some(*bytes(draw)?), &possession(given)?, buf, buf_len, out) };
    status(tell())
}

/// The answer to a compute challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_work_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    work: *const attest_work,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe { make(device, iat, Some(*bytes(draw)?), &worked(work)?, buf, buf_len, out) };
    status(tell())
}

/// The answer to a bandwidth challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes, the tallies are as many as their struct says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_bandwidth_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    arrivals: *const attest_arrivals,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe { make(device, iat, Some(*bytes(draw)?), &bandwidth(arrivals)?, buf, buf_len, out) };
    status(tell())
}

/// The opening of a path to one member.
///
/// # Safety
/// As the header says; `draw` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_hello(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    path: *const attest_path,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe { make(device, iat, Some(*bytes(draw)?), &hello(path)?, buf, buf_len, out) };
    status(tell())
}

/// The answer to a challenge of any class that answers a draw.
///
/// # Safety
/// As the header says; the pointer that belongs to the class is as its own function wants it, the others are not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_answer_draw(
    device: *mut attest_device,
    iat: *const u64,
    given: *const attest_draw_answer,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let given = read(given)?;
        same_size::<attest_draw_answer>(given.struct_size)?;
        let attest_draw_answer { lease, slot, .. } = *given;
        let say = |body: &dyn Answers| {
            // The body's own lease and slot are those of the challenge, as in the library's `Device::answer`.
            if (body.lease(), body.slot()) != (lease, slot) {
                return Err(ATTEST_BOUNDS);
            }
            make(device, iat, Some(given.draw), body, buf, buf_len, out)
        };
        match u8::try_from(given.message_class).ok().and_then(Class::from_u8) {
            Some(Class::Answer) => say(&AnswerBody { lease, slot }),
            Some(Class::Possession) => say(&possession(given.possession)?),
            Some(Class::Work) => say(&worked(given.work)?),
            Some(Class::Bandwidth) => say(&bandwidth(given.arrivals)?),
            Some(Class::Hello) => say(&hello(given.path)?),
            _ => Err(ATTEST_BOUNDS),
        }
    };
    status(tell())
}

/// # Safety
/// `given` is null or as `attest_storage_answer` wants it.
unsafe fn possession<'a>(given: *const attest_possession) -> Result<PossessionBody<'a>, i32> {
    // SAFETY: the caller's promise.
    unsafe {
        let attest_possession { lease, slot, sample, index, leaf, leaf_len, path, path_len } = *read(given)?;
        Ok(PossessionBody { lease, slot, sample, index, leaf: list(leaf, leaf_len)?, path: list(path, path_len)? })
    }
}

/// # Safety
/// `work` is null or as `attest_work_answer` wants it.
unsafe fn worked(work: *const attest_work) -> Result<WorkBody, i32> {
    // SAFETY: the caller's promise.
    let attest_work { lease, slot, size, rounds, root } = *unsafe { read(work) }?;
    Ok(WorkBody { lease, slot, size, rounds, root })
}

/// # Safety
/// `arrivals` is null or as `attest_bandwidth_answer` wants it.
unsafe fn bandwidth<'a>(arrivals: *const attest_arrivals) -> Result<BandwidthBody<'a>, i32> {
    // SAFETY: the caller's promise; the two rows have one layout, see types.rs.
    unsafe {
        let attest_arrivals { lease, slot, span_us, tallies, count } = *read(arrivals)?;
        Ok(BandwidthBody { lease, slot, span_us, tallies: list(tallies.cast::<Tally>(), count)?.into() })
    }
}

/// # Safety
/// `path` is null or as `attest_hello` wants it.
unsafe fn hello(path: *const attest_path) -> Result<HelloBody, i32> {
    // SAFETY: the caller's promise.
    let attest_path { lease, slot, member, token } = *unsafe { read(path) }?;
    Ok(HelloBody { lease, slot, member, token })
}
