#!/usr/bin/env bash
# Writes abi/<Contract>.json (ABI and creation bytecode) for Rust and TypeScript, so that they build without Foundry.
# `abi.sh --check` writes nothing and fails when what is committed differs from the sources.
set -euo pipefail
cd "$(dirname "$0")"
export PATH=$PWD/node_modules/.bin:$PATH
contracts="BlsVerifier CommitteeRegistry ReportHub DeviceRegistry LeaseEscrow OperatorStake TestDollar EcdsaVerifier SignatureVerifier7913 CommitteeFees"

forge build -q
out=abi
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
for name in $contracts; do
  node -e '
    const {abi, bytecode} = JSON.parse(require("fs").readFileSync(0, "utf8"));
    if (bytecode.object === "0x") throw new Error("no bytecode");
    console.log(JSON.stringify({abi, bytecode: {object: bytecode.object}}));
  ' < "out/$name.sol/$name.json" > "$out/$name.json"
done
if [ "$out" != abi ] && ! diff -rq abi "$out"; then
  echo "abi.sh: contracts/abi is stale; run contracts/abi.sh" >&2
  exit 1
fi
