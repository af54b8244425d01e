//! The beacon of a committee of four, its keys dealt by the test dealer.

use aggregator::deal_for_tests;
use alloy_primitives::{Address, B256};

use super::*;

const GENESIS: u64 = 1_000_000;
const SLOT: u64 = 1_000;

fn term() -> Term {
    let scope =
        Scope { chain_id: 31_337, registry: Address::repeat_byte(7), committee: 2, term: 3, config_digest: B256::ZERO };
    Term { scope, members: vec![], book_root: B256::ZERO, epoch_ms: 15_000, slot_ms: SLOT, genesis_ms: Some(GENESIS) }
}

fn committee() -> Vec<Beacon> {
    let (sharing, shares) = deal_for_tests(4, 42);
    let sharing = Arc::new(sharing);
    let beacon = |(me, share)| Beacon::new(term(), Arc::clone(&sharing), Arc::new(share), me);
    (0..).zip(shares).map(beacon).collect()
}

/// What was broadcast.
fn said(effects: &[Effect]) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Broadcast(bytes) => Some(Message::decode(bytes).unwrap()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

/// The own partials that were broadcast: (slot, bytes).
fn partials(effects: &[Effect]) -> Vec<(u64, [u8; 48])> {
    let partial = |message| match message {
        Message::BeaconPartial(_, slot, bytes) => Some((slot, *bytes)),
        _ => None,
    };
    said(effects).into_iter().filter_map(partial).collect()
}

/// The certificates given to the devices.
fn to_devices(effects: &[Effect]) -> Vec<u64> {
    effects.iter().filter_map(|e| if let Effect::Beacon { slot, .. } = e { Some(*slot) } else { None }).collect()
}

fn notes(effects: &[Effect]) -> Vec<&str> {
    effects.iter().filter_map(|e| if let Effect::Note { text, .. } = e { Some(text.as_str()) } else { None }).collect()
}

fn own(beacon: &mut Beacon, slot: u64) -> [u8; 48] {
    let all = partials(&beacon.on_tick(GENESIS + slot * SLOT));
    all.into_iter().find(|(s, _)| *s == slot).unwrap().1
}

#[test]
fn the_message_is_the_protocols() {
    let scope = term().scope;
    let mut bytes = b"plumbline/beacon/v1".to_vec();
    bytes.extend(scope.network());
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 4]);
    assert_eq!(message(&scope, 260), <[u8; 32]>::from(Sha256::digest(bytes)));
}

#[test]
fn nothing_leaves_before_the_slot_starts() {
    let mut beacon = committee().remove(0);
    assert_eq!(beacon.next_wakeup(), Some(GENESIS));
    assert!(beacon.on_tick(GENESIS - 1).is_empty());
    assert_eq!(partials(&beacon.on_tick(GENESIS)).first().unwrap().0, 0);
    assert!(beacon.on_tick(GENESIS + 1).is_empty());
    let early = beacon.on_tick(GENESIS + SLOT - 1);
    assert!(partials(&early).iter().all(|(slot, _)| *slot == 0), "slot 0 may be repeated, slot 1 has not begun");
    assert!(partials(&beacon.on_tick(GENESIS + SLOT)).iter().any(|(slot, _)| *slot == 1));
}

#[test]
fn three_of_four_recover_the_same_certificate_once_and_lateness_is_measured() {
    let mut nodes = committee();
    let sent: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 5)).collect();
    let at = GENESIS + 5 * SLOT;
    assert!(to_devices(&nodes[0].on_partial(at + 10, 1, 1, 5, &sent[1])).is_empty(), "two are too few");
    let done = nodes[0].on_partial(at + 37, 2, 2, 5, &sent[2]);
    assert_eq!(to_devices(&done), vec![5]);
    let certificate = nodes[0].certificate(5).unwrap();
    assert_eq!(said(&done), vec![Message::Beacon(5, certificate.into())]);
    assert!(nodes[0].on_partial(at + 40, 3, 3, 5, &sent[3]).is_empty(), "once");
    nodes[3].on_partial(at + 1, 1, 1, 5, &sent[1]);
    nodes[3].on_partial(at + 2, 2, 2, 5, &sent[2]);
    assert_eq!(nodes[3].certificate(5), Some(certificate), "whichever three");
    assert_eq!(nodes[0].lateness(4..7), vec![LATENESS_MISSING, 37, LATENESS_MISSING]);
    assert_eq!(nodes[3].lateness(5..6), vec![2]);
    let signature = Signature::from_bytes(&certificate).unwrap();
    nodes[0].keys.group().verify(&message(&term().scope, 5), &signature).unwrap();
}

