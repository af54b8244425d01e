// The EIP-712 types of docs/protocol.md §6, for the checks that use viem instead of our own code.
const fields = (list) => list.split(",").map((field) => {
  const [type, name] = field.trim().split(" ");
  return {name, type};
});

export const types = {
  Header: fields(
    "uint64 committee,uint64 term,bytes32 configDigest,uint32 stream,uint64 epoch,uint64 periodStart,uint64 periodEnd," +
      "uint64 snapshotBlock,bytes32 snapshotHash,uint32 leafCount,bytes32 leavesRoot,bytes32 stateRoot," +
      "bytes32 observationsHash,bytes32 policyHash,bytes32 previousHeader,uint256 participation",
  ),
  KeyConfirmation: fields(
    "uint64 committee,uint64 term,bytes32 configDigest,bytes32 groupKeyHash,bytes32 shareRoot",
  ),
  KeyActivation: fields("uint64 committee,uint64 term,bytes32 configDigest,uint64 batch,bytes32 listHash"),
  Rotation: fields(
    "uint64 committee,uint64 term,bytes32 configDigest,uint64 newTerm,bytes32 newConfigDigest," +
      "bytes32 newGroupKeyHash,uint64 fromEpoch,bytes32 baseHeader",
  ),
  Activation: fields("uint64 committee,uint64 term,bytes32 configDigest,bytes32 groupKeyHash,bytes32 shareRoot"),
  MemberStatement: fields("bytes32 instance,uint8 phase,uint32 view,bytes32 value"),
};

export const leafType = fields(
  "address escrow,uint64 lease,uint128 units,uint64 goodSeconds,uint64 badSeconds,uint64 creditSeconds,uint128 adjustment," +
    "uint64 through,bytes32 evidenceRoot,bytes32 policyHash",
);

/** EIP-712 domain of a deployment. */
export const domain = (chainId, registry) => ({name: "Plumbline", version: "1", chainId, verifyingContract: registry});
