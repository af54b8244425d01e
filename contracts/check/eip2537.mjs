#!/usr/bin/env node
// Runs the EIP-2537 vectors by others (data folder: bls/eip2537, with every fail-*) against the chain node that the tests
// use, anvil on osaka: the answers of the precompiles that `BlsVerifier` rests on, byte for byte, and their refusals.
// Says "skipped" where the data is absent. Starts and ends its own anvil.
import {spawn} from "node:child_process";
import {existsSync, readFileSync, readdirSync} from "node:fs";
import {join} from "node:path";
import {fileURLToPath} from "node:url";
import {createPublicClient, http} from "viem";
import {foundry} from "viem/chains";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = join(process.env.PLUMBLINE_DATA ?? here("../../../shared/data"), "bls/eip2537");
if (!existsSync(folder)) {
  console.log(`skipped: no EIP-2537 vectors at ${folder}`);
  process.exit(0);
}

// A multiplication is an MSM of one pair in the final numbering.
const ADDRESS = {
  add_G1: "0x0b", msm_G1: "0x0c", mul_G1: "0x0c", add_G2: "0x0d", msm_G2: "0x0e", mul_G2: "0x0e",
  pairing_check: "0x0f", map_fp_to_G1: "0x10", map_fp2_to_G2: "0x11",
};
const port = 20_000 + Math.floor(Math.random() * 20_000);
const anvil = spawn(here("../node_modules/.bin/anvil"), ["--port", `${port}`, "--hardfork", "osaka", "--silent"]);
const client = createPublicClient({chain: foundry, transport: http(`http://127.0.0.1:${port}`, {retryCount: 0})});
const hex = (value) => "0x" + (value ?? "").replace(/^0x/, "").toLowerCase();

/** What the precompile answers, or null when the node says that it failed; any other trouble is an error. */
async function ask(to, data) {
  try {
    return (await client.request({method: "eth_call", params: [{to, data, gas: "0x1000000"}, "latest"]})).toLowerCase();
  } catch (error) {
    if (/precompile|revert/i.test(`${error.details} ${error.message}`)) return null;
    throw error;
  }
}

async function ready() {
  for (let i = 0; ; ++i) {
    try {
      return await client.getChainId();
    } catch (error) {
      if (i === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const count = {answers: 0, refusals: 0, wrong: 0};
try {
  await ready();
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  if (files.length === 0) throw new Error(`no vectors in ${folder}`);
  for (const file of files) {
    const [, fail, kind] = /^(fail-)?(.+)_bls\.json$/.exec(file) ?? [];
    const address = ADDRESS[kind];
    if (!address) throw new Error(`which precompile is ${file}?`);
    for (const {Name, Input, Expected} of JSON.parse(readFileSync(join(folder, file), "utf8"))) {
      const got = await ask(address.replace("0x", "0x" + "0".repeat(38)), hex(Input));
      const good = fail ? got === null : got === hex(Expected);
      count[fail ? "refusals" : "answers"] += 1;
      if (good) continue;
      count.wrong += 1;
      console.error(`${file} ${Name}: got ${got ?? "a failure"}, expected ${fail ? "a failure" : hex(Expected)}`);
    }
  }
} finally {
  anvil.kill();
}
console.log(`EIP-2537 on anvil: ${count.answers} answers and ${count.refusals} refusals, ${count.wrong} wrong`);
if (count.wrong > 0 || count.answers === 0 || count.refusals === 0) process.exit(1);
