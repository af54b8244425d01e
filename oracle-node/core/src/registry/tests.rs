//! Tests of the fold and of the snapshots by epoch.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use attest::{Signer, SoftEd25519};

use super::events::*;
use super::*;

const CHAIN: u64 = 31_337;

fn contracts() -> Contracts {
    let [registry, devices, escrow, hub] = [1, 2, 3, 4].map(Address::repeat_byte);
    Contracts { registry, devices, escrow, hub }
}

fn log<E: SolEvent>(address: Address, event: &E) -> RawLog {
    let data = event.encode_log_data();
    RawLog { address, topics: data.topics().to_vec(), data: data.data.to_vec() }
}

fn block(number: u64, timestamp: u64) -> Block {
    Block { number, hash: B256::with_last_byte(u8::try_from(number).unwrap()), timestamp }
}

fn configured() -> TermConfigured {
    let keys = vec![B256::repeat_byte(9); 4];
    TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        members: (1..5).map(Address::repeat_byte).collect(),
        peerKeys: keys.clone(),
        dkgKeys: keys,
        policyHash: B256::repeat_byte(6),
        epochSeconds: 10,
        slotMs: 1_000,
        genesisDelay: 50,
    }
}

fn activated(genesis: u64) -> TermActivated {
    TermActivated { committee: 1, term: 1, groupKey: vec![7; 256].into(), shareRoot: B256::repeat_byte(8), genesis }
}

/// A device registered by `owner`, its claim signed for that owner.
fn registered(token: u64, owner: Address) -> DeviceRegistered {
    let key = SoftEd25519::from_seed([u8::try_from(token).unwrap(); 32]);
    let mut space = [0; attest::DEVICE_KEY_STATEMENT_MAX];
    let (registry, owner_bytes) = (contracts().devices.into_array(), owner.into_array());
    let statement = attest::device_key_statement(CHAIN, &registry, &owner_bytes, &key.public_key(), &mut space);
    let proof = key.sign(attest::ToBeSigned::new(statement)).unwrap();
    DeviceRegistered {
        tokenId: U256::from(token),
        owner,
        alg: 1,
        publicKey: key.public_key().bytes().to_vec().into(),
        proof: proof.to_vec().into(),
        locationCommitment: B256::ZERO,
        class: 1,
    }
}

fn thumbprint(token: u8) -> B256 {
    SoftEd25519::from_seed([token; 32]).public_key().thumbprint().into()
}

#[test]
fn a_device_is_registered_claimed_activated_moved_and_revoked() {
    let devices = contracts().devices;
    let (alice, bob) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xb0));
    let mut fold = Registry::new(contracts());
    let mint = Transfer { from: Address::ZERO, to: alice, tokenId: U256::from(1) };
    let mut bad_claim = registered(2, alice);
    bad_claim.owner = bob;
    let logs = [log(devices, &mint), log(devices, &registered(1, alice)), log(devices, &bad_claim)];
    fold.apply(block(1, 10), &logs);
    assert_eq!(fold.malformed(), 0);
    // The second device's key signed for somebody else: it never becomes pending.
    assert_eq!(fold.pending_keys(CHAIN), [(1, thumbprint(1).0)]);
    assert_eq!(fold.pending_keys(CHAIN + 1), []);
    // Sold before its key was activated: the claim still names who registered it.
    let sale = Transfer { from: alice, to: bob, tokenId: U256::from(1) };
    fold.apply(block(2, 11), &[log(devices, &sale)]);
    assert_eq!((fold.devices()[&1].owner, fold.pending_keys(CHAIN).len()), (bob, 1));
    let other_key = DeviceKeyActivated { tokenId: U256::from(1), thumbprint: thumbprint(3) };
    fold.apply(block(3, 12), &[log(devices, &other_key)]);
    assert!(!fold.devices()[&1].active);
    let right_key = DeviceKeyActivated { tokenId: U256::from(1), thumbprint: thumbprint(1) };
    fold.apply(block(4, 13), &[log(devices, &right_key)]);
    assert!(fold.devices()[&1].active && fold.pending_keys(CHAIN).is_empty());
    let revoked = DeviceKeyRevoked { tokenId: U256::from(1), thumbprint: thumbprint(1) };
    fold.apply(block(5, 14), &[log(devices, &revoked)]);
    assert!(!fold.devices()[&1].active && fold.pending_keys(CHAIN).is_empty());
}

