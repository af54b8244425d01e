//! What signing costs a committee, beside threshold_crypto and commonware in the same run: sign, verify, batch check and
//! recovery at n = 4, 31 and 100, and key generation at n = 4, 10 and 31. One thread; each figure is the median of its
//! repetitions. `cargo bench` in this folder, or `make bench`. Leaves out: messages between members (the simulation).

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use aggregator::dkg::{Ceremony, DkgIdentity};
use aggregator::{Partial, Share, Sharing, quorum};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::deal_anonymous;
use commonware_cryptography::bls12381::primitives::ops::{self, threshold};
use commonware_cryptography::bls12381::primitives::sharing::Mode;
use commonware_cryptography::bls12381::primitives::variant::{MinSig, PartialSignature};
use commonware_parallel::Sequential;
use commonware_utils::N3f1;
use differential::{big_endian, hashed_to_g2, polynomial};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use threshold_crypto::{SecretKeySet, SignatureShare};

const MESSAGE: [u8; 32] = *b"the digest of some report header";
const NAMESPACE: &[u8] = b"bench";
const DST_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
/// Highest allowed (recover + verify, 67 of 100) ÷ the same by threshold_crypto.
const RECOVER_BAR: f64 = 0.1;

fn main() {
    println!(
        "{:<34}{:>5}{:>14}{:>14}{:>18}",
        "what, one thread, median", "n", "plumbline", "commonware", "threshold_crypto"
    );
    let mut ratio = 0.0;
    for (n, repeats) in [(4, 41), (31, 21), (100, 11)] {
        ratio = row_of(n, repeats);
    }
    let verdict = if ratio <= RECOVER_BAR { "ok" } else { "missed" };
    println!("recover + verify, 67 of 100 ÷ threshold_crypto | {ratio:.3} | bar {RECOVER_BAR} | {verdict}");
    for (n, repeats) in [(4, 5), (10, 3), (31, 1)] {
        let took = median(repeats, || key_generation(n));
        println!("key generation, all {n} members one after another, with every gate | {} | no bar", show(took));
    }
}

/// The rows of one committee size; returns recovery ÷ threshold_crypto's.
fn row_of(n: u32, repeats: u32) -> f64 {
    let (ours, theirs, reference) = (ours(n), Theirs::new(n), Reference::new(n));
    let (sharing, shares, partials) = &ours;
    let certificate = sharing.recover(&MESSAGE, partials).expect("recovers");
    let row = |what: &str, times: [Duration; 3]| {
        println!("{what:<34}{n:>5}{:>14}{:>14}{:>18}", show(times[0]), show(times[1]), show(times[2]));
        times[0].as_secs_f64() / times[2].as_secs_f64()
    };
    let sign = median(repeats, || shares[0].sign(&MESSAGE));
    row("sign a partial", [sign, median(repeats, || theirs.sign()), median(repeats, || reference.sign())]);
    let verify = median(repeats, || sharing.group.verify(&MESSAGE, &certificate).expect("valid"));
    row(
        "verify a certificate",
        [verify, median(repeats, || theirs.verify()), median(repeats, || reference.verify(&reference.certificate))],
    );
    let single = median(repeats, || sharing.verify_partial(&MESSAGE, &partials[0]).expect("valid"));
    let batch = median(repeats, || assert!(sharing.culprits(&MESSAGE, partials).expect("a set").is_empty()));
    let t = partials.len() as u32;
    let singles = single * t;
    row(
        "check t partials in one batch",
        [batch, median(repeats, || theirs.batch()), median(3, || reference.check_each())],
    );
    println!(
        "batch check of {t} partials ÷ {t} single checks | {:.3} | no bar",
        batch.as_secs_f64() / singles.as_secs_f64()
    );
    let recover = median(repeats, || sharing.recover(&MESSAGE, partials).expect("recovers"));
    row(
        "recover from t, and verify",
        [recover, median(repeats, || theirs.recover()), median(repeats.min(7), || reference.recover())],
    )
}

fn ours(n: u32) -> (Sharing, Vec<Share>, Vec<Partial>) {
    let poly = polynomial(quorum(n), u64::from(n));
    let secret = |x: u32| big_endian(&poly.evaluate(u64::from(x)));
    let group = Share::from_bytes(0, &secret(0)).expect("a scalar").public_share();
    let shares: Vec<Share> =
        (0..n).map(|i| Share::from_bytes(i, &secret(Sharing::point(i))).expect("a scalar")).collect();
    let sharing = Sharing::new(group, shares.iter().map(Share::public_share).collect()).expect("a sharing");
    let partials = shares.iter().rev().take(quorum(n) as usize).map(|share| share.sign(&MESSAGE)).collect();
    (sharing, shares, partials)
}

/// commonware-cryptography in our arrangement (signatures in G1).
struct Theirs {
    sharing: commonware_cryptography::bls12381::primitives::sharing::Sharing<MinSig>,
    share: commonware_cryptography::bls12381::primitives::group::Share,
    partials: Vec<PartialSignature<MinSig>>,
}

