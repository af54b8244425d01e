//! A report and a lease's proof as a node's API tells them in JSON: claims, until `verify` has checked them.
//! Leaves out: fetching (`client`), and the JSON's parts that are there for people.

use alloy_primitives::B256;
use alloy_sol_types::SolValue;
use oracle_core::typed::{Header, Leaf};
use serde::Deserialize;

/// A header with its certificate and leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The header.
    pub header: Header,
    /// The committee's certificate over its digest, 48 bytes.
    pub certificate: [u8; 48],
    /// Leaves as listed.
    pub leaves: Vec<Leaf>,
}

/// A lease's leaf with its path to a report's leaves root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Epoch of the report.
    pub epoch: u64,
    /// The leaf.
    pub leaf: Leaf,
    /// Siblings from leaf to root.
    pub path: Vec<B256>,
}

#[derive(Deserialize)]
struct ReportJson {
    header_abi: String,
    certificate: String,
    leaves: Vec<LeafJson>,
}

#[derive(Deserialize)]
struct ProofJson {
    epoch: u64,
    leaf: LeafJson,
    proof: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeafJson {
    escrow: String,
    lease: u64,
    units: String,
    good_seconds: u64,
    bad_seconds: u64,
    credit_seconds: u64,
    adjustment: String,
    through: u64,
    evidence_root: String,
    policy_hash: String,
}

impl Report {
    /// Reads the answer of `/v1/reports/{epoch}`.
    ///
    /// # Errors
    /// A sentence naming what is missing or malformed.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let json: ReportJson = serde_json::from_slice(text).map_err(|e| format!("not a report: {e}"))?;
        let header = header_from_abi(&bytes("header_abi", &json.header_abi)?)?;
        let certificate = fixed("certificate", &json.certificate)?;
        let leaves = json.leaves.iter().map(leaf).collect::<Result<_, _>>()?;
        Ok(Self { header, certificate, leaves })
    }
}

impl Proof {
    /// Reads the answer of `/v1/reports/{epoch}/proof/{lease}`.
    ///
    /// # Errors
    /// A sentence naming what is missing or malformed.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let json: ProofJson = serde_json::from_slice(text).map_err(|e| format!("not a proof: {e}"))?;
        let path = json.proof.iter().map(|node| fixed("proof", node).map(B256::from));
        Ok(Self { epoch: json.epoch, leaf: leaf(&json.leaf)?, path: path.collect::<Result<_, _>>()? })
    }
}

/// A header from exactly its ABI encoding.
pub(crate) fn header_from_abi(bytes: &[u8]) -> Result<Header, String> {
    let header = Header::abi_decode_validate(bytes).map_err(|e| format!("not a header: {e}"))?;
    if header.abi_encode() == bytes { Ok(header) } else { Err("not the one encoding of its header".into()) }
}

fn leaf(json: &LeafJson) -> Result<Leaf, String> {
    let number = |name: &str, text: &str| text.parse::<u128>().map_err(|_| format!("{name}: {text:?} is not a number"));
    Ok(Leaf {
        escrow: fixed("escrow", &json.escrow)?.into(),
        lease: json.lease,
        units: number("units", &json.units)?,
        goodSeconds: json.good_seconds,
        badSeconds: json.bad_seconds,
        creditSeconds: json.credit_seconds,
        adjustment: number("adjustment", &json.adjustment)?,
        through: json.through,
        evidenceRoot: fixed("evidenceRoot", &json.evidence_root)?.into(),
        policyHash: fixed("policyHash", &json.policy_hash)?.into(),
    })
}

/// Bytes of hex digits, with or without 0x.
pub(crate) fn bytes(name: &str, text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|e| format!("{name}: not hex digits: {e}"))
}

fn fixed<const N: usize>(name: &str, text: &str) -> Result<[u8; N], String> {
    let found = bytes(name, text)?;
    found.as_slice().try_into().map_err(|_| format!("{name}: {} bytes where {N} belong", found.len()))
}
