//! Reports, proofs, verdicts, the archive, evidence and receipts, out of the store.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use oracle_core::class;
use oracle_core::merkle::{leaf_hash, leaf_proof};
use oracle_core::reason::Reason;
use oracle_core::state::LeaseState;
use oracle_core::typed::Leaf;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chain::{show_lease, view};
use super::{Answer, ApiError, Shared, hexed, id_of, read};
use crate::board::Board;
use crate::receipts;
use crate::store::{StoredReport, StoredVerdict};

/// Rows of one answer at most.
const ROWS_MAX: usize = 1_000;
const ASK_LATER: &str =
    "epochs with a certificate are listed at /v1/epochs; a member that was away may not have every one";

/// `?stream=…`, where more than one is served; the lowest when left out.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Of {
    stream: Option<u32>,
}

impl Of {
    /// The stream that is asked about, if it is served here.
    fn stream(self, board: &Board) -> Result<u32, ApiError> {
        let asked = self.stream.or_else(|| board.streams.first().copied());
        let hint = "the streams served here are listed at /v1/status";
        let served = asked.filter(|stream| board.streams.contains(stream));
        served.ok_or_else(|| ApiError::missing(format!("stream {} is not served here", asked.unwrap_or(0)), hint))
    }
}

/// `?stream=…&first=…&limit=…`, or `?kind=…&first=…` for statements.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    first: u64,
    limit: Option<usize>,
    kind: Option<u8>,
    stream: Option<u32>,
}

async fn stored(board: &Arc<Board>, stream: u32, epoch: u64) -> Result<StoredReport, ApiError> {
    let report = read(board, move |store| store.report(stream, epoch)).await?;
    report.ok_or_else(|| {
        ApiError::missing(format!("no certified report of stream {stream}, epoch {epoch} here"), ASK_LATER)
    })
}

pub(super) async fn epochs(State(board): Shared, Query(page): Query<Page>) -> Answer {
    let (stream, committee) = (Of { stream: page.stream }.stream(&board)?, board.committee);
    let limit = page.limit.unwrap_or(100).min(ROWS_MAX);
    let reports = read(&board, move |store| {
        let epochs = store.report_epochs(stream, page.first, limit)?;
        epochs.into_iter().filter_map(|epoch| store.report(stream, epoch).transpose()).collect::<Result<Vec<_>, _>>()
    });
    let reports = reports.await?;
    let chain = board.chain();
    let rows = reports.iter().map(|report| {
        let posted =
            chain.as_ref().and_then(|view| view.registry.posted().get(&(committee, stream, report.epoch)).copied());
        json!({
            "epoch": report.epoch, "digest": hexed(*report.digest), "leases": report.leaves.len(),
            "void_slots": report.void_slots,
            "participation": report.header().map(|header| format!("0x{:x}", header.participation)),
            "posted": posted.map(|p| json!({ "block": p.block, "digest": p.digest })),
        })
    });
    Ok(Json(json!({ "stream": stream, "epochs": rows.collect::<Vec<_>>() })))
}

pub(super) async fn report(State(board): Shared, Path(epoch): Path<u64>, Query(of): Query<Of>) -> Answer {
    let report = stored(&board, of.stream(&board)?, epoch).await?;
    let leaves: Vec<Value> = report.leaves().iter().map(show_leaf).collect();
    Ok(Json(json!({
        "stream": report.stream, "epoch": epoch, "digest": hexed(*report.digest),
        "header": report.header().map(|h| json!({
            "committee": h.committee, "term": h.term, "configDigest": h.configDigest, "stream": h.stream, "epoch": h.epoch,
            "periodStart": h.periodStart, "periodEnd": h.periodEnd, "snapshotBlock": h.snapshotBlock,
            "snapshotHash": h.snapshotHash, "leafCount": h.leafCount, "leavesRoot": h.leavesRoot, "stateRoot": h.stateRoot,
            "observationsHash": h.observationsHash, "policyHash": h.policyHash, "previousHeader": h.previousHeader,
            "participation": format!("0x{:x}", h.participation),
        })),
        "header_abi": hexed(&**report.header),
        "certificate": hexed(*report.certificate),
        "certificate_onchain": aggregator::Signature::from_bytes(&report.certificate).ok().map(|s| hexed(s.to_onchain())),
        "leaves": leaves,
        "void_slots": report.void_slots,
    })))
}

