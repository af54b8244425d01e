//! The structs of the header, the C callbacks seen as `Signer` and `Storage`, and how pointers become references.

use core::{
    ffi::c_void,
    mem::{MaybeUninit, align_of, offset_of, size_of},
    slice,
};

use attest::{
    ChannelName, CheckReceipt, Device, EvidenceId, MeterWindow, PublicKey, Reading, Reception, Satellite, SignError,
    Signer, Storage, Tally, TimedReading, ToBeSigned,
};

use crate::status::{ATTEST_NOT_BOOTED, ATTEST_NULL, ATTEST_SIGNER, ATTEST_STRUCT_SIZE};

/// Signs a whole message (Ed25519); returns 0 and fills 64 bytes.
pub type SignMessage =
    Option<unsafe extern "C" fn(ctx: *mut c_void, message: *const u8, len: usize, signature: *mut u8) -> i32>;
/// Signs a 32-byte digest (P-256); returns 0 and fills 64 bytes.
pub type SignDigest = Option<unsafe extern "C" fn(ctx: *mut c_void, digest: *const u8, signature: *mut u8) -> i32>;
/// Loads the boot count, 0 when none was ever stored; returns 0 when it did.
pub type LoadBoot = Option<unsafe extern "C" fn(ctx: *mut c_void, boot: *mut u32) -> i32>;
/// Stores the boot count; returns 0 only after it is durable.
pub type StoreBoot = Option<unsafe extern "C" fn(ctx: *mut c_void, boot: u32) -> i32>;

/// Whether a member signed a root of receipts; returns 0 when it did.
pub type HoldsReceipt =
    Option<unsafe extern "C" fn(ctx: *mut c_void, member: u32, root: *const u8, signature: *const u8) -> i32>;

/// Whether a certificate is a group key's over a message; returns 0 when it is.
pub type HoldsCertificate = Option<
    unsafe extern "C" fn(ctx: *mut c_void, group_key: *const u8, message: *const u8, certificate: *const u8) -> i32,
>;

/// Whatever holds the key. Copied by `attest_device_boot`; `ctx` must outlive the device.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_signer {
    pub struct_size: u32,
    pub alg: u32,
    pub public_key: [u8; 64],
    pub ctx: *mut c_void,
    pub sign_message: SignMessage,
    pub sign_digest: SignDigest,
}

/// Where the boot count survives a power cut. Used during `attest_device_boot` only.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_storage {
    pub struct_size: u32,
    pub ctx: *mut c_void,
    pub load_boot: LoadBoot,
    pub store_boot: StoreBoot,
}

/// One boot of one device; the caller's memory, the library's contents.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
pub struct attest_device {
    pub ready: u32,
    pub opaque: [u64; DEVICE_WORDS],
}

/// A made message: where it lies is the caller's buffer.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_message {
    pub len: usize,
    pub seq: u64,
    pub message_class: u32,
    pub id: EvidenceId,
}

/// One reading: mantissa · 10^exponent.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_reading {
    pub channel: u64,
    pub exponent: i8,
    pub mantissa: i64,
}

/// One reception of another device's transmission.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_reception {
    pub lease: u64,
    pub payload: [u8; 16],
    pub rssi: i32,
    pub snr: i32,
}

/// A place with the salt of its commitment.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_location {
    pub lat: i32,
    pub lon: i32,
    pub salt: [u8; 16],
}

/// A channel with its name and unit.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_channel {
    pub channel: u64,
    pub unit: u16,
    pub name: [u8; 24],
    pub name_len: u8,
}

/// One window of a meter.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_meter_window {
    pub start: u64,
    pub end: u64,
    pub first: u64,
    pub last: u64,
    pub sampled: i64,
    pub peak: i64,
}

/// A satellite in view.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_satellite {
    pub id: u32,
    pub elevation: i8,
    pub azimuth: u16,
    pub cn0: u16,
}

/// A position fix.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_fix {
    pub at_ms: u64,
    pub lat: i32,
    pub lon: i32,
    pub height_cm: i32,
    pub hdop: u16,
}

/// The opened leaf of a storage sample.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_possession {
    pub lease: u64,
    pub slot: u64,
    pub sample: u32,
    pub index: u64,
    pub leaf: *const u8,
    pub leaf_len: usize,
    pub path: *const u8,
    pub path_len: usize,
}

/// A commitment to a compute result.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_work {
    pub lease: u64,
    pub slot: u64,
    pub size: u32,
    pub rounds: u32,
    pub root: [u8; 32],
}

/// The rows of a compute commitment.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_opening {
    pub lease: u64,
    pub slot: u64,
    pub rows: u32,
    pub content: [u8; 32],
    pub length: u64,
}

/// A reading and when it was taken, by the device's own count of milliseconds.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_timed_reading {
    pub at_ms: u32,
    pub reading: attest_reading,
}

