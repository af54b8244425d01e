#!/usr/bin/env bash
# Flash of the attester on a Cortex-M4 (thumbv7em), and with arm-none-eabi-gcc and qemu-system-arm (Debian packages
# gcc-arm-none-eabi, qemu-system-arm; installed here when this runs as root) the deepest stack of an emulated run. Fails above the bars: 12 KiB and 2 KiB for
# the attester with an external signer. SIZE_NO_RUN=1 measures flash only.
#   flash  .text + .rodata of everything that the functions of a device (boot, all messages, challenge) keep alive
#   stack  from the top of the stack to the deepest word that one boot and five messages touched
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
target=thumbv7em-none-eabihf
bar_flash=12288 bar_stack=2048
rustup target list --installed 2>/dev/null | grep -q "^$target\$" || rustup target add "$target" >/dev/null 2>&1 ||
  { echo "skipped: the Rust target $target is not here"; exit 0; }
rust_lld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
out=$CARGO_TARGET_DIR/$target
# What a coverage device calls in its life, provisioning included, each with all that it needs.
roots=(attest_network_id attest_device_boot attest_device_kid attest_prove_possession attest_heartbeat attest_telemetry attest_boot_message
  attest_answer attest_commitment attest_witness attest_reveal attest_challenge attest_chain_anchor
  attest_chain_secret attest_transmission attest_witness_commitment attest_topic_up attest_status_text)

flash() {
  local sum=0 size
  for size in $(readelf -SW "$1" | sed 's/^ *\[ *[0-9]*\]//' | awk '$1 == ".text" || $1 == ".rodata" { print $5 }'); do
    sum=$((sum + 16#$size))
  done
  echo "$sum"
}

run() { # signer number; prints the stack
  arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os -ffreestanding -nostdlib -Wall -Wextra -Werror \
    -ffunction-sections -DSIGNER="$1" -Iinclude thumb/main.c "$out/release/libattest_c.a" -Wl,--gc-sections \
    -Wl,-T,thumb/link.ld -Wl,--no-warn-rwx-segments,-z,noexecstack -lgcc -o "$out/thumb-$1.elf"
  timeout 60 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -semihosting-config enable=on,target=native \
    -kernel "$out/thumb-$1.elf" > "$out/thumb-$1.txt" 2>&1 || { cat "$out/thumb-$1.txt" >&2; return 1; }
  if [ "$1" != 0 ]; then
    pinned=$(awk -F'"' -v alg="$2" '$2 == "alg" { a = $4 } $2 == "envelope" { e = $4 }
      $2 == "name" && $4 == "heartbeat without a clock" && a == alg { print e }' ../tests/vectors/evidence.json)
    grep -qx "heartbeat $pinned" "$out/thumb-$1.txt" || { echo "thumb: $2 heartbeat is not the pinned one" >&2; return 1; }
  fi
  awk '$1 == "stack" { print $2 }' "$out/thumb-$1.txt"
}

if [ -z "${SIZE_NO_RUN:-}" ] && ! { command -v arm-none-eabi-gcc && command -v qemu-system-arm; } >/dev/null &&
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc-arm-none-eabi qemu-system-arm; } \
    >/dev/null 2>&1 || true
fi
emulate=yes
command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null || emulate=
[ -z "${SIZE_NO_RUN:-}" ] || emulate=
printf '%-28s %10s %10s\n' "attester (thumbv7em)" "flash, B" "stack, B"
failed=0
row() { # signer number, name, features, more roots
  # As a static library alone: beside an rlib, cargo leaves link-time optimisation off.
  cargo rustc --locked -q --release --lib --crate-type staticlib --target "$target" --features "$3"
  local keep=() root
  for root in "${roots[@]}" ${4:-}; do keep+=(-u "$root"); done
  "$rust_lld" -flavor gnu --gc-sections -e attest_abi_version "${keep[@]}" "$out/release/libattest_c.a" -o "$out/flash-$1.elf"
  local bytes stack="not run"
  bytes=$(flash "$out/flash-$1.elf")
  if [ -n "$emulate" ]; then stack=$(run "$1" "$2"); fi
  printf '%-28s %10s %10s\n' "$2" "$bytes" "$stack"
  if [ "$1" = 0 ]; then
    [ "$bytes" -gt 0 ] && [ "$bytes" -le "$bar_flash" ] || { echo "size: flash above the bar of $bar_flash" >&2; failed=1; }
    [ -z "$emulate" ] || [ "$stack" -le "$bar_stack" ] || { echo "size: stack above the bar of $bar_stack" >&2; failed=1; }
  fi
}
row 0 "external signer" ""
# What further parts of the interface add to that image.
adds() { # name, roots
  local keep=() root
  for root in "${roots[@]}" ${2}; do keep+=(-u "$root"); done
  "$rust_lld" -flavor gnu --gc-sections -e attest_abi_version "${keep[@]}" "$out/release/libattest_c.a" -o "$out/flash-more.elf"
  printf '%-28s %10s %10s\n' "  + $1" "$(($(flash "$out/flash-more.elf") - $(flash "$out/flash-0.elf")))" "–"
}
adds "several instants" attest_telemetry_samples
adds "endorsement" attest_endorsement
adds "channels" attest_channels
adds "meter" attest_meter
adds "position" attest_position
adds "storage answer" attest_storage_answer
adds "compute" "attest_work_answer attest_work_opening"
adds "bandwidth" "attest_bandwidth_answer attest_tally_digests"
adds "hello" attest_hello
adds "answers of every class" attest_answer_draw
adds "a meter's own record" "attest_metered attest_meter_key"
adds "queue and receipts" "attest_queue_new attest_queue_resume attest_queue_push attest_queue_get attest_queue_receipts"
adds "committee keys" "attest_terms_trust attest_terms_follow attest_terms_beacon"
row 1 ed25519 soft-ed25519 attest_soft_ed25519
row 2 p256 soft-p256 attest_soft_p256
[ -n "$emulate" ] || echo "skipped: stack (needs gcc-arm-none-eabi and qemu-system-arm)"
exit "$failed"
