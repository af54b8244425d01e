// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IBlsVerifier} from "./interfaces/IBlsVerifier.sol";
import {ICertificateVerifier} from "./interfaces/ICertificateVerifier.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {Bls} from "./libraries/Bls.sol";
import {CodeStore} from "./libraries/CodeStore.sol";
import {Typed} from "./libraries/Typed.sol";
import {NewKey} from "./Types.sol";

/// @title CommitteeKeys
/// @notice The terms' keys: what makes a term accept one (possession, consent of n - f members, an allowed scheme) and how
/// a certificate is checked under it. Leaves out: who is configured, and which term is in force (`CommitteeRegistry`).
abstract contract CommitteeKeys is ICommitteeRegistry, EIP712 {
    struct Term {
        bytes32 configDigest;
        // One slot, all that a report needs beside the digest.
        address key;
        uint48 fromEpoch;
        uint48 untilEpoch;
        bytes32 policyHash;
        bytes32 shareRoot;
        uint64 previous;
        uint32 genesisDelay;
        uint32 epochSeconds;
        uint32 slotMs;
        uint16 members;
        // The term in force when this one was configured: the only one that governance may replace by it.
        uint64 under;
        bytes32 base;
    }

    /// @notice Gas cap of the pairing, taken from the verifier, whose deployment tested it; zero where no BLS key counts.
    uint256 public immutable pairingGas;
    /// @inheritdoc ICommitteeRegistry
    mapping(ICertificateVerifier scheme => bool) public schemes;

    mapping(uint64 committee => mapping(uint64 term => Term)) internal _terms;
    /// @dev Index + 1.
    mapping(uint64 committee => mapping(uint64 term => mapping(address member => uint256))) internal _index;
    mapping(uint64 committee => mapping(uint64 term => mapping(bytes32 shareRoot => bool))) private _usedRoots;

    /// @param verifier A deployed `BlsVerifier`; zero on a chain without EIP-2537, where other schemes serve.
    constructor(IBlsVerifier verifier) EIP712("Plumbline", "1") {
        pairingGas = address(verifier) == address(0) ? 0 : verifier.pairingGas();
    }

    /// @dev Checks proof of possession and the members' consent, then stores the key.
    function _accept(uint64 committee, uint64 term, NewKey memory next) internal {
        _requireScheme(next.groupKey);
        Term storage t = _terms[committee][term];
        bytes32 keyHash = keccak256(next.groupKey);
        _requireConsent(committee, term, keyHash, next.shareRoot, next.signatures, next.indices);
        bytes32 confirmation = Typed.keyConfirmation(committee, term, t.configDigest, keyHash, next.shareRoot);
        _verify(next.groupKey, _hashTypedDataV4(confirmation), next.confirmation);
        _useShareRoot(committee, term, next.shareRoot);
        t.key = CodeStore.write(next.groupKey);
    }

    function _useShareRoot(uint64 committee, uint64 term, bytes32 shareRoot) internal {
        // Once only: an old reshare's signatures must not bring an old root back.
        if (shareRoot == 0 || _usedRoots[committee][term][shareRoot]) revert ShareRootUsed(shareRoot);
        _usedRoots[committee][term][shareRoot] = true;
        _terms[committee][term].shareRoot = shareRoot;
    }

    /// @dev At least n - f distinct members signed Activation for this key and share root.
    function _requireConsent(
        uint64 committee,
        uint64 term,
        bytes32 keyHash,
        bytes32 shareRoot,
        bytes[] memory signatures,
        uint32[] memory indices
    ) internal view {
        Term storage t = _terms[committee][term];
        uint256 quorum = _quorum(t.members);
        if (signatures.length < quorum || signatures.length != indices.length) {
            revert TooFewSignatures(signatures.length, quorum);
        }
        bytes32 digest = _hashTypedDataV4(Typed.activation(committee, term, t.configDigest, keyHash, shareRoot));
        uint256 seen = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recover(digest, signatures[i]);
            if (_index[committee][term][signer] != uint256(indices[i]) + 1) revert NotMember(signer, indices[i]);
            uint256 bit = 1 << indices[i];
            if (seen & bit != 0) revert IndexRepeated(indices[i]);
            seen |= bit;
        }
    }

    /// @dev 256 bytes are a BLS key and go the short way; anything else begins with the verifier's address.
    function _verify(bytes memory key, bytes32 digest, bytes memory certificate) internal view {
        bool good = key.length == Bls.KEY_BYTES
            ? Bls.verify(key, digest, certificate, pairingGas)
            : _schemeOf(key).verify(CodeStore.tail(key, 20), digest, certificate);
        if (!good) revert BadCertificate();
    }

    /// @dev The members' consent binds the verifier too, since it is part of the key.
    function _requireScheme(bytes memory key) private view {
        if (key.length == Bls.KEY_BYTES && pairingGas != 0) return;
        if (key.length == Bls.KEY_BYTES || key.length <= 20) revert BadKeyLength();
        ICertificateVerifier scheme = _schemeOf(key);
        if (!schemes[scheme]) revert SchemeNotAllowed(address(scheme));
    }

    function _schemeOf(bytes memory key) private pure returns (ICertificateVerifier) {
        return ICertificateVerifier(address(bytes20(key)));
    }

    function _configured(uint64 committee, uint64 term) internal view returns (Term storage t) {
        t = _terms[committee][term];
        if (t.configDigest == 0) revert TermUnknown(committee, term);
    }

    function _activated(uint64 committee, uint64 term) internal view returns (Term storage t) {
        t = _terms[committee][term];
        if (t.key == address(0)) revert TermUnknown(committee, term);
    }

    /// @dev n - f with n >= 3f + 1.
    function _quorum(uint256 n) internal pure returns (uint256) {
        return n == 0 ? 0 : n - (n - 1) / 3;
    }
}
