//! The queue of messages that wait for receipts, in the caller's memory: every call finds its state there, so that there
//! is nothing else to keep.

use attest::{Class, Queue, ReceiptError, Signed};

use crate::{
    status::{ATTEST_BOUNDS, ATTEST_EMPTY, ATTEST_FORM, ATTEST_FULL, ATTEST_RECEIPT},
    types::{attest_message, attest_queued, attest_receipt_check, buffer, bytes, list, read, same_size, status, write},
};

/// Makes an empty queue of this memory.
///
/// # Safety
/// `memory` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_queue_new(memory: *mut u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    let make = || unsafe { buffer(memory, len).map(|memory| drop(Queue::new(memory))) };
    status(make())
}

/// Takes up the queue that an earlier run left in this memory.
///
/// # Safety
/// `memory` has `len` bytes, `network` 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_queue_resume(memory: *mut u8, len: usize, network: *const u8) -> i32 {
    // SAFETY: the caller's promise.
    let take = || unsafe {
        drop(Queue::resume(buffer(memory, len)?, bytes(network)?));
        Ok(())
    };
    status(take())
}

/// Adds a made message; with `dropped` the oldest make room and are counted there, without it a full queue refuses.
///
/// # Safety
/// `memory` has `len` bytes, `message` was filled by a message function and `message_bytes` is its buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_queue_push(
    memory: *mut u8,
    len: usize,
    message: *const attest_message,
    message_bytes: *const u8,
    dropped: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let push = || unsafe {
        let message = read(message)?;
        let bytes = list(message_bytes, message.len)?;
        let class = u8::try_from(message.message_class).ok().and_then(Class::from_u8).ok_or(ATTEST_BOUNDS)?;
        let mut queue = Queue::open(buffer(memory, len)?);
        let signed = Signed { class, bytes, id: message.id, seq: message.seq };
        match dropped.as_mut() {
            None => queue.push(&signed).map_err(|_| ATTEST_FULL),
            Some(dropped) => {
                *dropped = queue.push_dropping(&signed).map_err(|_| ATTEST_FULL)?;
                Ok(())
            }
        }
    };
    status(push())
}

/// The message at a place, 0 the oldest.
///
/// # Safety
/// `memory` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_queue_get(memory: *mut u8, len: usize, place: u32, out: *mut attest_queued) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let queue = Queue::open(buffer(memory, len)?);
        let place = usize::try_from(place).map_err(|_| ATTEST_EMPTY)?;
        let item = queue.iter().nth(place).ok_or(ATTEST_EMPTY)?;
        *write(out)? = attest_queued {
            bytes: item.bytes.as_ptr(),
            len: item.bytes.len(),
            message_class: u32::from(item.class.as_u8()),
            receipts: item.receipts,
            id: item.id,
        };
        Ok(())
    };
    status(get())
}

/// Takes a payload of the receipt topic; messages that `needed` members hold leave the queue and are counted in `done`.
///
/// # Safety
/// `memory` has `len` bytes, `payload` has `payload_len`; the callback keeps the header's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_queue_receipts(
    memory: *mut u8,
    len: usize,
    payload: *const u8,
    payload_len: usize,
    check: *const attest_receipt_check,
    needed: u32,
    done: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let settle = || unsafe {
        let check = read(check)?;
        same_size::<attest_receipt_check>(check.struct_size)?;
        let (payload, done) = (list(payload, payload_len)?, write(done)?);
        *done = Queue::open(buffer(memory, len)?).settle(payload, check, needed).map_err(|why| match why {
            ReceiptError::Malformed(_) => ATTEST_FORM,
            ReceiptError::Signature(_) => ATTEST_RECEIPT,
        })?;
        Ok(())
    };
    status(settle())
}
