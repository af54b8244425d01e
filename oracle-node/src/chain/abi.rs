//! The nine functions that a node calls, and their calldata. A test holds them against `contracts/abi`.
//! Leaves out: events (`oracle_core::registry` reads them).

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use oracle_core::effect::Transmission;
use oracle_core::typed::Header;

use crate::config;

/// The contracts' side, kept apart from our own names.
#[allow(missing_docs, clippy::too_many_arguments)]
mod sol_types {
    alloy::sol! {
        struct Header {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint32 stream;
            uint64 epoch;
            uint64 periodStart;
            uint64 periodEnd;
            uint64 snapshotBlock;
            bytes32 snapshotHash;
            uint32 leafCount;
            bytes32 leavesRoot;
            bytes32 stateRoot;
            bytes32 observationsHash;
            bytes32 policyHash;
            bytes32 previousHeader;
            uint256 participation;
        }
        struct Rotation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint64 newTerm;
            bytes32 newConfigDigest;
            bytes32 newGroupKeyHash;
            uint64 fromEpoch;
            bytes32 baseHeader;
        }
        struct NewKey {
            bytes groupKey;
            bytes32 shareRoot;
            bytes confirmation;
            bytes[] signatures;
            uint32[] indices;
        }
        function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string endpoint);
        function activate(uint64 committee, uint64 term, bytes groupKey, bytes32 shareRoot, bytes confirmation, bytes[] signatures, uint32[] indices);
        function activateKeys(uint64 committee, uint64 term, uint64 batch, uint256[] tokenIds, bytes32[] thumbprints, bytes certificate);
        function nextBatch(uint64 committee, uint64 term) returns (uint64);
        function post(Header header, bytes certificate);
        function refreshShares(uint64 committee, uint64 term, bytes32 shareRoot, bytes[] signatures, uint32[] indices);
        function rotate(Rotation rotation, bytes certificate, NewKey next);
        struct MemberStatement {
            bytes32 instance;
            uint8 phase;
            uint32 view_;
            bytes32 value;
        }
        function slash(uint64 committee, uint64 term, MemberStatement a, bytes signatureA, MemberStatement b, bytes signatureB);
        function shareOut(bytes32 fault);
    }
}
pub(super) use sol_types::{
    MemberStatement, activateCall, activateKeysCall, nextBatchCall, postCall, refreshSharesCall, registerCall,
    rotateCall, shareOutCall, slashCall,
};

/// The header as the hub takes it.
fn header_of(header: &Header) -> sol_types::Header {
    sol_types::Header {
        committee: header.committee,
        term: header.term,
        configDigest: header.configDigest,
        stream: header.stream,
        epoch: header.epoch,
        periodStart: header.periodStart,
        periodEnd: header.periodEnd,
        snapshotBlock: header.snapshotBlock,
        snapshotHash: header.snapshotHash,
        leafCount: header.leafCount,
        leavesRoot: header.leavesRoot,
        stateRoot: header.stateRoot,
        observationsHash: header.observationsHash,
        policyHash: header.policyHash,
        previousHeader: header.previousHeader,
        participation: header.participation,
    }
}

/// The hub's header as we have it.
const fn header_from(header: sol_types::Header) -> Header {
    Header {
        committee: header.committee,
        term: header.term,
        configDigest: header.configDigest,
        stream: header.stream,
        epoch: header.epoch,
        periodStart: header.periodStart,
        periodEnd: header.periodEnd,
        snapshotBlock: header.snapshotBlock,
        snapshotHash: header.snapshotHash,
        leafCount: header.leafCount,
        leavesRoot: header.leavesRoot,
        stateRoot: header.stateRoot,
        observationsHash: header.observationsHash,
        policyHash: header.policyHash,
        previousHeader: header.previousHeader,
        participation: header.participation,
    }
}

/// Where a transmission goes and what it says.
#[must_use]
pub fn calldata(chain: &config::Chain, committee: u64, term: u64, what: &Transmission) -> (Address, Vec<u8>) {
    match what {
        Transmission::Activate { group_key, share_root, confirmation, signatures } => {
            let call = activateCall {
                committee,
                term,
                groupKey: group_key.clone().into(),
                shareRoot: *share_root,
                confirmation: confirmation.clone().into(),
                signatures: signatures.iter().map(|(_, signature)| Bytes::copy_from_slice(signature)).collect(),
                indices: signatures.iter().map(|(index, _)| *index).collect(),
            };
            (chain.registry, call.abi_encode())
        }
        Transmission::ActivateKeys { batch, keys, certificate } => {
            let call = activateKeysCall {
                committee,
                term,
                batch: *batch,
                tokenIds: keys.iter().map(|(token, _)| U256::from(*token)).collect(),
                thumbprints: keys.iter().map(|(_, thumbprint)| B256::from(*thumbprint)).collect(),
                certificate: certificate.clone().into(),
            };
            (chain.devices, call.abi_encode())
        }
        Transmission::RefreshShares { share_root, signatures } => {
            let call = refreshSharesCall {
                committee,
                term,
                shareRoot: *share_root,
                signatures: signatures.iter().map(|(_, signature)| Bytes::copy_from_slice(signature)).collect(),
                indices: signatures.iter().map(|(index, _)| *index).collect(),
            };
            (chain.registry, call.abi_encode())
        }
        Transmission::Rotate { rotation, certificate, key } => {
            let rotation = sol_types::Rotation {
                committee: rotation.committee,
                term: rotation.term,
                configDigest: rotation.configDigest,
                newTerm: rotation.newTerm,
                newConfigDigest: rotation.newConfigDigest,
                newGroupKeyHash: rotation.newGroupKeyHash,
                fromEpoch: rotation.fromEpoch,
                baseHeader: rotation.baseHeader,
            };
            let next = sol_types::NewKey {
                groupKey: key.group_key.to_vec().into(),
                shareRoot: B256::from(*key.share_root),
                confirmation: key.confirmation.to_vec().into(),
                signatures: key.signatures.iter().map(|(_, bytes)| Bytes::copy_from_slice(&**bytes)).collect(),
                indices: key.signatures.iter().map(|(index, _)| *index).collect(),
            };
            (chain.registry, rotateCall { rotation, certificate: certificate.clone().into(), next }.abi_encode())
        }
        Transmission::Report { header, certificate } => {
            let header = header_of(header);
            (chain.hub, postCall { header, certificate: certificate.clone().into() }.abi_encode())
        }
    }
}

