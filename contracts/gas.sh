#!/usr/bin/env bash
# Measures what every call costs, writes snapshots/*.json and the tables of README.md. `gas.sh --check` writes nothing and
# fails when a figure or a table differs from what is committed.
set -euo pipefail
cd "$(dirname "$0")"
export PATH=$PWD/node_modules/.bin:$PATH
tests='^(GasTableTest|VerifiersTest)$'

if [ "${1:-}" = --check ]; then
  forge test -q --match-contract "$tests" --gas-snapshot-check=true
  node check/gas.mjs --check
else
  rm -rf snapshots
  forge test -q --match-contract "$tests" --gas-snapshot-emit=true
  node check/gas.mjs
fi
