//! Whole ceremonies in one process, and everything that must make one fail.

use aggregator::dkg::{Ceremony, DkgError, DkgIdentity};
use aggregator::{Partial, Share, Sharing, quorum};
use proptest::prelude::*;

const SESSION: [u8; 32] = [1; 32];
const MESSAGE: [u8; 32] = [0x5a; 32];

fn identity(index: u32) -> DkgIdentity {
    let mut seed = [0; 32];
    seed[0] = index as u8 + 1;
    DkgIdentity::from_seed(seed)
}

fn members(n: u32) -> Vec<[u8; 32]> {
    (0..n).map(|index| identity(index).public()).collect()
}

fn ceremony(session: [u8; 32], n: u32, index: u32) -> Ceremony {
    Ceremony::new(session, &members(n), identity(index), [index as u8 + 100; 32]).expect("a member")
}

fn ceremonies(n: u32) -> Vec<Ceremony> {
    (0..n).map(|index| ceremony(SESSION, n, index)).collect()
}

/// Delivers all deals and acknowledgements, except where `lost(dealer, player)`.
fn exchange(all: &mut [Ceremony], lost: impl Fn(u32, u32) -> bool) {
    for dealer in 0..all.len() as u32 {
        for (player, deal) in all[dealer as usize].deal() {
            if lost(dealer, player) {
                continue;
            }
            let ack = all[player as usize].receive_deal(dealer, &deal).expect("a good deal").expect("its ack");
            all[dealer as usize].receive_ack(player, &ack).expect("a good ack");
        }
    }
}

fn finish(all: &mut [Ceremony]) -> Vec<Vec<u8>> {
    all.iter_mut().map(|one| one.finish_dealing().expect("a log")).collect()
}

fn conclude(all: &mut [Ceremony], logs: &[Vec<u8>]) -> Vec<(Sharing, Share)> {
    all.iter_mut().map(|one| one.conclude(logs).expect("a result")).collect()
}

