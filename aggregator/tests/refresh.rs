//! Refreshes in one process: new shares of the same key, absent members, lost shares, liars, and what must not combine.

use std::collections::BTreeSet;

use aggregator::dkg::{Basis, Ceremony, DkgError, DkgIdentity};
use aggregator::{Partial, Share, Sharing, deal_for_tests};

const MESSAGE: [u8; 32] = [0x5a; 32];

fn identity(index: u32) -> DkgIdentity {
    DkgIdentity::from_seed([u8::try_from(index).expect("small") + 1; 32])
}

fn members(n: u32) -> Vec<[u8; 32]> {
    (0..n).map(|index| identity(index).public()).collect()
}

/// One refresh of a whole committee.
struct Refresh {
    old: Sharing,
    absent: BTreeSet<u32>,
    all: Vec<(u32, Ceremony)>,
}

/// What members begin with: the sharing and who still has its share.
fn begin(session: u8, old: &Sharing, shares: &[Option<Share>], absent: &[u32]) -> Refresh {
    let absent: BTreeSet<u32> = absent.iter().copied().collect();
    let one = |index: u32| {
        let share = shares[index as usize].as_ref();
        let basis = Basis { sharing: old, share, absent: &absent };
        let seed = [u8::try_from(index).expect("small") + 100 + session; 32];
        let ceremony = Ceremony::refresh([session; 32], &members(old.n), identity(index), seed, &basis);
        (index, ceremony.expect("a member"))
    };
    let all = (0..old.n).filter(|index| !absent.contains(index)).map(one).collect();
    Refresh { old: old.clone(), absent, all }
}

impl Refresh {
    fn at(&mut self, index: u32) -> &mut Ceremony {
        &mut self.all.iter_mut().find(|(member, _)| *member == index).expect("takes part").1
    }

    /// Delivers all deals and acknowledgements, except where `lost(dealer, player)`.
    fn exchange(&mut self, lost: impl Fn(u32, u32) -> bool) {
        let members: Vec<u32> = self.all.iter().map(|(index, _)| *index).collect();
        for dealer in members {
            for (player, deal) in self.at(dealer).deal() {
                assert!(!self.absent.contains(&player), "nothing is sent to an absent member");
                if !lost(dealer, player) {
                    let ack = self.at(player).receive_deal(dealer, &deal).expect("a good deal").expect("its ack");
                    self.at(dealer).receive_ack(player, &ack).expect("a good ack");
                }
            }
        }
    }

    fn logs(&mut self) -> Vec<Vec<u8>> {
        let dealers = self.all.iter_mut().filter(|(_, one)| one.deals_itself());
        dealers.map(|(_, one)| one.finish_dealing().expect("a log")).collect()
    }

    fn conclude(&mut self, logs: &[Vec<u8>]) -> (Sharing, Vec<Option<Share>>) {
        let mut shares = vec![None; self.old.n as usize];
        let mut sharings = Vec::new();
        for (index, one) in &mut self.all {
            let (sharing, share) = one.conclude(logs).expect("a result");
            assert_eq!(sharing.public_share(*index), Ok(&share.public_share()));
            shares[*index as usize] = Some(share);
            sharings.push(sharing);
        }
        assert!(sharings.iter().all(|one| *one == sharings[0]), "all members see one sharing");
        (sharings.swap_remove(0), shares)
    }
}

fn run(session: u8, old: &Sharing, shares: &[Option<Share>], absent: &[u32]) -> (Sharing, Vec<Option<Share>>) {
    let mut refresh = begin(session, old, shares, absent);
    refresh.exchange(|_, _| false);
    let logs = refresh.logs();
    refresh.conclude(&logs)
}

fn dealt(n: u32) -> (Sharing, Vec<Option<Share>>) {
    let (sharing, shares) = deal_for_tests(n, 7);
    (sharing, shares.into_iter().map(Some).collect())
}

fn partials(shares: &[Option<Share>]) -> Vec<Partial> {
    shares.iter().flatten().map(|share| share.sign(&MESSAGE)).collect()
}

