# One command for each thing a developer does; `make` lists them.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build image release demo test unit-test other-volumes mutants soak real-input bench bench-controller bench-purge bench-scale bench-service bench-sessions lint fmt generate setup cluster cluster-stop clean

CRD := crds/hygiene.dev_workspacehygienes.yaml

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

build: ## build the binary, optimised: target/release/hygiene
	cargo build --locked --release --bin hygiene

image: setup build ## build the container image and its SBOM, without a registry: target/image
	@scripts/image

release: setup build ## gather binary, image, chart, manifests, SBOM, licences and checksums: target/release-VERSION
	@scripts/release

demo: ## show hygiene at work on a small volume under target/demo
	@scripts/demo

test: setup real-input unit-test ## run everything: the real-input check, then all cargo tests

# The examples in the documentation come first, so that the summary of the tests proper is what is read last.
unit-test: ## run the cargo tests alone
	cargo test --locked --all-features --doc
	cargo test --locked --all-features --tests

other-volumes: ## whole sweeps on a file system that behaves as EFS does, and on an ext4 of their own
	WORLD_FS=fuse cargo test --locked --test it -- sweep:: guards::
	scripts/on-ext4 cargo test --locked --test it -- sweep:: guards::

mutants: ## take out each guard once, in a copy, and see its test fail; writes docs/promises.md (some twenty minutes)
	cargo run --quiet --locked --example mutants

# How many sequences are run, from a seed that differs each time.
soak: export HYGIENE_MODEL_SEQUENCES ?= 1000000
soak: ## the model-based test with a million sequences, or HYGIENE_MODEL_SEQUENCES of them
	cargo test --locked --release --test it model:: -- --nocapture

real-input: ## sweep a volume of 200 real workspaces and 300 000 files, and prove that nothing else changed
	@scripts/real-input

bench: bench-scale bench-sessions bench-purge ## measure time and memory, and print tables; see docs/benchmarks.md

bench-scale: ## plan over 1 000 000 workspaces and 10 000 000 rows; BENCH='--workspaces 10000 --rows 100000' for less
	cargo bench --locked --bench scale -- $(BENCH)

bench-sessions: ## read 10 000 000 sessions from PostgreSQL and MariaDB; SESSIONS='--rows 100000' for less
	cargo bench --locked --bench sessions -- $(SESSIONS)

bench-service: ## the service beside 1 000 requests a second, and for an hour; SERVICE='--minutes 1' for less
	cargo bench --locked --bench service -- $(SERVICE)

bench-controller: setup ## a controller of 1 000 resources on a real API server; CONTROLLER='--resources 100 --minutes 1' for less
	cargo bench --locked --bench controller -- $(CONTROLLER)

bench-purge: ## remove trees beside rm, find and others, as root; PURGE='--case local --rounds 1' for less
	cargo bench --locked --bench purge -- $(PURGE)

lint: ## formatting, clippy, generated files; licences where cargo-deny is installed
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- --deny warnings
# Built as the tests build it: with other features every dependency would be compiled once more.
	cargo build --locked --all-features --bin hygiene --tests
	@bash -c '. scripts/lib.sh && "$$(target_directory)/debug/hygiene" crd' | diff -u $(CRD) - || { echo "$(CRD) is out of date: make generate"; exit 1; }
	@bash -c '. scripts/lib.sh && "$$(python_directory)/bin/python" scripts/chart $$([ ! -e "$$(kubernetes_directory)/complete" ] || kubernetes_directory)'
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences not checked"; fi

fmt: ## format the code
	cargo fmt

generate: ## write the generated files
	cargo run --quiet --locked -- crd >$(CRD).new && mv $(CRD).new $(CRD)
	@bash -c '. scripts/lib.sh && "$$(python_directory)/bin/python" scripts/ecs-json --write'
	@programs=$$(scripts/kubernetes) && bash -c '. scripts/lib.sh && "$$(python_directory)/bin/python" scripts/chart --write "$$0"' "$$programs"

setup: ## install what building and testing need (Debian; elsewhere say what is missing)
	@scripts/setup

cluster: ## start a Kubernetes without nodes to play with, below target/cluster; says how to use it
	@scripts/cluster start

cluster-stop: ## stop it and leave nothing behind
	@scripts/cluster stop

clean: ## remove everything that was built, the demo's volume and the cluster
	@scripts/cluster stop
	@chmod -R u+rwX target/demo 2>/dev/null || true
	cargo clean