/// A record that a meter signed.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_record {
    pub lease: u64,
    pub format: u8,
    pub meter: [u8; 32],
    pub record: *const u8,
    pub record_len: usize,
}

/// The opening of a path to one member.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_path {
    pub lease: u64,
    pub slot: u64,
    pub member: u32,
    pub token: [u8; 16],
}

/// What arrived from every challenger.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_arrivals {
    pub lease: u64,
    pub slot: u64,
    pub span_us: u64,
    pub tallies: *const attest_tally,
    pub count: usize,
}

/// The answer to a challenge of any class.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_draw_answer {
    pub struct_size: u32,
    pub message_class: u32,
    pub lease: u64,
    pub slot: u64,
    pub draw: [u8; 32],
    pub possession: *const attest_possession,
    pub work: *const attest_work,
    pub arrivals: *const attest_arrivals,
    pub path: *const attest_path,
}

/// What arrived from one challenger.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_tally {
    pub member: u32,
    pub bytes: u64,
    pub packets: u32,
    pub tags: [u8; 16],
    pub losses: [u8; 16],
}

/// A message that waits in a queue; `bytes` points into the queue's memory.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_queued {
    pub bytes: *const u8,
    pub len: usize,
    pub message_class: u32,
    pub receipts: u32,
    pub id: EvidenceId,
}

/// How receipts are checked.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_receipt_check {
    pub struct_size: u32,
    pub ctx: *mut c_void,
    pub holds: HoldsReceipt,
}

/// A committee, and how its certificates are checked.
#[repr(C)]
#[allow(non_camel_case_types, missing_docs, reason = "the header documents the fields")]
#[derive(Clone, Copy)]
pub struct attest_committee {
    pub struct_size: u32,
    pub chain_id: u64,
    pub registry: [u8; 20],
    pub committee: u64,
    pub epoch_ms: u64,
    pub slot_ms: u64,
    pub ctx: *mut c_void,
    pub holds: HoldsCertificate,
}

/// The size of `attest_device` after `ready`, in 8-byte words.
pub const DEVICE_WORDS: usize = 24;
/// What `ready` holds after a boot.
const READY: u32 = 0x706c_6d62;

pub(crate) type Inner = Device<CSigner>;

const _: () = assert!(size_of::<Inner>() <= DEVICE_WORDS * 8 && align_of::<Inner>() <= align_of::<u64>());

/// Asserts that a C row is laid out as the library's row, so that slices of it need no copy.
macro_rules! same_layout {
    ($c:ident, $rust:ty, $($field:ident),+) => {
        const _: () = {
            assert!(size_of::<$c>() == size_of::<$rust>() && align_of::<$c>() == align_of::<$rust>());
            $(assert!(offset_of!($c, $field) == offset_of!($rust, $field));)+
        };
    };
}
same_layout!(attest_reading, Reading, channel, exponent, mantissa);
same_layout!(attest_reception, Reception, lease, payload, rssi, snr);
same_layout!(attest_meter_window, MeterWindow, start, end, first, last, sampled, peak);
same_layout!(attest_satellite, Satellite, id, elevation, azimuth, cn0);
same_layout!(attest_tally, Tally, member, bytes, packets, tags, losses);
same_layout!(attest_timed_reading, TimedReading, at_ms, reading);
// A name is its bytes, then their number; the library checks both before it writes them.
same_layout!(attest_channel, ChannelName, channel, unit, name);
const _: () = assert!(
    size_of::<attest::Name>() == 25 && offset_of!(attest_channel, name_len) == offset_of!(attest_channel, name) + 24
);

impl attest_device {
    /// Puts a booted device into the caller's memory.
    pub(crate) fn fill(&mut self, device: Inner) {
        // SAFETY: `opaque` is large and aligned enough (asserted above) and nothing there needs a drop: `Inner` holds
        // plain values and raw pointers.
        unsafe { self.opaque.as_mut_ptr().cast::<MaybeUninit<Inner>>().write(MaybeUninit::new(device)) };
        self.ready = READY;
    }

    pub(crate) fn inner(&mut self) -> Result<&mut Inner, i32> {
        if self.ready != READY {
            return Err(ATTEST_NOT_BOOTED);
        }
        // SAFETY: `ready` is set by `fill` only, after it wrote an `Inner` there.
        Ok(unsafe { &mut *self.opaque.as_mut_ptr().cast::<Inner>() })
    }
}

/// An `attest_signer` whose callbacks fit its algorithm.
pub struct CSigner {
    key: PublicKey,
    ctx: *mut c_void,
    sign_message: SignMessage,
    sign_digest: SignDigest,
}

