//! Every byte of every class under both algorithms, pinned in `vectors/evidence.json` for implementations in any
//! language. `PLUMBLINE_BLESS=1` writes the file anew: only for a new protocol version.

mod common;

use std::{env, fs, path::PathBuf};

use attest::{
    Body, BootBody, Claims, DEVICE_KEY_STATEMENT_MAX, Location, MAX_MESSAGE, MAX_RECORD, MeteredBody, Reading,
    Reception, Record, RecordFormat, RevealBody, Signer, Tally, ToBeSigned, challenge, decode, device_key_statement,
    evidence_id, location_commitment, meter_key_thumbprint, network_id, seal, sig_structure, topic_up, verify,
    verify_statement,
};
use common::{
    IAT, METER_POINTS, READINGS, REGISTRY, SEED, bodies, claims, meter_key, network, payload, signers, tallies,
    widest_readings,
};
use serde_json::{Value, json};

fn vectors_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence.json")
}

fn body_json(body: &Body<'_>) -> Value {
    match body {
        Body::Telemetry(samples) => {
            let row = |r: Reading| json!([r.channel, r.exponent, r.mantissa]);
            samples.iter().map(|s| json!([s.age_ms, s.readings.iter().map(row).collect::<Vec<_>>()])).collect()
        }
        Body::Heartbeat => json!([]),
        Body::Boot(BootBody { seed, firmware, location }) => json!([
            hex::encode(seed),
            hex::encode(firmware),
            location.map_or(json!([]), |l| json!([l.lat, l.lon, hex::encode(l.salt)]))
        ]),
        Body::Answer(b) => json!([b.lease, b.slot]),
        Body::Commitment(b) => json!([b.lease, b.first_slot, b.length, hex::encode(b.anchor)]),
        Body::Witness(b) => json!([b.slot, hex::encode(b.commitment)]),
        Body::Reveal(RevealBody { slot, secret, salt, receptions }) => json!([
            slot,
            secret.map_or(String::new(), hex::encode),
            hex::encode(salt),
            receptions.iter().map(|r| json!([r.lease, hex::encode(r.payload), r.rssi, r.snr])).collect::<Vec<_>>()
        ]),
        later => later_body_json(later),
    }
}

/// The bodies of the classes from 8 on.
fn later_body_json(body: &Body<'_>) -> Value {
    match body {
        Body::Channels(names) => {
            names.iter().map(|c| json!([c.channel, c.unit.0, c.name.as_str()])).collect::<Vec<_>>().into()
        }
        Body::Meter(b) => {
            let windows = b.windows.iter().map(|w| json!([w.start, w.end, w.first, w.last, w.sampled, w.peak]));
            json!([b.register, b.exponent, windows.collect::<Vec<_>>()])
        }
        Body::Fix(b) => {
            let seen = b.satellites.iter().map(|s| json!([s.id, s.elevation, s.azimuth, s.cn0]));
            json!([b.at_ms, b.lat, b.lon, b.height_cm, b.hdop, seen.collect::<Vec<_>>()])
        }
        Body::Possession(b) => json!([b.lease, b.slot, b.sample, b.index, hex::encode(b.leaf), hex::encode(b.path)]),
        Body::Work(b) => json!([b.lease, b.slot, b.size, b.rounds, hex::encode(b.root)]),
        Body::Opening(b) => json!([b.lease, b.slot, b.rows, hex::encode(b.content), b.length]),
        Body::Bandwidth(b) => {
            let row = |t: Tally| json!([t.member, t.bytes, t.packets, hex::encode(t.tags), hex::encode(t.losses)]);
            let tallies = b.tallies.iter().map(row);
            json!([b.lease, b.slot, b.span_us, tallies.collect::<Vec<_>>()])
        }
        Body::Endorsement(b) => json!([hex::encode(b.certificate())]),
        Body::Metered(b) => match b.record {
            Record::Whole(bytes) => json!([b.lease, b.format.0, hex::encode(b.meter), hex::encode(bytes)]),
            Record::Digest { digest, length } => {
                json!([b.lease, b.format.0, hex::encode(b.meter), hex::encode(digest), length])
            }
        },
        Body::Hello(b) => json!([b.lease, b.slot, b.member, hex::encode(b.token)]),
        earlier => panic!("{} has its own arm", earlier.class()),
    }
}

