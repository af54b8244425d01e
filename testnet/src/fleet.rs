//! The demo's devices as their kinds plan them: where each stands, what it does wrong. Their keys and statements.
//! Leaves out: registering and leasing them (`market`), and what a device does (`device`).

use alloy::primitives::Address;
use anyhow::{Context as _, Result};
use attest::{DEVICE_KEY_STATEMENT_MAX, Location, PublicKey, Signer, SoftEd25519, SoftP256, ToBeSigned};

use crate::kind::{Adversary, KINDS, Kind};

/// A device of the story.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Name.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static dyn Kind,
    /// Which of its kind's models; empty where there is one only.
    pub model: &'static str,
    /// 1 Ed25519, 2 P-256.
    pub alg: u8,
    /// Metres east and north of the place, for those that have one.
    pub offset: Option<(f64, f64)>,
    /// How it cheats or fails.
    pub adversary: Option<Adversary>,
}

/// Everyone, kind by kind.
#[must_use]
pub fn fleet() -> Vec<Plan> {
    KINDS.iter().flat_map(|kind| kind.fleet()).collect()
}

/// The place: Zürich, 1e-7 degrees.
const PLACE: (f64, f64) = (47.376_9, 8.541_7);
/// Metres of one degree of latitude.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// A device with its key and place.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What it is.
    pub plan: Plan,
    /// Secret of its key.
    pub seed: [u8; 32],
    /// Public key.
    pub key: PublicKey,
    /// Where it stands, with the salt of the commitment.
    pub location: Option<Location>,
    /// Token, once registered.
    pub token: u64,
    /// Lease, once opened.
    pub lease: u64,
}

impl Unit {
    /// Makes a fresh key (and a salt, if the device has a place).
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let seed: [u8; 32] = rand::random();
        let key = if plan.alg == 1 {
            SoftEd25519::from_seed(seed).public_key()
        } else {
            SoftP256::from_seed(seed).public_key()
        };
        let location = plan.offset.map(|(east, north)| Location {
            lat: degrees(PLACE.0 + north / METRES_PER_DEGREE),
            lon: degrees(PLACE.1 + east / (METRES_PER_DEGREE * PLACE.0.to_radians().cos())),
            salt: rand::random(),
        });
        Self { plan, seed, key, location, token: 0, lease: 0 }
    }

    /// The device's claim of its key for an owner, docs/protocol.md §3.
    ///
    /// # Errors
    /// When the statement or the signature cannot be made.
    pub fn claim(&self, chain_id: u64, registry: Address, owner: Address) -> Result<[u8; 64]> {
        let mut buffer = [0; DEVICE_KEY_STATEMENT_MAX];
        let (registry, owner) = (registry.into_array(), owner.into_array());
        let statement = attest::device_key_statement(chain_id, &registry, &owner, &self.key, &mut buffer);
        let statement = ToBeSigned::new(statement);
        let signature = if self.plan.alg == 1 {
            SoftEd25519::from_seed(self.seed).sign(statement)
        } else {
            SoftP256::from_seed(self.seed).sign(statement)
        };
        signature.ok().with_context(|| format!("{} signs its key statement", self.plan.name))
    }

    /// Commitment to its place; zeros when it has none.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        self.location.as_ref().map(attest::location_commitment).unwrap_or_default()
    }

    /// The first bytes of its key's thumbprint, in hex: its name in topics.
    #[must_use]
    pub fn kid(&self) -> String {
        hex::encode(self.key.kid())
    }

    /// Its key in words.
    #[must_use]
    pub fn key_name(&self) -> &'static str {
        if self.plan.alg == 1 { "Ed25519" } else { "P-256" }
    }

    /// What it does wrong, in words; empty for an honest one.
    #[must_use]
    pub fn fault_name(&self) -> &'static str {
        self.plan.adversary.map_or("", |adversary| adversary.name)
    }
}

fn degrees(value: f64) -> i32 {
    (value * 1e7).round() as i32
}
