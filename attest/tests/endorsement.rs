//! Endorsements and the device's own derivation of challenges.

mod common;

use attest::{
    AnswerBody, BEACON_LEN, Beacon, BeaconDomain, BeaconError, Body, CheckCertificate, Claims, DecodeError, Device,
    Endorsement, EndorsementError, MAX_ENDORSEMENT, MAX_MESSAGE, SealError, Signer, SoftEd25519, SoftP256, Tier,
    Unchecked, VolatileBoot, beacon_message, challenge, decode, derive, verify,
};
use common::{SEED, network, signers};

fn bytes(endorsement: &Endorsement<'_>) -> Vec<u8> {
    let mut room = [0; MAX_ENDORSEMENT];
    let len = endorsement.encode(&mut room).expect("encodes");
    room[..len].to_vec()
}

#[test]
fn an_endorsement_holds_for_its_device_and_maker_only() {
    let (ed, p256) = (SoftEd25519::from_seed([9; 32]), SoftP256::from_seed([9; 32]));
    for (_, device) in signers() {
        for maker in [&ed as &dyn Signer, &p256] {
            let key = device.public_key();
            let made =
                Endorsement::issue(&maker, &key, Tier::SecureElement, [0xf1; 32], "Mast 3 \u{3bc}", 5).expect("issues");
            let bytes = bytes(&made);
            let read = Endorsement::decode(&bytes).expect("decodes");
            assert_eq!(read, made);
            let maker = maker.public_key();
            assert_eq!(read.verify(&maker, &key), Ok(()));
            assert_eq!(read.verify(&maker, &maker), Err(EndorsementError::Device));
            assert_eq!(read.verify(&key, &key), Err(EndorsementError::Maker));
            let raised = Endorsement { tier: Tier::MeasuredBoot, ..read };
            assert_eq!(raised.verify(&maker, &key), Err(EndorsementError::Signature));
            let other = Endorsement { firmware: [0xf2; 32], ..read };
            assert_eq!(other.verify(&maker, &key), Err(EndorsementError::Signature));
        }
    }
}

/// Written by hand from the layout, so that encoder and decoder are not each other's only witness.
#[test]
fn the_certificate_is_written_as_documented() {
    let maker = SoftEd25519::from_seed([9; 32]);
    let device = SoftP256::from_seed(SEED).public_key();
    let made = Endorsement::issue(&maker, &device, Tier::Software, [0xf1; 32], "M3", 1_700_000_000).expect("issues");
    let body = [
        &[0x87, 0x01, 0x58, 32][..],
        &device.thumbprint(),
        &[0x01, 0x58, 32],
        &[0xf1; 32],
        &[0x62, b'M', b'3', 0x1a, 0x65, 0x53, 0xf1, 0x00, 0x58, 32],
        &maker.public_key().thumbprint(),
    ]
    .concat();
    assert_eq!(bytes(&made), [&[0x82][..], &body, &[0x58, 64], &made.signature].concat());
    let statement = [b"plumbline/endorsement/v1".as_slice(), &body].concat();
    assert!(attest::verify_statement(&maker.public_key(), &statement, &made.signature));
}

#[test]
fn the_longest_fits_and_bad_ones_are_refused() {
    let maker = SoftEd25519::from_seed([9; 32]);
    let key = maker.public_key();
    let long = "m".repeat(32);
    let made = Endorsement::issue(&maker, &key, Tier::MeasuredBoot, [0; 32], &long, u64::MAX).expect("issues");
    let good = bytes(&made);
    assert!(good.len() <= MAX_ENDORSEMENT);
    for model in ["", &"m".repeat(33)] {
        let refused = Endorsement::issue(&maker, &key, Tier::Software, [0; 32], model, 0);
        assert!(matches!(refused, Err(SealError::Encode(attest::EncodeError::Bounds))), "{model}");
    }
    for end in 0..good.len() {
        assert!(Endorsement::decode(&good[..end]).is_err(), "{end}");
        assert!(made.encode(&mut vec![0; end]).is_err(), "{end}");
    }
    assert_eq!(Endorsement::decode(&[&good[..], &[0]].concat()), Err(DecodeError::Trailing));
    for (at, value) in [(2, 2), (37, 0), (37, 4)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Endorsement::decode(&bad), Err(DecodeError::Bounds), "{at}");
    }
}

/// A certificate check that knows one message and certificate.
struct Knows([u8; 32], [u8; 48]);

impl CheckCertificate for Knows {
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool {
        (message, certificate) == (&self.0, &self.1)
    }
}

#[test]
fn a_device_derives_its_challenge_from_the_broadcast() {
    let domain = BeaconDomain { network: network(), committee: 1, term: 2 };
    let broadcast = [&4u64.to_be_bytes()[..], &[0xc0; 48]].concat();
    assert_eq!(broadcast.len(), BEACON_LEN);
    let check = Knows(beacon_message(&domain.network, 1, 2, 4), [0xc0; 48]);
    let found = derive(&broadcast, &domain, &check, 9, 7, u64::MAX).expect("holds").expect("challenged");
    assert_eq!((found.slot, found.lease), (4, 7));
    assert_eq!(found.draw, challenge::draw(&challenge::seed(&[0xc0; 48]), 9, 7));
    assert_eq!(derive(&broadcast, &domain, &check, 9, 7, 0), Ok(None));
    let later = BeaconDomain { term: 3, ..domain };
    assert_eq!(derive(&broadcast, &later, &check, 9, 7, u64::MAX), Err(BeaconError::Certificate));
    assert_eq!(derive(&broadcast, &later, &Unchecked, 9, 7, u64::MAX), Ok(Some(found)));
    for bad in [&broadcast[..55], &[&broadcast[..], &[0]].concat(), &[]] {
        assert_eq!(derive(bad, &domain, &Unchecked, 9, 7, u64::MAX), Err(BeaconError::Length));
        assert_eq!(Beacon::parse(bad), None);
    }
    // And answers it.
    let mut device =
        Device::boot(SoftEd25519::from_seed(SEED), &mut VolatileBoot::default(), network()).expect("boots");
    let key = device.public_key();
    let mut buf = [0; MAX_MESSAGE];
    let signed = device.answer(None, &found, &AnswerBody::from(&found), &mut buf).expect("answers");
    let env = decode(signed.bytes).expect("decodes");
    assert!(verify(&env, signed.class, &network(), &key).is_ok());
    let claims = Claims::decode(signed.class, env.payload).expect("claims");
    assert_eq!((claims.nonce, claims.body), (Some(found.draw), Body::Answer(AnswerBody { lease: 7, slot: 4 })));
}
