//! The C functions called as C calls them: the later classes say what their structs say, and the queue keeps a message
//! until enough members have it.
#![cfg(feature = "soft-ed25519")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "each call passes pointers to live values of its own frame")]

use core::{ffi::c_void, mem::size_of, ptr::null};

use attest::{Body, Claims, Class, Unit, decode};
use attest_c::*;

const NETWORK: [u8; 8] = [7; 8];

extern "C" fn load(_: *mut c_void, boot: *mut u32) -> i32 {
    // SAFETY: the library passes its own variable.
    unsafe { *boot = 4 };
    0
}

extern "C" fn store(_: *mut c_void, _: u32) -> i32 {
    0
}

/// A booted device with its buffer.
struct World {
    device: attest_device,
    buf: Vec<u8>,
    message: attest_message,
    _seed: Box<[u8; 32]>,
}

impl World {
    fn new() -> Self {
        let mut seed = Box::new([0x42; 32]);
        // SAFETY: plain C structs, for which zeros are a value.
        let (mut signer, mut device, message) =
            unsafe { core::mem::zeroed::<(attest_signer, attest_device, attest_message)>() };
        let struct_size = u32::try_from(size_of::<attest_storage>()).expect("small");
        let storage =
            attest_storage { struct_size, ctx: core::ptr::null_mut(), load_boot: Some(load), store_boot: Some(store) };
        // SAFETY: all of it lives here; the seed is boxed and outlives the device.
        unsafe {
            assert_eq!(attest_soft_ed25519(seed.as_mut_ptr(), &raw mut signer), ATTEST_OK);
            assert_eq!(
                attest_device_boot(&raw mut device, &raw const signer, &raw const storage, NETWORK.as_ptr()),
                ATTEST_OK
            );
        }
        Self { device, buf: vec![0; 1024], message, _seed: seed }
    }

