# Parley. `make` lists what there is to make.

# The race detector needs a C compiler; a fresh machine may have none.
RACE := $(shell command -v gcc >/dev/null && echo -race)

.PHONY: help demo run test short check fuzz simulate update build clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## show the main job on real parts: a verification call, a paid call, one whose money ends
	go run ./cmd/demo

run: ## leave Asterisk, Postgres, Redis and the program up until Ctrl-C
	go run ./cmd/demo -stay

test: check ## run all tests, on real parts
	go test $(RACE) -p 1 -timeout 20m $$(go list ./... | grep -v lab/stage)
	@# Telephones are listened to in real time: alone, and without the race detector.
	go test -timeout 20m ./lab/stage

short: check ## run the tests that need no Asterisk, Postgres or Redis
	go test $(RACE) ./ivr ./ivr/money ./ivr/ivrtest ./dialplan ./cmd/parley

check: ## see that the code is formatted, and what vet says
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'gofmt -w the files above'; exit 1; }
	go vet ./...

fuzz: ## look for input that breaks the plan's parser, for a minute
	go test ./dialplan -run '^$$' -fuzz FuzzParse -fuzztime 1m

simulate: ## play random calls in a town of faults: make simulate SEEDS=100000
	go test ./ivr -run 'TestTown|TestPlantedBugs' -count=1 -timeout 1h -seeds $(or $(SEEDS),100000)

update: ## rewrite the call transcripts; the diff is the review of a change of behaviour
	go test ./ivr -run TestCalls -update

build: ## build the program into bin/
	CGO_ENABLED=0 go build -o bin/parley ./cmd/parley

clean: ## remove what was built here, and the private exchange's cache
	rm -rf bin "$${PARLEY_CACHE:-/var/cache/parley}"