/// A lease's leaf of an epoch with its proof, as `claim` and `close` want them.
fn proven(report: &StoredReport, lease: u64) -> Option<Value> {
    let leaves = report.leaves();
    let index = leaves.iter().position(|leaf| leaf.lease == lease)?;
    let leaf = leaves.get(index)?;
    Some(json!({
        "lease": lease, "epoch": report.epoch, "leaf": show_leaf(leaf), "leaf_hash": leaf_hash(leaf),
        "leaves_root": report.header().map(|header| header.leavesRoot), "proof": leaf_proof(&leaves, index)?,
    }))
}

pub(super) async fn proof(
    State(board): Shared,
    Path((epoch, lease)): Path<(u64, u64)>,
    Query(of): Query<Of>,
) -> Answer {
    let stream = match of.stream {
        // A lease is of one stream, which the chain knows.
        None => board.chain().and_then(|view| view.registry.leases().get(&lease).map(|record| record.stream)),
        stream => stream,
    };
    let report = stored(&board, Of { stream }.stream(&board)?, epoch).await?;
    let hint = "a lease enters the report of the first epoch whose snapshot holds it";
    proven(&report, lease)
        .map(Json)
        .ok_or_else(|| ApiError::missing(format!("lease {lease} is not in epoch {epoch}"), hint))
}

pub(super) async fn verdicts(State(board): Shared, Path(epoch): Path<u64>, Query(of): Query<Of>) -> Answer {
    let report = stored(&board, of.stream(&board)?, epoch).await?;
    let rows: Vec<Value> = report.verdicts.iter().map(show_verdict).collect();
    Ok(Json(json!({ "epoch": epoch, "void_slots": report.void_slots, "verdicts": rows })))
}

/// A lease: what the chain says, its counters after the last certified epoch, why seconds were lost, and the proof.
pub(super) async fn lease(State(board): Shared, Path(lease): Path<u64>) -> Answer {
    let view = view(&board)?;
    let record = view.registry.leases().get(&lease);
    let stream = Of { stream: record.map(|record| record.stream) }.stream(&board).ok();
    let status = board.live().status;
    let last = stream.and_then(|stream| status?.streams.get(&stream)?.last_certified);
    let report = match (stream, last) {
        (Some(stream), Some(epoch)) => stored(&board, stream, epoch).await.ok(),
        _ => None,
    };
    let state = report.as_ref().and_then(|report| report.state.leases.iter().find(|state| state.lease == lease));
    if record.is_none() && state.is_none() {
        return Err(ApiError::missing(
            format!("no open lease {lease}"),
            "see /v1/leases; closed leases are on the chain only",
        ));
    }
    let recent = report.iter().flat_map(|report| &report.verdicts).filter(|verdict| verdict.lease == lease);
    Ok(Json(json!({
        "lease": lease,
        "chain": record.map(|record| show_lease(lease, record)),
        "state": state.map(show_state),
        "last_epoch": last,
        "last_verdicts": recent.map(show_verdict).collect::<Vec<_>>(),
        "proof": report.as_ref().and_then(|report| proven(report, lease)),
    })))
}

pub(super) async fn archive(
    State(board): Shared,
    Path(epoch): Path<u64>,
    Query(of): Query<Of>,
) -> Result<Response, ApiError> {
    let stream = of.stream(&board)?;
    let bundle = read(&board, move |store| store.bundle(stream, epoch)).await?;
    let bundle = bundle
        .ok_or_else(|| ApiError::missing(format!("no bundle of stream {stream}, epoch {epoch} here"), ASK_LATER))?;
    Ok(([(header::CONTENT_TYPE, "application/cbor")], bundle).into_response())
}

pub(super) async fn evidence(State(board): Shared, Path(id): Path<String>) -> Answer {
    let id = id_of(&id)?;
    let found = read(&board, move |store| store.evidence(&id)).await?;
    let hint = "what was refused is counted by reason at /metrics and not kept";
    let found = found.ok_or_else(|| ApiError::missing("no such evidence here", hint))?;
    let class = attest::Class::from_u8(found.class).map(attest::Class::name);
    Ok(Json(json!({
        "id": hexed(*found.id), "class": class, "device": found.device, "boot": found.boot, "seq": found.seq,
        "slot": found.slot, "arrival_ms": found.arrival_ms, "bytes": hexed(&**found.bytes),
    })))
}

