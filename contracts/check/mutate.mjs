#!/usr/bin/env node
// Mutation test of the money: changes one thing at a time in the contracts that count it, in a copy of this folder, and asks
// whether a test fails. All mutants are compiled at once, each behind a switch (block.coinbase, which nothing else reads), so
// that one costs only its tests. A mutant that no test kills is printed in full; MUTANTS.md explains those that may live.
// Deterministic: the same sources give the same list. Usage: mutate.mjs COPY [first [count]] (COPY is overwritten), or
// mutate.mjs COPY 44,60 for those numbers only.
import {spawnSync} from "node:child_process";
import {cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {fileURLToPath} from "node:url";

const MOST = 150;
const here = fileURLToPath(new URL("..", import.meta.url));
const [copy, first = "0", count = `${MOST}`] = process.argv.slice(2);
if (!copy) throw new Error("usage: mutate.mjs COPY [first [count]]");

// [what, replacement]: operators of the arithmetic, the comparisons, the bounds and the bookings.
const RULES = [
  [/Math\.min\(/g, "Math.max("], [/Math\.max\(/g, "Math.min("],
  [/ \+= /g, " -= "], [/ \+= /g, " = "], [/ -= /g, " += "],
  [/ \+ /g, " - "], [/ - /g, " + "], [/ \* /g, " + "], [/ \/ /g, " * "],
  [/ < /g, " <= "], [/ < /g, " >= "], [/ > /g, " >= "], [/ > /g, " <= "], [/ <= /g, " > "], [/ >= /g, " > "],
  [/ == /g, " != "], [/ != /g, " == "], [/ && /g, " || "], [/ \|\| /g, " && "],
];
// A booking: left out altogether.
const BOOKING = /^(claimable|fees|rewards|owed|perMember|taken|l\.booked\w+|_book\(|_finish\(|_release\(|_pull\()[^;]*;$/;
// The files that count money, and the tests that look at each: the quick ones, then the random ones.
const LEASES = ["LeaseRulesTest|LeaseLifecycleTest|LeaseTokensTest|RefusalsTest|LeaseExitTest|LeaseEdgesTest|LeaseAttacksTest|ServiceLevelTest", "LeaseInvariantTest"];
const FILES = {
  "src/libraries/LeaseMath.sol": LEASES,
  "src/LeaseLedger.sol": LEASES,
  "src/LeaseEscrow.sol": LEASES,
  "src/LeaseOffers.sol": LEASES,
  "src/CommitteeFees.sol": ["CommitteeFeesTest"],
  "src/OperatorStake.sol": ["OperatorStakeTest|StakeEdgesTest|JailTest"],
};
const COPIED = /^(Lease\w+|Refusals|ServiceLevel|CommitteeFees|OperatorStake|StakeEdges|Jail)\.t\.sol$/;

const on = (number) => `block.coinbase == address(uint160(${number}))`;

/** The statements inside function bodies: {from, to (lines, inclusive), text}. Loop heads and assembly are left alone. */
function statements(source) {
  const lines = source.split("\n");
  const found = [];
  let depth = 0, body = -1, assembly = -1, start = -1, text = "", header = "";
  lines.forEach((line, i) => {
    const code = line.replace(/\/\/.*$/, "").trim();
    if (code === "" || /^[/*]/.test(line.trim())) return;
    if (body < 0) {
      header = /^(function|constructor)\b/.test(code) || header ? header + code : "";
      if (header && code.endsWith("{")) [body, header] = [depth, ""];
      if (header && code.endsWith(";")) header = "";
    } else if (assembly < 0) {
      if (start < 0) [start, text] = [i, ""];
      text += (text ? " " : "") + code;
      if (/[;{}]$/.test(code)) {
        // A comma or operator may end a line of a struct in braces; only whole statements are taken.
        if (!/^(for|while|\}|assembly|unchecked|emit|try)\b|^[{}]/.test(text)) found.push({from: start, to: i, text});
        if (/^assembly/.test(text)) assembly = depth;
        start = -1;
      }
    }
    for (const c of code) depth += c === "{" ? 1 : c === "}" ? -1 : 0;
    if (assembly >= 0 && depth <= assembly) assembly = -1;
    if (body >= 0 && depth <= body) [body, start] = [-1, -1];
  });
  return found.filter(({text}) => text.split("{").length === text.split("}").length || text.endsWith(") {"));
}

/** What a statement becomes with one thing changed. */
function changes(text) {
  const list = [];
  for (const [what, by] of RULES) {
    for (const {index, 0: old} of text.matchAll(what)) list.push(text.slice(0, index) + by + text.slice(index + old.length));
  }
  if (BOOKING.test(text)) list.push(";");
  return list;
}

const DECLARED = /^((?:u?int\d*|bool|bytes\d*|address|[A-Z]\w*)(?: (?:storage|memory|calldata))? \w+) = (.*);$/;
const TUPLE = /^(\((?:[\w.]+(?: (?:storage|memory|calldata))? \w+,? ?|, ?)+\)) = (.*);$/;
const CONDITION = /^if \((.*)\) \{$/;

/** The statement with all its mutants behind their switches, one mutant a line; null when it is of a form we cannot switch. */
function switched(text, mutants) {
  for (const [form, open, close] of [[DECLARED, " = ", ";"], [TUPLE, " = ", ";"], [CONDITION, null, ") {"]]) {
    const found = form.exec(text);
    if (!found) continue;
    const expression = (mutant) => form.exec(mutant)?.at(-1);
    if (mutants.some(({after}) => expression(after) === undefined)) return null;
    const head = open === null ? "if (" : found[1] + open;
    return [head, ...mutants.map(({number, after}) => `(${on(number)}) ? (${expression(after)}) :`), `(${found.at(-1)})${close}`];
  }
  if (!text.endsWith(";")) return null;
  return [...mutants.map(({number, after}) => `if (${on(number)}) { ${after === ";" ? "" : after} } else`), `{ ${text} }`];
}

function allMutants() {
  const found = [];
  for (const file of Object.keys(FILES)) {
    for (const {from, to, text} of statements(readFileSync(join(here, file), "utf8"))) {
      const options = changes(text).filter((after) => switched(text, [{number: 0, after}]) !== null);
      found.push(...options.map((after) => ({file, from, to, before: text, after})));
    }
  }
  // More than the bound: spread evenly.
  const step = Math.max(1, found.length / MOST);
  const chosen = found.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step)).slice(0, MOST);
  return {chosen: chosen.map((mutant, i) => ({...mutant, number: i + 1})), among: found.length};
}

/** A switch reads the block, so nothing that holds one is pure any more, nor whoever calls it. */
const withoutPure = (source) => source.replace(/\bpure\b/g, "view");

/** Mutants by the line their statement begins on. */
function group(mutants) {
  const byStart = new Map();
  for (const mutant of mutants) byStart.set(mutant.from, [...(byStart.get(mutant.from) ?? []), mutant]);
  return byStart;
}

/** Writes a file with the given mutants; returns which mutant stands on which line of it. */
function plant(file, mutants) {
  const lines = withoutPure(readFileSync(join(here, file), "utf8")).split("\n");
  const byStart = group(mutants);
  const [out, where] = [[], new Map()];
  for (let i = 0; i < lines.length; ++i) {
    const these = byStart.get(i);
    if (!these) {
      out.push(lines[i]);
      continue;
    }
    const text = switched(these[0].before, these);
    const offset = text.length - 1 - these.length;
    text.forEach((line, k) => {
      out.push(line);
      const mutant = these[k - offset];
      if (mutant) where.set(out.length, mutant.number);
    });
    i = these[0].to;
  }
  writeFileSync(join(copy, file), out.join("\n"));
  return where;
}

function forge(args, limit = 600_000) {
  const env = {...process.env, FOUNDRY_INVARIANT_RUNS: "8", FOUNDRY_FUZZ_RUNS: "32", FOUNDRY_OUT: "out", FOUNDRY_CACHE_PATH: "cache"};
  const done = spawnSync(join(here, "node_modules/.bin/forge"), args, {cwd: copy, env, encoding: "utf8", timeout: limit});
  return {...done, output: done.stdout + done.stderr};
}

function prepare() {
  rmSync(copy, {recursive: true, force: true});
  mkdirSync(join(copy, "test"), {recursive: true});
  for (const name of ["src", "solcjs-wrap", "package.json", "test/support"]) cpSync(join(here, name), join(copy, name), {recursive: true});
  for (const name of readdirSync(join(here, "test")).filter((name) => COPIED.test(name))) {
    writeFileSync(join(copy, "test", name), withoutPure(readFileSync(join(here, "test", name), "utf8")));
  }
  symlinkSync(join(here, "node_modules"), join(copy, "node_modules"));
  // The switches make contracts larger than a chain would take.
  const config = readFileSync(join(here, "foundry.toml"), "utf8");
  writeFileSync(join(copy, "foundry.toml"), config.replace("offline = true", "offline = true\ncode_size_limit = 1000000"));
}

/** Plants everything; what does not compile is taken out and named. */
function build(mutants) {
  const stillborn = new Set();
  for (let round = 0; ; ++round) {
    const places = new Map();
    for (const file of Object.keys(FILES)) {
      places.set(file, plant(file, mutants.filter((mutant) => mutant.file === file && !stillborn.has(mutant.number))));
    }
    const built = forge(["build"]);
    if (built.status === 0) return stillborn;
    const before = stillborn.size;
    for (const [, file, line] of built.output.matchAll(/--> (src\/[\w/]+\.sol):(\d+):/g)) {
      const number = places.get(file)?.get(Number(line));
      if (number) stillborn.add(number);
    }
    if (stillborn.size === before || round > 8) throw new Error(`the mutants do not compile:\n${built.output}`);
  }
}

/** Whether some test fails under a mutant. */
function verdict({number, file}) {
  for (const tests of FILES[file]) {
    const coinbase = `0x${number.toString(16).padStart(40, "0")}`;
    const run = forge(["test", "--fail-fast", "--match-contract", `^(${tests})$`, "--block-coinbase", coinbase], 180_000);
    if (run.error?.code === "ETIMEDOUT") return "timed out";
    if (run.status !== 0 && !/\d+ failed|\[FAIL/.test(run.output)) throw new Error(`mutant ${number}: ${run.output}`);
    if (run.status !== 0) return "killed";
  }
  return "lived";
}

prepare();
const {chosen, among} = allMutants();
const stillborn = build(chosen);
for (const tests of new Set(Object.values(FILES).flat())) {
  const clean = forge(["test", "--match-contract", `^(${tests})$`]);
  if (clean.status !== 0) throw new Error(`tests fail without a mutation:\n${clean.output}`);
}
const tally = {killed: 0, lived: 0, "timed out": 0, stillborn: stillborn.size};
const named = first.includes(",") ? first.split(",").map(Number) : null;
const range = named ? chosen.filter(({number}) => named.includes(number)) : chosen.slice(Number(first), Number(first) + Number(count));
for (const mutant of range.filter(({number}) => !stillborn.has(number))) {
  const end = verdict(mutant);
  tally[end] += 1;
  console.log(`${end}: #${mutant.number} ${mutant.file}:${mutant.from + 1}` +
    (end === "lived" ? `\n  - ${mutant.before}\n  + ${mutant.after}` : ""));
}
console.log(`${range.length} mutants (${chosen.length} taken evenly from ${among}): ${tally.killed} killed, ${tally.lived} lived, ` +
  `${tally["timed out"]} timed out, ${tally.stillborn} did not compile`);
