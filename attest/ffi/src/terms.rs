//! The committee's keys in the caller's memory: trusted once, followed from term to term, used for beacons.

use attest::{BeaconError, CheckCertificate, GroupKey, Home, TERM_KEYS_LEN, TermError, TermKey, TermKeys};

use crate::{
    status::{ATTEST_CONFLICT, ATTEST_ELSEWHERE, ATTEST_FORM, ATTEST_KEY_NEEDED, ATTEST_UNSIGNED},
    types::{attest_committee, bytes, bytes_mut, list, read, same_size, status},
};

/// A committee's check under one key.
struct Under<'c>(&'c attest_committee, GroupKey);

impl CheckCertificate for Under<'_> {
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool {
        let Self(committee, key) = self;
        // SAFETY: the header's contract: the callback reads 256, 32 and 48 bytes.
        committee.holds.is_some_and(|holds| unsafe {
            holds(committee.ctx, key.as_ptr(), message.as_ptr(), certificate.as_ptr()) == 0
        })
    }
}

/// # Safety
/// `committee` is null or points to a live `attest_committee`.
unsafe fn home<'c>(committee: *const attest_committee) -> Result<(&'c attest_committee, Home), i32> {
    // SAFETY: the caller's promise.
    let given = unsafe { read(committee)? };
    same_size::<attest_committee>(given.struct_size)?;
    let attest_committee { chain_id, registry, committee, epoch_ms, slot_ms, .. } = *given;
    Ok((given, Home { chain_id, registry, committee, epoch_ms, slot_ms }))
}

/// Trusts one term's group key, as the maker or owner gave it.
///
/// # Safety
/// `state` takes `ATTEST_TERMS_LEN` bytes, `group_key` has 256.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_terms_trust(
    state: *mut u8,
    committee: *const attest_committee,
    term: u64,
    group_key: *const u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let trust = || unsafe {
        let key = TermKey { term, group_key: *bytes(group_key)? };
        *bytes_mut(state)? = TermKeys::trust(home(committee)?.1, key).to_bytes();
        Ok(())
    };
    status(trust())
}

/// Follows a payload of the term topic as far as it leads.
///
/// # Safety
/// `state` has `ATTEST_TERMS_LEN` bytes, `payload` has `len`; the callback keeps the header's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_terms_follow(
    state: *mut u8,
    committee: *const attest_committee,
    payload: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let follow = || unsafe {
        let (given, home) = home(committee)?;
        let state: &mut [u8; TERM_KEYS_LEN] = bytes_mut(state)?;
        let mut keys = TermKeys::from_bytes(home, state).ok_or(ATTEST_FORM)?;
        let followed = keys.follow(list(payload, len)?, |key| Under(given, *key));
        *state = keys.to_bytes();
        followed.map(drop).map_err(|why| match why {
            TermError::Form => ATTEST_FORM,
            TermError::Elsewhere => ATTEST_ELSEWHERE,
            TermError::Forged { .. } => ATTEST_UNSIGNED,
            TermError::Conflict { .. } => ATTEST_CONFLICT,
            TermError::Governance { .. } | TermError::Behind { .. } => ATTEST_KEY_NEEDED,
        })
    };
    status(follow())
}

/// Whether a beacon broadcast is the committee's, under the key of its slot.
///
/// # Safety
/// `state` has `ATTEST_TERMS_LEN` bytes, `beacon` has `len`; the callback keeps the header's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_terms_beacon(
    state: *mut u8,
    committee: *const attest_committee,
    beacon: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let check = || unsafe {
        let (given, home) = home(committee)?;
        let state: &mut [u8; TERM_KEYS_LEN] = bytes_mut(state)?;
        let mut keys = TermKeys::from_bytes(home, state).ok_or(ATTEST_FORM)?;
        keys.beacon(list(beacon, len)?, |key| Under(given, *key)).map_err(|why| match why {
            BeaconError::Length => ATTEST_FORM,
            BeaconError::Certificate => ATTEST_UNSIGNED,
        })?;
        *state = keys.to_bytes();
        Ok(())
    };
    status(check())
}
