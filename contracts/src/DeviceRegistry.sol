// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry, IERC4907} from "./interfaces/IDeviceRegistry.sol";
import {Endorsed, Endorsements} from "./libraries/Endorsements.sol";
import {Typed} from "./libraries/Typed.sol";

/// @title DeviceRegistry
/// @notice Devices as ERC-721 tokens whose use can be rented (ERC-4907), and the keys by which they attest.
/// Leaves out: prices and money (`LeaseEscrow`); exact places, which are salted commitments here.
/// @dev No proxy and no upgrade: device numbers, and the statements that prove keys, name this contract. A new version is a
/// new registry in which owners register their devices again. Tokens are never burned; a revoked key stays revoked,
/// in every token, for good; a key that was rotated away may come back.
contract DeviceRegistry is IDeviceRegistry, ERC721, Ownable2Step {
    struct Use {
        address user;
        uint64 expires;
        bool locked;
    }

    struct History {
        uint64 registeredAt;
        uint64 transfers;
    }

    uint8 public constant ED25519 = 1;
    uint8 public constant P_256 = 2;

    ICommitteeRegistry public immutable registry;
    /// @notice The escrow, the only one that may set a user while a lease runs. Set once.
    address public escrow;
    /// @notice Tokens minted so far; ids are 1 to this.
    uint256 public minted;

    mapping(uint256 tokenId => Device) private _devices;
    mapping(uint256 tokenId => Use) private _uses;
    mapping(uint256 tokenId => History) private _histories;
    /// @inheritdoc IDeviceRegistry
    mapping(bytes32 thumbprint => uint256 tokenId) public meterOf;
    /// @notice Token whose active key this is; zero = none.
    mapping(bytes32 thumbprint => uint256 tokenId) public activeKey;
    /// @notice Keys that never count again.
    mapping(bytes32 thumbprint => bool) public revoked;
    /// @inheritdoc IDeviceRegistry
    mapping(uint64 committee => mapping(uint64 term => uint64)) public nextBatch;
    /// @inheritdoc IDeviceRegistry
    mapping(bytes32 maker => uint8) public makers;
    mapping(bytes32 thumbprint => Endorsement) private _endorsements;

    /// @param owner_ Governance; sets the escrow and which makers are believed.
    constructor(address owner_, ICommitteeRegistry registry_) ERC721("Plumbline Device", "PLUMB") Ownable(owner_) {
        registry = registry_;
    }

    /// @notice Names the escrow, once.
    function setEscrow(address escrow_) external onlyOwner {
        if (escrow != address(0)) revert AlreadySet();
        escrow = escrow_;
        emit EscrowSet(escrow_);
    }

    /// @notice Believes a maker's endorsements up to a tier; 0 = none, also of those already stored. Governance only.
    /// @param maker Thumbprint of the maker's P-256 key.
    function setMaker(bytes32 maker, uint8 maxTier) external onlyOwner {
        if (maxTier > 3) revert TierNotBelieved(maker, maxTier);
        makers[maker] = maxTier;
        emit MakerSet(maker, maxTier);
    }

    /// @inheritdoc IDeviceRegistry
    function register(
        address to,
        uint8 alg,
        bytes calldata publicKey,
        bytes calldata proof,
        bytes32 locationCommitment,
        uint8 class
    ) external returns (uint256 tokenId) {
        if (class == 0) revert BadClass();
        tokenId = ++minted;
        Device storage d = _devices[tokenId];
        d.locationCommitment = locationCommitment;
        d.class = class;
        bytes32 print = _setKey(d, alg, publicKey, proof);
        emit DeviceRegistered(tokenId, msg.sender, alg, publicKey, proof, locationCommitment, class);
        if (alg == P_256) _activate(tokenId, d, print);
        _mint(to, tokenId);
    }

    /// @inheritdoc IDeviceRegistry
    function activateKeys(
        uint64 committee,
        uint64 term,
        uint64 batch,
        uint256[] calldata tokenIds,
        bytes32[] calldata thumbprints,
        bytes calldata certificate
    ) external {
        if (tokenIds.length == 0 || tokenIds.length != thumbprints.length) {
            revert BadBatch();
        }
        bytes32 structHash = _takeBatch(committee, term, batch, keccak256(abi.encode(tokenIds, thumbprints)));
        registry.verifyCertificate(committee, term, structHash, certificate);
        for (uint256 i = 0; i < tokenIds.length; ++i) {
            if (i != 0 && tokenIds[i] <= tokenIds[i - 1]) revert BadBatch();
            _activateCertified(tokenIds[i], thumbprints[i]);
        }
    }

    /// @inheritdoc IDeviceRegistry
    function rotateKey(uint256 tokenId, uint8 alg, bytes calldata publicKey, bytes calldata proof) external {
        _requireOwner(tokenId);
        Device storage d = _devices[tokenId];
        if (d.active) delete activeKey[d.thumbprint];
        d.active = false;
        bytes32 print = _setKey(d, alg, publicKey, proof);
        emit DeviceKeyRotated(tokenId, msg.sender, alg, publicKey, proof);
        if (alg == P_256) _activate(tokenId, d, print);
    }

    /// @inheritdoc IDeviceRegistry
    function revoke(uint256 tokenId) external {
        _requireOwner(tokenId);
        Device storage d = _devices[tokenId];
        // A key that never counted may be someone else's, named without proof: drop it here, burn it only if proven.
        if (d.active) {
            delete activeKey[d.thumbprint];
            revoked[d.thumbprint] = true;
        }
        d.active = false;
        emit DeviceKeyRevoked(tokenId, d.thumbprint);
        d.thumbprint = 0;
    }

    /// @inheritdoc IDeviceRegistry
    function setMeterKey(uint256 tokenId, bytes32 thumbprint_) external {
        _requireOwner(tokenId);
        _setMeter(tokenId, thumbprint_);
    }

    /// @notice Takes a meter from a device whose owner named one that is not its own. Governance only, and not while the
    /// device is leased.
    function freeMeter(uint256 tokenId) external onlyOwner {
        _setMeter(tokenId, 0);
    }

    /// @inheritdoc IDeviceRegistry
    function endorse(bytes calldata certificate, bytes calldata makerKey) external {
        Endorsed memory e = _requireMaker(certificate, makerKey);
        _requireNewer(e);
        bytes32 digest = sha256(certificate);
        _endorsements[e.device] = Endorsement(digest, e.maker, e.issued, e.tier);
        emit DeviceEndorsed(e.device, e.maker, e.tier, e.issued, digest, certificate);
    }

    /// @inheritdoc IDeviceRegistry
    function endorsement(uint256 tokenId) external view returns (Endorsement memory e) {
        Device storage d = _devices[tokenId];
        e = _endorsements[d.thumbprint];
        if (!d.active || e.tier > makers[e.maker]) e = Endorsement(0, 0, 0, 0);
    }

    /// @inheritdoc IERC4907
    /// @dev While a lease runs only the escrow may; else the owner and those it approved.
    function setUser(uint256 tokenId, address user, uint64 expires) external {
        address owner = _requireOwned(tokenId);
        Use storage use = _uses[tokenId];
        bool byEscrow = msg.sender == escrow;
        if (!byEscrow) {
            if (use.locked && use.expires > block.timestamp) revert UseLocked(use.expires);
            if (!_isAuthorized(owner, msg.sender, tokenId)) revert NotAllowed(msg.sender);
        }
        (use.user, use.expires, use.locked) = (user, expires, byEscrow && user != address(0));
        emit UpdateUser(tokenId, user, expires);
    }

    /// @inheritdoc IERC4907
    function userOf(uint256 tokenId) external view returns (address) {
        Use storage use = _uses[tokenId];
        return use.expires > block.timestamp ? use.user : address(0);
    }

    /// @inheritdoc IERC4907
    function userExpires(uint256 tokenId) external view returns (uint256) {
        return _uses[tokenId].expires;
    }

    /// @inheritdoc IDeviceRegistry
    function device(uint256 tokenId) external view returns (Device memory d) {
        d = _devices[tokenId];
        Use storage use = _uses[tokenId];
        d.lockedUntil = use.locked ? use.expires : 0;
    }

    /// @inheritdoc IDeviceRegistry
    function transfersOf(uint256 tokenId) external view returns (uint64) {
        return _histories[tokenId].transfers;
    }

    /// @inheritdoc IDeviceRegistry
    function registeredAt(uint256 tokenId) external view returns (uint64) {
        return _histories[tokenId].registeredAt;
    }

    /// @inheritdoc IDeviceRegistry
    function isActive(uint256 tokenId) external view returns (bool) {
        return _devices[tokenId].active;
    }

    /// @inheritdoc IDeviceRegistry
    function thumbprint(uint8 alg, bytes calldata publicKey) public pure returns (bytes32) {
        if (alg == ED25519 && publicKey.length == 32) {
            return sha256(abi.encodePacked(hex"a301012006215820", publicKey));
        }
        if (alg == P_256 && publicKey.length == 64) {
            return sha256(abi.encodePacked(hex"a401022001215820", publicKey[:32], hex"225820", publicKey[32:]));
        }
        revert BadKey();
    }

    /// @inheritdoc IDeviceRegistry
    function statement(address owner, uint8 alg, bytes calldata publicKey) public view returns (bytes memory) {
        return abi.encodePacked("plumbline/device-key/v1", uint64(block.chainid), address(this), owner, alg, publicKey);
    }

    /// @inheritdoc ERC721
    function supportsInterface(bytes4 id) public view override returns (bool) {
        return id == type(IERC4907).interfaceId || super.supportsInterface(id);
    }

    /// @dev Stores the key's thumbprint; a P-256 proof is checked here, an Ed25519 one by the committee.
    function _setKey(Device storage d, uint8 alg, bytes calldata publicKey, bytes calldata proof)
        private
        returns (bytes32 print)
    {
        print = thumbprint(alg, publicKey);
        if (revoked[print]) revert KeyRevoked(print);
        if (proof.length != 64) revert BadProof();
        if (alg == P_256 && !_p256(sha256(statement(msg.sender, alg, publicKey)), publicKey, proof)) revert BadProof();
        (d.thumbprint, d.alg) = (print, alg);
    }

    /// @dev Both forms of s are accepted, as everywhere in the protocol; OpenZeppelin's takes the low one only.
    function _p256(bytes32 digest, bytes calldata key, bytes calldata proof) private view returns (bool) {
        uint256 s = uint256(bytes32(proof[32:]));
        if (s > P256.N / 2 && s < P256.N) s = P256.N - s;
        return P256.verify(digest, bytes32(proof[:32]), bytes32(s), bytes32(key[:32]), bytes32(key[32:]));
    }

    /// @dev The certificate's content, if a maker that is believed for its tier signed it.
    function _requireMaker(bytes calldata certificate, bytes calldata key) private view returns (Endorsed memory e) {
        bytes calldata signature;
        (e, signature) = Endorsements.read(certificate);
        if (key.length != 64 || thumbprint(P_256, key) != e.maker) revert BadKey();
        if (e.tier > makers[e.maker]) revert TierNotBelieved(e.maker, e.tier);
        if (!_p256(e.digest, key, signature)) revert BadProof();
    }

    /// @dev A maker may replace its own word by a later one, another maker's only by a higher tier.
    function _requireNewer(Endorsed memory e) private view {
        Endorsement memory old = _endorsements[e.device];
        if (old.tier == 0 || old.tier > makers[old.maker]) return;
        bool newer = e.maker == old.maker ? e.issued > old.issued : e.tier > old.tier;
        if (!newer) revert EndorsementStands(e.device, old.tier);
    }

    /// @dev Uses the batch number up and returns what must be certified.
    function _takeBatch(uint64 committee, uint64 term, uint64 batch, bytes32 listHash) private returns (bytes32) {
        uint64 next = nextBatch[committee][term];
        if (batch < next) revert StaleBatch(batch, next);
        nextBatch[committee][term] = batch + 1;
        return Typed.keyActivation(committee, term, registry.configDigest(committee, term), batch, listHash);
    }

    function _activate(uint256 tokenId, Device storage d, bytes32 print) private {
        if (activeKey[print] != 0) revert KeyTaken(print);
        activeKey[print] = tokenId;
        d.active = true;
        emit DeviceKeyActivated(tokenId, print);
    }

    function _activateCertified(uint256 tokenId, bytes32 print) private {
        Device storage d = _devices[tokenId];
        if (d.thumbprint != print || print == 0 || d.active || revoked[print] || activeKey[print] != 0) {
            emit DeviceKeySkipped(tokenId, print);
            return;
        }
        _activate(tokenId, d, print);
    }

    function _setMeter(uint256 tokenId, bytes32 print) private {
        Use storage use = _uses[tokenId];
        if (use.locked && use.expires > block.timestamp) revert UseLocked(use.expires);
        Device storage d = _devices[tokenId];
        uint256 holder = meterOf[print];
        if (holder != 0 && holder != tokenId) revert MeterTaken(print, holder);
        delete meterOf[d.meterKey];
        if (print != 0) meterOf[print] = tokenId;
        d.meterKey = print;
        emit MeterKeySet(tokenId, print);
    }

    /// @dev Every mint, sale and gift passes here.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        History storage h = _histories[tokenId];
        if (from == address(0)) h.registeredAt = uint64(block.timestamp);
        else if (from != to) ++h.transfers;
    }

    function _requireOwner(uint256 tokenId) private view {
        if (_requireOwned(tokenId) != msg.sender) revert NotAllowed(msg.sender);
    }
}
