//! A small blocking client of a node's API. What it brings is what the node claims; `verify` and `audit` judge it.
//! Leaves out: TLS and proxies (nodes listen on loopback or behind a proxy), and anything that changes something.

use std::collections::BTreeMap;
use std::time::Duration;

use attest::{Class, EvidenceId, Network};
use oracle_core::limits;
use serde::Deserialize;
use serde_json::Value;

use crate::report::{self, Proof, Report};

/// Longest JSON answer taken, bytes: a full stream of 16,384 leases with its leaves is about 8 MB.
pub const JSON_BYTES_MAX: u64 = 32 << 20;

/// Why there is no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is of no use.
    #[error("{0:?} is no node address; give one such as http://127.0.0.1:8080")]
    Address(String),
    /// The node does not answer.
    #[error("{url}: {what}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        what: String,
    },
    /// The node says no.
    #[error("{url}: {status}: {what}{}{hint}", if hint.is_empty() { "" } else { "; " })]
    Refused {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the node says is wrong.
        what: String,
        /// What the node advises; empty when nothing.
        hint: String,
    },
    /// The answer is not what was asked for.
    #[error("{url}: {what}")]
    Odd {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
}

/// Evidence as a node holds it; its bytes hash to its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Evidence id.
    pub id: EvidenceId,
    /// Message class.
    pub class: Class,
    /// Device token id, as the node says.
    pub device: u64,
    /// Arrival at that node, unix ms, as the node says.
    pub arrival_ms: u64,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

/// A lease as a node tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lease {
    /// Lease.
    pub lease: u64,
    /// Its counters after the last certified epoch; `None` before the first.
    pub state: Option<Counters>,
    /// The last certified epoch.
    pub last_epoch: Option<u64>,
    /// How its challenges ended in that epoch.
    pub last_verdicts: Vec<Judged>,
}

/// A lease's counters, cumulative, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counters {
    /// Device token id.
    pub device: u64,
    /// Class of work.
    pub class: u8,
    /// Its name; `None` where the node does not know the class.
    pub class_name: Option<String>,
    /// What it is paid by.
    pub unit: Option<String>,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds.
    pub end: u64,
    /// Judged up to, unix seconds.
    pub through: u64,
    /// Proven units, decimal text.
    pub units: String,
    /// Proven seconds.
    pub good: u64,
    /// Seconds proven bad.
    pub bad: u64,
    /// Seconds credited to the lessee.
    pub credit: u64,
    /// What the class keeps, by name.
    pub kept: BTreeMap<String, u64>,
    /// Why challenges failed.
    pub reasons: Vec<Counted>,
}

/// How often one reason applied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counted {
    /// Code of the reason (docs/reasons.md).
    pub code: u16,
    /// Times.
    pub count: u64,
}

/// How one challenge ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Judged {
    /// Slot, or start of the window in unix seconds.
    pub at: u64,
    /// `passed`, `failed` or `void`.
    pub outcome: String,
    /// Code of the reason, 0 when passed.
    pub code: u16,
    /// What was measured, in the reason's unit.
    pub measured: i64,
    /// The limit it was held against.
    pub limit: i64,
}

#[derive(Deserialize)]
struct EvidenceJson {
    class: Option<String>,
    device: u64,
    arrival_ms: u64,
    bytes: String,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    stream: Option<u32>,
}

