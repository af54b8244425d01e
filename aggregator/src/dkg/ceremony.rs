//! One member's part of one ceremony, up to and including his log.
//! Messages: a version byte, then the ceremony library's own canonical encoding.

use std::collections::{BTreeMap, BTreeSet};

use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{
    Dealer, DealerLog, DealerPrivMsg, DealerPubMsg, Info, Player, PlayerAck, Reveal, SignedDealerLog,
};
use commonware_cryptography::bls12381::primitives::{group, sharing::Mode, variant::MinSig};
use commonware_cryptography::ed25519;
use commonware_utils::{N3f1, ordered::Set};
use core::num::NonZeroU32;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Basis, DkgError, DkgIdentity, NAMESPACE, VERSION, gates, refresh};
use crate::seat::{Seat, SeatKey};
use crate::{GroupKey, MAX_MEMBERS, Share, Sharing};

pub(super) type Log = DealerLog<MinSig, Seat>;
type Opened = (DealerPubMsg<MinSig>, DealerPrivMsg);

/// One member's side of a key generation, or of a refresh, among a fixed list of members.
pub struct Ceremony {
    pub(super) n: NonZeroU32,
    pub(super) me: u32,
    pub(super) key: SeatKey,
    pub(super) info: Info<MinSig, Seat>,
    seats: Vec<Seat>,
    session: [u8; 32],
    /// Members whose places are held by stand-ins.
    absent: BTreeSet<u32>,
    /// In a refresh: the group key that the result must have.
    group: Option<GroupKey>,
    verify_seed: Zeroizing<[u8; 32]>,
    dealer: Option<Dealer<MinSig, SeatKey>>,
    player: Player<MinSig, SeatKey>,
    outgoing: BTreeMap<u32, Zeroizing<Vec<u8>>>,
    received: BTreeMap<u32, (Zeroizing<Vec<u8>>, Vec<u8>)>,
    acks: BTreeSet<u32>,
    log: Option<Vec<u8>>,
}

impl Ceremony {
    /// Starts a ceremony.
    ///
    /// `session` names it (all members use the same, a new attempt uses a new one); `members` are the DKG public keys in
    /// member order; `rng_seed` is secret, drawn once, and kept until the ceremony is over: the same seed repeats the
    /// same deals for this session.
    ///
    /// # Errors
    /// [`DkgError::Members`] or [`DkgError::NotMember`].
    pub fn new(session: [u8; 32], members: &[[u8; 32]], me: DkgIdentity, rng_seed: [u8; 32]) -> Result<Self, DkgError> {
        Self::begin(session, members, me, rng_seed, None)
    }

    /// Starts a refresh: the same members, the same group key, new shares. `basis` is what it begins from.
    ///
    /// The steps are those of a key generation, with three differences: what a member deals is its share; a member without
    /// one deals nothing ([`Ceremony::deals_itself`]); absent members are dealt nothing and are counted as if they had
    /// acknowledged. `rng_seed` must be new in every refresh and be erased after it: whoever learns the seeds of n − f
    /// members and one share knows the group secret.
    ///
    /// # Errors
    /// [`DkgError::Members`], [`DkgError::NotMember`] or [`DkgError::Basis`].
    pub fn refresh(
        session: [u8; 32],
        members: &[[u8; 32]],
        me: DkgIdentity,
        rng_seed: [u8; 32],
        basis: &Basis<'_>,
    ) -> Result<Self, DkgError> {
        Self::begin(session, members, me, rng_seed, Some(basis))
    }