impl CSigner {
    pub(crate) fn new(signer: &attest_signer) -> Result<Self, i32> {
        same_size::<attest_signer>(signer.struct_size)?;
        let alg = u8::try_from(signer.alg).map_err(|_| ATTEST_SIGNER)?;
        let len = if alg == 1 { 32 } else { 64 };
        let bytes = signer.public_key.get(..len).ok_or(ATTEST_SIGNER)?;
        let key = PublicKey::from_parts(alg, bytes).ok_or(ATTEST_SIGNER)?;
        let able = match key {
            PublicKey::Ed25519(_) => signer.sign_message.is_some(),
            PublicKey::P256(_) => signer.sign_digest.is_some(),
        };
        let (ctx, sign_message, sign_digest) = (signer.ctx, signer.sign_message, signer.sign_digest);
        if able { Ok(Self { key, ctx, sign_message, sign_digest }) } else { Err(ATTEST_SIGNER) }
    }
}

impl Signer for CSigner {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        let mut signature = [0; 64];
        let out = signature.as_mut_ptr();
        let status = match self.key {
            PublicKey::Ed25519(_) => {
                let sign = self.sign_message.ok_or(SignError::Unavailable)?;
                let message = tbs.message();
                // SAFETY: the header's contract: the callback reads `len` bytes and writes 64.
                unsafe { sign(self.ctx, message.as_ptr(), message.len(), out) }
            }
            PublicKey::P256(_) => {
                let sign = self.sign_digest.ok_or(SignError::Unavailable)?;
                // SAFETY: the header's contract: the callback reads 32 bytes and writes 64.
                unsafe { sign(self.ctx, tbs.digest().as_ptr(), out) }
            }
        };
        if status == 0 { Ok(signature) } else { Err(SignError::Unavailable) }
    }
}

/// An `attest_storage` with both callbacks.
pub(crate) struct CStorage<'a>(pub(crate) &'a attest_storage);

impl Storage for CStorage<'_> {
    type Error = ();

    fn load_boot(&mut self) -> Result<u32, ()> {
        let mut boot = 0;
        let load = self.0.load_boot.ok_or(())?;
        // SAFETY: the header's contract: the callback writes one u32.
        if unsafe { load(self.0.ctx, &raw mut boot) } == 0 { Ok(boot) } else { Err(()) }
    }

    fn store_boot(&mut self, boot: u32) -> Result<(), ()> {
        let store = self.0.store_boot.ok_or(())?;
        // SAFETY: a call by value.
        if unsafe { store(self.0.ctx, boot) } == 0 { Ok(()) } else { Err(()) }
    }
}

impl CheckReceipt for attest_receipt_check {
    fn holds(&self, member: u32, root: &[u8; 32], signature: &[u8; 64]) -> bool {
        // SAFETY: the header's contract: the callback reads 32 and 64 bytes.
        self.holds.is_some_and(|holds| unsafe { holds(self.ctx, member, root.as_ptr(), signature.as_ptr()) } == 0)
    }
}

/// Refuses a struct of a caller that was compiled against another header.
pub(crate) fn same_size<T>(struct_size: u32) -> Result<(), i32> {
    if usize::try_from(struct_size) == Ok(size_of::<T>()) { Ok(()) } else { Err(ATTEST_STRUCT_SIZE) }
}

/// # Safety
/// `pointer` is null or points to a live, initialised `T` that nobody writes during the call.
pub(crate) unsafe fn read<'a, T>(pointer: *const T) -> Result<&'a T, i32> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or(ATTEST_NULL)
}

/// # Safety
/// `pointer` is null or points to a live, initialised `T` that nobody else uses during the call.
pub(crate) unsafe fn write<'a, T>(pointer: *mut T) -> Result<&'a mut T, i32> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or(ATTEST_NULL)
}

/// # Safety
/// `pointer` is null or points to `N` readable bytes.
pub(crate) unsafe fn bytes<'a, const N: usize>(pointer: *const u8) -> Result<&'a [u8; N], i32> {
    // SAFETY: the caller's promise; bytes have no alignment.
    unsafe { read(pointer.cast::<[u8; N]>()) }
}

/// # Safety
/// `pointer` is null or points to `N` writable bytes.
pub(crate) unsafe fn bytes_mut<'a, const N: usize>(pointer: *mut u8) -> Result<&'a mut [u8; N], i32> {
    // SAFETY: the caller's promise; bytes have no alignment.
    unsafe { write(pointer.cast::<[u8; N]>()) }
}

/// # Safety
/// `pointer` points to `len` live items, or `len` is 0.
pub(crate) unsafe fn list<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], i32> {
    match (pointer.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(ATTEST_NULL),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { slice::from_raw_parts(pointer, len) }),
    }
}

/// # Safety
/// `pointer` points to `len` writable bytes that nobody else uses during the call.
pub(crate) unsafe fn buffer<'a>(pointer: *mut u8, len: usize) -> Result<&'a mut [u8], i32> {
    if pointer.is_null() {
        return Err(ATTEST_NULL);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(pointer, len) })
}

/// Turns an inner result into the code that C sees.
pub(crate) fn status(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(crate::status::ATTEST_OK)
}
