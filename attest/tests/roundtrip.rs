//! Properties of the encoding: claims come back, and what is accepted is exactly what we would have written.

mod common;

use attest::{
    Body, BootBody, Claims, Class, Location, MAX_CHAIN, MAX_MESSAGE, Reading, Reception, RevealBody, SoftEd25519,
    decode, seal,
};
use common::{network, payload};
use proptest::{collection::vec, option, prelude::*};

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    vec((bits(), any::<i8>(), any::<i64>(), 0u32..64), 0..=32).prop_map(|rows| {
        rows.into_iter()
            .map(|(channel, exponent, mantissa, shift)| Reading { channel, exponent, mantissa: mantissa >> shift })
            .collect()
    })
}

/// Integers of every length, not only the long ones.
fn bits() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
}

fn receptions() -> impl Strategy<Value = Vec<Reception>> {
    vec((bits(), any::<[u8; 16]>(), any::<i32>(), -3000..3000i32), 0..=16).prop_map(|mut rows| {
        rows.sort();
        rows.dedup_by_key(|row| row.0);
        rows.into_iter().map(|(lease, payload, rssi, snr)| Reception { lease, payload, rssi, snr }).collect()
    })
}

/// Owned claims of any class; the lists are borrowed when the claims are made.
#[derive(Clone, Debug)]
struct Owned {
    class: Class,
    numbers: (Option<u64>, u32, u64, u64, u64, u32),
    hashes: ([u8; 32], [u8; 16], [u8; 16]),
    place: Option<(i32, i32)>,
    secret: Option<[u8; 32]>,
    readings: Vec<Reading>,
    receptions: Vec<Reception>,
}

impl Owned {
    fn claims(&self) -> Claims<'_> {
        let (iat, boot, seq, first, second, length) = self.numbers;
        let (hash, prev, salt) = self.hashes;
        let body = match self.class {
            Class::Telemetry => Body::Telemetry(self.readings.as_slice().into()),
            Class::Heartbeat => Body::Heartbeat,
            Class::Boot => Body::Boot(BootBody {
                seed: salt,
                firmware: hash,
                location: self.place.map(|(lat, lon)| Location { lat, lon, salt }),
            }),
            Class::Answer => Body::Answer { lease: first, slot: second },
            Class::Commitment => Body::Commitment { lease: first, first_slot: second, length, anchor: hash },
            Class::Witness => Body::Witness { slot: first, commitment: hash },
            Class::Reveal => Body::Reveal(RevealBody {
                slot: first,
                secret: self.secret,
                salt,
                receptions: self.receptions.as_slice().into(),
            }),
        };
        Claims { iat, nonce: (self.class == Class::Answer).then_some(hash), boot, seq, prev, body }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let place = (-900_000_000..=900_000_000i32, -1_800_000_000..=1_800_000_000i32);
    (
        0..7usize,
        (option::of(bits()), any::<u32>(), bits(), bits(), bits(), 0..=MAX_CHAIN),
        any::<([u8; 32], [u8; 16], [u8; 16])>(),
        option::of(place),
        option::of(any::<[u8; 32]>()),
        readings(),
        receptions(),
    )
        .prop_map(|(class, numbers, hashes, place, secret, readings, receptions)| Owned {
            class: Class::ALL[class],
            numbers,
            hashes,
            place,
            secret,
            readings,
            receptions,
        })
}

/// Bytes changed in one place: flipped, removed, added, or a head written longer than it need be.
fn mutate(bytes: &[u8], at: usize, how: u8, with: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = at % out.len();
    match how % 5 {
        0 => out[at] ^= with | 1,
        1 => drop(out.remove(at)),
        2 => out.insert(at, with),
        3 => {
            // A one-byte head as two bytes.
            let head = out[at];
            out.splice(at..=at, [(head & 0xe0) | 0x18, head & 0x1f]);
        }
        _ => {
            // A two-byte head as three bytes.
            let head = out[at];
            out.splice(at..=at, [(head & 0xe0) | 0x19, 0]);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_come_back(owned in owned()) {
        let claims = owned.claims();
        let bytes = payload(&claims);
        prop_assert_eq!(Claims::decode(claims.class(), &bytes), Ok(claims));
        for other in Class::ALL.into_iter().filter(|other| *other != claims.class()) {
            // A body that also reads as another class must still be that class's own encoding.
            if let Ok(read) = Claims::decode(other, &bytes) {
                prop_assert_eq!(payload(&read), bytes.clone());
            }
        }
    }

    #[test]
    fn no_other_bytes_give_the_same_claims(owned in owned(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let claims = owned.claims();
        let bytes = payload(&claims);
        let changed = mutate(&bytes, at, how, with);
        if let Ok(read) = Claims::decode(claims.class(), &changed) {
            prop_assert_eq!(payload(&read), changed.clone());
            if changed != bytes {
                prop_assert_ne!(read, claims);
            }
        }
    }

    #[test]
    fn no_other_bytes_give_the_same_envelope(owned in owned(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let mut buf = [0; MAX_MESSAGE];
        let signer = SoftEd25519::from_seed([9; 32]);
        let signed = seal(&signer, &network(), &owned.claims(), &mut buf).expect("every valid claim fits");
        let original = decode(signed.bytes).expect("decodes");
        let changed = mutate(signed.bytes, at, how, with);
        if let Ok(read) = decode(&changed) {
            prop_assert!(changed == signed.bytes || read != original);
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in vec(any::<u8>(), 0..1200)) {
        let _ = decode(&bytes);
        for class in Class::ALL {
            if let Ok(claims) = Claims::decode(class, &bytes) {
                prop_assert_eq!(payload(&claims), bytes.clone());
            }
        }
    }
}