    fn begin(
        session: [u8; 32],
        members: &[[u8; 32]],
        me: DkgIdentity,
        rng_seed: [u8; 32],
        basis: Option<&Basis<'_>>,
    ) -> Result<Self, DkgError> {
        let rng_seed = Zeroizing::new(rng_seed);
        let seats = seats(members)?;
        let n = u32::try_from(seats.len()).ok().and_then(NonZeroU32::new).ok_or(DkgError::Members("empty"))?;
        let own = me.public();
        let index = members.iter().position(|key| *key == own).and_then(|i| u32::try_from(i).ok());
        let index = index.ok_or(DkgError::NotMember)?;
        let key = SeatKey::new(index, me.key);
        if let Some(basis) = basis {
            basis.check(n.get(), index)?;
        }
        let info = info(&session, &seats, basis)?;
        let absent = basis.map(|basis| basis.absent.clone()).unwrap_or_default();
        let player = Player::new(info.clone(), key.clone()).map_err(library)?;
        let verify_seed = Zeroizing::new(derive(b"verify", &session, index, &rng_seed));
        let mut this = Self {
            n,
            me: index,
            key,
            info,
            seats,
            session,
            absent,
            group: basis.map(|basis| basis.sharing.group),
            verify_seed,
            dealer: None,
            player,
            outgoing: BTreeMap::new(),
            received: BTreeMap::new(),
            acks: BTreeSet::new(),
            log: None,
        };
        let secret = basis.map(Basis::secret).transpose()?;
        if secret.as_ref().is_none_or(Option::is_some) {
            let rng = ChaCha20Rng::from_seed(derive(b"deal", &session, index, &rng_seed));
            this.start_dealing(rng, secret.flatten())?;
        }
        Ok(this)
    }

    /// Makes the deals; `secret` is dealt if there is one, else a random value.
    fn start_dealing(&mut self, rng: ChaCha20Rng, secret: Option<group::Share>) -> Result<(), DkgError> {
        let (mut dealer, public, private) =
            Dealer::start::<N3f1>(rng, self.info.clone(), self.key.clone(), secret).map_err(library)?;
        let own = self.seat(self.me)?.clone();
        for (seat, private) in private {
            if self.absent.contains(&seat.index()) {
                let deal = (seat, private);
                let member = refresh::acknowledge_for(&self.session, &self.info, &mut dealer, &own, &public, deal)?;
                self.acks.insert(member);
            } else {
                let deal = message(&[&public.encode(), &private.encode()]);
                self.outgoing.insert(seat.index(), Zeroizing::new(deal));
            }
        }
        self.dealer = Some(dealer);
        self.deal_to_self()
    }

    /// Whether this member deals: in a refresh only one that still has its share.
    #[must_use]
    pub const fn deals_itself(&self) -> bool {
        self.dealer.is_some() || self.log.is_some()
    }

    /// Our own deal never leaves the machine: receive and acknowledge it here.
    fn deal_to_self(&mut self) -> Result<(), DkgError> {
        let own = self.outgoing.remove(&self.me).ok_or(DkgError::Gate("no deal for ourselves"))?;
        if let Some(ack) = self.accept_deal(self.me, &own)? {
            self.accept_ack(self.me, &ack)?;
        }
        Ok(())
    }

    /// The deal for every other member, as (member index, message). Calling it again gives the same messages.
    ///
    /// Each is for that member's eyes only: send it over an authenticated, encrypted channel.
    pub fn deal(&mut self) -> Vec<(u32, Vec<u8>)> {
        self.outgoing.iter().map(|(to, bytes)| (*to, bytes.to_vec())).collect()
    }

    /// Takes another member's deal; `from` is the member that the channel authenticated.
    ///
    /// `Some`: the acknowledgement for him, to be sent once the deal is durable here; the same deal again gives the same
    /// acknowledgement again. `None` is reserved for deals that need no answer and does not occur for other members.
    ///
    /// # Errors
    /// [`DkgError::Peer`], [`DkgError::Encoding`], [`DkgError::Deal`], [`DkgError::Equivocation`].
    pub fn receive_deal(&mut self, from: u32, bytes: &[u8]) -> Result<Option<Vec<u8>>, DkgError> {
        self.other(from)?;
        self.accept_deal(from, bytes)
    }

    fn accept_deal(&mut self, from: u32, bytes: &[u8]) -> Result<Option<Vec<u8>>, DkgError> {
        if let Some((seen, ack)) = self.received.get(&from) {
            return if seen.as_slice() == bytes { Ok(Some(ack.clone())) } else { Err(DkgError::Equivocation(from)) };
        }
        let (public, private) = self.open_deal(bytes)?;
        let seat = self.seat(from)?.clone();
        let ack = self.player.dealer_message::<N3f1>(seat, public, private).map_err(|_| DkgError::Deal(from))?;
        let ack = ack.map(|ack| message(&[&ack.encode()]));
        if let Some(ack) = &ack {
            self.received.insert(from, (Zeroizing::new(bytes.to_vec()), ack.clone()));
        }
        Ok(ack)
    }