/// What could be a call of a function in a transaction's calldata, itself or packed into another contract's call.
fn calls<C: SolCall>(calldata: &[u8]) -> impl Iterator<Item = C> {
    let places = calldata.windows(4).enumerate().filter(|(_, bytes)| *bytes == C::SELECTOR);
    places.filter_map(|(at, _)| C::abi_decode(calldata.get(at..)?).ok())
}

/// What could be the certificate of a rotation in a transaction's calldata. On-chain form; nothing is checked.
pub(super) fn rotation_certificates(calldata: &[u8]) -> impl Iterator<Item = [u8; 96]> {
    calls::<rotateCall>(calldata).filter_map(|call| <[u8; 96]>::try_from(call.certificate.as_ref()).ok())
}

/// What could be the header of a posted report in a transaction's calldata; nothing is checked.
pub(super) fn posted_headers(calldata: &[u8]) -> impl Iterator<Item = Header> {
    calls::<postCall>(calldata).map(|call| header_from(call.header))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selectors of all functions in an exported ABI; `None` when the file is not there.
    fn selectors(contract: &str) -> Option<Vec<String>> {
        let path = format!("{}/../contracts/abi/{contract}.json", env!("CARGO_MANIFEST_DIR"));
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let items = json.get("abi").unwrap_or(&json).as_array()?.clone();
        let functions = items.iter().filter(|item| item["type"] == "function");
        Some(functions.map(signature).collect())
    }

    fn signature(function: &serde_json::Value) -> String {
        let inputs = function["inputs"].as_array().cloned().unwrap_or_default();
        let types: Vec<String> = inputs.iter().map(kind).collect();
        format!("{}({})", function["name"].as_str().unwrap_or_default(), types.join(","))
    }

    fn kind(input: &serde_json::Value) -> String {
        let name = input["type"].as_str().unwrap_or_default();
        let Some(parts) = input["components"].as_array() else { return name.to_owned() };
        let parts: Vec<String> = parts.iter().map(kind).collect();
        name.replacen("tuple", &format!("({})", parts.join(",")), 1)
    }

    #[test]
    fn a_rotations_certificate_is_found_wherever_the_call_is_packed() {
        let next = sol_types::NewKey {
            groupKey: vec![1; 256].into(),
            shareRoot: B256::ZERO,
            confirmation: vec![2; 96].into(),
            signatures: vec![],
            indices: vec![],
        };
        let rotation = sol_types::Rotation {
            committee: 1,
            term: 1,
            configDigest: B256::ZERO,
            newTerm: 2,
            newConfigDigest: B256::ZERO,
            newGroupKeyHash: B256::ZERO,
            fromEpoch: 9,
            baseHeader: B256::ZERO,
        };
        let call = |certificate: Vec<u8>| {
            rotateCall { rotation: rotation.clone(), certificate: certificate.into(), next: next.clone() }.abi_encode()
        };
        let found = |calldata: &[u8]| rotation_certificates(calldata).collect::<Vec<_>>();
        let (plain, short) = (call(vec![7; 96]), call(vec![7; 95]));
        assert_eq!(found(&plain), [[7; 96]]);
        // Two calls inside another contract's, at any offset, the wrong one first.
        let packed = [&[0xaa; 37][..], &short, &plain, &[0; 30]].concat();
        assert_eq!(found(&packed), [[7; 96]]);
        for length in 0..plain.len() {
            assert!(found(&plain[..length]).len() <= 1, "{length}");
        }
        assert!(found(&[]).is_empty() && found(&plain[4..]).is_empty());
    }

    #[test]
    fn the_contracts_have_what_the_node_calls() {
        let calls = [
            ("CommitteeRegistry", registerCall::SIGNATURE),
            ("CommitteeRegistry", activateCall::SIGNATURE),
            ("CommitteeRegistry", refreshSharesCall::SIGNATURE),
            ("CommitteeRegistry", rotateCall::SIGNATURE),
            ("OperatorStake", slashCall::SIGNATURE),
            ("OperatorStake", shareOutCall::SIGNATURE),
            ("DeviceRegistry", activateKeysCall::SIGNATURE),
            ("DeviceRegistry", nextBatchCall::SIGNATURE),
            ("ReportHub", postCall::SIGNATURE),
        ];
        for (contract, wanted) in calls {
            match selectors(contract) {
                Some(known) => assert!(known.iter().any(|s| s == wanted), "{contract} lacks {wanted}"),
                None => println!("skipped: contracts/abi/{contract}.json is not there"),
            }
        }
    }
}
