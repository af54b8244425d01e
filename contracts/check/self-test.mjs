#!/usr/bin/env node
// Runs verify.mjs against a throw-away anvil: deploys, activates a committee with one dealer's key, posts two reports,
// expects success; then expects failure for a chain whose event and calldata disagree with the key asked for.
// Also shows deployment from JavaScript, in the order of README.md.
import {spawn, spawnSync} from "node:child_process";
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {fileURLToPath} from "node:url";
import {bls12_381} from "@noble/curves/bls12-381.js";
import {
  createPublicClient, createWalletClient, getAddress, hashTypedData, hexToBytes, http, keccak256, pad, toHex,
  zeroHash,
} from "viem";
import {mnemonicToAccount} from "viem/accounts";
import {foundry} from "viem/chains";
import {domain, types} from "./types.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const load = (name) => JSON.parse(readFileSync(here(`../abi/${name}.json`), "utf8"));
const DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const short = bls12_381.shortSignatures;
const fp = (value, width) => value.toString(16).padStart(width * 2, "0");
const secret = hexToBytes(pad("0xc0ffee"));
const port = 20_000 + Math.floor(Math.random() * 20_000);
const rpc = `http://127.0.0.1:${port}`;

const anvil = spawn(here("../node_modules/.bin/anvil"), ["--port", `${port}`, "--hardfork", "osaka", "--silent"]);
const accounts = [0, 1, 2, 3].map((addressIndex) =>
  mnemonicToAccount("test test test test test test test test test test test junk", {addressIndex}));
const reader = createPublicClient({chain: foundry, transport: http(rpc), pollingInterval: 20});
const wallets = accounts.map((account) => createWalletClient({account, chain: foundry, transport: http(rpc)}));

const certify = (digest) => {
  const {x, y} = short.sign(short.hash(hexToBytes(digest), DST), secret).toAffine();
  return "0x" + fp(x, 48) + fp(y, 48);
};
const groupKey = () => {
  const {x, y} = short.getPublicKey(secret).toAffine();
  return "0x" + [x.c0, x.c1, y.c0, y.c1].map((value) => fp(value, 64)).join("");
};
const digestOf = (registry, primaryType, message) =>
  hashTypedData({domain: domain(foundry.id, registry), types: {[primaryType]: types[primaryType]}, primaryType, message});

async function sent(hash) {
  const receipt = await reader.waitForTransactionReceipt({hash});
  if (receipt.status !== "success") throw new Error(`transaction ${hash} failed`);
  return receipt;
}
async function deploy(name, args) {
  const {abi, bytecode} = load(name);
  const {contractAddress} = await sent(await wallets[0].deployContract({abi, bytecode: bytecode.object, args}));
  return getAddress(contractAddress);
}
const write = async (name, address, functionName, args, wallet = wallets[0]) =>
  sent(await wallet.writeContract({address, abi: load(name).abi, functionName, args}));

async function activate(registry) {
  const members = accounts.map(({address}) => address);
  for (const [i, wallet] of wallets.entries()) {
    const keys = [1, 2, 3].map((k) => pad(toHex(10 * i + k)));
    await write("CommitteeRegistry", registry, "register", [1n, ...keys, "/ip4/127.0.0.1/tcp/1"], wallet);
  }
  await write("CommitteeRegistry", registry, "configure", [1n, 1n, members, keccak256("0x01"), 1n, 1000n, 1n]);
  const configDigest = await reader.readContract({
    address: registry, abi: load("CommitteeRegistry").abi, functionName: "configDigest", args: [1n, 1n],
  });
  const key = groupKey();
  const message = {
    committee: 1n, term: 1n, configDigest, groupKeyHash: keccak256(key), shareRoot: keccak256("0x02"),
  };
  const consent = digestOf(registry, "Activation", message);
  const signatures = await Promise.all(accounts.slice(1).map((account) => account.sign({hash: consent})));
  const confirmation = certify(digestOf(registry, "KeyConfirmation", message));
  await write("CommitteeRegistry", registry, "activate",
    [1n, 1n, key, message.shareRoot, confirmation, signatures, [1, 2, 3]]);
  return configDigest;
}

async function post(registry, hub, configDigest, epoch) {
  const abi = load("CommitteeRegistry").abi;
  const start = await reader.readContract({address: registry, abi, functionName: "startOf", args: [1n, epoch]});
  const header = {
    committee: 1n, term: 1n, configDigest, stream: 0, epoch, periodStart: start, periodEnd: start + 1n,
    snapshotBlock: 1n, snapshotHash: keccak256("0x03"), leafCount: 0, leavesRoot: zeroHash,
    stateRoot: keccak256(toHex(epoch)), observationsHash: keccak256("0x04"), policyHash: keccak256("0x01"),
    previousHeader: zeroHash, participation: 15n,
  };
  await write("ReportHub", hub, "post", [header, certify(digestOf(registry, "Header", header))]);
}

function check(config, folder) {
  const path = join(folder, "config.json");
  writeFileSync(path, JSON.stringify(config));
  return spawnSync(process.execPath, [here("verify.mjs"), path], {encoding: "utf8"});
}

async function main(folder) {
  for (let i = 0; ; ++i) {
    try {
      await reader.getChainId();
      break;
    } catch (error) {
      if (i > 100) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  const owner = accounts[0].address;
  const verifier = await deploy("BlsVerifier", [102_900n]);
  const registry = await deploy("CommitteeRegistry", [owner, verifier, 4n]);
  const hub = await deploy("ReportHub", [owner, registry, owner, 5n]);
  const configDigest = await activate(registry);
  await reader.request({method: "evm_increaseTime", params: [10]});
  await reader.request({method: "evm_mine", params: []});
  await post(registry, hub, configDigest, 0n);
  await post(registry, hub, configDigest, 3n);
  const config = {rpc, committee: 1, term: 1, registry, hub};
  const good = check(config, folder);
  if (good.status !== 0 || good.stdout !== "2 reports verified by noble-curves and viem\n") {
    throw new Error(`expected success: ${good.stdout}${good.stderr}`);
  }
  // The same reports under another domain or term must fail.
  const other = await deploy("CommitteeRegistry", [owner, verifier, 4n]);
  await activate(other);
  for (const wrong of [{...config, registry: other}, {...config, term: 2}]) {
    const bad = check(wrong, folder);
    if (bad.status !== 1) throw new Error(`expected failure: ${bad.stdout}`);
  }
  console.log("check/self-test: 2 reports verified, 2 falsifications refused");
}

const folder = mkdtempSync(join(tmpdir(), "plumbline-check-"));
main(folder)
  .catch((error) => {
    console.error(`self-test: ${error.message}`);
    process.exitCode = 1;
  })
  .finally(() => {
    anvil.kill();
    rmSync(folder, {recursive: true});
  });
