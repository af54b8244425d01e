//! A short archive with its chain log, made with real signatures in the core's own test world.
//! Leaves out: coverage devices' answers; the core tests them.

use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use oracle_core::archive::Bundle;
use oracle_core::registry::{Block, RawLog, events};
use oracle_core::report;
use oracle_core::typed::Leaf;
use sdk::chain_log::Chain;
use sdk::verify::Trust;
use serde_json::{Value, json};

// The core's test world is not published: it deals keys, which no library may.
#[allow(dead_code)]
#[path = "../../../oracle-node/core/tests/epoch/world.rs"]
pub(crate) mod world;

pub(crate) use world::{POLICY, World, book_text, contracts};

/// A folder that is gone with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plumbline-sdk-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The committee of the world.
pub(crate) fn chain() -> Chain {
    Chain { id: 31_337, contracts: contracts(), committee: 1, term: 1 }
}

/// Runs epochs 0 to `epochs` − 1 with the second device silent and archives each, the fourth
/// member's observation left out; those in `posted` go on the chain.
pub(crate) fn archived(epochs: u64, posted: &[u64]) -> (World, Vec<Vec<u8>>) {
    let mut world = World::new();
    let mut bundles = Vec::new();
    for epoch in 0..epochs {
        world.all_answer(epoch, &[1].into());
        let mut observed = world.observe(epoch);
        let left_out = observed.statements.pop().unwrap();
        observed.bodies.remove(&3);
        let set = world.proposal(epoch, &observed);
        let outcome = world.with_input(epoch, &observed, &set, report::compute).unwrap();
        let digest = report::header_digest(&world.term, &outcome.header);
        let certificate = world.certify(&digest);
        bundles.push(world.with_input(epoch, &observed, &set, |input| {
            Bundle::of(input, &outcome, &certificate, vec![left_out]).encode()
        }));
        let event = events::ReportPosted {
            committee: 1,
            stream: 0,
            epoch,
            headerDigest: digest,
            leavesRoot: outcome.header.leavesRoot,
            stateRoot: outcome.header.stateRoot,
            activeAt: 0,
        };
        let logs = if posted.contains(&epoch) { vec![world::log(contracts().hub, &event)] } else { vec![] };
        mine(&mut world, logs);
        world.state = outcome.state;
    }
    (world, bundles)
}

fn mine(world: &mut World, logs: Vec<RawLog>) {
    let number = u64::try_from(world.chain.len()).unwrap() + 1;
    let block = world::block(number, i64::try_from(number).unwrap() - 9);
    world.history.apply(block, &logs);
    world.chain.push((block, logs));
}

/// The world's chain as an auditor would export it.
pub(crate) fn chain_log(chain: &[(Block, Vec<RawLog>)]) -> String {
    let lines = chain.iter().map(|(block, logs)| {
        let logs: Vec<_> = logs
            .iter()
            .map(|log| json!({ "address": log.address.to_string(), "topics": topics(log), "data": hexed(&log.data) }))
            .collect();
        let block = json!({ "number": block.number, "hash": hexed(&block.hash.0), "timestamp": block.timestamp });
        json!({ "block": block, "logs": logs }).to_string()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn topics(log: &RawLog) -> Vec<String> {
    log.topics.iter().map(|topic| hexed(&topic.0)).collect()
}

pub(crate) fn hexed(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Writes bundles under their names.
pub(crate) fn store(folder: &Path, bundles: &[Vec<u8>]) {
    for (epoch, bundle) in (0u64..).zip(bundles) {
        std::fs::write(folder.join(sdk::audit::file_name(epoch)), bundle).unwrap();
    }
}

/// The world's contracts in the order of the command line: registry, devices, escrow, hub.
pub(crate) fn addresses() -> [Address; 4] {
    let all = contracts();
    [all.registry, all.devices, all.escrow, all.hub]
}

/// Whose signature counts in the world.
pub(crate) fn trust(world: &World) -> Trust {
    Trust::from_chain(&world.history).unwrap()
}

/// The report of the last archived epoch as a node's API tells it.
pub(crate) fn report_json(world: &World, bundle: &[u8]) -> Value {
    let bundle = Bundle::decode(bundle).unwrap();
    let leaves: Vec<Value> = leaves(world).iter().map(leaf_json).collect();
    json!({
        "stream": 0, "epoch": bundle.epoch, "header_abi": hexed(&bundle.header), "certificate": hexed(&*bundle.certificate),
        "leaves": leaves, "void_slots": [],
    })
}

/// A leaf as a node's API tells it.
pub(crate) fn leaf_json(leaf: &Leaf) -> Value {
    json!({
        "escrow": leaf.escrow.to_string(), "lease": leaf.lease, "units": leaf.units.to_string(), "goodSeconds": leaf.goodSeconds, "badSeconds": leaf.badSeconds,
        "creditSeconds": leaf.creditSeconds, "adjustment": leaf.adjustment.to_string(), "through": leaf.through,
        "evidenceRoot": leaf.evidenceRoot.to_string(), "policyHash": leaf.policyHash.to_string(),
    })
}

/// The leaves of the world's last epoch, put together by hand: half of the bad seconds are credited.
pub(crate) fn leaves(world: &World) -> Vec<Leaf> {
    let leaves = world.state.leases.iter().map(|state| Leaf {
        escrow: contracts().escrow,
        lease: state.lease,
        units: u128::from(state.good),
        goodSeconds: state.good,
        badSeconds: state.bad,
        creditSeconds: state.bad / 2,
        adjustment: 0,
        through: state.through,
        evidenceRoot: (*state.evidence_root).into(),
        policyHash: (*state.policy_hash).into(),
    });
    leaves.collect()
}
