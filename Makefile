# Every target is complete on a fresh machine with cargo and git: what else it needs, it installs first.

# rustup puts cargo where a login shell finds it, but not every shell is one.
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO ?= cargo
# Scripts that `make lint` reads: those that any sh must understand, and those that may ask for bash.
SH := .ci/ensure-tools .ci/ensure-gitleaks .ci/fuzz .ci/mutants .ci/coverage src/cli/demo.sh packaging/build.sh packaging/source.sh packaging/homebrew.sh docs/picture.sh tests/sdbox/host.sh
BASH := .ci/run tests/sdbox/box.sh $(wildcard bench/*.sh)

.PHONY: help demo test torture fuzz mutants coverage deny lint bench build package picture clean

help:
	@echo "make demo   a laptop and a server in a scratch folder: what ubos-sync does, in under a minute"
	@echo "make test   everything that can be proven, with the real unison, rsync and sshd"
	@echo "make torture N=1000 [SEED=1]  random sequences of edits, runs and accidents, on every core; seeds of failures in target/torture-failures.txt"
	@echo "make fuzz T=60  every parser for T seconds, from fuzz/seeds/ on; what is found lies in fuzz/artifacts/"
	@echo "make mutants  which faults put into the pure pieces no test would notice"
	@echo "make coverage  which lines of model, tool and lanes the tests reach"
	@echo "make deny   sources, licences and known faults of all crates, by cargo-deny"
	@echo "make lint   formatting and clippy, warnings are errors"
	@echo "make bench [PAIRS=5] [ONLY='truth full']  time and memory against unison, rsync and rclone by hand; writes docs/benchmarks.md"
	@echo "make build  target/release/ubos-sync"
	@echo "make package  a Debian package, a tarball and a Homebrew formula in target/packages/"
	@echo "make picture  docs/plan.svg, the README's picture, from what the program prints"
	@echo "make clean  removes target/"

demo:
	@.ci/ensure-tools demo
	@$(CARGO) build --quiet
	@target/debug/ubos-sync demo

test:
	.ci/ensure-tools test
	.ci/ensure-gitleaks
	# The tests wait for other programs a good part of their time: one more at once than there are cores.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(getconf _NPROCESSORS_ONLN) + 1))} $(CARGO) test

# Without SEED, another one each time; it is printed. A failure prints its seed and the fewest steps that still fail.
torture:
	.ci/ensure-tools test
	env UBOS_TORTURE=$${N:-1000} $${SEED:+UBOS_SEED=$$SEED} $(CARGO) test --test torture nothing_is_lost -- --nocapture

# libFuzzer is built from its sources by the system's C++ compiler. TARGET=policy: that one alone.
fuzz:
	.ci/ensure-tools fuzz
	.ci/fuzz $${T:-60} $$TARGET

# In a copy of the tree; the configuration says what is left out, and why.
mutants:
	@command -v cargo-mutants >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	.ci/mutants

coverage:
	.ci/ensure-tools test
	.ci/ensure-gitleaks
	.ci/coverage

deny:
	@command -v cargo-deny >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources
	@# Where the advisory database cannot be had, that is said, and the list that lies here is all that is asked.
	@if $(CARGO) deny --locked fetch db 2>/dev/null; then $(CARGO) deny --locked check advisories; \
	else echo "advisories: the database cannot be had here; only tests/supply/advisories.toml is asked" >&2; fi
	$(CARGO) test --test supply

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	@for script in $(SH); do sh -n "$$script" || exit 1; done
	@for script in $(BASH); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck $(SH) $(BASH); fi

bench:
	.ci/ensure-tools bench
	$(CARGO) build --release
	bench/all.sh target/release/ubos-sync

build:
	.ci/ensure-tools build
	$(CARGO) build --release

package: build
	packaging/build.sh target/release/ubos-sync target/packages
	packaging/source.sh target/packages/ubos-sync-source.tar.gz
	packaging/homebrew.sh target/packages/ubos-sync-source.tar.gz >target/packages/ubos-sync.rb

picture:
	.ci/ensure-tools demo
	$(CARGO) build
	docs/picture.sh

clean:
	$(CARGO) clean