/// Same key, same certificate, other shares; and no mixture of old and new shares gives one.
fn check(old: &Sharing, old_shares: &[Option<Share>], new: &Sharing, new_shares: &[Option<Share>]) {
    assert_eq!((new.n, new.threshold, new.group), (old.n, old.threshold, old.group));
    assert!(old.public_shares.iter().zip(&new.public_shares).all(|(a, b)| a != b), "every share is new");
    assert_eq!(Sharing::decode(&new.encode()).as_ref(), Ok(new));
    let t = old.threshold as usize;
    let (before, after) = (partials(old_shares), partials(new_shares));
    let certificate = new.recover(&MESSAGE, &after[..t]).expect("t new partials");
    assert_eq!(old.recover(&MESSAGE, &before[..t]), Ok(certificate), "the key signs as before");
    for old_ones in 1..t {
        let mixed: Vec<Partial> = before[..old_ones].iter().chain(&after[old_ones..t]).copied().collect();
        assert!(new.recover(&MESSAGE, &mixed).is_err(), "{old_ones} old and {} new partials", t - old_ones);
        assert!(old.recover(&MESSAGE, &mixed).is_err());
    }
}

#[test]
fn shares_change_and_the_key_does_not() {
    for n in [4, 7, 10] {
        let (old, shares) = dealt(n);
        let (new, fresh) = run(1, &old, &shares, &[]);
        check(&old, &shares, &new, &fresh);
        let (newer, fresher) = run(2, &new, &fresh, &[]);
        check(&new, &fresh, &newer, &fresher);
        check(&old, &shares, &newer, &fresher);
    }
}

#[test]
fn f_absent_members_do_not_stop_it_and_get_their_share_next_time() {
    for (n, absent) in [(4, vec![2]), (7, vec![0, 6])] {
        let (old, shares) = dealt(n);
        let (new, fresh) = run(1, &old, &shares, &absent);
        check(&old, &shares, &new, &fresh);
        assert!(absent.iter().all(|index| fresh[*index as usize].is_none()));
        let (newer, fresher) = run(2, &new, &fresh, &[]);
        assert!(fresher.iter().all(Option::is_some), "everybody has a share again");
        check(&old, &shares, &newer, &fresher);
    }
}

#[test]
fn a_member_without_its_share_receives_one_and_deals_nothing() {
    let (old, mut shares) = dealt(4);
    shares[1] = None;
    let mut refresh = begin(1, &old, &shares, &[]);
    assert!(!refresh.at(1).deals_itself() && refresh.at(0).deals_itself());
    assert_eq!(refresh.at(1).finish_dealing(), Err(DkgError::Finished));
    refresh.exchange(|_, _| false);
    let logs = refresh.logs();
    assert_eq!(logs.len(), 3);
    let (new, fresh) = refresh.conclude(&logs);
    check(&old, &shares, &new, &fresh);
    assert!(fresh[1].is_some());
}

#[test]
fn too_few_shares_cannot_refresh() {
    let (old, mut shares) = dealt(4);
    (shares[1], shares[3]) = (None, None);
    let mut refresh = begin(1, &old, &shares, &[]);
    refresh.exchange(|_, _| false);
    let logs = refresh.logs();
    let error = refresh.at(0).conclude(&logs).expect_err("two dealers of three needed");
    assert_eq!(error, DkgError::TooFewLogs { have: 2, need: 3, faulty: vec![] });
}

#[test]
fn a_member_that_acknowledges_nothing_stops_it_by_name() {
    let (old, shares) = dealt(4);
    let mut refresh = begin(1, &old, &shares, &[]);
    refresh.exchange(|_, player| player == 3);
    assert_eq!(refresh.at(0).missing_acks(), [3]);
    let logs = refresh.logs();
    assert_eq!(refresh.at(0).conclude(&logs).expect_err("its share would be public"), DkgError::Revealed(vec![3]));
}

#[test]
fn only_the_share_in_force_can_be_dealt() {
    let (old, shares) = dealt(4);
    let (new, fresh) = run(1, &old, &shares, &[]);
    // With the sharing of before the last refresh, with another's share, with another key.
    let (other, _) = deal_for_tests(4, 8);
    for (sharing, share) in [(&new, &shares[0]), (&new, &fresh[1]), (&other, &fresh[0])] {
        let basis = Basis { sharing, share: share.as_ref(), absent: &BTreeSet::new() };
        let refused = Ceremony::refresh([1; 32], &members(4), identity(0), [1; 32], &basis).map(drop);
        assert!(matches!(refused, Err(DkgError::Basis(_))), "{refused:?}");
    }
    // A dealer that deals something else than its share: refused by everybody, on the deal itself.
    let mut honest = begin(3, &new, &fresh, &[]);
    let mut liar = begin(3, &old, &shares, &[]);
    let (to, deal) = liar.at(2).deal().remove(0);
    assert_eq!(honest.at(to).receive_deal(2, &deal), Err(DkgError::Deal(2)));
    let fresh_key = Ceremony::new([3; 32], &members(4), identity(2), [9; 32]).expect("a member").deal().remove(0);
    assert_eq!(honest.at(fresh_key.0).receive_deal(2, &fresh_key.1), Err(DkgError::Deal(2)));
}

