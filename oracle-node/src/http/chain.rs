//! What the chain says, as folded here: the committee, devices, leases.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use oracle_core::class;
use oracle_core::registry::{DeviceRecord, LeaseRecord};
use serde_json::{Value, json};

use super::{Answer, ApiError, Shared, hexed};
use crate::board::Board;
use crate::chain::View;

/// The fold, or why there is none.
pub(super) fn view(board: &Arc<Board>) -> Result<View, ApiError> {
    board
        .chain()
        .ok_or_else(|| ApiError::missing("the chain has not been read yet", "check [chain] rpc and the node's log"))
}

pub(super) async fn committee(State(board): Shared) -> Answer {
    let view = view(&board)?;
    let number = board.live().term.map_or(board.term_number, |term| term.scope.term);
    let term = view.registry.term(view.chain_id, board.committee, number);
    let term = term.ok_or_else(|| {
        ApiError::missing(
            format!("term {number} of committee {} is not configured in a finalized block", board.committee),
            "governance calls CommitteeRegistry.configure; then wait for finality",
        )
    })?;
    let activation = view.registry.activation(board.committee, number);
    let rotated = view.registry.rotated(board.committee, number);
    let members = (0u32..).zip(&term.members).map(|(index, member)| {
        let endpoint = view.registry.registration(board.committee, &member.address).map(|r| r.endpoint.clone());
        json!({
            "index": index, "address": member.address, "peer_key": hexed(member.peer_key), "dkg_key": hexed(member.dkg_key),
            "receipt_key": view.registry.registration(board.committee, &member.address).map(|r| hexed(r.receipt_key)),
            "endpoint": endpoint,
        })
    });
    Ok(Json(json!({
        "chain_id": view.chain_id, "registry": term.scope.registry, "network": hexed(term.scope.network()),
        "committee": board.committee, "term": number, "from_epoch": rotated.map_or(0, |rotated| rotated.from_epoch),
        "config_digest": term.scope.config_digest,
        "n": term.n(), "f": term.f(), "quorum": term.quorum(), "threshold": aggregator::quorum(term.n()),
        "book_root": term.book_root, "epoch_ms": term.epoch_ms, "slot_ms": term.slot_ms, "genesis_ms": term.genesis_ms,
        "group_key": activation.map(|a| hexed(&a.group_key)), "share_root": activation.map(|a| a.share_root),
        "group_key_compressed": activation.and_then(|a| compressed(&a.group_key)),
        "members": members.collect::<Vec<_>>(),
    })))
}

/// The 96-byte compressed form of a 256-byte key, as devices and libraries want it.
fn compressed(key: &[u8]) -> Option<String> {
    let key: &[u8; 256] = key.try_into().ok()?;
    aggregator::GroupKey::from_eip2537(key).ok().map(|key| hexed(key.to_bytes()))
}

pub(super) async fn devices(State(board): Shared) -> Answer {
    let view = view(&board)?;
    let devices: Vec<Value> = view.registry.devices().iter().map(|(id, record)| show_device(*id, record)).collect();
    Ok(Json(json!({ "block": view.block, "devices": devices })))
}

pub(super) async fn device(State(board): Shared, Path(id): Path<u64>) -> Answer {
    let view = view(&board)?;
    let record = view.registry.devices().get(&id);
    let record = record.ok_or_else(|| ApiError::missing(format!("no device {id}"), "see /v1/devices"))?;
    let leases = view.registry.leases().iter().filter(|(_, lease)| lease.device == id);
    let mut shown = show_device(id, record);
    shown["leases"] = leases.map(|(lease, _)| *lease).collect();
    Ok(Json(shown))
}

pub(super) async fn leases(State(board): Shared) -> Answer {
    let view = view(&board)?;
    let ours = view.registry.leases().iter().filter(|(_, lease)| lease.committee == board.committee);
    let leases: Vec<Value> = ours.map(|(id, record)| show_lease(*id, record)).collect();
    Ok(Json(json!({ "block": view.block, "leases": leases })))
}

fn show_device(id: u64, record: &DeviceRecord) -> Value {
    let alg = match record.key {
        attest::PublicKey::Ed25519(_) => "ed25519",
        attest::PublicKey::P256(_) => "p256",
    };
    json!({
        "device": id, "owner": record.owner, "alg": alg, "kid": hex::encode(record.key.kid()),
        "thumbprint": hexed(record.key.thumbprint()), "active": record.active, "revoked": record.revoked, "class": record.class,
        "class_name": class::known(record.class).map(|class| class.name()), "meter_key": hexed(record.meter_key),
        "location_commitment": hexed(record.location),
    })
}

/// A lease as the chain knows it.
pub(super) fn show_lease(id: u64, record: &LeaseRecord) -> Value {
    json!({
        "lease": id, "escrow": record.escrow, "device": record.device, "lessee": record.lessee, "lessor": record.lessor, "class": record.class,
        "committee": record.committee, "stream": record.stream, "policy_hash": record.policy_hash,
        "start": record.start, "end": record.end,
    })
}
