//! What must hold before a ceremony's result is used: which logs count, and the checks on sharing and share.

use std::collections::BTreeSet;

use commonware_codec::Encode as _;
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{
    DealerLogSummary, Error as LibraryError, Failure, FinalizeError, Info, Logs, Output, Player,
};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, Participant};
use rand_chacha::ChaCha20Rng;

use super::DkgError;
use super::ceremony::{Log, library};
use crate::seat::{Seat, SeatKey};
use crate::{GroupKey, Share, Sharing, quorum};

/// What the gate signs to see that a share works; no instance of the network has this digest.
const TRIAL: [u8; 32] = *b"plumbline/dkg/v1 trial signature";

/// The logs in which every member acknowledged; an error unless there are n − f of them.
pub(super) fn select(logs: &[(Seat, Log)], n: u32) -> Result<Vec<(Seat, Log)>, DkgError> {
    let mut dealers = BTreeSet::new();
    let mut revealed = BTreeSet::new();
    let mut clean = Vec::new();
    for (seat, log) in logs {
        if !dealers.insert(seat.index()) {
            return Err(DkgError::DuplicateLog(seat.index()));
        }
        match log.summary() {
            DealerLogSummary::Ok { reveals, .. } if reveals.is_empty() => clean.push((seat.clone(), log.clone())),
            DealerLogSummary::Ok { reveals, .. } => revealed.extend(reveals.iter().map(Seat::index)),
            DealerLogSummary::TooManyReveals => {}
        }
    }
    let have = u32::try_from(clean.len()).unwrap_or(u32::MAX);
    let need = quorum(n);
    match have >= need {
        true => Ok(clean),
        false if revealed.is_empty() => Err(DkgError::TooFewLogs { have, need, faulty: Vec::new() }),
        false => Err(DkgError::Revealed(revealed.into_iter().collect())),
    }
}

/// Runs the library's last step over the selected logs and applies the gates to its result.
pub(super) fn conclude(
    player: Player<MinSig, SeatKey>,
    info: &Info<MinSig, Seat>,
    selected: Vec<(Seat, Log)>,
    rng: &mut ChaCha20Rng,
    me: u32,
) -> Result<(Sharing, Share), DkgError> {
    let mut logs = Logs::<MinSig, Seat, N3f1>::new(info.clone());
    for (seat, log) in selected {
        logs.record(seat, log);
    }
    let (output, share) = player.finalize::<N3f1>(rng, logs, &Sequential).map_err(failure)?;
    if !output.revealed().is_empty() {
        return Err(DkgError::Revealed(output.revealed().iter().map(Seat::index).collect()));
    }
    let sharing = sharing(&output)?;
    let secret = zeroize::Zeroizing::new(share.private.encode().to_vec());
    let secret = secret.as_slice().try_into().map_err(|_| DkgError::Gate("share is not 32 bytes"))?;
    let share = Share::from_bytes(me, secret).map_err(library)?;
    sharing
        .verify_partial(&TRIAL, &share.sign(&TRIAL))
        .map_err(|_| DkgError::Gate("our share does not sign under our public share"))?;
    Ok((sharing, share))
}

/// Carries the library's public result over into our own type, checking threshold and consistency.
pub(super) fn sharing(output: &Output<MinSig, Seat>) -> Result<Sharing, DkgError> {
    let public = output.public();
    let n = public.total().get();
    if public.required() != quorum(n) {
        return Err(DkgError::Gate("threshold is not n - f"));
    }
    let key = |bytes: &[u8]| {
        let bytes = bytes.try_into().map_err(|_| DkgError::Gate("key is not 96 bytes"))?;
        GroupKey::from_bytes(bytes).map_err(library)
    };
    let group = key(&public.public().encode())?;
    let shares = (0..n)
        .map(|index| key(&public.partial_public(Participant::new(index)).map_err(library)?.encode()))
        .collect::<Result<Vec<_>, _>>()?;
    Sharing::new(group, shares).map_err(|_| DkgError::Gate("public shares do not fit the group key"))
}

/// The library's reasons in our words.
fn failure(error: FinalizeError<Seat>) -> DkgError {
    match error {
        FinalizeError::Failure(Failure::InsufficientLogs { required, found, faults, .. }) => DkgError::TooFewLogs {
            have: found,
            need: required,
            faulty: faults.keys().iter().map(Seat::index).collect(),
        },
        FinalizeError::Error(LibraryError::MissingPlayerDealing | LibraryError::InvalidPersistedDealing { .. }) => {
            DkgError::MissingDeal
        }
        FinalizeError::Error(error) => library(error),
    }
}
