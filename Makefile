# Every check and every way to run the project, by name. `make` alone lists them.
export PLUMBLINE_CACHE ?= $(HOME)/.cache/plumbline
# One target directory for everything in a checkout. CI's checkouts are always new, so they share one outside of them;
# two lasting checkouts must not: cargo tells their crates apart by file times alone.
ifdef CI
export CARGO_TARGET_DIR ?= $(PLUMBLINE_CACHE)/target
else
export CARGO_TARGET_DIR ?= $(CURDIR)/target
endif
export PATH := $(CURDIR)/contracts/node_modules/.bin:$(PATH)
BIN := $(CARGO_TARGET_DIR)/debug
# Evaluated when a recipe needs it, after setup has built the library.
ROCKSDB = ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR="$$(.ci/rocksdb)"

.PHONY: help setup build demo test deep bench lint fmt contracts bless
.DEFAULT_GOAL := help

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing, build RocksDB once (make demo and make test do this themselves)
	@.ci/setup

build: setup ## build every binary (dev profile)
	@$(ROCKSDB) cargo build --locked --workspace --bins

demo: build contracts ## the main job on this machine, end to end; KEEP=1 leaves the network running
	@$(BIN)/testnet demo $(if $(KEEP),--keep) $(DEMO_ARGS)

contracts: setup
	@cd contracts && forge build -q

test: setup ## every test of a change: Rust, contracts, vectors, one end-to-end run
	@.ci/test

lint: setup ## formatting, clippy, docs, purity of the core, ABI drift, licences
	@.ci/lint

fmt: ## format Rust and Solidity
	@cargo fmt --all
	@cd contracts && forge fmt

bless: setup ## rewrite golden files and generated docs after a change that is meant
	@cd contracts && PLUMBLINE_BLESS=1 forge test -q --match-contract VectorsForge && ./gas.sh
	@PLUMBLINE_BLESS=1 $(ROCKSDB) cargo test --locked --workspace -q

deep: build contracts ## longer checks, each bounded in time
	@.ci/deep

bench: setup ## measured figures beside their bars (release build)
	@.ci/bench
