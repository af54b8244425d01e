//! The lessor and the lessees: registering devices, opening leases, access, claims, closing, withdrawals.
//! Leaves out: what must be paid (`expect`) and the devices' processes (`demo`).

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync as _;
use alloy::sol_types::SolEvent as _;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::api::Api;
use crate::chain::{Actor, Chain};
use crate::contracts::offer::{Offer, OfferBounds, OfferTerms, acceptance, opened};
use crate::contracts::{ClaimItem, Deployed, DeviceRegistry, Leaf, LeaseEscrow, LeaseInfo, TestDollar};
use crate::fleet::{Unit, fleet};
use crate::rules;

/// The parties and their devices.
#[derive(Debug)]
pub struct Market {
    /// Owns every device and is paid.
    pub lessor: Actor,
    /// One per lease, in the order of `units`.
    pub lessees: Vec<Actor>,
    /// The devices.
    pub units: Vec<Unit>,
}

/// What the chain did for one lease.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Gross pay, base units, fee included.
    pub paid: u128,
    /// From the lessor's bond to the lessee.
    pub credit: u128,
    /// Unused deposit, back to the lessee.
    pub refunded: u128,
    /// Part of `paid` that went to the committee.
    pub fee: u128,
}

/// A leaf with its proof, as a node serves it.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The leaf.
    pub leaf: Leaf,
    /// Its Merkle proof.
    pub proof: Vec<B256>,
}

impl Market {
    /// Makes everyone's accounts and keys.
    ///
    /// # Errors
    /// When the chain refuses.
    pub async fn prepare(chain: &Chain) -> Result<Self> {
        let lessor = chain.actor("lessor").await?;
        let mut lessees = Vec::new();
        for plan in fleet() {
            lessees.push(chain.actor(&format!("lessee of {}", plan.name)).await?);
        }
        Ok(Self { lessor, lessees, units: fleet().into_iter().map(Unit::new).collect() })
    }

    /// Everyone who needs test dollars, with how many.
    #[must_use]
    pub fn needs(&self) -> Vec<(Address, U256)> {
        let bonds = U256::from(self.units.iter().map(|unit| unit.plan.kind.price().bond).sum::<u64>());
        let each = self.lessees.iter().zip(&self.units);
        let lessees = each.map(|(lessee, unit)| (lessee.address(), U256::from(unit.plan.kind.price().deposit)));
        std::iter::once((self.lessor.address(), bonds)).chain(lessees).collect()
    }

    /// Registers every device and gives the escrow its allowances; the lessor sends all of it before waiting for any.
    ///
    /// # Errors
    /// When the chain refuses a registration.
    pub async fn register(&mut self, chain: &Chain, contracts: &Deployed) -> Result<()> {
        let owner = self.lessor.address();
        let mut sent = Vec::new();
        for unit in &self.units {
            let proof = unit.claim(chain.id, contracts.devices, owner)?;
            let call = DeviceRegistry::registerCall {
                to: owner,
                alg: unit.plan.alg,
                publicKey: Bytes::copy_from_slice(unit.key.bytes()),
                proof: Bytes::copy_from_slice(&proof),
                locationCommitment: B256::from(unit.commitment()),
                class: unit.plan.kind.class().0,
            };
            sent.push(chain.tell(&self.lessor, contracts.devices, &call).await?);
        }
        let mut allowances = Vec::new();
        for actor in std::iter::once(&self.lessor).chain(&self.lessees) {
            let call = TestDollar::approveCall { spender: contracts.escrow, value: U256::MAX };
            allowances.push(chain.tell(actor, contracts.dollar, &call).await?);
        }
        let receipts = chain.all_mined(sent).await?;
        for (unit, receipt) in self.units.iter_mut().zip(&receipts) {
            let log =
                receipt.logs().iter().find_map(|log| DeviceRegistry::DeviceRegistered::decode_log(&log.inner).ok());
            unit.token = log.with_context(|| format!("{}: no DeviceRegistered", unit.plan.name))?.tokenId.to::<u64>();
        }
        chain.all_mined(allowances).await.map(drop)
    }

