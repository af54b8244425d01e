//! One sensor on a test's chain: registered, leased for a while, run as a process, and judged by its diary and its lease.
//! Leaves out: the committee (the test beside this folder).
#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync as _;
use alloy::sol_types::SolEvent as _;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use testnet::api::Api;
use testnet::book::Book;
use testnet::chain::{Actor, Chain};
use testnet::committee::path;
use testnet::contracts::offer::{Offer, OfferBounds, OfferTerms, acceptance, opened as opened_by};
use testnet::contracts::{Deployed, DeviceRegistry, TestDollar};
use testnet::device::{Algorithm, Clock, DeviceConfig, Entry, diary};
use testnet::fleet::Unit;
use testnet::kind::named;
use testnet::process::Process;
use testnet::{market, rules};

/// Test dollars of either party, base units: far more than a lease of minutes costs.
const PURSE: u64 = 100_000_000;

pub(crate) struct Leased {
    lessor: Actor,
    lessee: Actor,
    unit: Unit,
    folder: PathBuf,
    process: Option<Process>,
}

/// What is agreed.
pub(crate) struct Terms {
    pub(crate) book: Book,
    /// Unix seconds.
    pub(crate) start: u64,
    pub(crate) seconds: u64,
}

impl Leased {
    /// An honest device with a P-256 key: the chain checks it itself.
    pub(crate) async fn prepare(chain: &Chain) -> Self {
        let plan = named("rig").unwrap().fleet().into_iter().find(|plan| plan.alg == 2 && plan.model == "room");
        let plan = testnet::fleet::Plan { adversary: None, ..plan.unwrap() };
        Self {
            lessor: chain.actor("lessor").await.unwrap(),
            lessee: chain.actor("lessee").await.unwrap(),
            unit: Unit::new(plan),
            folder: PathBuf::new(),
            process: None,
        }
    }

    pub(crate) fn needs(&self) -> [(Address, U256); 2] {
        [&self.lessor, &self.lessee].map(|actor| (actor.address(), U256::from(PURSE)))
    }

    pub(crate) async fn register(&mut self, chain: &Chain, set: &Deployed) {
        let owner = self.lessor.address();
        let call = DeviceRegistry::registerCall {
            to: owner,
            alg: self.unit.plan.alg,
            publicKey: Bytes::copy_from_slice(self.unit.key.bytes()),
            proof: Bytes::copy_from_slice(&self.unit.claim(chain.id, set.devices, owner).unwrap()),
            locationCommitment: B256::from(self.unit.commitment()),
            class: self.unit.plan.kind.class().0,
        };
        let registered = chain.mined(chain.tell(&self.lessor, set.devices, &call).await.unwrap()).await.unwrap();
        let mut logs = registered.logs().iter();
        let event = logs.find_map(|log| DeviceRegistry::DeviceRegistered::decode_log(&log.inner).ok()).unwrap();
        self.unit.token = event.tokenId.to::<u64>();
        for actor in [&self.lessor, &self.lessee] {
            let call = TestDollar::approveCall { spender: set.escrow, value: U256::MAX };
            chain.mined(chain.tell(actor, set.dollar, &call).await.unwrap()).await.unwrap();
        }
    }

    pub(crate) async fn open(&mut self, chain: &Chain, set: &Deployed, terms: &Terms) {
        let whole = U256::from(rules::BY_THE_SECOND.per_unit * terms.seconds);
        // The first term may have begun meanwhile: a lease begins at the earliest when it is opened.
        let start = terms.start.max(chain.head().await.unwrap().1 + 3);
        let terms_of = OfferTerms {
            tokenId: U256::from(self.unit.token),
            lessor: self.lessor.address(),
            payee: self.lessor.address(),
            lessee: self.lessee.address(),
            token: set.dollar,
            class: self.unit.plan.kind.class().0,
            committee: rules::COMMITTEE,
            stream: rules::STREAM,
            policyHash: terms.book.policy_hash(),
            price: U256::from(rules::BY_THE_SECOND.per_unit).to(),
            maxUnitsPerHour: U256::from(3_600u64).to(),
            creditPerHour: U256::from(rules::BY_THE_SECOND.per_unit * 3_600).to(),
            bond: whole.to(),
            ..OfferTerms::default()
        };
        let bounds = OfferBounds {
            feeBp: rules::FEE_BP,
            minFee: U256::from(rules::MIN_FEE).to(),
            start,
            end: start + terms.seconds,
            nonce: 1,
            expiry: start,
            ..OfferBounds::default()
        };
        let offer = Offer { terms: terms_of, bounds };
        let digest = chain.ask(set.escrow, &offer.digest()).await.unwrap();
        let signature = Bytes::from(self.lessor.signer.sign_hash_sync(&digest).unwrap().as_bytes().to_vec());
        let accepted = acceptance(whole * U256::from(2u64), terms.book.classes, terms.book.proof());
        let call = offer.open(signature, accepted);
        let opened = chain.mined(chain.tell(&self.lessee, set.escrow, &call).await.unwrap()).await.unwrap();
        let mut logs = opened.logs().iter();
        self.unit.lease = logs.find_map(|log| opened_by(&log.inner)).unwrap();
    }

