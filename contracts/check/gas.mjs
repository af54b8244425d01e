#!/usr/bin/env node
// Writes the gas tables of README.md, between its markers, from the committed snapshots/*.json. `gas.mjs --check` writes
// nothing and fails when they differ, or when a figure is above its bar.
import {readFileSync, writeFileSync} from "node:fs";

const at = (path) => new URL(`../${path}`, import.meta.url);
const read = (group) => JSON.parse(readFileSync(at(`snapshots/${group}.json`), "utf8"));
const FLOOR = 114_275; // precompiles alone: two maps, an addition, a pairing of two (EIP-2537)
// Figures above these fail. A call without a bar has none.
const BARS = {
  "BLS check, execution": Math.floor(1.1 * FLOOR),
  "post on a prepared stream, dearest of 66": 190_000,
  "post on an unprepared stream, ring full": 190_000,
  "claim, 1 leaf of 1,024, pay only": 61_000,
  "slash, first fault that a reporter brings": 75_000,
  "slash, later ones": 75_000,
};
const ORDER = ["BLS", "prepare", "post", "claim", "claimBatch", "collect", "withdraw", "close", "open", "slash"];

const number = (value) => Number(value).toLocaleString("en-US");
const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "--:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

function calls() {
  const rank = (name) => ORDER.findLastIndex((word) => name.startsWith(word));
  const rows = Object.entries(read("calls")).sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
  const missing = Object.keys(BARS).filter((name) => !rows.some(([row]) => row === name));
  if (missing.length > 0) throw new Error(`no figure for ${missing.join(", ")}`);
  for (const [name, gas] of rows) {
    if (gas > BARS[name]) throw new Error(`${name}: ${gas} gas, the bar is ${BARS[name]}`);
  }
  const bar = (name) => (BARS[name] ? number(BARS[name]) : "–");
  return table(["call", "gas", "bar"], rows.map(([name, gas]) => [name, number(gas), bar(name)])) +
    `\n\nThe BLS check is ${(read("calls")["BLS check, execution"] / FLOOR).toFixed(3)} of the precompiles' floor (${number(FLOOR)}).`;
}

function certificates() {
  const figures = read("certificates");
  const {BLS, ...ecdsa} = figures;
  const rows = Object.entries(ecdsa).map(([name, gas]) => [name, ...name.split(" of ").map(Number), Number(gas)]);
  rows.sort((a, b) => a[1] - b[1] || a[2] - b[2]);
  const cheaper = rows.filter(([, , , gas]) => gas < BLS).at(-1);
  const dearer = rows.find(([, , , gas]) => gas > BLS);
  const each = Math.round((rows.at(-1)[3] - rows[0][3]) / (rows.at(-1)[1] - rows[0][1]));
  return table(["scheme", "signers", "certificate, bytes", "gas"], [
    ["**BLS**", "any", "96", `**${number(BLS)}**`],
    ...rows.map(([name, k, , gas]) => ["ECDSA", name, number(66 * k), number(gas)]),
  ]) + `\n\nECDSA is cheaper up to ${cheaper[0]} and dearer from ${dearer[0]} on, at about ${number(each)} gas a signer; the ` +
    "certificate wins in calldata, in constant cost, and as one small object that others can check.";
}

const parts = (group, head) => table([head, "gas"], Object.entries(read(group)).map(([name, gas]) => [name.replace(/^\d+ /, ""), number(gas)]));

function fields(group) {
  const rows = Object.entries(read(group)).map(([name, gas]) => [`\`${name.slice(3)}\``, gas]);
  return rows.map(([name, gas]) => `${name} ${gas}`).join(", ");
}

const text = [
  "Each call as a transaction of its own (cold state, intrinsic gas and calldata included), hardfork osaka.", "",
  calls(), "",
  "One certificate beside k-of-n ECDSA, measured in the same run: a whole transaction that reads the key from code, checks, and",
  "emits an event.", "",
  certificates(), "",
  "Of what a post and a claim are made:", "",
  parts("post", "post on an unprepared stream, ring full"), "",
  parts("claim", "claim, pay only"), "",
  "What each field of the signed types costs in a call that carries it (calldata of a plausible value, copying, hashing):", "",
  `Header: ${fields("header")}.`, "",
  `Leaf: ${fields("leaf")}.`,
].join("\n");

const readme = readFileSync(at("README.md"), "utf8");
const [begin, end] = ["<!-- gas: written by gas.sh -->\n", "\n<!-- /gas -->"];
const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
if (from < 0 || to < from) throw new Error("README.md lacks the markers of the gas tables");
const written = readme.slice(0, from + begin.length) + text + readme.slice(to);
if (!process.argv.includes("--check")) {
  writeFileSync(at("README.md"), written);
} else if (written !== readme) {
  console.error("gas: the tables of contracts/README.md are not those of snapshots/*.json; run contracts/gas.sh");
  process.exit(1);
}
