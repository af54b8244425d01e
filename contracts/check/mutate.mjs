#!/usr/bin/env node
// Mutation test of the accounting: changes one thing at a time in LeaseMath and LeaseLedger, in a copy of this folder, and
// asks whether a test fails. A mutant that no test kills is printed in full; MUTANTS.md explains those that may live.
// Deterministic: the same sources give the same list. Usage: mutate.mjs COPY [first [count]] (COPY is overwritten).
import {spawnSync} from "node:child_process";
import {cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {fileURLToPath} from "node:url";

const MOST = 150;
const here = fileURLToPath(new URL("..", import.meta.url));
const [copy, first = "0", count = `${MOST}`] = process.argv.slice(2);
if (!copy) throw new Error("usage: mutate.mjs COPY [first [count]]");

// [what, replacement]: operators of the arithmetic, the comparisons, the bounds and the bookings.
const RULES = [
  [/Math\.min\(/g, "Math.max("], [/Math\.max\(/g, "Math.min("],
  [/ \+= /g, " -= "], [/ \+= /g, " = "],
  [/ \+ /g, " - "], [/ - /g, " + "], [/ \* /g, " + "], [/ \/ /g, " * "],
  [/ < /g, " <= "], [/ < /g, " >= "], [/ > /g, " >= "], [/ > /g, " <= "], [/ <= /g, " > "],
  [/ == /g, " != "], [/ != /g, " == "], [/ && /g, " || "], [/ \|\| /g, " && "],
];
const FILES = ["src/libraries/LeaseMath.sol", "src/LeaseLedger.sol"];
const TESTS = "^(LeaseRulesTest|LeaseLifecycleTest|LeaseTokensTest|RefusalsTest|LeaseInvariantTest|LeaseExitTest)$";

function mutants() {
  const found = [];
  for (const file of FILES) {
    const lines = readFileSync(join(here, file), "utf8").split("\n");
    const body = lines.findIndex((line) => /^\s*constructor|^library/.test(line));
    lines.forEach((line, i) => {
      if (i < body || /^\s*(\/\/|\*|import|using|event|error|for \()/.test(line)) return;
      for (const [what, by] of RULES) {
        for (const {index, 0: text} of line.matchAll(what)) {
          const after = line.slice(0, index) + by + line.slice(index + text.length);
          found.push({file, i, before: line.trim(), after});
        }
      }
      // Statements that book or store: leave them out.
      if (/^\s*(claimable|fees|l\.booked\w+|_book\(|_finish\()[^;]*;$/.test(line)) {
        found.push({file, i, before: line.trim(), after: "// left out"});
      }
    });
  }
  // More than the bound: every k-th, spread evenly.
  const step = Math.max(1, found.length / MOST);
  return found.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step)).slice(0, MOST);
}

function forge(...args) {
  const env = {...process.env, FOUNDRY_INVARIANT_RUNS: "8", FOUNDRY_FUZZ_RUNS: "32"};
  return spawnSync(join(here, "node_modules/.bin/forge"), args, {cwd: copy, env, encoding: "utf8", timeout: 600_000});
}

rmSync(copy, {recursive: true, force: true});
mkdirSync(copy, {recursive: true});
for (const name of ["src", "foundry.toml", "solcjs-wrap", "package.json"]) cpSync(join(here, name), join(copy, name), {recursive: true});
mkdirSync(join(copy, "test"));
cpSync(join(here, "test/support"), join(copy, "test/support"), {recursive: true});
cpSync(join(here, "test/vectors"), join(copy, "test/vectors"), {recursive: true});
for (const name of ["LeaseRules", "LeaseLifecycle", "LeaseTokens", "Refusals", "LeaseInvariant", "LeaseExit"]) {
  cpSync(join(here, `test/${name}.t.sol`), join(copy, `test/${name}.t.sol`));
}
symlinkSync(join(here, "node_modules"), join(copy, "node_modules"));

const clean = forge("test", "--match-contract", TESTS);
if (clean.status !== 0) throw new Error(`tests fail without a mutation:\n${clean.stdout}${clean.stderr}`);
const all = mutants();
const tally = {killed: 0, stillborn: 0, lived: 0, "timed out": 0};
for (const [n, {file, i, before, after}] of all.entries()) {
  if (n < Number(first) || n >= Number(first) + Number(count)) continue;
  const source = readFileSync(join(here, file), "utf8");
  const lines = source.split("\n");
  lines[i] = after;
  writeFileSync(join(copy, file), lines.join("\n"));
  const result = forge("test", "--fail-fast", "--match-contract", TESTS);
  const output = result.stdout + result.stderr;
  const verdict = result.status === 0 ? "lived" : result.signal ? "timed out" : /Compiler run failed|Unable to resolve/.test(output) ? "stillborn" : "killed";
  tally[verdict] += 1;
  console.log(`${verdict}: #${n} ${file}:${i + 1}` + (verdict === "lived" ? `\n  - ${before}\n  + ${after.trim()}` : ""));
  writeFileSync(join(copy, file), source);
}
const valid = tally.killed + tally.lived;
console.log(`mutants ${first} to ${Math.min(all.length, Number(first) + Number(count)) - 1} of ${all.length}: ` +
  `${tally.killed} of ${valid} killed, ${tally.lived} lived, ${tally.stillborn} did not compile, ${tally["timed out"]} timed out`);