    pub(crate) fn configure(
        &mut self,
        folder: &Path,
        (chain_id, registry): (u64, Address),
        brokers: Vec<SocketAddr>,
        receipt_keys: Vec<String>,
    ) -> DeviceConfig {
        self.folder = folder.join("device");
        std::fs::create_dir_all(&self.folder).unwrap();
        let file = |name: &str| self.folder.join(name);
        std::fs::write(file("key.seed"), hex::encode(self.unit.seed)).unwrap();
        DeviceConfig {
            name: "sensor".into(),
            dir: self.folder.clone(),
            alg: Algorithm::P256,
            seed_file: file("key.seed"),
            network: hex::encode(attest::network_id(chain_id, &registry.into_array())),
            chain_id,
            registry,
            receipt_keys,
            receipts_needed: 2,
            committee: rules::COMMITTEE,
            term: rules::TERM,
            brokers,
            kind: "rig".into(),
            token: self.unit.token,
            location: None,
            group_key_file: file("group.key"),
            run_file: file("clock.toml"),
            deadline_ms: 500,
            adversary: None,
            line: None,
            recordings: Some("nowhere".into()),
            settings: toml::from_str("model = \"room\"").unwrap(),
        }
    }

    /// Starts the process; all it knows of the committee is the first term's key, 256 bytes.
    pub(crate) fn start(
        &mut self,
        program: &Path,
        logs: &Path,
        config: &DeviceConfig,
        clock: &Clock,
        group_key: &[u8],
    ) {
        let group = aggregator::GroupKey::from_eip2537(group_key.try_into().unwrap()).unwrap();
        std::fs::write(&config.group_key_file, hex::encode(group.to_bytes())).unwrap();
        std::fs::write(&config.run_file, toml::to_string(clock).unwrap()).unwrap();
        let file = self.folder.join("device.toml");
        std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
        let arguments = ["device", "--config", path(&file).unwrap()];
        self.process = Some(Process::start("device", program, &arguments, logs).unwrap());
    }

    /// A stranger puts a rotation to a key of its own where nodes keep the true ones, before there is one.
    pub(crate) async fn lie(&self, broker: u16, chain_id: u64, registry: Address) {
        let (sharing, shares) = aggregator::deal_for_tests(4, 666);
        let home = attest::Home {
            chain_id,
            registry: registry.into_array(),
            committee: rules::COMMITTEE,
            epoch_ms: 0,
            slot_ms: 0,
        };
        let group_key = sharing.group.to_eip2537();
        let mut rotation = attest::Rotation {
            term: 1,
            config: &[0; 32],
            new_term: 2,
            new_config: &[0; 32],
            from_epoch: 1,
            base: &[0; 32],
            group_key: &group_key,
            certificate: &[0; 48],
        };
        let digest = rotation.digest(&home);
        let partials: Vec<_> = shares.iter().take(3).map(|share| share.sign(&digest)).collect();
        let certificate = sharing.recover(&digest, &partials).unwrap().to_bytes();
        rotation.certificate = &certificate;
        let payload = [&attest::Rotations::head(&home, 1)[..], &rotation.to_bytes()].concat();
        let (client, mut events) = AsyncClient::new(MqttOptions::new("stranger", "127.0.0.1", broker), 8);
        let topic = attest::topic_term(&home.network(), home.committee);
        client.publish(topic.as_str(), QoS::AtLeastOnce, true, payload).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
    }

    /// Judges the device after the `epochs` of its second term, of which `slot` is the first: `new` is a node's page that
    /// knows only that term, `both` one that knows the epochs before, too.
    pub(crate) async fn check(&mut self, new: &Api, both: &Api, epochs: RangeInclusive<u64>, slot: u64) {
        self.process.as_mut().unwrap().check().unwrap();
        let (first, last) = (*epochs.start(), *epochs.end());
        let before = market::proven(both, first - 1, self.unit.lease).await.unwrap().leaf;
        let after = market::proven(new, last, self.unit.lease).await.unwrap().leaf;
        println!(
            "lease: good {} s, bad {} s up to epoch {}; good {} s, bad {} s up to epoch {last}",
            before.goodSeconds,
            before.badSeconds,
            first - 1,
            after.goodSeconds,
            after.badSeconds
        );
        assert_eq!(after.badSeconds, before.badSeconds, "a challenge of the new term was failed");
        assert!(after.goodSeconds > before.goodSeconds && after.units > before.units, "{before:?} {after:?}");

        let entries = diary::read(&self.folder.join(diary::FILE)).unwrap();
        let told = entries.iter().find_map(|entry| match entry {
            Entry::Term { term, from_epoch, .. } => Some((*term, *from_epoch)),
            _ => None,
        });
        assert_eq!(told, Some((2, first)));
        let refused = entries.iter().filter(|entry| matches!(entry, Entry::BadBeacon { .. } | Entry::BadAccess { .. }));
        let lies = entries.iter().filter(|entry| matches!(entry, Entry::BadTerm { .. }));
        assert_eq!(lies.count(), 1, "the stranger's rotation, and no true one");
        assert_eq!(refused.collect::<Vec<_>>(), Vec::<&Entry>::new());
        let answered = entries.iter().filter(|entry| matches!(entry, Entry::Sent { slot: Some(s), .. } if *s >= slot));
        let beacons = entries.iter().filter(|entry| matches!(entry, Entry::Beacon { slot: s, .. } if *s >= slot));
        let (answered, beacons) = (answered.count(), beacons.count());
        println!("device: {beacons} beacons of the new term, {answered} answers to them");
        assert!(answered >= 5 && beacons >= answered, "{answered} of {beacons}");
        let let_in = |entry: &Entry| matches!(entry, Entry::Access { epoch, .. } if *epoch >= first);
        assert!(entries.iter().any(let_in), "the door follows, too");
    }

    pub(crate) async fn stop(&mut self) {
        self.process.as_mut().unwrap().kill().await.unwrap();
    }
}
