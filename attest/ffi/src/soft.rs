//! Software signers as ready callbacks: `ctx` points to the caller's 32-byte seed. For devices without a secure
//! element; both keys are rebuilt for every signature, so that no second copy of the secret stays in memory.

use core::ffi::c_void;

use attest::Signer;
#[cfg(feature = "soft-ed25519")]
use attest::SoftEd25519;
#[cfg(feature = "soft-p256")]
use attest::SoftP256;

use crate::{
    status::ATTEST_SIGN,
    types::{attest_signer, bytes, bytes_mut, status, write},
};

/// Fills a signer that signs with Ed25519 from a 32-byte seed; `seed` must outlive every device that uses it.
///
/// # Safety
/// `seed` has 32 bytes, `signer` is writable.
#[cfg(feature = "soft-ed25519")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_soft_ed25519(seed: *mut u8, signer: *mut attest_signer) -> i32 {
    // SAFETY: the caller's promise.
    let fill = || unsafe {
        let key = SoftEd25519::from_seed(*bytes(seed)?).public_key();
        *write(signer)? = prepared(1, key.bytes(), seed.cast(), Some(ed25519), None);
        Ok(())
    };
    status(fill())
}

/// Fills a signer that signs with P-256 from a 32-byte seed; `seed` must outlive every device that uses it.
///
/// # Safety
/// `seed` has 32 bytes, `signer` is writable.
#[cfg(feature = "soft-p256")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_soft_p256(seed: *mut u8, signer: *mut attest_signer) -> i32 {
    // SAFETY: the caller's promise.
    let fill = || unsafe {
        let key = SoftP256::from_seed(*bytes(seed)?).public_key();
        *write(signer)? = prepared(2, key.bytes(), seed.cast(), None, Some(p256));
        Ok(())
    };
    status(fill())
}

fn prepared(
    alg: u32,
    key: &[u8],
    ctx: *mut c_void,
    sign_message: crate::SignMessage,
    sign_digest: crate::SignDigest,
) -> attest_signer {
    let mut public_key = [0; 64];
    for (slot, byte) in public_key.iter_mut().zip(key) {
        *slot = *byte;
    }
    let struct_size = u32::try_from(size_of::<attest_signer>()).unwrap_or(0);
    attest_signer { struct_size, alg, public_key, ctx, sign_message, sign_digest }
}

#[cfg(feature = "soft-ed25519")]
unsafe extern "C" fn ed25519(ctx: *mut c_void, message: *const u8, len: usize, signature: *mut u8) -> i32 {
    // SAFETY: called by `CSigner::sign` with the seed that `attest_soft_ed25519` was given.
    let sign = || unsafe {
        let signed = SoftEd25519::from_seed(*bytes(ctx.cast())?)
            .sign(attest::ToBeSigned::new(crate::types::list(message, len)?));
        *bytes_mut(signature)? = signed.map_err(|_| ATTEST_SIGN)?;
        Ok(())
    };
    status(sign())
}

#[cfg(feature = "soft-p256")]
unsafe extern "C" fn p256(ctx: *mut c_void, digest: *const u8, signature: *mut u8) -> i32 {
    // SAFETY: called by `CSigner::sign` with the seed that `attest_soft_p256` was given.
    let sign = || unsafe {
        let signed = SoftP256::from_seed(*bytes(ctx.cast())?).sign_prehashed(bytes(digest)?);
        *bytes_mut(signature)? = signed.map_err(|_| ATTEST_SIGN)?;
        Ok(())
    };
    status(sign())
}