/// The rogue-key case of joint key generation: a dealer that sees the others' commitments and answers with a constant term
/// that cancels them. In a refresh the constant term is tied to the dealer's public share, so there is nothing to choose.
#[test]
fn a_rogue_constant_term_is_refused() {
    let (old, shares) = dealt(4);
    let mut honest = begin(1, &old, &shares, &[]);
    let (to, deal) = honest.at(3).deal().remove(0);
    // The deal: version, number of coefficients, the constant term's 96 bytes, …: put another member's there.
    let mut rogue = deal.clone();
    rogue[2..98].copy_from_slice(&old.public_shares[1].to_bytes());
    assert_ne!(rogue, deal);
    assert_eq!(&deal[2..98], old.public_shares[3].to_bytes(), "the constant term is the dealer's public share");
    assert_eq!(honest.at(to).receive_deal(3, &rogue), Err(DkgError::Deal(3)));
    assert!(honest.at(to).receive_deal(3, &deal).is_ok());
}

#[test]
fn sessions_and_absence_must_be_the_same_for_everybody() {
    let (old, shares) = dealt(4);
    let mut one = begin(1, &old, &shares, &[3]);
    let (to, deal) = one.at(0).deal().remove(0);
    let ack = begin(1, &old, &shares, &[]).at(to).receive_deal(0, &deal).expect("a good deal").expect("its ack");
    assert_eq!(one.at(0).receive_ack(to, &ack), Err(DkgError::Ack(to)), "acknowledged for another list");
    let ack = begin(2, &old, &shares, &[3]).at(to).receive_deal(0, &deal).expect("a good deal").expect("its ack");
    assert_eq!(one.at(0).receive_ack(to, &ack), Err(DkgError::Ack(to)), "acknowledged for another session");
    let refuse = |absent: &[u32], me: u32| {
        let absent: BTreeSet<u32> = absent.iter().copied().collect();
        let basis = Basis { sharing: &old, share: shares[me as usize].as_ref(), absent: &absent };
        Ceremony::refresh([1; 32], &members(4), identity(me), [1; 32], &basis).map(drop)
    };
    assert!(matches!(refuse(&[2, 3], 0), Err(DkgError::Basis(_))), "more than f");
    assert!(matches!(refuse(&[9], 0), Err(DkgError::Basis(_))));
    assert!(matches!(refuse(&[0], 0), Err(DkgError::Basis(_))));
}

#[test]
fn a_restarted_member_repeats_itself() {
    let (old, shares) = dealt(4);
    let mut refresh = begin(1, &old, &shares, &[1]);
    refresh.exchange(|_, _| false);
    let mut again = begin(1, &old, &shares, &[1]);
    assert_eq!(again.at(2).deal(), refresh.at(2).deal(), "the same deals from the same seed");
    for dealer in [0, 3] {
        let (_, deal) = refresh.at(dealer).deal().into_iter().find(|(to, _)| *to == 2).expect("its deal");
        let ack = again.at(2).receive_deal(dealer, &deal).expect("stored").expect("its ack");
        refresh.at(dealer).receive_ack(2, &ack).expect("the same ack");
        let (_, deal) = again.at(2).deal().into_iter().find(|(to, _)| *to == dealer).expect("a deal");
        let ack = refresh.at(dealer).receive_deal(2, &deal).expect("known").expect("the ack again");
        again.at(2).receive_ack(dealer, &ack).expect("a good ack");
    }
    *refresh.at(2) = again.all.remove(1).1;
    let logs = refresh.logs();
    let (new, fresh) = refresh.conclude(&logs);
    check(&old, &shares, &new, &fresh);
}