#[test]
fn an_early_partial_is_kept_and_not_acted_on() {
    let mut nodes = committee();
    let sent: Vec<[u8; 48]> = nodes.iter_mut().skip(1).map(|node| own(node, 2)).collect();
    let at = GENESIS + 2 * SLOT;
    for (member, partial) in (1..).zip(&sent) {
        assert!(nodes[0].on_partial(at - 300, member, member, 2, partial).is_empty(), "not before the own slot start");
    }
    assert_eq!(nodes[0].certificate(2), None);
    assert_eq!(to_devices(&nodes[0].on_tick(at)), vec![2]);
    assert_eq!(nodes[0].lateness(2..3), vec![0]);
}

#[test]
fn bounds_ahead_and_behind() {
    let mut nodes = committee();
    let (at, far) = (GENESIS + 100 * SLOT, 101 + limits::SLOTS_AHEAD_MAX);
    nodes[0].on_tick(at);
    let partial = own(&mut nodes[1], far);
    nodes[0].on_partial(at, 1, 1, far, &partial);
    assert!(!nodes[0].slots.contains_key(&far), "too far ahead");
    nodes[0].on_partial(at, 1, 1, far - 1, &partial);
    assert!(nodes[0].slots.contains_key(&(far - 1)), "just within");
    nodes[0].on_partial(at, 1, 1, 100 - PARTIALS_BACK - 1, &partial);
    assert!(!nodes[0].slots.contains_key(&(100 - PARTIALS_BACK - 1)), "too old");
    nodes[0].on_partial(at, 4, 4, 100, &partial);
    nodes[0].on_partial(at, 0, 0, 100, &partial);
    assert_eq!(nodes[0].slots[&100].partials.len(), 1, "strangers, and others in this member's name");
}

#[test]
fn a_node_that_wakes_late_releases_two_slots_back_at_most() {
    let mut beacon = committee().remove(0);
    let slots: Vec<u64> =
        partials(&beacon.on_tick(GENESIS + 50 * SLOT + 10)).into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(slots, vec![48, 49, 50]);
    assert_eq!(beacon.next_wakeup(), Some(GENESIS + 50 * SLOT + 10 + REPEAT_MS));
}

#[test]
fn rubbish_is_named_and_cannot_take_another_members_seat() {
    let mut nodes = committee();
    let good: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 1)).collect();
    let wrong: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 3)).collect();
    let at = GENESIS + SLOT;
    assert_eq!(notes(&nodes[0].on_partial(at, 1, 1, 1, &[0xff; 48])).len(), 1, "not even a point");
    assert!(notes(&nodes[0].on_partial(at, 1, 1, 1, &wrong[1])).is_empty(), "not looked at yet");
    let failed = nodes[0].on_partial(at, 2, 2, 1, &good[2]);
    assert!(notes(&failed).first().is_some_and(|text| text.contains("[1]")), "{failed:?}");
    assert!(to_devices(&failed).is_empty());
    assert_eq!(
        to_devices(&nodes[0].on_partial(at + 5, 1, 1, 1, &good[1])),
        vec![1],
        "the seat is free for the true one"
    );

    // Rubbish first, the true one second: the difference is settled at once.
    nodes[3].on_partial(at, 1, 1, 1, &wrong[1]);
    assert_eq!(notes(&nodes[3].on_partial(at, 1, 1, 1, &good[1])).len(), 1);
    assert_eq!(to_devices(&nodes[3].on_partial(at, 2, 2, 1, &good[2])), vec![1]);
    // And the other way round: the true one stays.
    nodes[2].on_partial(at, 1, 1, 1, &good[1]);
    nodes[2].on_partial(at, 1, 1, 1, &wrong[1]);
    assert_eq!(to_devices(&nodes[2].on_partial(at, 3, 3, 1, &good[3])), vec![1]);
}

#[test]
fn certificates_from_peers_are_verified_and_late_ones_kept_for_the_record() {
    let mut nodes = committee();
    let sent: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 1)).collect();
    nodes[0].on_partial(GENESIS + SLOT, 1, 1, 1, &sent[1]);
    nodes[0].on_partial(GENESIS + SLOT, 2, 2, 1, &sent[2]);
    let certificate = nodes[0].certificate(1).unwrap();
    let other = &mut nodes[3];
    assert_eq!(notes(&other.on_certificate(GENESIS + 3 * SLOT, 2, &certificate)).len(), 1, "of another slot");
    assert_eq!(other.certificate(2), None);
    assert_eq!(to_devices(&other.on_certificate(GENESIS + 3 * SLOT + 7, 1, &certificate)), vec![1]);
    assert!(other.on_certificate(GENESIS + 4 * SLOT, 1, &certificate).is_empty());
    assert_eq!(other.lateness(1..2), vec![2_007]);

    let mut asleep = committee().remove(1);
    asleep.add_verified(1, certificate);
    assert_eq!((asleep.certificate(1), asleep.lateness(1..2)), (Some(certificate), vec![LATENESS_MISSING]));
}

