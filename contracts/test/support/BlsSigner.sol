// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Bls} from "../../src/libraries/Bls.sol";

/// @notice Makes MinSig keys and certificates inside the EVM by the multiplication precompiles, so that tests can
/// sign digests that depend on deployed addresses. Checked against noble-curves in Bls.t.sol.
library BlsSigner {
    bytes internal constant G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
        hex"c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
        hex"596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a"
        hex"adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99"
        hex"cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    function publicKey(uint256 secret) internal view returns (bytes memory) {
        return _call(0x0e, bytes.concat(G2, bytes32(secret)));
    }

    function sign(uint256 secret, bytes32 digest) internal view returns (bytes memory signature) {
        bytes memory hashed = Bls.hashToG1(abi.encodePacked(digest), Bls.DST);
        bytes memory point = _call(0x0c, bytes.concat(hashed, bytes32(secret)));
        signature = new bytes(96);
        assembly ("memory-safe") {
            mcopy(add(signature, 32), add(point, 48), 48)
            mcopy(add(signature, 80), add(point, 112), 48)
        }
    }

    function _call(uint256 precompile, bytes memory input) private view returns (bytes memory output) {
        bool ok;
        (ok, output) = address(uint160(precompile)).staticcall(input);
        require(ok, "multiplication failed");
    }
}
