//! What a refresh adds to a key generation: the sharing it begins from, in the ceremony library's own form, and the seats
//! of absent members. Leaves out: the ceremony's steps (`ceremony`) and when to refresh.
//!
//! *Absent members.* A refresh must not depend on f members that are away, and a share that its owner has not acknowledged
//! would be published by the library. So an absent member's place is held by a seat whose key anybody can derive from the
//! session: dealers acknowledge in its name, nothing is sent to it and nothing published. Nobody holds that place's new
//! share (fewer than n − f dealers together cannot compute it); its owner gets one from the next refresh, which needs no
//! old share to receive.

use std::collections::BTreeSet;

use blst::min_sig;
use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{
    Dealer, DealerPrivMsg, DealerPubMsg, Info, Output, Player,
};
use commonware_cryptography::bls12381::primitives::group;
use commonware_cryptography::bls12381::primitives::sharing::{Mode, ModeVersion};
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use commonware_cryptography::{Signer as _, ed25519};
use commonware_utils::{N3f1, Participant, ordered::Set};
use core::num::NonZeroU32;
use sha2::{Digest as _, Sha256};

use super::DkgError;
use super::ceremony::library;
use crate::seat::{Seat, SeatKey};
use crate::{Share, Sharing, faults, lagrange};

/// What a refresh begins from.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The sharing in force. The new one has the same group key.
    pub sharing: &'a Sharing,
    /// This member's share of it; `None` if it was lost: the member then receives and does not deal.
    pub share: Option<&'a Share>,
    /// Members that take no part, at most f; the same list for everybody.
    pub absent: &'a BTreeSet<u32>,
}

impl Basis<'_> {
    /// Refuses what does not belong together.
    pub(super) fn check(&self, n: u32, me: u32) -> Result<(), DkgError> {
        if self.sharing.n != n {
            return Err(DkgError::Basis("the sharing has another number of members"));
        }
        if self.absent.contains(&me) {
            return Err(DkgError::Basis("this member is listed as absent"));
        }
        let known = self.absent.iter().all(|index| *index < n);
        if !known || self.absent.len() > usize::try_from(faults(n)).unwrap_or(0) {
            return Err(DkgError::Basis("more than f members, or unknown ones, are listed as absent"));
        }
        let fits = |share: &Share| {
            share.index == me && self.sharing.public_share(me).is_ok_and(|public| *public == share.public_share())
        };
        if self.share.is_some_and(|share| !fits(share)) {
            return Err(DkgError::Basis("the share is not this member's share of the sharing"));
        }
        Ok(())
    }

    /// The sharing as the library's result of an earlier round. The library ties each dealing to its dealer's public share.
    pub(super) fn output(&self, seats: &[Seat]) -> Result<Output<MinSig, Seat>, DkgError> {
        let threshold = usize::try_from(self.sharing.threshold).unwrap_or(usize::MAX);
        let keys = std::iter::once(&self.sharing.group).chain(&self.sharing.public_shares).take(threshold);
        let values: Vec<min_sig::PublicKey> = keys.map(|key| key.0).collect();
        let coefficients: Vec<[u8; 96]> = lagrange::coefficients(&values)
            .ok_or(DkgError::Basis("the sharing has no polynomial"))?
            .iter()
            .map(min_sig::PublicKey::compress)
            .collect();
        let all: Set<Seat> = Set::from_iter_dedup(seats.iter().cloned());
        let none: Set<Seat> = Set::from_iter_dedup([]);
        // The summary names the round that made it; members need only agree on it.
        let summary: [u8; 32] = Sha256::digest(self.sharing.encode()).into();
        let bytes = [
            summary.as_slice(),
            &Mode::NonZeroCounter.encode(),
            &self.sharing.n.encode(),
            &coefficients.encode(),
            &all.encode(),
            &all.encode(),
            &none.encode(),
        ]
        .concat();
        let most = NonZeroU32::new(self.sharing.n).ok_or(DkgError::Basis("no members"))?;
        let output = Output::decode_cfg(Copying(bytes.as_slice()), &(most, ModeVersion::v0())).map_err(library)?;
        // Read back: what the library makes of it must be the sharing that it was made from.
        if super::gates::sharing(&output)? != *self.sharing {
            return Err(DkgError::Basis("the sharing's threshold is not n - f"));
        }
        Ok(output)
    }

    /// The secret that this member deals: its share, in the library's form.
    pub(super) fn secret(&self) -> Result<Option<group::Share>, DkgError> {
        let Some(share) = self.share else { return Ok(None) };
        let secret = share.to_bytes_secret();
        let private = group::Private::decode(Copying(secret.as_slice())).map_err(library)?;
        Ok(Some(group::Share::new(Participant::new(share.index), private)))
    }

    /// The seats of a session: an absent member's is replaced by its stand-in's.
    pub(super) fn players(&self, session: &[u8; 32], seats: &[Seat]) -> Vec<Seat> {
        let seat = |seat: &Seat| match self.absent.contains(&seat.index()) {
            true => stand_in(session, seat.index()).public_key(),
            false => seat.clone(),
        };
        seats.iter().map(seat).collect()
    }
}

/// The key, known to everybody, of an absent member's seat.
fn stand_in(session: &[u8; 32], index: u32) -> SeatKey {
    let seed = Sha256::new_with_prefix(super::NAMESPACE)
        .chain_update(session)
        .chain_update(index.to_be_bytes())
        .chain_update(b"absent")
        .finalize();
    match ed25519::PrivateKey::decode(Copying(seed.as_slice())) {
        Ok(key) => SeatKey::new(index, key),
        // Every 32 bytes are an ed25519 seed.
        Err(error) => unreachable!("32 bytes refused as an ed25519 seed: {error}"),
    }
}

/// Acknowledges a deal in the name of an absent member.
pub(super) fn acknowledge_for(
    session: &[u8; 32],
    info: &Info<MinSig, Seat>,
    dealer: &mut Dealer<MinSig, SeatKey>,
    from: &Seat,
    public: &DealerPubMsg<MinSig>,
    (seat, private): (Seat, DealerPrivMsg),
) -> Result<u32, DkgError> {
    let key = stand_in(session, seat.index());
    let mut player = Player::new(info.clone(), key).map_err(library)?;
    let ack = player.dealer_message::<N3f1>(from.clone(), public.clone(), private).map_err(library)?;
    let ack = ack.ok_or(DkgError::Deal(from.index()))?;
    dealer.receive_player_ack(seat.clone(), ack).map_err(library)?;
    Ok(seat.index())
}
