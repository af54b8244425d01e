#!/usr/bin/env node
// Checks every report on a chain with viem and @noble/curves only: none of this repository's cryptography takes part.
// Usage: node check/verify.mjs <file.json>, the file holding {"rpc", "committee", "term", "registry", "hub"}.
// Reads the group keys from TermActivated and, for each ReportPosted, the calldata of its transaction; recomputes the
// EIP-712 digest; checks it against the event and the certificate against the key. `term` is the least term to accept.
import {readFileSync} from "node:fs";
import {bls12_381} from "@noble/curves/bls12-381.js";
import {createPublicClient, decodeFunctionData, getAddress, hashTypedData, hexToBytes, http} from "viem";
import {domain, types} from "./types.mjs";

const DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const abiOf = (name) => JSON.parse(readFileSync(new URL(`../abi/${name}.json`, import.meta.url), "utf8")).abi;
const short = bls12_381.shortSignatures;
const number = (bytes) => BigInt("0x" + (Buffer.from(bytes).toString("hex") || "0"));

/** 256 bytes of EIP-2537 to a checked point of G2. */
function keyPoint(hex) {
  const bytes = hexToBytes(hex);
  if (bytes.length !== 256) throw new Error("the group key is not 256 bytes");
  const [x0, x1, y0, y1] = [0, 64, 128, 192].map((at) => number(bytes.subarray(at, at + 64)));
  const {Fp2} = bls12_381.fields;
  const point = bls12_381.G2.Point.fromAffine({x: Fp2.fromBigTuple([x0, x1]), y: Fp2.fromBigTuple([y0, y1])});
  point.assertValidity();
  return point;
}

/** 96 bytes to a checked point of G1. */
function signaturePoint(hex) {
  const bytes = hexToBytes(hex);
  if (bytes.length !== 96) throw new Error("the certificate is not 96 bytes");
  const point = bls12_381.G1.Point.fromAffine({x: number(bytes.subarray(0, 48)), y: number(bytes.subarray(48))});
  point.assertValidity();
  return point;
}

async function groupKeys(client, config) {
  const events = await client.getContractEvents({
    address: config.registry,
    abi: abiOf("CommitteeRegistry"),
    eventName: "TermActivated",
    args: {committee: BigInt(config.committee)},
    fromBlock: 0n,
  });
  const accepted = events.filter(({args}) => args.term >= BigInt(config.term));
  if (accepted.length === 0) throw new Error("no TermActivated event");
  return new Map(accepted.map(({args}) => [args.term, keyPoint(args.groupKey)]));
}

async function checkReport(client, config, chainId, keys, event) {
  const where = `epoch ${event.args.epoch}, stream ${event.args.stream}`;
  const transaction = await client.getTransaction({hash: event.transactionHash});
  if (!transaction.to || getAddress(transaction.to) !== getAddress(config.hub)) {
    throw new Error(`${where}: not posted by a direct call to the hub`);
  }
  const {functionName, args} = decodeFunctionData({abi: abiOf("ReportHub"), data: transaction.input});
  if (functionName !== "post") throw new Error(`${where}: not a post`);
  const [header, certificate] = args;
  const digest = hashTypedData({
    domain: domain(chainId, config.registry),
    types: {Header: types.Header},
    primaryType: "Header",
    message: header,
  });
  if (digest !== event.args.headerDigest) throw new Error(`${where}: the digest differs from the event's`);
  const {committee, stream, epoch, leavesRoot, stateRoot} = event.args;
  const same = header.committee === committee && header.stream === stream && header.epoch === epoch
    && header.leavesRoot === leavesRoot && header.stateRoot === stateRoot;
  if (!same) throw new Error(`${where}: the event differs from the header`);
  const key = keys.get(header.term);
  if (!key) throw new Error(`${where}: no group key for term ${header.term}`);
  if (!short.verify(signaturePoint(certificate), short.hash(hexToBytes(digest), DST), key)) {
    throw new Error(`${where}: the certificate does not verify`);
  }
}

async function main() {
  const path = process.argv[2];
  if (!path) throw new Error("usage: verify.mjs <file.json>");
  const config = JSON.parse(readFileSync(path, "utf8"));
  const client = createPublicClient({transport: http(config.rpc)});
  const chainId = await client.getChainId();
  const keys = await groupKeys(client, config);
  const reports = await client.getContractEvents({
    address: config.hub,
    abi: abiOf("ReportHub"),
    eventName: "ReportPosted",
    args: {committee: BigInt(config.committee)},
    fromBlock: 0n,
  });
  if (reports.length === 0) throw new Error("no report was posted");
  for (const event of reports) await checkReport(client, config, chainId, keys, event);
  console.log(`${reports.length} reports verified by noble-curves and viem`);
}

main().catch((error) => {
  console.error(`verify.mjs: ${error.shortMessage ?? error.message}`);
  process.exit(1);
});
