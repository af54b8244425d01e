//! The API of a node (axum): reading only, JSON, every error with what, where and what to do. docs: oracle-node/README.md.
//! The only file that knows axum, with `http/`. Leaves out: authentication (keep it on loopback or behind a proxy).

mod chain;
mod faults;
mod reports;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use oracle_core::oracle::StreamStatus;
use prometheus::IntCounterVec;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::board::Board;
use crate::store::{Store, StoreError};

/// Requests answered at once.
const AT_ONCE: usize = 64;
/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Letters of a question that an error repeats at most.
const SHOWN_MAX: usize = 200;

/// What went wrong, for people and programs.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    what: String,
    hint: &'static str,
}

impl ApiError {
    /// Nothing there (yet).
    fn missing(what: impl Into<String>, hint: &'static str) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", what: what.into(), hint }
    }

    /// A question that makes no sense.
    fn bad(what: impl Into<String>, hint: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", what: what.into(), hint }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the API could not read the store");
        let hint = "look at the node's log; the disk may be failing";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "store", what: error.to_string(), hint }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "what": self.what, "do": self.hint } });
        (self.status, Json(body)).into_response()
    }
}

/// What a handler gives.
type Answer = Result<Json<Value>, ApiError>;
/// The board, as handlers get it.
type Shared = State<Arc<Board>>;

/// Opens the API's port; the future answers requests, for ever.
///
/// # Errors
/// The address is in use or not this machine's.
pub async fn listen(
    address: SocketAddr,
    board: Arc<Board>,
) -> anyhow::Result<impl Future<Output = std::io::Result<()>> + use<>> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("[http] listen: {address}"))?;
    tracing::info!(%address, "API");
    Ok(async move { axum::serve(listener, router(board)).await })
}

/// Every route.
pub(crate) fn router(board: Arc<Board>) -> Router {
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    let refused = board.metrics.http_refused.clone();
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/committee", get(chain::committee))
        .route("/v1/devices", get(chain::devices))
        .route("/v1/devices/{id}", get(chain::device))
        .route("/v1/leases", get(chain::leases))
        .route("/v1/leases/{id}", get(reports::lease))
        .route("/v1/epochs", get(reports::epochs))
        .route("/v1/reports/{epoch}", get(reports::report))
        .route("/v1/reports/{epoch}/proof/{lease}", get(reports::proof))
        .route("/v1/reports/{epoch}/verdicts", get(reports::verdicts))
        .route("/v1/archive/{epoch}", get(reports::archive))
        .route("/v1/evidence/{id}", get(reports::evidence))
        .route("/v1/receipts/{id}", get(reports::receipt))
        .route("/v1/statements", get(reports::statements))
        .route("/v1/faults", get(faults::faults))
        .fallback(unknown)
        .method_not_allowed_fallback(reading_only)
        .layer(DefaultBodyLimit::max(1_024))
        .layer(middleware::from_fn(move |request: Request, next: Next| bounded(Arc::clone(&limit), request, next)))
        .layer(middleware::from_fn(move |request: Request, next: Next| explained(refused.clone(), request, next)))
        .with_state(board)
}

/// A bounded number of answers at once, each within its time.
async fn bounded(limit: Arc<Semaphore>, request: Request, next: Next) -> Response {
    let busy = |what: &str| {
        let error = ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "busy",
            what: what.into(),
            hint: "ask again in a moment",
        };
        error.into_response()
    };
    let Ok(_permit) = limit.try_acquire() else { return busy("too many requests at once") };
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => busy("the answer took too long"),
    }
}

/// Counts errors, and gives those of the framework (a path or query that does not parse) the shape of ours.
async fn explained(refused: IntCounterVec, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    refused.with_label_values(&[status.as_str()]).inc();
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind == Some(b"application/json") {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap_or_default();
    let what = String::from_utf8_lossy(&said).into_owned();
    ApiError { status, code: "bad_request", what, hint: "paths and queries: oracle-node/README.md" }.into_response()
}

async fn unknown(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(SHOWN_MAX).collect();
    ApiError::missing(format!("no such path: {path}"), "the paths are listed in oracle-node/README.md")
}

async fn reading_only(request: Request) -> ApiError {
    let what = format!("{} is not answered", request.method().as_str().chars().take(SHOWN_MAX).collect::<String>());
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, code: "method", what, hint: "this API is read with GET" }
}

async fn health(State(board): Shared) -> Json<Value> {
    let phase = board.live().status.map_or("waiting", |status| status.phase);
    Json(json!({ "ok": true, "phase": phase }))
}

