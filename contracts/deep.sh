#!/usr/bin/env bash
# The long checks of the contracts, for `make deep`. Each part is bounded in time and works on a copy, so that nothing
# here disturbs a build that runs at the same time. `deep.sh part...` runs only those:
#   invariant  1,024,000 calls: 20 seeds of 51,200, about 1.5 ms a call, 75 minutes at most (INVARIANT_SEEDS=n for fewer). In one
#              campaign of that length a call costs ever more: forge's dictionary grows with it
#   slither    clean above low; every exception stands with its reason where it is, as a comment in src/
#   halmos     test/symbolic: the accounting, proven for all inputs
#   coverage   lines and branches of src/ without mocks, at least 95 %
#   mutate     at most 150 mutants of the contracts that hold money (MUTANTS="first count" or "44,60" takes a part); survivors: MUTANTS.md
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
export PATH=$here/node_modules/.bin:$PATH
cache=${PLUMBLINE_CACHE:-$HOME/.cache/plumbline}
venv=$cache/venv
mkdir -p "$cache"

# A copy of the project without its build; `copy_of symbolic` takes only the symbolic tests, which build fast.
copy_of() {
  local target=$cache/contracts-$1
  rm -rf "$target" && mkdir -p "$target/test"
  cp -r src check foundry.toml slither.config.json solcjs-wrap package.json "$target/"
  ln -s "$here/node_modules" "$target/node_modules"
  if [ "$1" = symbolic ]; then
    mkdir "$target/test/support"
    cp -r test/symbolic "$target/test/" && cp test/support/{Base,Vm}.sol "$target/test/support/"
  else
    cp -r test "$target/"
    # Where the tests look for the shared vectors.
    mkdir -p "$cache/aggregator/tests/vectors"
    cp ../aggregator/tests/vectors/*.json "$cache/aggregator/tests/vectors/" 2>/dev/null || true
  fi
  cd "$target"
}

tool() {
  [ -x "$venv/bin/$1" ] && return
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q slither-analyzer==0.11.6 halmos==0.3.3
}

run_invariant() {
  copy_of invariant
  local seed until=$((SECONDS + 4500))
  for seed in $(seq 1 "${INVARIANT_SEEDS:-20}"); do
    printf 'seed %s: ' "$seed"
    FOUNDRY_FUZZ_SEED=$seed timeout $((until - SECONDS)) forge test --match-contract LeaseInvariantTest > invariant.log 2>&1 ||
      { echo failed; tail -40 invariant.log; return 1; }
    grep -o 'runs: [0-9]*, calls: [0-9]*, reverts: [0-9]*' invariant.log | head -1
  done
}

run_slither() {
  tool slither
  copy_of slither
  timeout 300 "$venv/bin/slither" . --config-file slither.config.json
}

run_halmos() {
  tool halmos
  copy_of symbolic
  timeout 600 "$venv/bin/halmos" --contract LeaseAccountingCheck --solver-timeout-assertion 60000
}

# Without the optimizer the compiler runs out of stack, hence --ir-minimum; the gas bars are not for that build.
run_coverage() {
  copy_of coverage
  FOUNDRY_INVARIANT_RUNS=16 timeout 1500 forge coverage --ir-minimum --report lcov --report-file lcov.info \
    --no-match-coverage '(test|mocks)/' --no-match-contract Gas > coverage.log 2>&1 ||
    { tail -30 coverage.log; return 1; }
  node check/coverage.mjs lcov.info
}

run_mutate() {
  # shellcheck disable=SC2086
  timeout 2700 node check/mutate.mjs "$cache/contracts-mutants" ${MUTANTS:-}
}

[ $# -gt 0 ] || set -- invariant slither halmos coverage mutate
for name in "$@"; do
  case $name in
    invariant | slither | halmos | coverage | mutate) ;;
    *) echo "deep.sh: no part $name" >&2; exit 2 ;;
  esac
  echo "== $name"
  (run_"$name")
done