fn message(name: &str, alg: &str, signer: &dyn Signer, claims: &Claims<'_>) -> Value {
    let mut buf = [0; MAX_MESSAGE];
    let signed = seal(&signer, &network(), claims, &mut buf).expect("seals");
    let env = decode(signed.bytes).expect("decodes");
    assert_eq!(verify(&env, claims.class(), &network(), &signer.public_key()), Ok(signed.id), "{name} {alg}");
    assert_eq!(evidence_id(claims.class(), &network(), &env), signed.id);
    assert_eq!(env.payload, payload(claims));
    json!({
        "name": name,
        "alg": alg,
        "class": claims.class().as_u8(),
        "topic": topic_up(claims.class(), &env.kid).as_str(),
        "claims": {
            "iat": claims.iat, "nonce": claims.nonce.map(hex::encode), "boot": claims.boot, "seq": claims.seq,
            "prev": hex::encode(claims.prev), "body": body_json(&claims.body),
        },
        "payload": hex::encode(env.payload),
        "protected": hex::encode(env.protected),
        "sig_structure": hex::encode(sig_structure(claims.class(), &network(), &env)),
        "id": hex::encode(signed.id),
        "envelope": hex::encode(signed.bytes),
    })
}

fn messages() -> Vec<Value> {
    let mut out = Vec::new();
    for (alg, signer) in signers() {
        for body in bodies() {
            out.push(message(body.class().name(), alg, &*signer, &claims(body)));
        }
        // The corners: no clock, nothing optional, one instant, the longest readings, a long record.
        let bare = Claims { iat: None, boot: u32::MAX, seq: 0, prev: [0; 16], ..claims(Body::Heartbeat) };
        out.push(message("heartbeat without a clock", alg, &*signer, &bare));
        let boot = Body::Boot(BootBody { seed: [1; 16], firmware: [2; 32], location: None });
        out.push(message("boot without a place", alg, &*signer, &claims(boot)));
        let silent = RevealBody { slot: 0, secret: None, salt: [3; 16], receptions: Default::default() };
        out.push(message("reveal of nothing", alg, &*signer, &claims(Body::Reveal(silent))));
        let now = Body::Telemetry((&READINGS).into());
        out.push(message("telemetry of one instant", alg, &*signer, &claims(now)));
        let widest = widest_readings();
        out.push(message("longest telemetry", alg, &*signer, &claims(Body::Telemetry((&widest).into()))));
        let long = Body::Metered(MeteredBody {
            lease: 7,
            format: RecordFormat::OCPP,
            meter: meter_key(),
            record: Record::of(&[0x6d; MAX_RECORD + 1]),
        });
        out.push(message("metered by digest", alg, &*signer, &claims(long)));
    }
    out
}

fn functions() -> Value {
    let place = Location { lat: 525_200_066, lon: -1_134_049_540, salt: [0x5a; 16] };
    let seed = challenge::seed(&[0xc0; 48]);
    let draw = challenge::draw(&seed, 9, 7);
    let secret = challenge::chain_secret(&SEED, 100, 10, 103).expect("covered");
    let sent = challenge::transmission(&secret, &draw);
    json!({
        "network_id": {"chain_id": 31_337, "registry": hex::encode(REGISTRY), "out": hex::encode(network_id(31_337, &REGISTRY))},
        "location_commitment": {
            "lat": place.lat, "lon": place.lon, "salt": hex::encode(place.salt), "out": hex::encode(location_commitment(&place)),
        },
        "seed": {"certificate": hex::encode([0xc0; 48]), "out": hex::encode(seed)},
        "draw": {"seed": hex::encode(seed), "device": 9, "lease": 7, "out": hex::encode(draw)},
        "chain": {
            "secret0": hex::encode(SEED), "first_slot": 100, "length": 10, "slot": 103, "secret": hex::encode(secret),
            "anchor": hex::encode(challenge::chain_anchor(&SEED, 10).expect("short")),
        },
        "transmission": {"payload": hex::encode(sent.payload), "attenuation_db": sent.attenuation_db},
        "witness_commitment": {
            "receptions": common::RECEPTIONS.iter().map(|r: &Reception| json!([r.lease, hex::encode(r.payload), r.rssi, r.snr])).collect::<Vec<_>>(),
            "salt": hex::encode([0x5b; 16]),
            "out": hex::encode(challenge::witness_commitment(common::RECEPTIONS, &[0x5b; 16])),
        },
        "tally": {
            "tags": (0..12).map(|number| hex::encode(common::tag(number))).collect::<Vec<_>>(),
            "packets": tallies()[0].packets, "bitmap": hex::encode(common::LOSSES),
            "out_tags": hex::encode(tallies()[0].tags), "out_losses": hex::encode(tallies()[0].losses),
        },
        "meter_keys": METER_POINTS.iter().map(|(curve, point)| {
            let out = meter_key_thumbprint(*curve, &hex::decode(point).expect("hex")).expect("its length");
            json!({"curve": curve.as_u16(), "point": point, "out": hex::encode(out)})
        }).collect::<Vec<_>>(),
    })
}

