//! One device's life: boots, counts, the chain of its messages, forks, and signatures that must not carry over.

mod common;

use std::collections::BTreeMap;

use attest::{
    Body, BootError, Claims, Class, Device, MAX_MESSAGE, PublicKey, SealError, SignError, Signer, SoftEd25519,
    SoftP256, Storage, ToBeSigned, VerifyError, VolatileBoot, decode, link, network_id, seal, verify,
};
use common::{SEED, bodies, claims, network};

/// A store that can refuse to read or to write.
#[derive(Default)]
struct Flash {
    boot: u32,
    writes: u32,
    broken: bool,
}

impl Storage for Flash {
    type Error = &'static str;

    fn load_boot(&mut self) -> Result<u32, &'static str> {
        Ok(self.boot)
    }

    fn store_boot(&mut self, boot: u32) -> Result<(), &'static str> {
        if self.broken {
            return Err("worn out");
        }
        self.boot = boot;
        self.writes += 1;
        Ok(())
    }
}

#[test]
fn the_boot_count_is_durable_before_a_device_exists() {
    let mut flash = Flash::default();
    for expected in 1..=3 {
        let device = Device::boot(SoftEd25519::from_seed(SEED), &mut flash, network()).expect("boots");
        assert_eq!((device.boot_count(), flash.boot, flash.writes), (expected, expected, expected));
        assert_eq!(device.next_seq(), Some(0));
    }
    flash.broken = true;
    let refused = Device::boot(SoftEd25519::from_seed(SEED), &mut flash, network());
    assert_eq!(refused.err(), Some(BootError::Storage("worn out")));
    let last = Device::boot(SoftEd25519::from_seed(SEED), &mut VolatileBoot(u32::MAX), network());
    assert!(matches!(last, Err(BootError::Exhausted)));
}

#[test]
fn every_message_counts_up_and_names_the_one_before() {
    let key = SoftP256::from_seed(SEED).public_key();
    let mut device = Device::boot(SoftP256::from_seed(SEED), &mut VolatileBoot(6), network()).expect("boots");
    let mut prev = [0; 16];
    for seq in 0..14 {
        let body = bodies()[seq % 7];
        let nonce = body.class().answers().then_some([1; 32]);
        let mut buf = [0; MAX_MESSAGE];
        let signed = device.message(Some(5), nonce, &body, &mut buf).expect("speaks");
        let env = decode(signed.bytes).expect("decodes");
        assert_eq!(verify(&env, body.class(), &network(), &key), Ok(signed.id));
        let claims = Claims::decode(body.class(), env.payload).expect("decodes");
        assert_eq!((claims.boot, claims.seq, claims.prev), (7, seq as u64, prev));
        assert_eq!(signed.seq, seq as u64);
        prev = link(&signed.id);
    }
}

/// A signer that fails as often as told.
struct Flaky(SoftEd25519, std::cell::Cell<u32>);

impl Signer for Flaky {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        let left = self.1.get();
        self.1.set(left.saturating_sub(1));
        if left > 0 { Err(SignError::Unavailable) } else { self.0.sign(tbs) }
    }
}

#[test]
fn a_failed_message_uses_no_number() {
    let signer = Flaky(SoftEd25519::from_seed(SEED), 0.into());
    let mut device = Device::boot(&signer, &mut VolatileBoot::default(), network()).expect("boots");
    let mut buf = [0; MAX_MESSAGE];
    let first = device.message(None, None, &Body::Heartbeat, &mut buf).expect("speaks").id;
    signer.1.set(2);
    for _ in 0..2 {
        let failed = device.message(None, None, &Body::Heartbeat, &mut buf);
        assert_eq!(failed.err(), Some(SealError::Sign(SignError::Unavailable)));
    }
    assert!(device.message(None, Some([0; 32]), &Body::Heartbeat, &mut buf).is_err());
    let second = device.message(None, None, &Body::Heartbeat, &mut buf).expect("speaks");
    assert_eq!(second.seq, 1);
    let env = decode(second.bytes).expect("decodes");
    assert_eq!(Claims::decode(Class::Heartbeat, env.payload).map(|c| c.prev), Ok(link(&first)));
}