#[test]
fn lost_partials_are_repeated_and_answered_with_the_certificate() {
    let mut nodes = committee();
    let sent: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 1)).collect();
    let at = GENESIS + SLOT;
    for member in 1..3 {
        nodes[0].on_partial(at, member, member, 1, &sent[member as usize]);
    }
    // Member 3 heard nobody: it repeats itself, with pauses, and not for ever.
    let (mut now, mut repeats, mut answers) = (at, 0, 0);
    while let Some(next) = nodes[3].next_wakeup().filter(|next| *next < at + SLOT) {
        now = next.max(now + 1);
        for (slot, partial) in partials(&nodes[3].on_tick(now)) {
            repeats += usize::from(slot == 1);
            answers += said(&nodes[0].on_partial(now, 3, 3, slot, &partial)).len();
        }
    }
    assert_eq!((repeats, answers), (2, 2), "after 250 and 750 ms");
    let mut all = 0;
    for later in 1..100 {
        all += partials(&nodes[3].on_tick(at + later * SLOT)).iter().filter(|(slot, _)| *slot == 1).count();
    }
    assert_eq!(repeats + all, REPEATS as usize);
}

#[test]
fn a_restart_keeps_certificates_and_lateness_and_pruning_forgets_them() {
    let mut nodes = committee();
    let sent: Vec<[u8; 48]> = nodes.iter_mut().map(|node| own(node, 1)).collect();
    nodes[0].on_partial(GENESIS + SLOT, 1, 1, 1, &sent[1]);
    let effects = nodes[0].on_partial(GENESIS + SLOT + 20, 2, 2, 1, &sent[2]);
    let journal: Vec<Record> = effects
        .iter()
        .filter_map(|e| if let Effect::Persist(record) = e { Some(record.clone()) } else { None })
        .collect();
    assert_eq!(journal.len(), 1);
    let mut again = committee().remove(0);
    again.restore(&journal);
    assert_eq!((again.certificate(1), again.lateness(1..2)), (nodes[0].certificate(1), vec![20]));
    let mut stranger = committee().remove(0);
    stranger.term.scope.term = 4;
    stranger.restore(&journal);
    assert_eq!(stranger.certificate(1), None, "of another term");

    again.prune(2);
    assert_eq!(again.certificate(1), None);
    assert!(again.on_certificate(GENESIS + 2 * SLOT, 1, &nodes[0].certificate(1).unwrap()).is_empty());
    assert_eq!(again.certificate(1), None, "pruned slots do not come back");
}

#[test]
fn memory_is_bounded_while_nobody_prunes() {
    let mut beacon = committee().remove(0);
    for slot in 0..300 {
        beacon.on_tick(GENESIS + slot * SLOT);
    }
    let holding = beacon.slots.values().filter(|slot| !slot.partials.is_empty()).count();
    assert!(holding as u64 <= PARTIALS_BACK + 1, "{holding}");
    beacon.on_tick(GENESIS + (KEPT + 1_000) * SLOT);
    assert!(beacon.slots.len() as u64 <= KEPT);
}

#[test]
fn what_one_member_can_make_the_others_answer_is_bounded() {
    // Every answer is a broadcast, and every member answers: n answers to n members for one small message.
    let mut nodes = committee();
    let now = GENESIS + 900 * SLOT;
    for slot in 0..800 {
        nodes[0].add_verified(slot, [9; 48]);
    }
    let answers: usize = (0..800).map(|slot| said(&nodes[0].on_partial(now, 3, 3, slot, &[7; 48])).len()).sum();
    assert!(answers <= 64, "one liar's 800 partials of old slots were answered by {answers} broadcasts at once");
}

#[test]
fn rubbish_in_the_names_of_others_costs_its_sender_its_checks() {
    // One liar, before the others' partials are here: three small messages fill the seats up to the threshold, the
    // recovery fails, the culprits are looked for one by one, the seats are free again, and so on.
    let mut node = committee().remove(0);
    let at = GENESIS + 5 * SLOT;
    own(&mut node, 5);
    let (_, strangers) = deal_for_tests(4, 43);
    let rubbish: Vec<[u8; 48]> = (0..100u8).map(|byte| strangers[1].sign(&[byte; 32]).signature.to_bytes()).collect();
    let searched =
        rubbish.iter().flat_map(|bytes| [1, 2, 3].map(|member| (member, bytes))).filter(|(member, bytes)| {
            let effects = node.on_partial(at + 1, 3, *member, 5, bytes);
            notes(&effects).iter().any(|text| text.contains("do not verify"))
        });
    let searched = searched.count();
    assert!(searched <= 40, "300 small messages of one peer made a member look for culprits {searched} times");
}