#[test]
fn odd_logs_change_nothing_and_are_counted_and_other_contracts_are_not_read() {
    let mut fold = Registry::new(contracts());
    let mut stranger = log(contracts().devices, &registered(1, Address::ZERO));
    stranger.address = Address::repeat_byte(0xee);
    let mut cut = log(contracts().devices, &registered(1, Address::ZERO));
    cut.data.truncate(40);
    let mut huge = registered(1, Address::ZERO);
    huge.tokenId = U256::MAX;
    let mut lopsided = configured();
    lopsided.peerKeys.pop();
    let unknown = RawLog { address: contracts().hub, topics: vec![B256::repeat_byte(3)], data: vec![] };
    let logs = [
        stranger,
        cut,
        log(contracts().devices, &huge),
        log(contracts().registry, &lopsided),
        log(contracts().registry, &activated(1)),
        unknown,
        RawLog { address: contracts().escrow, topics: vec![], data: vec![] },
    ];
    fold.apply(block(1, 1), &logs);
    assert_eq!(fold.malformed(), 4);
    assert!(fold.devices().is_empty() && fold.term(CHAIN, 1, 1).is_none());
}

#[test]
fn leases_come_and_go_and_posts_are_kept() {
    let mut fold = Registry::new(contracts());
    let open = |lease| LeaseOpened {
        lease,
        token_id: U256::from(1),
        lessee: Address::repeat_byte(1),
        data: LeaseOpenedData {
            start: 5,
            end: 6,
            deposit: Default::default(),
            terms: OfferTerms { lessor: Address::repeat_byte(2), class: 1, committee: 1, ..Default::default() },
            bounds: Default::default(),
        },
    };
    let escrow = contracts().escrow;
    fold.apply(block(1, 1), &[1, 2, 3].map(|lease| open(lease).log(escrow)));
    let closed = LeaseClosed { lease: 1, refunded: U256::ZERO, bondReturned: U256::ZERO };
    let cancelled = LeaseCancelled { lease: 3, by: Address::ZERO };
    let posted = ReportPosted {
        committee: 1,
        stream: 0,
        epoch: 9,
        headerDigest: B256::repeat_byte(1),
        leavesRoot: B256::ZERO,
        stateRoot: B256::ZERO,
        activeAt: 0,
    };
    let logs = [log(escrow, &closed), log(escrow, &cancelled), log(contracts().hub, &posted)];
    fold.apply(block(2, 2), &logs);
    assert_eq!(fold.leases().keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(fold.posted()[&(1, 0, 9)].block, 2);
    assert_eq!(fold.snapshot().block, block(2, 2));
}

/// A history with lag 4 s, fed blocks at these times; the term is configured in the first and activated in the second
/// with this genesis, and every block registers one more device.
fn history(genesis: u64, times: &[u64]) -> (History, Vec<(u64, u64)>) {
    let mut history = History::new(contracts(), CHAIN, 1, 1, 4_000);
    let mut known = Vec::new();
    for (number, time) in (1u64..).zip(times) {
        let mut logs = vec![log(contracts().devices, &registered(number, Address::ZERO))];
        match number {
            1 => logs.push(log(contracts().registry, &configured())),
            2 => logs.push(log(contracts().registry, &activated(genesis))),
            _ => {}
        }
        for epoch in history.apply(block(number, *time), &logs) {
            known.push((epoch, history.snapshot(epoch).unwrap().block.number));
        }
    }
    (history, known)
}

#[test]
fn a_snapshot_is_the_last_block_before_the_cut_off_once_a_later_one_exists() {
    // Cut-offs at 146, 156, 166, …; a block exactly on the cut-off belongs to the snapshot.
    let (history, known) = history(150, &[100, 110, 145, 146, 147, 156, 200]);
    assert_eq!(known, [(0, 4), (1, 6), (2, 6), (3, 6), (4, 6), (5, 6)]);
    assert_eq!(history.snapshot(0).unwrap().devices.len(), 4);
    assert_eq!(history.next_epoch(), 6);
}

#[test]
fn cut_offs_before_the_activation_are_found_afterwards() {
    // Genesis at 112: the cut-off of epoch 0 is 108, before the block (110) that tells about it.
    let (history, known) = history(112, &[100, 110, 130]);
    assert_eq!(known, [(0, 1), (1, 2), (2, 2)]);
    assert_eq!(history.snapshot(0).unwrap().devices.len(), 1);
}

#[test]
fn a_key_that_the_chain_skips_does_not_wait_for_ever() {
    // One owner registers two devices with one key: both claims hold. The chain activates the first and skips the second
    // in every batch (DeviceRegistry._activateCertified), so that the committee would certify and pay for batches for ever.
    let devices = contracts().devices;
    let alice = Address::repeat_byte(0xa1);
    let twin = DeviceRegistered { tokenId: U256::from(2), ..registered(1, alice) };
    let mut fold = Registry::new(contracts());
    fold.apply(block(1, 10), &[log(devices, &registered(1, alice)), log(devices, &twin)]);
    assert_eq!(fold.pending_keys(CHAIN), [(1, thumbprint(1).0)], "one of them can get it");
    let active = DeviceKeyActivated { tokenId: U256::from(1), thumbprint: thumbprint(1) };
    fold.apply(block(2, 20), &[log(devices, &active)]);
    assert_eq!(fold.pending_keys(CHAIN), [], "while the first device has the key");
    // The twin gives its copy up and takes it again: the key still counts at the first device, and is not burnt.
    let revoke = |token: u64| DeviceKeyRevoked { tokenId: U256::from(token), thumbprint: thumbprint(1) };
    let rotated = |token: u64, to: u64| {
        let DeviceRegistered { owner, alg, publicKey, proof, .. } = registered(to, alice);
        DeviceKeyRotated { tokenId: U256::from(token), owner, alg, publicKey, proof }
    };
    fold.apply(block(3, 30), &[log(devices, &revoke(2)), log(devices, &rotated(2, 1))]);
    assert_eq!(fold.pending_keys(CHAIN), [], "the twin's revocation frees nothing");
    // The first device changes to another key: the old one is free, and the twin may have it.
    fold.apply(block(4, 40), &[log(devices, &rotated(1, 3))]);
    assert_eq!(fold.pending_keys(CHAIN), [(1, thumbprint(3).0), (2, thumbprint(1).0)]);
    let moved = DeviceKeyActivated { tokenId: U256::from(2), thumbprint: thumbprint(1) };
    fold.apply(block(5, 50), &[log(devices, &moved)]);
    // And a key that was revoked while it counted is burnt for everybody.
    let third = DeviceRegistered { tokenId: U256::from(4), ..registered(1, alice) };
    fold.apply(block(6, 60), &[log(devices, &third), log(devices, &revoke(2))]);
    assert_eq!(fold.pending_keys(CHAIN), [(1, thumbprint(3).0)], "after it was revoked");
}

#[test]
fn taken_or_skipped_snapshots_are_not_kept() {
    let (mut history, _) = history(150, &[100, 110, 145, 200]);
    assert_eq!(history.take_snapshot(2).unwrap().block.number, 3);
    assert!(history.snapshot(1).is_none() && history.snapshot(2).is_none() && history.snapshot(3).is_some());
    history.skip_before(9);
    assert!(history.snapshot(3).is_none());
    assert_eq!(history.apply(block(5, 300), &[]), 6..16);
    assert!(history.snapshot(8).is_none() && history.snapshot(9).is_some());
}

#[test]
fn a_block_from_the_far_future_is_applied_at_once() {
    let (mut history, _) = history(150, &[100, 110, 145]);
    let far = u64::MAX / 1_000;
    history.apply(block(4, far), &[]);
    assert!(history.next_epoch() > 1 << 50, "{}", history.next_epoch());
    let last = history.next_epoch() - 1;
    assert_eq!([0, 1 << 40, last].map(|epoch| history.snapshot(epoch).unwrap().block.number), [3; 3]);
    assert!(history.snapshot(last + 1).is_none());
    assert_eq!(history.take_snapshot(1 << 40).unwrap().block.number, 3);
    assert!(history.snapshot(1 << 40).is_none() && history.snapshot((1 << 40) + 1).is_some());
}

#[test]
fn refreshed_shares_count_from_the_first_epoch_whose_snapshot_holds_them() {
    let registry = contracts().registry;
    let root = |byte: u8| B256::repeat_byte(byte);
    let refreshed = |byte: u8| super::events::SharesRefreshed { committee: 1, term: 1, shareRoot: root(byte) };
    let mut fold = Registry::new(contracts());
    assert!(fold.share_roots(1, 1, 4_000).is_empty());
    fold.apply(block(1, 900), &[log(registry, &configured()), log(registry, &activated(1_000))]);
    assert_eq!(fold.share_roots(1, 1, 4_000), [(root(8), 0)]);
    // Epochs of 10 s from 1,000 s on, L = 4 s: the snapshot of epoch e holds blocks up to 996 + 10 e.
    for (number, (timestamp, from_epoch)) in
        (12u8..).zip([(990, 0), (996, 0), (997, 1), (1_006, 1), (1_007, 2), (1_096, 10), (1_097, 11)])
    {
        fold.apply(block(number.into(), timestamp), &[log(registry, &refreshed(number))]);
        assert_eq!(fold.share_roots(1, 1, 4_000).last(), Some(&(root(number), from_epoch)), "at {timestamp}");
    }
    assert_eq!(fold.share_roots(1, 1, 4_000).len(), 8);
    assert_eq!(fold.activation(1, 1).map(|active| active.share_root), Some(root(18)), "the newest");
    assert_eq!(fold.malformed(), 0);
}

#[test]
fn terms_follow_each_other_and_share_one_clock() {
    let registry = contracts().registry;
    let mut history = History::new(contracts(), CHAIN, 1, 2, 4_000);
    let second = TermConfigured { term: 2, configDigest: B256::repeat_byte(15), ..configured() };
    history.apply(block(1, 40), &[log(registry, &configured()), log(registry, &second)]);
    assert_eq!((history.registry().active_term(1), history.registry().term_in_force(1, 0)), (None, None));
    history.apply(block(2, 50), &[log(registry, &activated(100))]);
    assert_eq!(history.registry().rotated(1, 1), None, "a first term follows nothing");
    // A term that only listens until it is rotated to has the snapshots of every epoch, too.
    assert_eq!(history.apply(block(3, 107), &[]), 0..2, "epochs 0 and 1 are cut off 4 s before they start");
    let key = TermActivated { term: 2, groupKey: vec![8; 256].into(), ..activated(100) };
    let rotated = TermRotated { committee: 1, newTerm: 2, fromEpoch: 5, baseHeader: B256::repeat_byte(3) };
    history.apply(block(4, 120), &[log(registry, &key), log(registry, &rotated)]);
    let fold = history.registry();
    assert_eq!([0, 4, 5, 99].map(|epoch| fold.term_in_force(1, epoch)), [Some(1), Some(1), Some(2), Some(2)]);
    assert_eq!(history.term_of(5).map(|term| (term.scope.term, term.genesis_ms)), Some((2, Some(100_000))));
    assert!(history.start_at(4).is_none() && history.start_at(6).is_none());
    let start = history.start_at(5).expect("the second term begins");
    assert_eq!((start.from_epoch, start.base, start.forced), (5, B256::repeat_byte(3), false));
    assert_eq!((start.previous.scope.term, start.previous_key), (1, vec![7; 256]));
    let forced = RotatedByGovernance { committee: 1, newTerm: 2 };
    history.apply(block(5, 121), &[log(registry, &forced)]);
    assert!(history.start_at(5).is_some_and(|start| start.forced));
    // What speaks of terms that nobody knows changes nothing and is counted.
    let (odd, stray) = (TermRotated { newTerm: 9, ..rotated }, RotatedByGovernance { committee: 1, newTerm: 1 });
    history.apply(block(6, 122), &[log(registry, &odd), log(registry, &stray)]);
    assert_eq!((history.registry().malformed(), history.registry().active_term(1)), (2, Some(2)));
}

#[test]
fn the_base_of_governance_is_told_by_the_posts_before_it_was_named() {
    let mut fold = Registry::new(contracts());
    let registry = contracts().registry;
    fold.apply(block(1, 1), &[log(registry, &configured()), log(registry, &activated(100))]);
    let post = |stream: u32, epoch: u64| ReportPosted {
        committee: 1,
        stream,
        epoch,
        headerDigest: B256::repeat_byte(stream as u8 * 16 + epoch as u8),
        leavesRoot: B256::ZERO,
        stateRoot: B256::ZERO,
        activeAt: 0,
    };
    // Stream 4 falls behind; the last post comes after governance has named its base.
    for (number, (stream, epoch)) in (2..).zip([(0, 1), (4, 1), (0, 2), (0, 3)]) {
        fold.apply(block(number, number), &[log(contracts().hub, &post(stream, epoch))]);
    }
    let named = [(0, B256::repeat_byte(2)), (4, B256::repeat_byte(0x41))];
    let rotated = |base| TermRotated { committee: 1, newTerm: 2, fromEpoch: 9, baseHeader: base };
    let forced = RotatedByGovernance { committee: 1, newTerm: 2 };
    let start_of = |base: B256| {
        let mut fold = fold.clone();
        let next = TermConfigured { term: 2, ..configured() };
        let logs = [
            log(registry, &next),
            log(registry, &TermActivated { term: 2, ..activated(100) }),
            log(registry, &rotated(base)),
            log(registry, &forced),
        ];
        fold.apply(block(9, 9), &logs);
        fold.start(1, 1, 2).expect("a rotation")
    };
    let start = start_of(crate::handover::base_root(&named));
    assert_eq!(start.bases, named);
    assert_eq!((start.base_of(4), start.base_of(0)), (Some(named[1].1), Some(named[0].1)));
    assert!(start.base_of(7).is_none() && start.from_nothing(7).is_some() && start.from_nothing(4).is_none());
    // A base that is the root of no moment's posts: no stream begins from it, and none from nothing either.
    let start = start_of(B256::repeat_byte(7));
    assert!(start.bases.is_empty() && start.base_of(0).is_none() && start.from_nothing(7).is_none());
    // No post at all, and none claimed: every stream begins from nothing.
    let start = start_of(B256::ZERO);
    assert!(start.from_nothing(0).is_some() && start.from_nothing(4).is_some());
}