impl Theirs {
    fn new(n: u32) -> Self {
        let size = NonZeroU32::new(n).expect("members");
        let rng = ChaCha20Rng::from_seed([7; 32]);
        let (sharing, shares) = deal_anonymous::<MinSig, N3f1>(rng, Mode::NonZeroCounter, size);
        sharing.precompute_partial_publics();
        let last = shares.iter().rev().take(quorum(n) as usize);
        let partials = last.map(|share| threshold::sign_message::<MinSig>(share, NAMESPACE, &MESSAGE)).collect();
        Self { sharing, share: shares.into_iter().next().expect("a share"), partials }
    }

    fn sign(&self) -> PartialSignature<MinSig> {
        threshold::sign_message::<MinSig>(&self.share, NAMESPACE, &MESSAGE)
    }

    fn recover(&self) -> impl Sized + use<> {
        let signature = threshold::recover::<MinSig, _>(&self.sharing, &self.partials, &Sequential).expect("recovers");
        ops::verify_message::<MinSig>(self.sharing.public(), NAMESPACE, &MESSAGE, &signature).expect("valid");
        signature
    }

    fn verify(&self) {
        threshold::verify_message::<MinSig>(&self.sharing, NAMESPACE, &MESSAGE, &self.partials[0]).expect("valid");
    }

    fn batch(&self) {
        let mut rng = ChaCha20Rng::from_seed([8; 32]);
        let entries = commonware_utils::iter::NonEmpty::try_new(self.partials.iter()).expect("partials");
        threshold::batch_verify_same_message(&mut rng, &self.sharing, NAMESPACE, &MESSAGE, entries, &Sequential)
            .expect("valid");
    }
}

/// threshold_crypto in its own arrangement (signatures in G2), on a point hashed beforehand.
struct Reference {
    set: SecretKeySet,
    public: threshold_crypto::PublicKeySet,
    hash: threshold_crypto::G2Affine,
    partials: Vec<(u64, SignatureShare)>,
    certificate: threshold_crypto::Signature,
}

impl Reference {
    fn new(n: u32) -> Self {
        let set = SecretKeySet::from(polynomial(quorum(n), u64::from(n)));
        let (public, hash) = (set.public_keys(), hashed_to_g2(&MESSAGE, DST_G2).expect("a point"));
        let last = (0..u64::from(n)).rev().take(quorum(n) as usize);
        let partials: Vec<_> = last.map(|i| (i, set.secret_key_share(i).sign_g2(hash))).collect();
        let certificate = public.combine_signatures(partials.iter().map(|(i, p)| (*i, p))).expect("combines");
        Self { set, public, hash, partials, certificate }
    }

    fn sign(&self) -> SignatureShare {
        self.set.secret_key_share(0u64).sign_g2(self.hash)
    }

    fn verify(&self, certificate: &threshold_crypto::Signature) {
        assert!(self.public.public_key().verify_g2(certificate, self.hash));
    }

    fn check_each(&self) {
        let valid = |(i, p): &(u64, SignatureShare)| self.public.public_key_share(*i).verify_g2(p, self.hash);
        assert!(self.partials.iter().all(valid));
    }

    fn recover(&self) {
        let certificate = self.public.combine_signatures(self.partials.iter().map(|(i, p)| (*i, p))).expect("combines");
        self.verify(&certificate);
    }
}

/// One whole ceremony: every member deals, checks every other's deal, signs its log and concludes.
fn key_generation(n: u32) -> Sharing {
    let identity = |i: u32| DkgIdentity::from_seed([u8::try_from(i + 1).expect("few members"); 32]);
    let members: Vec<[u8; 32]> = (0..n).map(|i| identity(i).public()).collect();
    let mut all: Vec<Ceremony> =
        (0..n).map(|i| Ceremony::new([1; 32], &members, identity(i), [99; 32]).expect("a member")).collect();
    for dealer in 0..n {
        for (player, deal) in all[dealer as usize].deal() {
            let ack = all[player as usize].receive_deal(dealer, &deal).expect("a good deal").expect("its ack");
            all[dealer as usize].receive_ack(player, &ack).expect("a good ack");
        }
    }
    let logs: Vec<Vec<u8>> = all.iter_mut().map(|one| one.finish_dealing().expect("a log")).collect();
    let results: Vec<Sharing> = all.iter_mut().map(|one| one.conclude(&logs).expect("a result").0).collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "all members see one sharing");
    results.into_iter().next().expect("members")
}

fn median<T>(repeats: u32, mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..repeats)
        .map(|_| {
            let from = Instant::now();
            black_box(run());
            from.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(time: Duration) -> String {
    match time.as_micros() {
        us if us < 10_000 => format!("{us} µs"),
        us => format!("{:.1} ms", us as f64 / 1_000.0),
    }
}