#[test]
fn a_fork_is_two_ids_for_one_number_and_a_repeat_is_one() {
    let signer = SoftEd25519::from_seed(SEED);
    let mut by_number: BTreeMap<(u32, u64), Vec<[u8; 32]>> = BTreeMap::new();
    let first = Claims { boot: 1, seq: 4, ..claims(Body::Heartbeat) };
    let second = Claims { iat: None, ..first };
    for claims in [first, first, second] {
        let mut buf = [0; MAX_MESSAGE];
        let id = seal(&signer, &network(), &claims, &mut buf).expect("seals").id;
        let ids = by_number.entry((claims.boot, claims.seq)).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    assert_eq!(by_number.get(&(1, 4)).map(Vec::len), Some(2));
}

#[test]
fn the_id_does_not_move_with_the_signature() {
    // Another valid P-256 signature of the same message: (r, n - s).
    let signer = SoftP256::from_seed(SEED);
    let key = signer.public_key();
    let mut buf = [0; MAX_MESSAGE];
    let signed = seal(&signer, &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
    let mut other = signed.bytes.to_vec();
    let s_at = other.len() - 32;
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").expect("hex");
    let mut borrow = 0;
    for (byte, order) in other[s_at..].iter_mut().zip(order).rev() {
        let difference = i32::from(order) - i32::from(*byte) - borrow;
        borrow = i32::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    assert_ne!(other, signed.bytes);
    let env = decode(&other).expect("decodes");
    assert_eq!(verify(&env, Class::Heartbeat, &network(), &key), Ok(signed.id));
}

#[test]
fn a_signature_holds_for_one_class_network_and_key() {
    let (ed, p256) = (SoftEd25519::from_seed(SEED), SoftP256::from_seed(SEED));
    for (signer, stranger, other_alg) in [
        (&ed as &dyn Signer, &SoftEd25519::from_seed([1; 32]) as &dyn Signer, &p256 as &dyn Signer),
        (&p256, &SoftP256::from_seed([1; 32]), &ed),
    ] {
        let key = signer.public_key();
        let mut buf = [0; MAX_MESSAGE];
        let signed = seal(&signer, &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
        let env = decode(signed.bytes).expect("decodes");
        assert_eq!(verify(&env, Class::Heartbeat, &network(), &key), Ok(signed.id));
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Heartbeat) {
            assert_eq!(verify(&env, class, &network(), &key), Err(VerifyError::Signature), "{class}");
        }
        let elsewhere = network_id(1, &common::REGISTRY);
        assert_eq!(verify(&env, Class::Heartbeat, &elsewhere, &key), Err(VerifyError::Signature));
        let check = |key: &dyn Signer| verify(&env, Class::Heartbeat, &network(), &key.public_key());
        assert_eq!(check(stranger), Err(VerifyError::Kid));
        assert_eq!(check(other_alg), Err(VerifyError::Alg));
    }
}

#[test]
fn an_alias_of_the_algorithm_is_signed_as_sent() {
    // An older C stack writes -8; it signs what it writes. Rewriting our own -19 to -8 must break the signature.
    let signer = SoftEd25519::from_seed(SEED);
    let mut buf = [0; MAX_MESSAGE];
    let signed = seal(&signer, &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
    let mut older = signed.bytes.to_vec();
    older[5] = 0x27;
    let env = decode(&older).expect("decodes");
    let verdict = verify(&env, Class::Heartbeat, &network(), &signer.public_key());
    assert_eq!(verdict, Err(VerifyError::Signature));
    let structure = attest::sig_structure(Class::Heartbeat, &network(), &env);
    let signature = signer.sign(ToBeSigned::new(&structure)).expect("signs");
    let tail = older.len() - 64;
    older[tail..].copy_from_slice(&signature);
    let env = decode(&older).expect("decodes");
    assert!(verify(&env, Class::Heartbeat, &network(), &signer.public_key()).is_ok());
}

#[test]
fn secrets_are_not_printed() {
    let printed = format!("{:?} {:?}", SoftEd25519::from_seed(SEED), SoftP256::from_seed(SEED));
    assert_eq!(printed, "SoftEd25519 { .. } SoftP256 { .. }");
}
