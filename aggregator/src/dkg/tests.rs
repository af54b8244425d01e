//! What the gates say about a signed log that proves its dealer's fault. No honest member would have acknowledged such
//! a deal, so the last gate is called directly, past the one that asks for everybody's acknowledgement.

use commonware_codec::Encode as _;
use commonware_cryptography::Signer as _;
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{Dealer, Player};
use commonware_utils::{N3f1, N5f1};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::ceremony::Log;
use super::{Ceremony, DkgError, DkgIdentity, gates};
use crate::seat::Seat;

fn ceremonies() -> Vec<Ceremony> {
    let identity = |index: u8| DkgIdentity::from_seed([index + 1; 32]);
    let keys: Vec<_> = (0..4).map(|index| identity(index).public()).collect();
    (0..4).map(|index| Ceremony::new([1; 32], &keys, identity(index), [index; 32]).expect("a member")).collect()
}

/// The log of a dealer who follows another rule for the threshold: a polynomial of degree 3 instead of 2.
fn faulty_log(by: &Ceremony) -> (Seat, Log) {
    let rng = ChaCha20Rng::from_seed([9; 32]);
    let (dealer, ..) = Dealer::start::<N5f1>(rng, by.info.clone(), by.key.clone(), None).expect("a dealer");
    dealer.finalize::<N5f1>().check(&by.info).expect("signed by a member")
}

#[test]
fn a_dealer_with_a_wrong_degree_is_named() {
    let all = ceremonies();
    let one = &all[0];
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    let player = Player::new(one.info.clone(), one.key.clone()).expect("a player");
    let logs = vec![faulty_log(&all[2])];
    let error = gates::conclude(player, &one.info, logs, &mut rng, 0).expect_err("a proven fault");
    assert_eq!(error, DkgError::TooFewLogs { have: 0, need: 3, faulty: vec![2] });
}

#[test]
fn a_log_without_every_acknowledgement_is_not_selected() {
    let all = ceremonies();
    let faulty = faulty_log(&all[2]);
    let error = gates::select(&[faulty], 4).expect_err("no acknowledgement at all");
    assert_eq!(error, DkgError::TooFewLogs { have: 0, need: 3, faulty: vec![] });
    let honest = |index: usize| {
        let rng = ChaCha20Rng::from_seed([index as u8; 32]);
        let one = &all[index];
        let (mut dealer, public, private) =
            Dealer::start::<N3f1>(rng, one.info.clone(), one.key.clone(), None).expect("a dealer");
        // Everybody acknowledges but member 3.
        for ((_, private), other) in private.into_iter().zip(&all[..3]) {
            let mut player = Player::new(other.info.clone(), other.key.clone()).expect("a player");
            let ack = player.dealer_message::<N3f1>(one.key.public_key(), public.clone(), private);
            dealer.receive_player_ack(other.key.public_key(), ack.expect("good").expect("an ack")).expect("its ack");
        }
        dealer.finalize::<N3f1>().check(&one.info).expect("signed by a member")
    };
    let logs: Vec<_> = (0..4).map(honest).collect();
    assert_eq!(gates::select(&logs, 4).expect_err("the gate"), DkgError::Revealed(vec![3]));
}

/// The rogue-key case of a joint key generation: a dealer that waits for the others' commitments and answers with a constant
/// term that cancels them, whose secret it cannot know. It can satisfy t − 1 members, no more, and a log counts only with
/// everybody's acknowledgement: no proof of possession of constant terms is needed beside that.
#[test]
fn a_rogue_dealer_cannot_satisfy_all_members() {
    let mut all = ceremonies();
    let scalar = |byte: u8| crate::Share::from_bytes(0, &[byte; 32]).expect("a scalar");
    // As if it were the negated sum of the others' constant terms and a key of the dealer's own: nobody knows its secret.
    let rogue = crate::deal_for_tests(4, 5).0.group.0;
    // The one polynomial of degree 2 through it and through values that the dealer knows at the points of members 0 and 1.
    let values = [rogue, scalar(1).public_share().0, scalar(2).public_share().0];
    let coefficients = crate::lagrange::coefficients(&values).expect("three points");
    let commitment: Vec<u8> = coefficients.iter().flat_map(blst::min_sig::PublicKey::compress).collect();
    let deal = |secret: u8| [[1, 3].as_slice(), &commitment, &[secret; 32]].concat();
    assert!(all[0].receive_deal(3, &deal(1)).is_ok_and(|ack| ack.is_some()));
    assert!(all[1].receive_deal(3, &deal(2)).is_ok_and(|ack| ack.is_some()));
    for guess in 1..=20 {
        assert_eq!(all[2].receive_deal(3, &deal(guess)), Err(DkgError::Deal(3)), "the third refuses every value");
    }
}

#[test]
fn seats_sort_by_index_and_round_trip() {
    use commonware_codec::{Copying, DecodeExt as _};
    let all = ceremonies();
    let seats: Vec<Seat> = all.iter().map(|one| one.key.public_key()).collect();
    assert!(seats.is_sorted() && (0..).zip(&seats).all(|(index, seat)| seat.index() == index));
    for seat in &seats {
        let bytes = seat.encode();
        assert_eq!(&Seat::decode(Copying(&bytes[..])).expect("its own bytes"), seat);
        assert_eq!(&seat[..4], &seat.index().to_be_bytes());
    }
}