impl Client {
    /// For the node at `base`, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`] unless it is an http address.
    pub fn new(base: &str) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/');
        if base.strip_prefix("http://").is_none_or(str::is_empty) {
            return Err(ClientError::Address(base.into()));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(40)))
            .timeout_recv_body(Some(Duration::from_secs(600)))
            .build();
        Ok(Self { agent: config.into(), base: base.into(), stream: None })
    }

    /// The same, asking for this stream's reports, proofs and bundles; without it for the lowest stream that the node
    /// serves (and a lease's proof in the lease's own).
    #[must_use]
    pub fn of_stream(self, stream: Option<u32>) -> Self {
        Self { stream, ..self }
    }

    /// A path of one stream's, with the stream.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        self.stream.map_or_else(|| path.to_owned(), |stream| format!("{path}?stream={stream}"))
    }

    /// The bytes at a path, at most `limit`.
    ///
    /// # Errors
    /// The node does not answer, refuses, or sends more.
    pub fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let url = format!("{}{path}", self.base);
        let failed = |e: ureq::Error| ClientError::Unreachable { url: url.clone(), what: e.to_string() };
        let mut response = self.agent.get(&url).call().map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(failed)?;
        if status == 200 {
            return Ok(body);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let part =
            |name: &str| plain(said.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or_default());
        Err(ClientError::Refused { url, status, what: part("what"), hint: part("do") })
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// As [`Self::get`], or an answer that is no JSON.
    pub fn json(&self, path: &str) -> Result<Value, ClientError> {
        let body = self.get(path, JSON_BYTES_MAX)?;
        serde_json::from_slice(&body).map_err(|e| self.odd(path, &format!("not JSON: {e}")))
    }

    /// Where the node stands.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub fn status(&self) -> Result<Value, ClientError> {
        self.json("/v1/status")
    }

    /// The certified report of an epoch.
    ///
    /// # Errors
    /// As [`Self::get`], or an answer that is no report of that epoch.
    pub fn report(&self, epoch: u64) -> Result<Report, ClientError> {
        let path = self.path(&format!("/v1/reports/{epoch}"));
        let found = Report::from_json(&self.get(&path, JSON_BYTES_MAX)?).map_err(|what| self.odd(&path, &what))?;
        let asked = found.header.epoch == epoch && self.stream.is_none_or(|stream| found.header.stream == stream);
        if asked { Ok(found) } else { Err(self.odd(&path, "it is of another stream or epoch")) }
    }

    /// A lease's leaf of an epoch with its proof.
    ///
    /// # Errors
    /// As [`Self::get`], or an answer that is no proof of that lease.
    pub fn proof(&self, epoch: u64, lease: u64) -> Result<Proof, ClientError> {
        let path = self.path(&format!("/v1/reports/{epoch}/proof/{lease}"));
        let found = Proof::from_json(&self.get(&path, JSON_BYTES_MAX)?).map_err(|what| self.odd(&path, &what))?;
        let asked = found.epoch == epoch && found.leaf.lease == lease;
        if asked { Ok(found) } else { Err(self.odd(&path, "it is of another lease or epoch")) }
    }

    /// The archived bundle of an epoch.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn archive(&self, epoch: u64) -> Result<Vec<u8>, ClientError> {
        self.get(
            &self.path(&format!("/v1/archive/{epoch}")),
            u64::try_from(limits::BUNDLE_BYTES_MAX).unwrap_or(u64::MAX),
        )
    }

    /// Evidence by its id; bytes that do not hash to the id on this network are refused.
    ///
    /// # Errors
    /// As [`Self::get`], or an answer that is not this evidence.
    pub fn evidence(&self, id: &EvidenceId, network: &Network) -> Result<Evidence, ClientError> {
        let path = format!("/v1/evidence/{}", hex::encode(id));
        let odd = |what: &str| self.odd(&path, what);
        let found: EvidenceJson =
            serde_json::from_slice(&self.get(&path, JSON_BYTES_MAX)?).map_err(|e| odd(&e.to_string()))?;
        let class =
            found.class.as_deref().and_then(Class::from_name).ok_or_else(|| odd("a class that is not known"))?;
        let bytes = report::bytes("bytes", &found.bytes).map_err(|what| odd(&what))?;
        let envelope = attest::decode(&bytes).map_err(|e| odd(&e.to_string()))?;
        if attest::evidence_id(class, network, &envelope) != *id {
            return Err(odd("its bytes do not hash to its id on this network"));
        }
        Ok(Evidence { id: *id, class, device: found.device, arrival_ms: found.arrival_ms, bytes })
    }

    /// A lease with its counters and the reasons for what it lost.
    ///
    /// # Errors
    /// As [`Self::get`], or an answer that is not that lease.
    pub fn lease(&self, lease: u64) -> Result<Lease, ClientError> {
        let path = format!("/v1/leases/{lease}");
        let found: Lease = serde_json::from_slice(&self.get(&path, JSON_BYTES_MAX)?)
            .map_err(|e| self.odd(&path, &format!("not a lease: {e}")))?;
        if found.lease == lease { Ok(found) } else { Err(self.odd(&path, "it is another lease")) }
    }

    fn odd(&self, path: &str, what: &str) -> ClientError {
        ClientError::Odd { url: format!("{}{path}", self.base), what: what.into() }
    }
}

/// A node's words for a terminal: no control characters, at most a few lines.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}