fn keys() -> Vec<Value> {
    signers()
        .iter()
        .map(|(alg, signer)| {
            let key = signer.public_key();
            let mut out = [0; DEVICE_KEY_STATEMENT_MAX];
            let statement = device_key_statement(31_337, &[0x22; 20], &[0x33; 20], &key, &mut out);
            let signature = signer.sign(ToBeSigned::new(statement)).expect("signs");
            assert!(verify_statement(&key, statement, &signature));
            json!({
                "alg": alg, "seed": hex::encode(SEED), "public_key": hex::encode(key.bytes()),
                "thumbprint": hex::encode(key.thumbprint()), "kid": hex::encode(key.kid()),
                "statement": {
                    "device_registry": hex::encode([0x22; 20]), "owner": hex::encode([0x33; 20]),
                    "bytes": hex::encode(statement), "signature": hex::encode(signature),
                },
            })
        })
        .collect()
}

#[test]
fn every_byte_is_pinned() {
    let now = json!({
        "version": 2, "chain_id": 31_337, "registry": hex::encode(REGISTRY), "network": hex::encode(network()),
        "keys": keys(), "functions": functions(), "messages": messages(),
    });
    if env::var_os("PLUMBLINE_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&now).expect("json") + "\n";
        fs::write(vectors_file(), text).expect("written");
    }
    let text = fs::read_to_string(vectors_file()).expect("the vectors are part of the crate");
    let pinned: Value = serde_json::from_str(&text).expect("json");
    assert_eq!(now["keys"], pinned["keys"]);
    assert_eq!(now["functions"], pinned["functions"]);
    let (now_messages, pinned_messages) = (now["messages"].as_array(), pinned["messages"].as_array());
    for (ours, theirs) in now_messages.into_iter().flatten().zip(pinned_messages.into_iter().flatten()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(now, pinned);
}

/// The frame written out by hand from the protocol page, so that the pinned file is not its own witness.
#[test]
fn a_heartbeat_is_written_as_the_protocol_says() {
    for (alg, signer) in signers() {
        let mut buf = [0; MAX_MESSAGE];
        let signed = seal(&&*signer, &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
        let mut by_hand = hex::decode("d2844da201").expect("hex");
        by_hand.push(if alg == "ed25519" { 0x32 } else { 0x28 });
        by_hand.extend([0x04, 0x48]);
        by_hand.extend(signer.public_key().kid());
        by_hand.extend([0xa0, 0x58, 37]);
        by_hand.extend([0xa3, 0x06, 0x1a]);
        by_hand.extend(u32::try_from(IAT).expect("fits").to_be_bytes());
        by_hand.extend([0x19, 0x01, 0x0b, 0x03]);
        by_hand.extend([0x3a, 0x00, 0x01, 0x11, 0x70, 0x83, 0x18, 41, 0x50]);
        by_hand.extend([0x9e; 16]);
        by_hand.extend([0x80, 0x58, 0x40]);
        assert_eq!(signed.bytes.split_at(by_hand.len()).0, by_hand, "{alg}");
        assert_eq!(signed.bytes.len(), by_hand.len() + 64, "{alg}");
    }
}

/// Numbers grow with a device's age: a heartbeat has 121 to 133 bytes, and 131 with the counts of the published size.
#[test]
fn sizes_are_the_published_ones() {
    let size = |claims: Claims<'_>| {
        let [(_, ed), (_, p256)] = signers();
        [ed, p256].map(|signer| {
            let mut buf = [0; MAX_MESSAGE];
            seal(&&*signer, &network(), &claims, &mut buf).expect("seals").bytes.len()
        })
    };
    let heartbeat = claims(Body::Heartbeat);
    let old = Claims { boot: 1000, seq: u64::MAX, ..heartbeat };
    assert_eq!(size(Claims { boot: 1, seq: 0, ..heartbeat }), [121, 121]);
    assert_eq!(size(old), [131, 131]);
    assert_eq!(size(Claims { boot: u32::MAX, ..old }), [133, 133]);
    let readings: [Reading; 8] =
        std::array::from_fn(|at| Reading { channel: at as u64, exponent: -2, mantissa: 2_153_400 });
    assert_eq!(size(Claims { body: Body::Telemetry((&readings).into()), ..old }), [198, 198]);
}