    /// Takes a member's acknowledgement of our deal. Repeating it does no harm.
    ///
    /// # Errors
    /// [`DkgError::Peer`], [`DkgError::Encoding`], [`DkgError::Ack`], or [`DkgError::Finished`] after
    /// [`Ceremony::finish_dealing`].
    pub fn receive_ack(&mut self, from: u32, bytes: &[u8]) -> Result<(), DkgError> {
        self.other(from)?;
        self.accept_ack(from, bytes)
    }

    fn accept_ack(&mut self, from: u32, bytes: &[u8]) -> Result<(), DkgError> {
        let body = body(bytes, "acknowledgement")?;
        let ack = PlayerAck::<Seat>::decode(Copying(body)).map_err(|_| DkgError::Encoding("acknowledgement"))?;
        let seat = self.seat(from)?.clone();
        let dealer = self.dealer.as_mut().ok_or(DkgError::Finished)?;
        dealer.receive_player_ack(seat, ack).map_err(|_| DkgError::Ack(from))?;
        self.acks.insert(from);
        Ok(())
    }

    /// How many members, ourselves included, have acknowledged our deal; all of them when it equals the member count.
    #[must_use]
    pub fn acks(&self) -> u32 {
        u32::try_from(self.acks.len()).unwrap_or(u32::MAX)
    }

    /// Members that have not acknowledged our deal.
    #[must_use]
    pub fn missing_acks(&self) -> Vec<u32> {
        (0..self.n.get()).filter(|index| !self.acks.contains(index)).collect()
    }

    /// Signs our dealer log: call it when all acknowledgements are in, or when the time is up.
    ///
    /// A log finished too early publishes the shares of members that have not acknowledged, and helps nobody: see
    /// [`Ceremony::conclude`]. The first log stands; calling again returns it.
    ///
    /// # Errors
    /// None in practice; [`DkgError::Finished`] if the log was lost.
    pub fn finish_dealing(&mut self) -> Result<Vec<u8>, DkgError> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let dealer = self.dealer.take().ok_or(DkgError::Finished)?;
        let log = message(&[&dealer.finalize::<N3f1>().encode()]);
        self.log = Some(log.clone());
        Ok(log)
    }

    /// Checks that a log was signed by a member for this ceremony and returns that member's index.
    ///
    /// Cheap; whether the dealings inside are valid is found out by [`Ceremony::conclude`].
    ///
    /// # Errors
    /// [`DkgError::Encoding`] or [`DkgError::Log`].
    pub fn check_log(&self, bytes: &[u8]) -> Result<u32, DkgError> {
        self.open_log(bytes).map(|(seat, _)| seat.index())
    }

    /// Ends the ceremony: the public sharing, the same for all members, and our own share.
    ///
    /// `logs` is the agreed set, in any order. Gates, each of which only depends on that set:
    ///
    /// - only logs in which *every* member acknowledged count, and n − f of them are needed: no share of the result was
    ///   ever published, not even in part;
    /// - in a refresh, the group key is the one it began with;
    /// - threshold = n − f exactly, and all public shares lie on one polynomial with the group key;
    /// - our own share signs, and the partial verifies under our public share.
    ///
    /// Nothing is used up: on an error the ceremony can go on and conclude with another set.
    ///
    /// # Errors
    /// [`DkgError::TooFewLogs`], [`DkgError::Revealed`], [`DkgError::DuplicateLog`], [`DkgError::Log`],
    /// [`DkgError::Encoding`], [`DkgError::MissingDeal`] or [`DkgError::Gate`].
    pub fn conclude(&mut self, logs: &[Vec<u8>]) -> Result<(Sharing, Share), DkgError> {
        let opened = logs.iter().map(|bytes| self.open_log(bytes)).collect::<Result<Vec<_>, _>>()?;
        let selected = gates::select(&opened, self.n.get())?;
        // A fresh player, so that a failed attempt costs nothing.
        let mut player = Player::new(self.info.clone(), self.key.clone()).map_err(library)?;
        for (from, (bytes, _)) in &self.received {
            let (public, private) = self.open_deal(bytes)?;
            let seat = self.seat(*from)?.clone();
            player.dealer_message::<N3f1>(seat, public, private).map_err(|_| DkgError::Deal(*from))?;
        }
        let mut rng = ChaCha20Rng::from_seed(*self.verify_seed);
        let (sharing, share) = gates::conclude(player, &self.info, selected, &mut rng, self.me)?;
        match self.group {
            Some(group) if group != sharing.group => Err(DkgError::Gate("the group key has changed")),
            _ => Ok((sharing, share)),
        }
    }

    /// Reads and authenticates a log.
    fn open_log(&self, bytes: &[u8]) -> Result<(Seat, Log), DkgError> {
        let body = body(bytes, "log")?;
        let log = SignedDealerLog::<MinSig, Seat>::decode_cfg(Copying(body), &self.n)
            .map_err(|_| DkgError::Encoding("log"))?;
        let (seat, log) = log.check(&self.info).ok_or(DkgError::Log)?;
        if self.seats.contains(&seat) { Ok((seat, log)) } else { Err(DkgError::Log) }
    }

    /// Reads a deal: the public part, then the 32 bytes for us.
    fn open_deal(&self, bytes: &[u8]) -> Result<Opened, DkgError> {
        let body = body(bytes, "deal")?;
        <Opened>::decode_cfg(Copying(body), &(self.n, ())).map_err(|_| DkgError::Encoding("deal"))
    }

    fn seat(&self, index: u32) -> Result<&Seat, DkgError> {
        usize::try_from(index).ok().and_then(|i| self.seats.get(i)).ok_or(DkgError::Peer(index))
    }

    /// A member other than ourselves.
    fn other(&self, index: u32) -> Result<(), DkgError> {
        if index == self.me || index >= self.n.get() { Err(DkgError::Peer(index)) } else { Ok(()) }
    }
}