    /// Names of the devices whose keys do not count yet.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn inactive(&self, chain: &Chain, contracts: &Deployed) -> Result<Vec<&'static str>> {
        let mut names = Vec::new();
        for unit in &self.units {
            let call = DeviceRegistry::isActiveCall { tokenId: U256::from(unit.token) };
            if !chain.ask(contracts.devices, &call).await? {
                names.push(unit.plan.name);
            }
        }
        Ok(names)
    }

    /// Every lessee accepts the lessor's signed offer for one device. Returns the time of the block that holds the last.
    ///
    /// # Errors
    /// When an offer is refused.
    pub async fn open(&mut self, chain: &Chain, contracts: &Deployed, start: u64) -> Result<u64> {
        let mut sent = Vec::new();
        for ((unit, lessee), nonce) in self.units.iter().zip(&self.lessees).zip(1u64..) {
            let offer = offer(unit, self.lessor.address(), lessee.address(), contracts, start, nonce);
            let digest = chain.ask(contracts.escrow, &offer.digest()).await?;
            let signature = Bytes::from(self.lessor.signer.sign_hash_sync(&digest)?.as_bytes().to_vec());
            let book = rules::book();
            let deposit = U256::from(unit.plan.kind.price().deposit);
            let call = offer.open(signature, acceptance(deposit, book.classes, book.proof()));
            sent.push(chain.tell(lessee, contracts.escrow, &call).await?);
        }
        let receipts = chain.all_mined(sent).await?;
        for (unit, receipt) in self.units.iter_mut().zip(&receipts) {
            let log = receipt.logs().iter().find_map(|log| opened(&log.inner));
            unit.lease = log.with_context(|| format!("{}: no LeaseOpened", unit.plan.name))?;
        }
        Ok(chain.head().await?.1)
    }

    /// Every device's user and the end of the right (ERC-4907), as the chain has it now.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn users(&self, chain: &Chain, contracts: &Deployed) -> Result<Vec<(Address, u64)>> {
        let mut users = Vec::new();
        for unit in &self.units {
            let token = U256::from(unit.token);
            let user = chain.ask(contracts.devices, &DeviceRegistry::userOfCall { tokenId: token }).await?;
            let expires = chain.ask(contracts.devices, &DeviceRegistry::userExpiresCall { tokenId: token }).await?;
            users.push((user, u64::try_from(expires).context("a right that never ends")?));
        }
        Ok(users)
    }

    /// Checks that every device's usage right is its lessee's until the end of the lease.
    ///
    /// # Errors
    /// Naming the device whose right is another's.
    pub async fn check_access(&self, chain: &Chain, contracts: &Deployed, end: u64) -> Result<()> {
        let users = self.users(chain, contracts).await?;
        for ((unit, lessee), (user, expires)) in self.units.iter().zip(&self.lessees).zip(users) {
            let (name, wanted) = (unit.plan.name, lessee.address());
            if user != wanted || expires != end {
                bail!("{name}: the usage right is {user}'s until {expires}, not {wanted}'s until {end}");
            }
        }
        Ok(())
    }

    /// Claims every lease of an epoch in one batch. Returns how many were passed over.
    ///
    /// # Errors
    /// When a proof cannot be had or the batch reverts.
    pub async fn claim(&self, chain: &Chain, contracts: &Deployed, api: &Api, epoch: u64) -> Result<usize> {
        let mut items = Vec::new();
        for unit in &self.units {
            let Proven { leaf, proof } = proven(api, epoch, unit.lease).await?;
            items.push(ClaimItem { lease: unit.lease, epoch, leaf, proof });
        }
        let sent = chain.tell(&self.lessor, contracts.escrow, &LeaseEscrow::claimBatchCall { items }).await?;
        let receipt = chain.mined(sent).await?;
        Ok(receipt.logs().iter().filter(|log| LeaseEscrow::ClaimSkipped::decode_log(&log.inner).is_ok()).count())
    }

    /// Closes every lease with its final leaf, then everyone withdraws. Returns what the chain did per lease.
    ///
    /// # Errors
    /// When a close is refused.
    pub async fn close(
        &self,
        chain: &Chain,
        contracts: &Deployed,
        api: &Api,
        epoch: u64,
    ) -> Result<BTreeMap<u64, Settled>> {
        let mut sent = Vec::new();
        for (unit, lessee) in self.units.iter().zip(&self.lessees) {
            let Proven { leaf, proof } = proven(api, epoch, unit.lease).await?;
            let call = LeaseEscrow::closeCall { lease: unit.lease, epoch, leaf, proof };
            sent.push(chain.tell(lessee, contracts.escrow, &call).await?);
        }
        let receipts = chain.all_mined(sent).await?;
        let mut settled = BTreeMap::new();
        for (unit, receipt) in self.units.iter().zip(&receipts) {
            let log = receipt.logs().iter().find_map(|log| LeaseEscrow::LeaseClosed::decode_log(&log.inner).ok());
            let refunded = log.with_context(|| format!("{}: no LeaseClosed", unit.plan.name))?.refunded;
            let info = self.lease(chain, contracts, unit.lease).await?;
            let amount = |value: U256| u128::try_from(value).context("an amount above 2^128");
            let one = Settled {
                paid: amount(info.paid)?,
                credit: amount(info.credit)?,
                refunded: amount(refunded)?,
                fee: amount(info.fee)?,
            };
            settled.insert(unit.lease, one);
        }
        Ok(settled)
    }

    /// Everyone withdraws what the escrow owes them; returns each one's balance afterwards, the lessor's first.
    ///
    /// # Errors
    /// When a withdrawal reverts.
    pub async fn withdraw(&self, chain: &Chain, contracts: &Deployed) -> Result<Vec<U256>> {
        let everyone = || std::iter::once(&self.lessor).chain(&self.lessees);
        let mut sent = Vec::new();
        for actor in everyone() {
            let owed = LeaseEscrow::claimableCall { token: contracts.dollar, account: actor.address() };
            if chain.ask(contracts.escrow, &owed).await? > U256::ZERO {
                let call = LeaseEscrow::withdrawCall { token: contracts.dollar };
                sent.push(chain.tell(actor, contracts.escrow, &call).await?);
            }
        }
        let fees = LeaseEscrow::withdrawFeesCall { committee: rules::COMMITTEE, token: contracts.dollar };
        sent.push(chain.tell(&self.lessor, contracts.escrow, &fees).await?);
        chain.all_mined(sent).await?;
        let mut balances = Vec::new();
        for actor in everyone() {
            balances.push(chain.ask(contracts.dollar, &TestDollar::balanceOfCall { account: actor.address() }).await?);
        }
        Ok(balances)
    }

    /// What the escrow still holds.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn left(&self, chain: &Chain, contracts: &Deployed) -> Result<U256> {
        chain.ask(contracts.dollar, &TestDollar::balanceOfCall { account: contracts.escrow }).await
    }

    /// A lease as the escrow has it.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn lease(&self, chain: &Chain, contracts: &Deployed, lease: u64) -> Result<LeaseInfo> {
        chain.ask(contracts.escrow, &LeaseEscrow::leaseInfoCall { lease }).await
    }
}