async fn metrics(State(board): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], board.metrics.text()).into_response()
}

fn refresh(refresh: &oracle_core::bootstrap::RefreshProgress) -> Value {
    json!({
        "number": refresh.number, "phase": refresh.phase, "next": refresh.next, "asked": refresh.asked,
        "absent": refresh.absent, "acks": refresh.acks, "logs": refresh.logs, "partials": refresh.partials,
        "activations": refresh.activations, "waiting_for": refresh.waiting_for, "refreshed": refresh.refreshed,
        "from_epoch": refresh.from_epoch, "has_share": refresh.has_share, "failure": refresh.failure,
    })
}

fn of_stream(stream: &StreamStatus) -> Value {
    json!({
        "next_epoch": stream.next_epoch, "view": stream.view, "heard": stream.heard, "wanted": stream.wanted,
        "behind": stream.behind, "last_decided": stream.last_decided, "last_certified": stream.last_certified,
        "last_posted": stream.last_posted, "void_slots": stream.void_slots, "inheriting": stream.inheriting,
    })
}

async fn status(State(board): Shared) -> Json<Value> {
    let live = board.live();
    let chain = board.chain();
    let status = live.status.map(|status| {
        // On top what holds for every stream: the one that is furthest behind.
        let slowest = status.slowest().map(|(_, stream)| stream.clone());
        let started = slowest.is_some();
        let (slowest, inheriting) = (slowest.unwrap_or_default(), status.inheriting());
        let streams: BTreeMap<String, Value> =
            status.streams.iter().map(|(number, stream)| (number.to_string(), of_stream(stream))).collect();
        let bootstrap = status.bootstrap;
        json!({
            "phase": status.phase,
            "epoch": status.epoch, "slot": status.slot, "next_epoch": started.then_some(slowest.next_epoch),
            "view": slowest.view, "heard": slowest.heard, "wanted": slowest.wanted, "behind": slowest.behind,
            "malformed": status.malformed, "unserved": status.unserved,
            "last_decided": slowest.last_decided, "last_certified": slowest.last_certified,
            "last_posted": slowest.last_posted, "void_slots": slowest.void_slots,
            "streams": streams,
            "rotation": {
                "first_epoch": status.first_epoch, "until_epoch": status.until_epoch, "successor": status.successor,
                "successor_key": status.successor_key, "planned_epoch": status.planned_epoch,
                "inheriting": inheriting,
            },
            "bootstrap": {
                "phase": bootstrap.phase.name(), "deals": bootstrap.deals, "acks": bootstrap.acks, "logs": bootstrap.logs,
                "view": bootstrap.view, "partials": bootstrap.partials, "activations": bootstrap.activations,
                "waiting_for": bootstrap.waiting_for, "batch": bootstrap.batch, "refresh": refresh(&bootstrap.refresh),
            },
        })
    });
    Json(json!({
        "identity": board.identity,
        "committee": board.committee, "term": live.term.as_ref().map_or(board.term_number, |term| term.scope.term),
        "streams": board.streams,
        "member": live.me,
        "members": live.term.as_ref().map(|term| term.members.len()),
        "genesis_ms": live.term.as_ref().and_then(|term| term.genesis_ms),
        "peers_connected": board.metrics.peers_connected.get(),
        "brokers_connected": board.metrics.mqtt_connected.get(),
        "chain": chain.map(|view| json!({ "chain_id": view.chain_id, "block": view.block, "caught_up": view.caught_up })),
        "core": status,
        "clock": live.clock,
        "listens": live.listens,
        "updated_ms": live.updated_ms,
    }))
}

/// Runs a read of the store where it may block.
async fn read<T: Send + 'static>(
    board: &Arc<Board>,
    question: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let store = Arc::clone(&board.store);
    let answer = tokio::task::spawn_blocking(move || question(&store)).await;
    let stopped = |_| ApiError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "stopping",
        what: "the node is stopping".into(),
        hint: "ask another member",
    };
    Ok(answer.map_err(stopped)??)
}

/// 0x and hex digits.
fn hexed(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// 32 bytes of a path, with or without 0x.
fn id_of(text: &str) -> Result<[u8; 32], ApiError> {
    let mut id = [0; 32];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut id).map_err(|_| {
        let shown: String = text.chars().take(SHOWN_MAX).collect();
        ApiError::bad(format!("{shown:?} is no id"), "give 64 hex digits")
    })?;
    Ok(id)
}