impl core::fmt::Debug for Ceremony {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ceremony")
            .field("me", &self.me)
            .field("n", &self.n)
            .field("acks", &self.acks)
            .field("received", &self.received.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What the library binds every signature of the ceremony to.
fn info(session: &[u8; 32], seats: &[Seat], basis: Option<&Basis<'_>>) -> Result<Info<MinSig, Seat>, DkgError> {
    let namespace = [NAMESPACE, session].concat();
    let set = |seats: Vec<Seat>| Set::from_iter_dedup(seats);
    let (previous, dealers, players) = match basis {
        None => (None, seats.to_vec(), seats.to_vec()),
        Some(basis) => {
            let present = seats.iter().filter(|seat| !basis.absent.contains(&seat.index())).cloned().collect();
            (Some(basis.output(seats)?), present, basis.players(session, seats))
        }
    };
    let round = u64::from(previous.is_some());
    Info::new::<N3f1>(&namespace, round, previous, Mode::NonZeroCounter, Reveal::V1, set(dealers), set(players))
        .map_err(library)
}

/// Seats of the members, refusing what is not a list of distinct ed25519 keys.
fn seats(members: &[[u8; 32]]) -> Result<Vec<Seat>, DkgError> {
    if members.is_empty() || u32::try_from(members.len()).is_ok_and(|n| n > MAX_MEMBERS) {
        return Err(DkgError::Members("number of members out of range"));
    }
    if members.iter().collect::<BTreeSet<_>>().len() != members.len() {
        return Err(DkgError::Members("a key is repeated"));
    }
    (0..)
        .zip(members)
        .map(|(index, key)| {
            let key = ed25519::PublicKey::decode(Copying(key.as_slice()))
                .map_err(|_| DkgError::Members("not an ed25519 key"))?;
            Ok(Seat::new(index, key))
        })
        .collect()
}

/// Seed of one use of the ceremony's randomness.
fn derive(usage: &[u8], session: &[u8; 32], index: u32, seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix(NAMESPACE)
        .chain_update(seed)
        .chain_update(session)
        .chain_update(index.to_be_bytes())
        .chain_update(usage)
        .finalize()
        .into()
}

/// A message: version, then its parts.
fn message(parts: &[&[u8]]) -> Vec<u8> {
    [&[VERSION], parts.concat().as_slice()].concat()
}

/// What follows the version byte.
fn body<'a>(bytes: &'a [u8], kind: &'static str) -> Result<&'a [u8], DkgError> {
    bytes.strip_prefix(&[VERSION]).ok_or(DkgError::Encoding(kind))
}

pub(super) fn library(error: impl core::fmt::Display) -> DkgError {
    DkgError::Library(error.to_string())
}
