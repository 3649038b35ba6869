# HearthMQ. "make run" starts a broker with its data in ./data.

GO      ?= go
RACE    ?= -race # make test RACE= leaves the race detector out
LDFLAGS := -s -w
TAGS    := nethttpomithttp2 # no listener offers HTTP/2: half a megabyte less to carry
DIST    := dist
MAXSIZE := 25000000 # bytes a binary may have

export PATH := $(PATH):/usr/sbin # where Debian has mosquitto

.DEFAULT_GOAL := build
.PHONY: run build dist release test test-go deps check fmt vet generate generated lint staticcheck image figures bench crash clean

run: ## start the broker from the sources
	$(GO) run ./cmd/hearthmq serve

build: ## ./hearthmq for this machine
	CGO_ENABLED=0 $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o hearthmq ./cmd/hearthmq

dist: ## static binaries for Home Assistant's two kinds of machine
	@for arch in amd64 arm64; do \
		out=$(DIST)/hearthmq-linux-$$arch; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/hearthmq || exit 1; \
		size=$$(wc -c < $$out); \
		echo "$$out: $$size bytes"; \
		if [ $$size -gt $(MAXSIZE) ]; then echo "$$out is larger than $(MAXSIZE) bytes"; exit 1; fi; \
	done

release: ## static binaries for all systems
	@for target in linux/amd64 linux/arm64 linux/arm darwin/amd64 darwin/arm64 windows/amd64; do \
		os=$${target%/*}; arch=$${target#*/}; ext=; name=$$arch; \
		if [ $$os = windows ]; then ext=.exe; fi; \
		if [ $$arch = arm ]; then name=armv7; fi; \
		out=$(DIST)/hearthmq-$$os-$$name$$ext; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch GOARM=7 $(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/hearthmq || exit 1; \
		echo "$$out: $$(wc -c < $$out) bytes"; \
	done

deps: ## install what the tests use: Chromium, Mosquitto's clients, Python's paho
	scripts/test-deps.sh

test: deps test-go ## all tests, with real clients and a real browser

# checkptr, which -race brings along, finds nothing in SQLite's C made Go and
# takes a third of the database's time.
test-go:
	$(GO) test $(RACE) -gcflags='modernc.org/...=-d=checkptr=0' -vet=off -timeout 25m ./...

check: fmt vet generated lint dist ## everything that must hold beside the tests

fmt:
	@out=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

generate: ## templ's views into Go
	$(GO) tool templ generate

generated: ## the views in the repository are what templ makes of the .templ files
	@before=$$(git ls-files -co --exclude-standard '*_templ.go' | sort | xargs -r sha256sum); \
	$(GO) tool templ generate -log-level warn; \
	after=$$(git ls-files -co --exclude-standard '*_templ.go' | sort | xargs -r sha256sum); \
	if [ "$$before" != "$$after" ]; then echo "Views were out of date: run make generate and commit *_templ.go"; exit 1; fi

# golangci-lint takes minutes to build and is run where it is at hand;
# staticcheck and the import test of cmd/hearthmq hold everywhere.
lint: staticcheck
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed, staticcheck ran"; fi

staticcheck:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

image: ## build the app's image without a Docker engine and try it (minutes)
	scripts/image-test.sh

crash: ## the long crash laboratory: 100,000 power cuts, 1,000 kills, figures (hours)
	mkdir -p crash-images
	cd broker/crashtest && $(GO) test -c -o crashtest.test . && \
	./crashtest.test -test.v -test.run TestPowerCut -test.timeout 12h -crash.images 100000 -crash.keep ../../crash-images && \
	./crashtest.test -test.v -test.run TestKill -test.timeout 12h -crash.kills 1000 && \
	./crashtest.test -test.v -test.run TestFigures -test.timeout 2h -crash.bench

flood: ## long tests of floods, storms and slow readers, with their figures (20 minutes; SOAK=72h for more, killed once an hour)
	$(GO) test ./cmd/hearthmq -run TestFlood -flood -soak $(or $(SOAK),1m) -v -timeout 0 | grep -v '^ *20[0-9][0-9]-'

figures: ## what the admin promises, measured: pages, first paint, frames at 100,000 topics, the wire, ten viewers (3 minutes on a quiet machine)
	$(GO) test ./web -run '^(TestPagesOfAFilledHouse|TestFirstPaint|TestTopicsAtScale|TestViewersCostLittle)$$' -paint -v -count=1

bench: ## benchmarks of all packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf hearthmq $(DIST)
