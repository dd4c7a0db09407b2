# Parley. `make` lists what there is to make.

# The Go that go.mod names, fetched where the machine's is older: that one has known holes.
export GOTOOLCHAIN = auto

# The race detector needs a C compiler; a fresh machine may have none.
RACE := $(shell command -v gcc >/dev/null && echo -race)

.PHONY: help demo run bench web browser pictures test short check fuzz simulate soak update build cluster-test kamailio dashboard-test prometheus deb deb-test docker-test vuln sbom abuse faults clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: web ## show the main job on real parts: a verification call, a paid call, one whose money ends
	go run ./cmd/demo

run: web ## leave Asterisk, Postgres, Redis and the program up until Ctrl-C
	go run ./cmd/demo -stay

test: web browser check vuln ## run all tests, on real parts
	go test $(RACE) -p 1 -timeout 20m $$(go list ./... | grep -v -e lab/stage -e lab/browser -e lab/soak -e lab/abuse -e lab/faults -e lab/cluster -e 'lab/dashboard$$' -e packaging -e 'parley/docker$$')
	@# Telephones are listened to in real time: alone, and without the race detector.
	go test -p 1 -timeout 20m ./lab/stage ./lab/browser ./lab/soak ./lab/abuse ./lab/faults
	go test -short -timeout 20m ./lab/cluster

# What the pages are made of: nothing is done where none of it has changed.
PAGES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/pictures/*' \
	-not -name '*.go' -not -name schema.d.ts) host/openapi.yaml
APT := apt-get -q -o DPkg::Lock::Timeout=300

web: web/dist/pages/index.html ## build the pages, which become part of the program

web/dist/pages/index.html: web/node_modules/.package-lock.json $(PAGES)
	npm --prefix web run --silent build
	@touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { $(APT) update && $(APT) install -y --no-install-recommends nodejs npm; }
	@# What is fetched runs nothing here, and needs not: esbuild's script alone stops Debian's npm 9.
	npm --prefix web ci --ignore-scripts --no-audit --no-fund
	@touch $@

browser: web/node_modules/.package-lock.json ## install the browser that tests look at the pages with
	@command -v chromium >/dev/null || { $(APT) update && $(APT) install -y --no-install-recommends chromium; }

pictures: web browser ## take pictures of the pages, light and dark, on a phone and on a desk
	go test -count=1 ./lab/browser -pictures $(CURDIR)/web/pictures
	@echo 'they are in web/pictures'

short: check ## run the tests that need no Asterisk, Postgres or Redis
	go test $(RACE) ./ivr ./ivr/money ./ivr/ivrtest ./dialplan ./cmd/parley

check: ## see that the code is formatted, and what vet says
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'gofmt -w the files above'; exit 1; }
	go vet ./...

FUZZTIME ?= 30s

bench: web ## measure what a call costs, beside plain Dial() and FastAGI: docs/bench.md; about half an hour
	go run ./cmd/bench
	go test -run '^$$' -bench . -benchmem ./ivr/...

fuzz: ## look for input that breaks what reads it: make fuzz FUZZTIME=10m
	@for target in $$(grep -rho --include='*_test.go' '^func Fuzz[A-Za-z]*' --exclude-dir=node_modules . | cut -c6- | sort); do \
		package=$$(dirname $$(grep -rl --include='*_test.go' --exclude-dir=node_modules "^func $$target(" .)); \
		echo "$$package $$target"; go test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
	done

simulate: ## play random calls, and days of a host, in a town of faults: make simulate SEEDS=100000
	go test ./ivr -run 'TestTown|TestPlantedBugs' -count=1 -v -timeout 24h -seeds $(or $(SEEDS),100000)
	go test ./store -run 'TestHostAtRandom|TestPlantedBugs' -count=1 -v -timeout 24h -seeds $(or $(SEEDS),100000)

soak: web ## have people call, while parts are killed, and write docs/soak.md: make soak HOURS=1 RATE=100
	go run ./lab/soak -for $(or $(HOURS),1)h -rate $(or $(RATE),100) -report docs/soak.md -command 'make soak HOURS=$(or $(HOURS),1) RATE=$(or $(RATE),100)'

faults: ## make every fault on the real parts, see what holds, and write docs/faults.md: make faults TIMES=2
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || { $(APT) update && $(APT) install -y --no-install-recommends libfaketime; }
	@mkdir -p docs
	go test -count=1 -timeout 1h ./lab/faults -all -times $(or $(TIMES),1) -report $(CURDIR)/docs/faults.md -commit $$(git rev-parse --short HEAD)

update: ## rewrite the call transcripts; the diff is the review of a change of behaviour
	go test ./ivr -run TestCalls -update

build: web ## build the program into bin/
	CGO_ENABLED=0 go build -o bin/parley ./cmd/parley

vuln: web ## look for known holes in what the program is made of, and in Go itself
	go run ./lab/vuln ./cmd/parley

sbom: build ## list what the program is made of, as CycloneDX, beside it in bin/
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -std \
		-version "$$(git describe --always --dirty)" -output bin/parley.cdx.json bin/parley

abuse: web browser ## guess, flood and inject as much as there is time for; the table goes into docs/abuse.md
	@mkdir -p docs
	go test -count=1 -timeout 1h ./lab/abuse -long -table $(CURDIR)/docs/abuse.md

cluster-test: web kamailio ## prove on this machine that two nodes behind Kamailio are one line
	go test -count=1 -v -timeout 20m ./lab/cluster

kamailio:
	@command -v kamailio >/dev/null || { $(APT) update && $(APT) install -y --no-install-recommends kamailio; }

dashboard-test: web prometheus ## have Prometheus scrape the program, ask it every query of the dashboard, and play every alert
	go test -count=1 -v -timeout 20m ./lab/dashboard -prometheus $(PROMETHEUS)

# Unpacked and not installed, which would have it run as a service of the machine.
PROMETHEUS := $(or $(PARLEY_CACHE),/var/cache/parley)/prometheus
prometheus:
	@test -x $(PROMETHEUS)/usr/bin/promtool || { $(APT) update && mkdir -p $(PROMETHEUS) && cd $(PROMETHEUS) && \
		$(APT) download prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb; }

# nfpm reads these. Its later versions need a module that the proxy does not hand out. No part
# of a version may begin with a zero, hence the 1 before the time of the day.
deb deb-test: export PARLEY_VERSION = $(or $(VERSION),0.$(shell git log -1 --format=%cd --date=format:%Y%m%d.1%H%M%S))
deb deb-test: export GOARCH = $(shell go env GOARCH)
deb: build ## build the Debian package into bin/: the program, its units, Asterisk's files
	CGO_ENABLED=0 go build -o bin/start-asterisk ./docker/asterisk
	go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.1 package -f packaging/nfpm.yaml -p deb -t bin/

docker-test: web ## build the images, start all of compose and place a paid call in it
	@command -v dockerd >/dev/null && command -v docker-compose >/dev/null || \
		{ $(APT) update && $(APT) install -y --no-install-recommends docker.io docker-compose mmdebstrap; }
	go test -count=1 -v -timeout 60m ./docker

deb-test: deb ## install the package in a fresh Debian, look at it, start Asterisk from it, remove it
	go test -count=1 -v -timeout 30m ./packaging -deb "$(CURDIR)/bin/parley_$${PARLEY_VERSION}_$${GOARCH}.deb"

clean: ## remove what was built here, and the private exchange's cache
	rm -rf bin web/node_modules web/dist/pages web/pictures "$${PARLEY_CACHE:-/var/cache/parley}"
