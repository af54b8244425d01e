#!/usr/bin/env bash
# The C example against a real broker: what it sent is decoded and verified as a node does it. Called by ../check.sh with
# the compiled example; builds the listening side in the workspace's own target folder.
set -euo pipefail
publish=$1
cd "$(dirname "$0")/../../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR%-ffi}
cargo build --locked -q -p attest-mqtt --example listen
work=$(mktemp -d)
trap 'kill "$ear" 2>/dev/null || true; rm -rf "$work"' EXIT
ear=
for alg in ed25519 p256; do
  "$CARGO_TARGET_DIR/debug/examples/listen" "$alg" 3 >"$work/heard" &
  ear=$!
  for _ in $(seq 100); do
    port=$(sed -n 's/^listening on port //p' "$work/heard")
    [ -n "$port" ] && break
    sleep 0.1
  done
  "$publish" "$alg" 127.0.0.1 "$port" >"$work/sent"
  if ! wait "$ear"; then
    echo "ffi: the node's side did not get what the C example ($alg) sent" >&2
    exit 1
  fi
  # Topic and evidence id of every message, as either side saw them.
  if ! diff <(sort "$work/sent") <(sed -n 's/^verified //p' "$work/heard" | sort); then
    echo "ffi: the C example ($alg) and the node's side disagree (above)" >&2
    exit 1
  fi
done
if "$publish" ed25519 127.0.0.1 1 2>/dev/null; then
  echo "ffi: the C example succeeds without a broker" >&2
  exit 1
fi
echo "ffi: the C example's messages (ed25519, p256) went through a real broker and verify on the node's side"
