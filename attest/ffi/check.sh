#!/usr/bin/env bash
# Checks the C face: header against library, then the C example, compiled strictly, against the pinned vectors.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo test --locked -q --features soft-ed25519,soft-p256
prefix=$(./install.sh)
# The flags that attest.pc gives; pkg-config itself need not be installed.
if command -v pkg-config >/dev/null; then
  read -ra flags <<<"$(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags --libs --static attest)"
else
  flags=("-I$prefix/include" "-L$prefix/lib" -lattest_c -lpthread -ldl -lm)
fi
example=$CARGO_TARGET_DIR/attest-heartbeat
cc -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -o "$example" examples/heartbeat.c "${flags[@]}"
for alg in ed25519 p256; do
  # Keys are sorted in the file: alg and envelope of a message come before its name.
  pinned=$(awk -F'"' -v alg="$alg" '$2 == "alg" { a = $4 } $2 == "envelope" { e = $4 }
    $2 == "name" && $4 == "heartbeat without a clock" && a == alg { print e }' ../tests/vectors/evidence.json)
  made=$("$example" "$alg" | tail -1)
  if [ -z "$pinned" ] || [ "$made" != "$pinned" ]; then
    echo "ffi: the C example's $alg heartbeat is not the pinned one" >&2
    exit 1
  fi
done
echo "ffi: header, library, and the C example's heartbeats (ed25519, p256) agree with the vectors"
# The second example talks to a real broker.
cc -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -o "$CARGO_TARGET_DIR/attest-publish" examples/publish.c "${flags[@]}"
examples/check.sh "$CARGO_TARGET_DIR/attest-publish"
