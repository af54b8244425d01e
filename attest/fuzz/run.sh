#!/usr/bin/env bash
# Fuzzes each target for SECONDS_EACH (default 60) from the committed seeds. What is found beyond them stays in the
# target directory; a failing input is printed by libFuzzer and belongs into seeds/.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v cargo-fuzz >/dev/null || ! rustup toolchain list 2>/dev/null | grep -q ^nightly; then
  echo "skipped: fuzzing needs cargo-fuzz and a nightly toolchain"
  exit 0
fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
for target in decode claims verify; do
  found=$CARGO_TARGET_DIR/found/$target
  mkdir -p "$found"
  cargo +nightly fuzz run --fuzz-dir . "$target" "$found" "seeds/$target" -- \
    -artifact_prefix="$found-" -max_total_time="${SECONDS_EACH:-60}" -max_len=1100 -print_final_stats=1
done
