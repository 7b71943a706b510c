# podgate: see README.md. Root is asked for only where the kernel needs it.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
# Variables that make exports don't reach its own shell calls everywhere.
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo "sudo -E env PATH=$(PATH)")
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := $(shell PATH=$(PATH) rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr a-z- A-Z_)

# In front of what needs Node.js: finds one that is new enough, or installs it once.
NODE = PATH="$$($(CURDIR)/scripts/node):$$PATH" NO_COLOR=1

# Crates whose tests make network namespaces and load BPF programs.
KERNEL := podgate-datapath podgate-lab podgate-cli podgate-tests
PURE := podgate-api podgate-policy podgate-flow podgate-hubble podgate-archive podgate-observe podgate-advise podgate-bench podgate-kube podgate-analysis podgate-lint podgate-cni podgate-agent podgate-serve podgate-tls podgate-lab-kubernetes

# Where `make install` puts things; DESTDIR is for packagers.
PREFIX ?= /usr/local
SHARE := $(DESTDIR)$(PREFIX)/share

.PHONY: setup build install book demo kubernetes test web lint test-web test-e2e test-e2e-lab test-pure test-kernel test-deploy bench clean

setup:
	@scripts/setup

build: setup
	cargo build --release --locked --bin podgate

# The binary, its name as kubectl's plugin, completions and manual pages. Build first, as yourself; then
# `sudo make install` needs no cargo.
install:
	@[ -x $(TARGET)/release/podgate ] || { echo "make install: build it first: make build" >&2; exit 1; }
	install -D -m 755 $(TARGET)/release/podgate $(DESTDIR)$(PREFIX)/bin/podgate
	ln -sf podgate $(DESTDIR)$(PREFIX)/bin/kubectl-podgate
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(TARGET)/release/podgate completion bash > $(SHARE)/bash-completion/completions/podgate
	$(TARGET)/release/podgate completion zsh > $(SHARE)/zsh/site-functions/_podgate
	$(TARGET)/release/podgate completion fish > $(SHARE)/fish/vendor_completions.d/podgate.fish
	$(TARGET)/release/podgate man --dir $(SHARE)/man/man1

# The book, as HTML in docs/book/build.
book:
	@command -v mdbook >/dev/null || { echo "make book: install mdbook first: cargo install --locked mdbook" >&2; exit 1; }
	mdbook build docs/book

# The page, web/dist: it is committed, so that building podgate needs no Node.
web: web/node_modules/.package-lock.json
	cd web && $(NODE) npm run build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && $(NODE) npm ci

demo: build
	$(SUDO) $(TARGET)/release/podgate demo $(DEMO)

# A Kubernetes cluster of network namespaces with podgate on its nodes; it says what to type next.
# The control plane is built as you, once: some minutes.
kubernetes: build
	control_plane=$$(scripts/control-plane) && \
	$(SUDO) $(TARGET)/release/podgate lab kubernetes up --control-plane "$$control_plane" $(KUBERNETES)

test: setup lint test-web test-pure test-kernel test-e2e test-e2e-lab test-deploy

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)/fuzz --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

# The hubble command that reads podgate's flows is built once: some minutes.
test-pure:
	export PODGATE_HUBBLE_CLI=$$(scripts/hubble-cli) && \
	cargo test --locked $(PURE:%=-p %)

# Built as you, run as root: the runner wraps each test binary.
test-kernel:
	@[ -z "$(SUDO)" ] || echo "The next tests make network namespaces and load BPF programs: they run as root, with sudo."
	export PODGATE_CONTROL_PLANE=$$(scripts/control-plane) && \
	$(if $(SUDO),CARGO_TARGET_$(HOST)_RUNNER="$(SUDO)") cargo test --locked $(KERNEL:%=-p %) -- --test-threads=2

# The page's logic, its types, form and size; and that web/dist is what its sources build.
test-web: web/node_modules/.package-lock.json
	cd web && $(NODE) sh -c 'npm test && npm run check && npm run check-dist'

# The page in Chromium, on real servers whose files the tests write. Pictures of it are in web/test-results/pictures.
test-e2e: web/node_modules/.package-lock.json
	@[ -x "$${PODGATE_CHROMIUM:-/usr/bin/chromium}" ] || { echo "make test-e2e: install Chromium first: apt-get install chromium; or name one in PODGATE_CHROMIUM" >&2; exit 1; }
	cargo build --locked --bin podgate
	cd web && PODGATE=$(abspath $(TARGET))/debug/podgate $(NODE) npx playwright test $(E2E)

# The page about a lab, which needs root: the demo's, with real packets.
test-e2e-lab: web/node_modules/.package-lock.json
	@[ -x "$${PODGATE_CHROMIUM:-/usr/bin/chromium}" ] || { echo "make test-e2e-lab: install Chromium first: apt-get install chromium; or name one in PODGATE_CHROMIUM" >&2; exit 1; }
	cargo build --locked --bin podgate
	cd web && PODGATE=$(abspath $(TARGET))/debug/podgate PODGATE_SUDO="$(SUDO)" $(NODE) npx playwright test --config lab.config.ts $(E2E)

# The chart, the manifests, the alerts and the dashboard, with tools that are built once: some minutes.
test-deploy:
	scripts/test-deploy

bench: setup
	scripts/bench

clean:
	cargo clean
