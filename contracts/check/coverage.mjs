#!/usr/bin/env node
// Reads what `forge coverage --report lcov` wrote, names every line and branch that no test reached, and fails below 95 %.
// Lines inside `assembly` blocks are left out on both sides: forge does not instrument them (they run in every test that
// uses a certificate, and show as never reached). What they do is tested by vectors, not by this figure.
import {readFileSync} from "node:fs";

const BAR = 0.95;
const [file] = process.argv.slice(2);
if (!file) throw new Error("usage: coverage.mjs lcov.info");

/** 1-based numbers of the lines inside `assembly { ... }` of a Solidity source, the opening line included. */
function assemblyLines(source) {
  const inside = new Set();
  let depth = 0;
  source.split("\n").forEach((text, i) => {
    const code = text.replace(/\/\/.*$/, "");
    const opens = depth === 0 ? code.search(/\bassembly\b/) : 0;
    if (opens < 0) return;
    inside.add(i + 1);
    for (const c of code.slice(opens)) depth += c === "{" ? 1 : c === "}" ? -1 : 0;
  });
  return inside;
}

const sum = {lines: 0, linesHit: 0, branches: 0, branchesHit: 0, left: 0};
const missed = [];
for (const record of readFileSync(file, "utf8").split("end_of_record")) {
  const path = /^SF:(.+)$/m.exec(record)?.[1];
  if (!path || !path.startsWith("src/") || path.startsWith("src/mocks/")) continue;
  const blind = assemblyLines(readFileSync(new URL(`../${path}`, import.meta.url), "utf8"));
  for (const [, line, hits] of record.matchAll(/^DA:(\d+),(\d+)/gm)) {
    if (blind.has(+line)) {
      sum.left += 1;
      continue;
    }
    sum.lines += 1;
    if (+hits > 0) sum.linesHit += 1;
    else missed.push(`line   ${path}:${line}`);
  }
  for (const [, line, , , hits] of record.matchAll(/^BRDA:(\d+),(\d+),(\d+),(\d+|-)/gm)) {
    if (blind.has(+line)) continue;
    sum.branches += 1;
    if (hits !== "-" && +hits > 0) sum.branchesHit += 1;
    else missed.push(`branch ${path}:${line}`);
  }
}
if (sum.lines === 0) throw new Error(`${file} names no file of src/`);
for (const line of missed) console.log(`never reached: ${line}`);
const share = (hit, all) => `${hit}/${all} (${((100 * hit) / all).toFixed(2)} %)`;
console.log(`coverage: lines ${share(sum.linesHit, sum.lines)}, branches ${share(sum.branchesHit, sum.branches)}, ` +
  `${sum.left} lines of assembly not counted`);
if (sum.linesHit < BAR * sum.lines || sum.branchesHit < BAR * sum.branches) {
  console.error("coverage: below 95 %");
  process.exit(1);
}
