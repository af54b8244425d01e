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
    let tallies = [attest_tally { member: 2, bytes: 3, packets: 4, tags: [6; 16], losses: [7; 16] }];
    let arrivals = attest_arrivals { lease: 1, slot: 2, span_us: 3, tallies: tallies.as_ptr(), count: 1 };
    world.says(
        |d, b, n, m| unsafe { attest_bandwidth_answer(d, null(), draw.as_ptr(), &raw const arrivals, b, n, m) },
        |claims| {
            let Body::Bandwidth(body) = claims.body else { panic!("{claims:?}") };
            let tally = body.tallies.iter().next().expect("one");
            assert_eq!((body.span_us, tally.packets, tally.tags, tally.losses), (3, 4, [6; 16], [7; 16]));
        },
    );
    let path = attest_path { lease: 1, slot: 2, member: 3, token: [8; 16] };
    world.says(
        |d, b, n, m| unsafe { attest_hello(d, null(), draw.as_ptr(), &raw const path, b, n, m) },
        |claims| assert!(matches!(claims.body, Body::Hello(body) if body.member == 3 && body.token == [8; 16])),
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

#[test]
fn one_call_answers_a_draw_of_every_class() {
    let mut world = World::new();
    let leaf = [1u8; 5];
    let possession = attest_possession {
        lease: 1,
        slot: 2,
        sample: 3,
        index: 4,
        leaf: leaf.as_ptr(),
        leaf_len: 5,
        path: null(),
        path_len: 0,
    };
    let work = attest_work { lease: 1, slot: 2, size: 64, rounds: 3, root: [4; 32] };
    let arrivals = attest_arrivals { lease: 1, slot: 2, span_us: 3, tallies: null(), count: 0 };
    let path = attest_path { lease: 1, slot: 2, member: 3, token: [8; 16] };
    let given = attest_draw_answer {
        struct_size: u32::try_from(size_of::<attest_draw_answer>()).expect("small"),
        message_class: 0,
        lease: 1,
        slot: 2,
        draw: [0xd7; 32],
        possession: &raw const possession,
        work: &raw const work,
        arrivals: &raw const arrivals,
        path: &raw const path,
    };
    for class in Class::ALL {
        let given = attest_draw_answer { message_class: class.as_u8().into(), ..given };
        if class.answers() {
            world.says(
                |d, b, n, m| unsafe { attest_answer_draw(d, null(), &raw const given, b, n, m) },
                |claims| assert_eq!((claims.nonce, claims.body.class()), (Some(given.draw), class)),
            );
        }
        let mut refused = |given: &attest_draw_answer| unsafe {
            let (device, out) = (&raw mut world.device, &raw mut world.message);
            attest_answer_draw(device, null(), given, world.buf.as_mut_ptr(), world.buf.len(), out)
        };
        if !class.answers() {
            assert_eq!(refused(&given), ATTEST_BOUNDS, "{class}");
        } else if class != Class::Answer {
            assert_eq!(refused(&attest_draw_answer { slot: 3, ..given }), ATTEST_BOUNDS, "{class}");
            let bare = attest_draw_answer { possession: null(), work: null(), arrivals: null(), path: null(), ..given };
            assert_eq!(refused(&bare), ATTEST_NULL, "{class}");
        }
        assert_eq!(refused(&attest_draw_answer { struct_size: 1, ..given }), ATTEST_STRUCT_SIZE);
    }
}

#[test]
fn samples_and_records_say_what_they_were_given() {
    let mut world = World::new();
    let row =
        |at_ms, channel| attest_timed_reading { at_ms, reading: attest_reading { channel, exponent: -1, mantissa: 5 } };
    let rows = [row(u32::MAX, 1), row(u32::MAX, 2), row(9, 1)];
    world.says(
        |d, b, n, m| unsafe { attest_telemetry_samples(d, null(), 10, rows.as_ptr(), 3, b, n, m) },
        |claims| {
            let Body::Telemetry(samples) = claims.body else { panic!("{claims:?}") };
            let told: Vec<_> = samples.iter().map(|sample| (sample.age_ms, sample.readings.len())).collect();
            assert_eq!(told, [(11, 2), (1, 1)]);
        },
    );
    let now = attest_reading { channel: 1, exponent: 0, mantissa: 2 };
    world.says(
        |d, b, n, m| unsafe { attest_telemetry(d, null(), &raw const now, 1, b, n, m) },
        |claims| assert!(matches!(claims.body, Body::Telemetry(samples) if samples.iter().all(|one| one.age_ms == 0))),
    );
    let long = vec![7u8; 65_537];
    for (len, expected) in [(0, ATTEST_BOUNDS), (838, ATTEST_OK), (839, ATTEST_OK), (65_537, ATTEST_BOUNDS)] {
        let given = attest_record { lease: 1, format: 1, meter: [2; 32], record: long.as_ptr(), record_len: len };
        let (device, out) = (&raw mut world.device, &raw mut world.message);
        let status = unsafe { attest_metered(device, null(), &raw const given, world.buf.as_mut_ptr(), 1024, out) };
        assert_eq!(status, expected, "{len}");
        if status == ATTEST_OK {
            let env = decode(&world.buf[..world.message.len]).expect("an envelope");
            let claims = Claims::decode(Class::Metered, env.payload).expect("what C can say, nodes accept");
            assert!(matches!(claims.body, Body::Metered(body) if body.record.is(&long[..len])), "{len}");
        }
    }
}

#[test]
fn the_digests_are_the_librarys() {
    let (tags, bitmap) = ([[1u8; 16], [2; 16]], [2u8]);
    let (mut of_tags, mut of_losses) = ([0; 16], [0; 16]);
    // SAFETY: as above.
    let status = unsafe {
        let (tags, bitmap) = (tags.as_ptr().cast::<u8>(), bitmap.as_ptr());
        attest_tally_digests(tags, 2, bitmap, 1, of_tags.as_mut_ptr(), of_losses.as_mut_ptr())
    };
    assert_eq!((status, of_tags), (ATTEST_OK, attest::tags_digest(tags)));
    assert_eq!(of_losses, attest::losses_digest(&bitmap));
    let (point, mut thumbprint) = ([3u8; 96], [0; 32]);
    let mut key = |curve, len| unsafe { attest_meter_key(curve, point.as_ptr(), len, thumbprint.as_mut_ptr()) };
    assert_eq!([key(1, 96), key(258, 64), key(3, 64), key(65_537, 64)], [ATTEST_BOUNDS; 4]);
    assert_eq!(key(258, 96), ATTEST_OK);
    assert_eq!(Some(thumbprint), attest::meter_key_thumbprint(attest::MeterCurve::BrainpoolP384r1, &point));
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