pub(super) async fn receipt(State(board): Shared, Path(id): Path<String>) -> Answer {
    let id = id_of(&id)?;
    let found = read(&board, move |store| store.receipt(&id)).await?;
    let (batch, index) = found.ok_or_else(|| ApiError::missing("no receipt for this id here", "ask another member"))?;
    let leaf = batch.leaves.get(index).map(|leaf| json!({ "arrival_ms": leaf.arrival_ms, "verdict": leaf.verdict }));
    let path: Vec<Value> = receipts::path(&batch, index)
        .iter()
        .map(|step| json!({ "sibling": hexed(step.sibling), "left": step.left }))
        .collect();
    Ok(Json(json!({
        "id": hexed(id), "leaf": leaf, "index": index, "path": path, "batch": batch.batch, "count": batch.leaves.len(),
        "previous": hexed(*batch.previous), "root": hexed(*batch.root), "signature": hexed(*batch.signature),
        "receipt_key": board.identity.receipt_key,
    })))
}

/// What this node has signed and said, one value for each instance, phase and view.
pub(super) async fn statements(State(board): Shared, Query(page): Query<Page>) -> Answer {
    let kind = page.kind.unwrap_or(1);
    // Instances of other kinds are the term's; of a rotation the number is that of its attempt.
    let stream = if kind == 1 { Of { stream: page.stream }.stream(&board)? } else { page.stream.unwrap_or(0) };
    let limit = page.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX);
    let rows = read(&board, move |store| store.statements(kind, stream, page.first, limit)).await?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|(instance, phase, view, value)| {
            json!({ "kind": instance.kind, "stream": instance.stream, "epoch": instance.epoch, "phase": phase, "view": view, "value": hexed(value) })
        })
        .collect();
    let withheld = board.metrics.core_notes.with_label_values(&["contradiction_withheld"]).get();
    Ok(Json(json!({ "statements": rows, "contradictions_withheld": withheld })))
}

fn show_leaf(leaf: &Leaf) -> Value {
    json!({
        "escrow": leaf.escrow, "lease": leaf.lease, "units": leaf.units.to_string(), "goodSeconds": leaf.goodSeconds, "badSeconds": leaf.badSeconds,
        "creditSeconds": leaf.creditSeconds, "adjustment": leaf.adjustment.to_string(), "through": leaf.through,
        "evidenceRoot": leaf.evidenceRoot, "policyHash": leaf.policyHash,
    })
}

fn show_verdict(verdict: &StoredVerdict) -> Value {
    let StoredVerdict { lease, at, outcome, reason: code, units, measured, limit } = *verdict;
    let reason = Reason::from_code(code);
    json!({
        "lease": lease, "at": at, "units": units,
        "outcome": match outcome { 0 => "void", 1 => "passed", _ => "failed" },
        "reason": reason.map(Reason::name), "code": code, "why": reason.map(Reason::sentence),
        "measured": measured, "limit": limit, "margin": limit.saturating_sub(measured), "unit": reason.map(Reason::unit),
    })
}

fn show_state(state: &LeaseState) -> Value {
    let reasons = state.reasons.iter().map(|(code, count)| {
        let reason = Reason::from_code(*code);
        json!({ "code": code, "reason": reason.map(Reason::name), "why": reason.map(Reason::sentence), "count": count })
    });
    let class = class::known(state.class);
    let kept = class.map(|class| class.kept(&state.fold)).unwrap_or_default();
    let kept: serde_json::Map<String, Value> =
        kept.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    json!({
        "device": state.device, "class": state.class, "class_name": class.map(|class| class.name()),
        "unit": class.map(|class| class.unit()), "policy_hash": hexed(*state.policy_hash),
        "start": state.start, "end": state.end, "through": state.through, "units": state.units().to_string(),
        "good": state.good, "bad": state.bad, "credit": state.credit, "kept": kept,
        "reasons": reasons.collect::<Vec<_>>(), "evidence_root": hexed(*state.evidence_root),
    })
}
