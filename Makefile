# Run "make" to see every command.

GO       := go
BIN      := bin
SEEDS    ?= 200
FROM     ?= 0
FUZZTIME ?= 5s
BENCH    ?= .
ARGS     ?=
PKG      ?= ./...
ONLY     ?=
STORES   ?= postgres,mysql,mariadb,cassandra,cassandra4,cassandra-three
STORE    ?=
COVER    := build/cover

.DEFAULT_GOAL := help
.PHONY: help build run test check-go vet staticcheck house services unit race fuzz bench microbench sim sim-cover mutants e2e test-stores kill stop-services clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: check-go ## Build bin/perdure, bin/sim and bin/bench (the first time takes minutes: packages are named as they are compiled)
	CGO_ENABLED=0 $(GO) build -v -trimpath -o $(BIN)/perdure ./cmd/server
	CGO_ENABLED=0 $(GO) build -v -trimpath -o $(BIN)/sim ./cmd/sim
	CGO_ENABLED=0 $(GO) build -v -trimpath -o $(BIN)/bench ./cmd/bench

run: build ## Build and run a server on 127.0.0.1:7233 with its data in perdure-data
	$(BIN)/perdure serve

test: build vet staticcheck services unit race fuzz sim e2e ## Check everything, as CI does

vet: check-go ## Look for mistakes with go vet
	$(GO) vet -pgo=off -tags failpoints ./...

staticcheck: check-go ## Look for mistakes with staticcheck
	$(GO) tool staticcheck -tags failpoints ./...

house: check-go ## Check the rules of the house (purity of core, imports, order of maps)
	$(GO) test -count=1 ./house

services: ## Start the databases of the tests, installing them on first use; what cannot be had here is skipped, except in CI
	@for s in postgres mysql mariadb cassandra; do \
		scripts/services/$$s start >/dev/null || { status=$$?; \
			if [ $$status != 3 ] || [ -n "$$CI" ]; then echo "$$s does not run, and its tests have to (scripts/services/$$s start)" >&2; exit 1; fi; \
			echo "$$s: its tests are skipped" >&2; }; \
	done

unit: check-go ## Run all tests; PKG=./core/run for one package
	$(GO) test -pgo=off $(PKG)

race: check-go ## Run the tests of the adapters and commands under the race detector, random ones shorter
	$(GO) test -race -short -pgo=off ./adapters/... ./cmd/...

fuzz: check-go ## Run every fuzz target for FUZZTIME=5s each; PKG=./core/token for one package
	@$(GO) test -list '^Fuzz' $(PKG) | awk '/^Fuzz/ { names = names " " $$1 } /^ok/ { n = split(names, a, " "); for (i = 1; i <= n; i++) print $$2, a[i]; names = "" }' | \
	while read -r package target; do \
		echo "fuzz $$package $$target"; \
		$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) "$$package" || exit 1; \
	done

bench: build ## Measure the server on a database beside the limit server; STORE=postgres, mysql, cassandra or sqlite, ARGS='--scale 0.1 --json' for more
	scripts/bench '$(or $(STORE),sqlite)' $(ARGS)

microbench: check-go ## Run Go benchmarks; BENCH=Hop PKG=./adapters/runtime for one
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem $(PKG)

sim: build ## Simulate clusters under faults: fresh seeds, each twice, and all regressions; SEEDS=2000 FROM=1 for others
	$(BIN)/sim run --seeds $(SEEDS) --from $(FROM) --regressions sim/testdata --required

sim-cover: check-go ## Print how much of core the simulator alone runs, and list the rest in build/uncovered.txt; SEEDS=300
	@rm -rf $(COVER) && mkdir -p $(COVER)
	CGO_ENABLED=0 $(GO) build -cover -coverpkg=$$($(GO) list ./core/... ./cmd/sim | grep -v -e 'pb$$' -e /conformance | paste -sd, -) -o $(COVER)/sim ./cmd/sim
	GOCOVERDIR=$(COVER) $(COVER)/sim run --once --seeds $(SEEDS) --from $(FROM) --regressions sim/testdata > $(COVER)/run.txt
	$(GO) tool covdata textfmt -i=$(COVER) -o=$(COVER)/profile.txt
	@awk -F '[ :]' '/^perdure.core/ { if (!($$1":"$$2 in n)) order[++k] = $$1":"$$2; n[$$1":"$$2] = $$3; if ($$4 > 0) hit[$$1":"$$2] = 1 } \
		END { for (i = 1; i <= k; i++) { b = order[i]; p = b; sub(/\/[^\/]*$$/, "", p); all += n[b]; of[p] += n[b]; if (b in hit) { seen += n[b]; ran[p] += n[b] } else print b > "build/uncovered.txt" } \
		for (p in of) printf "%6.1f%% of %5d statements  %s\n", 100 * ran[p] / of[p], of[p], p | "sort -k5"; close("sort -k5"); \
		printf "%6.1f%% of %5d statements of core; the blocks that were not run are in build/uncovered.txt\n", 100 * seen / all, all }' $(COVER)/profile.txt

mutants: build ## Build small bugs into the simulator and show which checker finds each; ONLY=journal for some
	$(BIN)/sim mutants --only '$(ONLY)'

e2e: check-go ## Play programs of the Go SDK against the built server, also across a kill; a short form of kill
	cd docs/quickstart && $(GO) vet .
	cd test && $(GO) vet ./... && $(GO) test -count=1 -short ./...

test-stores: check-go ## The long tests of the stores: every database, all cases of the SDK, failpoints; STORES=mariadb for some
	scripts/failpoints ./adapters/store/postgres ./adapters/store/mysql ./adapters/store/cassandra -- -timeout 60m -run Failpoints
	for c in cassandra4 cassandra-three; do CASSANDRA=$$c scripts/failpoints ./adapters/store/cassandra -- -timeout 60m -run Failpoints || exit 1; done
	CASSANDRA=cassandra4 $(GO) test -count=1 -timeout 60m ./adapters/store/cassandra
	CASSANDRA=cassandra-three $(GO) test -count=1 -timeout 60m ./adapters/store/cassandra
	cd test && PERDURE_TEST_STORES="$(STORES)" $(GO) test -count=1 -timeout 60m -run OnStores ./e2e

kill: check-go ## Kill the server under load many times, restart it with 100,000 open workflows, and count what is lost; STORE=postgres kills that too
	cd test && PERDURE_TEST_STORES="$(STORE)" $(GO) test -count=1 -v -timeout 60m $(if $(STORE),-run OnStores) ./durability

stop-services: ## Stop the databases that tests started; they stay up between runs
	@for d in "$(CURDIR)/build/services" "$(CURDIR)/build/services/killed"; do \
		for s in postgres mysql mariadb cassandra cassandra4 cassandra-three; do \
			if [ -d "$$d/$$s" ]; then SERVICES_DIR="$$d" scripts/services/$$s stop; fi; \
		done; \
	done

clean: stop-services ## Remove what was built
	rm -rf $(BIN) build

# One clear line if Go is missing or too old.
check-go:
	@want=$$(awk '$$1 == "go" { print $$2 }' go.mod); have=$$(cd / && GOTOOLCHAIN=local $(GO) env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//'); \
	if [ -z "$$have" ]; then echo "Go $$want or newer is needed, and there is no '$(GO)' on the PATH" >&2; exit 1; fi; \
	if [ "$$(printf '%s\n' "$$want" "$$have" | sort -V | head -n 1)" != "$$want" ]; then echo "Go $$want or newer is needed, this is Go $$have" >&2; exit 1; fi