    /// Makes a message by `call` and hands what was made to `check`.
    fn says(
        &mut self,
        call: impl FnOnce(*mut attest_device, *mut u8, usize, *mut attest_message) -> i32,
        check: impl FnOnce(&Claims<'_>),
    ) {
        let status = call(&raw mut self.device, self.buf.as_mut_ptr(), self.buf.len(), &raw mut self.message);
        assert_eq!(status, ATTEST_OK);
        let class = Class::from_u8(u8::try_from(self.message.message_class).expect("small")).expect("known");
        let env = decode(&self.buf[..self.message.len]).expect("an envelope");
        assert_eq!(attest::evidence_id(class, &NETWORK, &env), self.message.id);
        let claims = Claims::decode(class, env.payload).expect("what C can say, nodes accept");
        assert_eq!(claims.seq, self.message.seq);
        check(&claims);
    }
}

#[test]
fn the_later_classes_say_what_their_structs_say() {
    let (mut world, draw) = (World::new(), [0xd7u8; 32]);
    let mut name = [0; 24];
    name[..4].copy_from_slice(b"temp");
    let channels = [attest_channel { channel: 3, unit: 24, name, name_len: 4 }];
    world.says(
        |d, b, n, m| unsafe { attest_channels(d, null(), channels.as_ptr(), 1, b, n, m) },
        |claims| {
            let Body::Channels(names) = claims.body else { panic!("{claims:?}") };
            let told: Vec<_> = names.iter().map(|c| (c.channel, c.unit, c.name.as_str().to_owned())).collect();
            assert_eq!(told, [(3, Unit::of("Cel").expect("registered"), "temp".to_owned())]);
        },
    );
    let windows = [attest_meter_window { start: 1, end: 2, first: 3, last: 4, sampled: -5, peak: 6 }];
    world.says(
        |d, b, n, m| unsafe { attest_meter(d, null(), 9, -3, windows.as_ptr(), 1, b, n, m) },
        |claims| {
            let Body::Meter(meter) = claims.body else { panic!("{claims:?}") };
            let window = meter.windows.iter().next().expect("one");
            assert_eq!((meter.register, meter.exponent, window.sampled, window.peak), (9, -3, -5, 6));
        },
    );
    let fix = attest_fix { at_ms: 7, lat: -8, lon: 9, height_cm: -10, hdop: 11 };
    let seen = [attest_satellite { id: 2_003, elevation: -4, azimuth: 350, cn0: 300 }];
    world.says(
        |d, b, n, m| unsafe { attest_position(d, null(), &raw const fix, seen.as_ptr(), 1, b, n, m) },
        |claims| {
            let Body::Fix(fix) = claims.body else { panic!("{claims:?}") };
            assert_eq!(
                (fix.lat, fix.lon, fix.hdop, fix.satellites.iter().next().expect("one").azimuth),
                (-8, 9, 11, 350)
            );
        },
    );
    let (leaf, path) = ([1u8; 5], [2u8; 64]);
    let (leaf_at, path_at) = (leaf.as_ptr(), path.as_ptr());
    let given = attest_possession {
        lease: 1,
        slot: 2,
        sample: 3,
        index: 4,
        leaf: leaf_at,
        leaf_len: 5,
        path: path_at,
        path_len: 64,
    };
    world.says(
        |d, b, n, m| unsafe { attest_storage_answer(d, null(), draw.as_ptr(), &raw const given, b, n, m) },
        |claims| {
            let Body::Possession(body) = claims.body else { panic!("{claims:?}") };
            assert_eq!((claims.nonce, body.index, body.leaf, body.path), (Some(draw), 4, &leaf[..], &path[..]));
        },
    );
    let odd = attest_possession { path_len: 63, ..given };
    // SAFETY: as above.
    let status = unsafe {
        attest_storage_answer(
            &raw mut world.device,
            null(),
            draw.as_ptr(),
            &raw const odd,
            world.buf.as_mut_ptr(),
            1024,
            &raw mut world.message,
        )
    };
    assert_eq!(status, ATTEST_BOUNDS);
}

#[test]
fn answers_to_compute_and_bandwidth_and_an_endorsement() {
    let (mut world, draw) = (World::new(), [0xd7u8; 32]);
    let work = attest_work { lease: 1, slot: 2, size: 64, rounds: 3, root: [4; 32] };
    world.says(
        |d, b, n, m| unsafe { attest_work_answer(d, null(), draw.as_ptr(), &raw const work, b, n, m) },
        |claims| assert!(matches!(claims.body, Body::Work(body) if body.size == 64 && body.root == [4; 32])),
    );
    let opening = attest_opening { lease: 1, slot: 2, rows: 3, content: [5; 32], length: 6 };
    world.says(
        |d, b, n, m| unsafe { attest_work_opening(d, null(), &raw const opening, b, n, m) },
        |claims| assert!(matches!(claims.body, Body::Opening(body) if body.rows == 3 && body.length == 6)),
    );
    let tallies = [attest_tally { member: 2, bytes: 3, packets: 4, tags: [6; 16] }];
    world.says(
        |d, b, n, m| unsafe {
            attest_bandwidth_answer(d, null(), draw.as_ptr(), 1, 2, 3, tallies.as_ptr(), 1, b, n, m)
        },
        |claims| assert!(matches!(claims.body, Body::Bandwidth(body) if body.span_us == 3 && body.tallies.len() == 1)),
    );
    // A certificate by hand: [[1, device, 2, firmware, "M", 5, maker], signature].
    let b32 = [&[0x58, 0x20][..], &[9; 32]].concat();
    let certificate =
        [&[0x82, 0x87, 1][..], &b32, &[2], &b32, &[0x61, b'M', 5], &b32, &[0x58, 0x40], &[8; 64]].concat();
    world.says(
        |d, b, n, m| unsafe { attest_endorsement(d, null(), certificate.as_ptr(), certificate.len(), b, n, m) },
        |claims| assert!(matches!(claims.body, Body::Endorsement(body) if body.certificate() == certificate)),
    );
}

/// Takes the signature of member 1 only.
extern "C" fn only_member_one(_: *mut c_void, member: u32, _: *const u8, _: *const u8) -> i32 {
    i32::from(member != 1)
}

/// Receipts of a batch with this one message.
fn receipts(member: u8, id: &[u8; 32]) -> Vec<u8> {
    let (b32, b64) = ([&[0x58, 0x20][..], &[3; 32]].concat(), [&[0x58, 0x40][..], &[4; 64]].concat());
    [&[0x86, member, 0][..], &b32, &[1], &b64, &[0x81, 0x84, 0x58, 0x20], id, &[5, 0, 0x80]].concat()
}

#[test]
fn the_queue_keeps_a_message_until_it_is_receipted() {
    let (mut world, mut memory) = (World::new(), vec![0xeeu8; 400]);
    let (at, len) = (memory.as_mut_ptr(), memory.len());
    let struct_size = u32::try_from(size_of::<attest_receipt_check>()).expect("small");
    let check = attest_receipt_check { struct_size, ctx: core::ptr::null_mut(), holds: Some(only_member_one) };
    let (mut dropped, mut done) = (9, 9);
    // SAFETY: every pointer is to a live value of its type, and nobody else uses the memory.
    unsafe {
        // SAFETY: plain C struct, for which zeros are a value.
        let mut queued = core::mem::zeroed::<attest_queued>();
        assert_eq!(attest_queue_new(at, len), ATTEST_OK);
        assert_eq!(attest_queue_get(at, len, 0, &raw mut queued), ATTEST_EMPTY);
        let mut ids = Vec::new();
        for _ in 0..2 {
            world.says(|d, b, n, m| attest_heartbeat(d, null(), b, n, m), |_| {});
            let pushed =
                attest_queue_push(at, len, &raw const world.message, world.buf.as_ptr(), core::ptr::null_mut());
            assert_eq!(pushed, ATTEST_OK);
            ids.push(world.message.id);
        }
        world.says(|d, b, n, m| attest_heartbeat(d, null(), b, n, m), |_| {});
        let full = attest_queue_push(at, len, &raw const world.message, world.buf.as_ptr(), core::ptr::null_mut());
        assert_eq!(full, ATTEST_FULL);
        let pushed = attest_queue_push(at, len, &raw const world.message, world.buf.as_ptr(), &raw mut dropped);
        assert_eq!((pushed, dropped), (ATTEST_OK, 1));
        assert_eq!(attest_queue_resume(at, len, NETWORK.as_ptr()), ATTEST_OK);
        assert_eq!(attest_queue_get(at, len, 0, &raw mut queued), ATTEST_OK);
        assert_eq!((queued.id, queued.message_class), (ids[1], 2));
        let bytes = core::slice::from_raw_parts(queued.bytes, queued.len);
        assert!(decode(bytes).is_ok());
        let mut settle = |payload: &[u8]| {
            let status =
                attest_queue_receipts(at, len, payload.as_ptr(), payload.len(), &raw const check, 1, &raw mut done);
            (status, done)
        };
        assert_eq!(settle(&receipts(0, &ids[1])), (ATTEST_RECEIPT, 9));
        assert_eq!(settle(&receipts(1, &ids[1])[1..]), (ATTEST_FORM, 9));
        assert_eq!(settle(&receipts(1, &ids[0])), (ATTEST_OK, 0));
        assert_eq!(settle(&receipts(1, &ids[1])), (ATTEST_OK, 1));
        assert_eq!(attest_queue_get(at, len, 0, &raw mut queued), ATTEST_OK);
        assert_eq!(queued.id, world.message.id);
        assert_eq!(attest_queue_get(at, len, 1, &raw mut queued), ATTEST_EMPTY);
    }
}

/// The golden payload's fields, without a JSON library.
fn golden(field: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/rotations.json");
    let text = std::fs::read_to_string(path).expect("vectors");
    let (_, rest) = text.split_once(&format!("\"{field}\": \"")).expect("the field");
    let (hex, _) = rest.split_once('"').expect("its end");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// Stands in for the pairing: what the golden payload holds is signed, anything else is not.
extern "C" fn as_in_the_payload(ctx: *mut c_void, _: *const u8, _: *const u8, certificate: *const u8) -> i32 {
    // SAFETY: ctx is the payload below, and the library gives 48 bytes.
    let (payload, certificate) = unsafe { (&*ctx.cast::<Vec<u8>>(), core::slice::from_raw_parts(certificate, 48)) };
    i32::from(!payload.windows(48).any(|part| part == certificate))
}

#[test]
fn the_committees_keys_are_followed() {
    let (mut payload, first) = (golden("payload"), golden("first_group_key"));
    let mut committee = attest_committee {
        struct_size: u32::try_from(size_of::<attest_committee>()).expect("small"),
        chain_id: 31_337,
        registry: [0x5f; 20],
        committee: 3,
        epoch_ms: 15_000,
        slot_ms: 1_000,
        ctx: (&raw mut payload).cast(),
        holds: Some(as_in_the_payload),
    };
    let mut state = [0u8; attest::TERM_KEYS_LEN];
    let at = state.as_mut_ptr();
    // SAFETY: every pointer is to a live value of its type.
    unsafe {
        let follow = |committee: &attest_committee, payload: &[u8]| {
            attest_terms_follow(at, committee, payload.as_ptr(), payload.len())
        };
        assert_eq!(follow(&committee, &payload), ATTEST_FORM, "no state yet");
        assert_eq!(attest_terms_trust(at, &raw const committee, 1, first.as_ptr()), ATTEST_OK);
        let mut forged = payload.clone();
        forged[18 + 423] ^= 1;
        assert_eq!(follow(&committee, &forged), ATTEST_UNSIGNED);
        assert_eq!(follow(&committee, &payload), ATTEST_OK);
        assert_eq!(follow(&committee, &payload[1..]), ATTEST_FORM);
        // A broadcast that the callback takes, and one that it does not.
        let mut beacon = [&7u64.to_be_bytes()[..], &payload[18 + 424 - 48..18 + 424]].concat();
        assert_eq!(attest_terms_beacon(at, &raw const committee, beacon.as_ptr(), 56), ATTEST_OK);
        beacon[55] ^= 1;
        assert_eq!(attest_terms_beacon(at, &raw const committee, beacon.as_ptr(), 56), ATTEST_UNSIGNED);
        assert_eq!(attest_terms_beacon(at, &raw const committee, beacon.as_ptr(), 55), ATTEST_FORM);
        // The oldest rotation kept is from term 1: a device of term 0 needs its key.
        assert_eq!(attest_terms_trust(at, &raw const committee, 0, first.as_ptr()), ATTEST_OK);
        assert_eq!(follow(&committee, &payload), ATTEST_KEY_NEEDED);
        committee.committee = 4;
        assert_eq!(follow(&committee, &payload), ATTEST_ELSEWHERE);
        committee.holds = None;
        assert_eq!(attest_terms_beacon(at, &raw const committee, beacon.as_ptr(), 56), ATTEST_UNSIGNED);
        committee.struct_size = 1;
        assert_eq!(follow(&committee, &payload), ATTEST_STRUCT_SIZE);
    }
}
