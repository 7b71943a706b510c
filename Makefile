# podgate: see README.md. Root is asked for only where the kernel needs it.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
# Variables that make exports don't reach its own shell calls everywhere.
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo "sudo -E env PATH=$(PATH)")
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := $(shell PATH=$(PATH) rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr a-z- A-Z_)

# Crates whose tests make network namespaces and load BPF programs.
KERNEL := podgate-datapath podgate-lab podgate-cli podgate-tests
PURE := podgate-api podgate-policy podgate-flow podgate-bench

.PHONY: setup build demo test lint test-pure test-kernel bench clean

setup:
	@scripts/setup

build: setup
	cargo build --release --locked --bin podgate

demo: build
	$(SUDO) $(TARGET)/release/podgate demo $(DEMO)

test: setup lint test-pure test-kernel

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

test-pure:
	cargo test --locked $(PURE:%=-p %)

# Built as you, run as root: the runner wraps each test binary.
test-kernel:
	@[ -z "$(SUDO)" ] || echo "The next tests make network namespaces and load BPF programs: they run as root, with sudo."
	$(if $(SUDO),CARGO_TARGET_$(HOST)_RUNNER="$(SUDO)") cargo test --locked $(KERNEL:%=-p %) -- --test-threads=2

bench: setup
	scripts/bench

clean:
	cargo clean