fn check_result(n: u32, results: &[(Sharing, Share)]) {
    let (sharing, _) = &results[0];
    assert_eq!((sharing.n, sharing.threshold), (n, quorum(n)));
    let mut partials: Vec<Partial> = Vec::new();
    for (index, (theirs, share)) in (0..).zip(results) {
        assert_eq!(theirs, sharing, "all members see one sharing");
        assert_eq!(share.index, index);
        assert_eq!(share.public_share(), sharing.public_shares[index as usize]);
        partials.push(share.sign(&MESSAGE));
    }
    let t = sharing.threshold as usize;
    let certificate = sharing.recover(&MESSAGE, &partials[..t]).expect("the first t");
    partials.reverse();
    assert_eq!(sharing.recover(&MESSAGE, &partials[..t]), Ok(certificate));
    let key = blst::min_sig::PublicKey::key_validate(&sharing.group.to_bytes()).expect("a key");
    let signature = blst::min_sig::Signature::sig_validate(&certificate.to_bytes(), true).expect("a signature");
    assert_eq!(
        signature.verify(true, &MESSAGE, b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_", &[], &key, true),
        blst::BLST_ERROR::BLST_SUCCESS
    );
    assert_eq!(Sharing::decode(&sharing.encode()).as_ref(), Ok(sharing));
}

#[test]
fn four_and_seven_and_few_members() {
    for n in [1, 2, 4, 7] {
        let mut all = ceremonies(n);
        exchange(&mut all, |_, _| false);
        assert!(all.iter().all(|one| one.acks() == n && one.missing_acks().is_empty()));
        let logs = finish(&mut all);
        for (index, log) in (0..).zip(&logs) {
            assert!(all.iter().all(|one| one.check_log(log) == Ok(index)));
        }
        let results = conclude(&mut all, &logs);
        check_result(n, &results);
        // The order of the logs does not matter, and concluding twice gives the same.
        let backwards: Vec<_> = logs.iter().rev().cloned().collect();
        assert_eq!(conclude(&mut all, &backwards)[0].0, results[0].0);
    }
}

#[test]
fn n_minus_f_logs_are_enough_and_fewer_are_not() {
    let mut all = ceremonies(4);
    exchange(&mut all, |_, _| false);
    let logs = finish(&mut all);
    let results = conclude(&mut all, &logs[1..]);
    check_result(4, &results);
    let error = all[0].conclude(&logs[2..]).expect_err("two logs of four");
    assert_eq!(error, DkgError::TooFewLogs { have: 2, need: 3, faulty: vec![] });
    let twice = [logs[0].clone(), logs[1].clone(), logs[0].clone()];
    assert_eq!(all[0].conclude(&twice).expect_err("a log twice"), DkgError::DuplicateLog(0));
}

#[test]
fn a_member_that_acknowledges_nothing_stops_the_ceremony_by_name() {
    let mut all = ceremonies(4);
    exchange(&mut all, |_, player| player == 2);
    assert_eq!(all[0].acks(), 3);
    assert_eq!(all[0].missing_acks(), [2]);
    let logs = finish(&mut all);
    for one in &mut all {
        assert_eq!(one.conclude(&logs).expect_err("the gate"), DkgError::Revealed(vec![2]));
    }
}

#[test]
fn one_missing_acknowledgement_costs_that_log_only() {
    let mut all = ceremonies(4);
    exchange(&mut all, |dealer, player| (dealer, player) == (0, 3));
    let logs = finish(&mut all);
    let results = conclude(&mut all, &logs);
    check_result(4, &results);
    assert_eq!(conclude(&mut all, &logs[1..])[0].0, results[0].0, "the log with a reveal is not used");
    let error = all[1].conclude(&logs[..3]).expect_err("only two logs without a reveal");
    assert_eq!(error, DkgError::Revealed(vec![3]));
}

#[test]
fn a_dealer_that_signs_too_early_does_not_help() {
    let mut all = ceremonies(4);
    let early = all[0].finish_dealing().expect("a log");
    assert_eq!(all[0].finish_dealing().as_ref(), Ok(&early), "the first log stands");
    let deal = all[0].deal().remove(0).1;
    let ack = all[1].receive_deal(0, &deal).expect("a good deal").expect("its ack");
    assert_eq!(all[0].receive_ack(1, &ack), Err(DkgError::Finished));
    assert_eq!(all[1].check_log(&early), Ok(0));
    let error = all[1].conclude(&[early]).expect_err("one log without results");
    assert_eq!(error, DkgError::TooFewLogs { have: 0, need: 3, faulty: vec![] });
}

#[test]
fn tampered_deals_are_refused() {
    let mut all = ceremonies(4);
    let (player, deal) = all[0].deal().remove(0);
    assert_eq!(player, 1);
    // The last byte belongs to the secret share, an early one to a point of the commitment.
    let mut share = deal.clone();
    *share.last_mut().expect("bytes") ^= 1;
    assert_eq!(all[1].receive_deal(0, &share), Err(DkgError::Deal(0)));
    let mut commitment = deal.clone();
    commitment[20] ^= 1;
    assert!(all[1].receive_deal(0, &commitment).is_err());
    for bad in [&[][..], &deal[..deal.len() - 1], &[deal.as_slice(), &[0]].concat(), &[2]] {
        assert_eq!(all[1].receive_deal(0, bad), Err(DkgError::Encoding("deal")));
    }
    // Meant for somebody else, or said to be from somebody else.
    assert_eq!(all[2].receive_deal(0, &deal), Err(DkgError::Deal(0)));
    assert_eq!(all[1].receive_deal(1, &deal), Err(DkgError::Peer(1)));
    assert_eq!(all[1].receive_deal(4, &deal), Err(DkgError::Peer(4)));
    // None of that keeps the good deal out; a second one from the same dealer is kept out.
    let ack = all[1].receive_deal(0, &deal).expect("a good deal");
    assert_eq!(all[1].receive_deal(0, &deal), Ok(ack), "the same again gets the same answer");
    assert_eq!(all[1].receive_deal(0, &share), Err(DkgError::Equivocation(0)));
}

#[test]
fn a_commitment_of_another_degree_is_refused() {
    // A dealer who believes in seven members deals a polynomial of degree 4, not 2.
    let mut four = ceremony(SESSION, 4, 1);
    let (_, deal) = ceremony(SESSION, 7, 0).deal().remove(0);
    assert!(matches!(four.receive_deal(0, &deal), Err(DkgError::Deal(0) | DkgError::Encoding(_))));
    let mut seven = ceremony(SESSION, 7, 1);
    let (_, deal) = ceremony(SESSION, 4, 0).deal().remove(0);
    assert_eq!(seven.receive_deal(0, &deal), Err(DkgError::Deal(0)));
}

#[test]
fn acknowledgements_count_for_their_deal_session_and_member_only() {
    let mut all = ceremonies(4);
    let deal = |all: &mut Vec<Ceremony>, dealer: usize, player: usize| {
        all[dealer].deal().into_iter().find(|(to, _)| *to as usize == player).expect("his deal").1
    };
    let bytes = deal(&mut all, 0, 1);
    let ack = all[1].receive_deal(0, &bytes).expect("a good deal").expect("its ack");
    assert_eq!(all[0].receive_ack(2, &ack), Err(DkgError::Ack(2)));
    assert_eq!(all[2].receive_ack(1, &ack), Err(DkgError::Ack(1)));
    assert_eq!(all[0].receive_ack(0, &ack), Err(DkgError::Peer(0)));
    assert_eq!(all[0].receive_ack(1, &ack[..10]), Err(DkgError::Encoding("acknowledgement")));
    let mut other_session = ceremony([2; 32], 4, 0);
    assert_eq!(other_session.receive_ack(1, &ack), Err(DkgError::Ack(1)));
    assert_eq!(all[0].acks(), 1, "only our own");
    all[0].receive_ack(1, &ack).expect("the real one");
    all[0].receive_ack(1, &ack).expect("again");
    assert_eq!(all[0].acks(), 2);
}

#[test]
fn logs_of_other_sessions_members_and_forgers_are_refused() {
    let mut all = ceremonies(4);
    exchange(&mut all, |_, _| false);
    let mut logs = finish(&mut all);
    assert_eq!(ceremony([2; 32], 4, 0).check_log(&logs[0]), Err(DkgError::Log));
    assert_eq!(all[0].check_log(&[]), Err(DkgError::Encoding("log")));
    assert_eq!(all[0].check_log(&[logs[0].as_slice(), &[0]].concat()), Err(DkgError::Encoding("log")));
    for at in [1, 5, 60, logs[0].len() - 100, logs[0].len() - 1] {
        let mut forged = logs[0].clone();
        forged[at] ^= 1;
        assert!(all[0].check_log(&forged).is_err(), "byte {at}");
    }
    *logs[0].last_mut().expect("bytes") ^= 1;
    assert_eq!(all[1].conclude(&logs).expect_err("a forged log in the set"), DkgError::Log);
}

#[test]
fn a_restarted_member_repeats_itself_and_finishes() {
    let mut all = ceremonies(4);
    exchange(&mut all, |_, _| false);
    // Member 2 comes back with nothing but its seed and the deals and acknowledgements that it stored.
    let deals: Vec<(u32, Vec<u8>)> = [0u32, 1, 3]
        .map(|dealer| {
            let sent = all[dealer as usize].deal().into_iter().find(|(to, _)| *to == 2);
            (dealer, sent.expect("his deal").1)
        })
        .to_vec();
    let mut again = ceremony(SESSION, 4, 2);
    assert_eq!(again.deal(), all[2].deal(), "the same deals");
    let mine = again.deal();
    for (dealer, deal) in &deals {
        let ack = again.receive_deal(*dealer, deal).expect("a stored deal").expect("its ack");
        all[*dealer as usize].receive_ack(2, &ack).expect("the same ack as before");
        let (_, deal) = mine.iter().find(|(to, _)| to == dealer).expect("a deal for everybody");
        let ack = all[*dealer as usize].receive_deal(2, deal).expect("known").expect("the ack again");
        again.receive_ack(*dealer, &ack).expect("a good ack");
    }
    let mut amnesiac = ceremony(SESSION, 4, 2);
    all[2] = again;
    let logs = finish(&mut all);
    check_result(4, &conclude(&mut all, &logs));
    assert_eq!(amnesiac.conclude(&logs).expect_err("it acknowledged deals it lost"), DkgError::MissingDeal);
}

#[test]
fn member_lists_are_checked() {
    let keys = members(4);
    let new = |keys: &[[u8; 32]], me| Ceremony::new(SESSION, keys, identity(me), [0; 32]).map(drop);
    assert_eq!(new(&keys, 0), Ok(()));
    assert_eq!(new(&keys, 9), Err(DkgError::NotMember));
    assert!(matches!(new(&[], 0), Err(DkgError::Members(_))));
    assert!(matches!(new(&[keys[0], keys[1], keys[0]], 0), Err(DkgError::Members(_))));
    let mut not_a_point = keys.clone();
    not_a_point[3] = [2; 32];
    assert!(matches!(new(&not_a_point, 0), Err(DkgError::Members(_))));
    assert!(matches!(new(&vec![keys[0]; 257], 0), Err(DkgError::Members(_))));
}

#[test]
fn member_order_decides_the_share_index_not_the_keys() {
    // Whatever order the keys sort in, member i holds the share at i + 1: reversing the list reverses nothing else.
    let mut keys = members(4);
    keys.reverse();
    let mut all: Vec<Ceremony> = (0..4)
        .map(|index| Ceremony::new(SESSION, &keys, identity(3 - index), [index as u8; 32]).expect("a member"))
        .collect();
    exchange(&mut all, |_, _| false);
    let logs = finish(&mut all);
    check_result(4, &conclude(&mut all, &logs));
}

#[test]
fn nothing_secret_is_printed() {
    let one = ceremony(SESSION, 4, 1);
    let shown = format!("{one:?} {:?}", identity(1));
    assert!(shown.starts_with("Ceremony { me: 1"), "{shown}");
    assert!(!shown.contains(&"65".repeat(8)) && shown.contains(&hex::encode(identity(1).public())), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), version: bool) {
        let bytes = if version { [&[1], bytes.as_slice()].concat() } else { bytes };
        let mut one = ceremony(SESSION, 4, 1);
        prop_assert!(one.receive_deal(0, &bytes).is_err());
        prop_assert!(one.receive_ack(0, &bytes).is_err());
        prop_assert!(one.check_log(&bytes).is_err());
        prop_assert!(one.conclude(&[bytes]).is_err());
    }

    #[test]
    fn no_changed_byte_is_accepted(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut all = ceremonies(4);
        let change = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes
        };
        let (_, deal) = all[0].deal().remove(0);
        prop_assert!(all[1].receive_deal(0, &change(&deal)).is_err());
        let ack = all[1].receive_deal(0, &deal).expect("a good deal").expect("its ack");
        prop_assert!(all[0].receive_ack(1, &change(&ack)).is_err());
        exchange(&mut all, |_, _| false);
        let log = all[0].finish_dealing().expect("a log");
        prop_assert!(all[1].check_log(&change(&log)).is_err());
    }
}
