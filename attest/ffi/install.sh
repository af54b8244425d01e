#!/usr/bin/env bash
# Builds the static library for this machine and installs library, header and pkg-config file under the prefix given
# (default: an `install` folder in the target directory). Features by FEATURES.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/target}
prefix=${1:-$target/install}
features=${FEATURES-soft-ed25519,soft-p256}
cargo build --locked -q --lib --features "$features"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
cp include/attest.h "$prefix/include/"
cp "$target/debug/libattest_c.a" "$prefix/lib/"
sed "s|@PREFIX@|$prefix|; s|@VERSION@|$version|" attest.pc.in > "$prefix/lib/pkgconfig/attest.pc"
echo "$prefix"