/// The demo's terms for one device.
fn offer(unit: &Unit, lessor: Address, lessee: Address, contracts: &Deployed, start: u64, nonce: u64) -> Offer {
    let price = unit.plan.kind.price();
    let terms = OfferTerms {
        tokenId: U256::from(unit.token),
        lessor,
        payee: lessor,
        lessee,
        token: contracts.dollar,
        class: unit.plan.kind.class().0,
        committee: rules::COMMITTEE,
        stream: rules::STREAM,
        policyHash: rules::book().policy_hash(),
        price: U256::from(price.per_unit).to(),
        maxUnitsPerHour: U256::from(price.units_per_second * 3_600).to(),
        creditPerHour: U256::from(price.per_unit * 3_600).to(),
        bond: U256::from(price.bond).to(),
        ..OfferTerms::default()
    };
    let bounds = OfferBounds {
        feeBp: rules::FEE_BP,
        minFee: U256::from(rules::MIN_FEE).to(),
        start,
        end: start + rules::LEASE_S,
        nonce,
        expiry: start,
        ..OfferBounds::default()
    };
    Offer { terms, bounds }
}

/// A lease's leaf and proof in an epoch's report, from a node.
///
/// # Errors
/// When the node has none, or what it says is none.
pub async fn proven(api: &Api, epoch: u64, lease: u64) -> Result<Proven> {
    let path = format!("/v1/reports/{epoch}/proof/{lease}");
    let answer = api.need(&path).await?;
    let leaf = &answer["leaf"];
    let number = |field: &str| -> Result<u128> {
        let value = &leaf[field];
        let parsed = value.as_u64().map(u128::from).or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        parsed.with_context(|| format!("{path}: leaf.{field} is no number: {answer}"))
    };
    let word =
        |field: &str| -> Result<B256> { hash(&leaf[field]).with_context(|| format!("{path}: leaf.{field}: {answer}")) };
    let proof = answer["proof"].as_array().with_context(|| format!("{path}: no proof: {answer}"))?;
    Ok(Proven {
        leaf: Leaf {
            escrow: leaf["escrow"].as_str().context("leaf.escrow is no text")?.parse().context("leaf.escrow")?,
            lease: u64::try_from(number("lease")?)?,
            units: number("units")?,
            goodSeconds: u64::try_from(number("goodSeconds")?)?,
            badSeconds: u64::try_from(number("badSeconds")?)?,
            creditSeconds: u64::try_from(number("creditSeconds")?)?,
            adjustment: number("adjustment")?,
            through: u64::try_from(number("through")?)?,
            evidenceRoot: word("evidenceRoot")?,
            policyHash: word("policyHash")?,
        },
        proof: proof.iter().map(hash).collect::<Result<_>>()?,
    })
}

fn hash(value: &Value) -> Result<B256> {
    value.as_str().context("not text")?.parse().context("not 32 bytes in hex")
}
