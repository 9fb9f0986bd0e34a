# Needs make and Python 3.12 or 3.11, or uv; everything else is installed into .venv.

PYTHON := .venv/bin/python
LOCK := requirements.txt
COMMA := ,
READY := .venv/.ready

# Tests create and delete thousands of small files: in memory, if it has 8 GB free.
TEMPORARY := $(shell [ -w /dev/shm ] && df -Pk /dev/shm | \
	awk 'NR == 2 && $$4 > 8000000 { found = 1 } END { print found ? "/dev/shm" : "$(or $(TMPDIR),/tmp)" }' \
	|| echo $(or $(TMPDIR),/tmp))

.PHONY: run up live help test test-thorough both-paths test-fast check mutants bench bench-live bench-cold soak small-memory chaos cold-chaos faults wheel lock clean

## replay the bundled sample into the embedded database and print a summary
run: $(READY)
	@$(PYTHON) -m bytewax.run dataflows.ohlcv

## run the whole pipeline with its page, on the sample unless CANDLEWAX_FEED names another feed
up: $(READY)
	@.venv/bin/candlewax up

## store the exchanges' live feeds in the embedded database, until Ctrl-C
live: $(READY)
	@.venv/bin/candlewax live

## list the targets
help:
	@awk '/^## / { text = substr($$0, 4); next } \
		/^[a-z-]+:/ && text { split($$1, name, ":"); printf "make %-14s %s\n", name[1], text } \
		{ text = "" }' Makefile

# loadfile: tests of a file share their fixtures, kept apart by tests/conftest.py.
## run lint, types and all tests
test: check
	@TMPDIR=$(TEMPORARY) $(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder

# EXAMPLES=200. A test that runs whole dataflows tries a tenth of them.
## run property tests with EXAMPLES (1000) each, for hours on few cores, and both-paths
test-thorough: both-paths
	@CANDLEWAX_TEST_EXAMPLES=$(or $(EXAMPLES),1000) TMPDIR=$(TEMPORARY) \
		$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m hypothesis

# TRADES=10000000 SEED=7 LOGS="a.tsv b.tsv" LARGEST=600
## compare rows and columns over made TRADES (200000), or over frame logs
both-paths: $(READY)
	@TMPDIR=$(TEMPORARY) $(PYTHON) -m tests.both_paths --trades $(or $(TRADES),200000) --seed $(or $(SEED),1) \
		$(if $(LARGEST),--largest $(LARGEST)) $(if $(LOGS),--logs $(LOGS))

UNIT := tests/test_layers.py tests/core tests/exchanges tests/runtime tests/pipeline/steps tests/web/cache \
	tests/cli/test_main.py tests/bench

## run lint, types and the unit tests, within a minute
test-fast: check
	@TMPDIR=$(TEMPORARY) $(PYTHON) -m pytest -n auto --dist loadfile -m 'not slow' $(UNIT)

## run lint and types
check: $(READY)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

# NAMES="merge-close-by-time-and-number"; tests/mutants.toml lists all.
## break the product line by line, in a copy, and name the breaks that no test catches
mutants: $(READY)
	@TMPDIR=$(TEMPORARY) $(PYTHON) tools/mutants.py $(NAMES)

# PARTS=workers measures 1, 2 and 4 processes of one exchange of FRAMES (1000000) over a broker.
## measure one core from a log to candles, beside ClickHouse and Bytewax windows
bench: $(READY)
	@$(PYTHON) -m bench$(if $(PARTS),.live $(PARTS) $(if $(FRAMES),--frames $(FRAMES)))

# Needs Java and Maven for the broker. PARTS="sockets chain latency footprint page watched api"
# RATES=1,55 of footprint and latency, SECONDS of each measurement, WARM seconds before it.
## measure running pipelines against simulated exchanges; PARTS selects measurements
bench-live: $(READY)
	@$(PYTHON) -m bench.live $(PARTS) $(if $(RATES),--rates $(subst $(COMMA), ,$(RATES))) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(WARM),--warm $(WARM))

# Writes one line per minute into FILE. MINUTES=30 instead of HOURS.
## run the whole pipeline for HOURS (24) and record its memory, descriptors, threads and disk
soak: $(READY)
	@$(PYTHON) -m bench.soak --hours $(or $(HOURS),24) $(if $(MINUTES),--minutes $(MINUTES)) --into $(or $(FILE),soak.tsv)

# RATES=55,5000
## measure the processor time of the cold tier for an hour of trades
bench-cold: $(READY)
	@$(PYTHON) -m bench.cold --rates $(or $(RATES),55)

# Needs root. MEBIBYTES=384 ROUNDS=5
## run the page in a control group of 512 MiB and send it queries that need more
small-memory: $(READY)
	@$(PYTHON) -m bench.small_memory --mebibytes $(or $(MEBIBYTES),512) --rounds $(or $(ROUNDS),2)

# With several Polars threads, as in the tests.
## kill and restart a live pipeline for MINUTES (10) at RATE (2000) and account for every trade
chaos: $(READY)
	@POLARS_MAX_THREADS=4 $(PYTHON) -m tests.kafka.chaos --minutes $(or $(MINUTES),10) --rate $(or $(RATE),2000)

# PLACE=sqlite, postgres or rest; SEED=1
## kill two offloaders and maintenance KILLS (200) times while rows change, and account for each row
cold-chaos: $(READY)
	@TMPDIR=$(TEMPORARY) $(PYTHON) -m tests.cold_chaos --place $(or $(PLACE),sqlite) \
		--kills $(or $(KILLS),200) --seed $(or $(SEED),1)

# NAMES="broker-away two-ingest" RUNS=100
## inject every fault and write the table of docs/faults.md
faults: $(READY)
	@POLARS_MAX_THREADS=4 $(PYTHON) -m tests.faults $(NAMES) --full --runs $(or $(RUNS),10)

$(READY): $(LOCK) pyproject.toml tools/environment.sh
	@sh tools/environment.sh .venv $(LOCK)
	@touch $@

## build the wheel into dist/
wheel: $(READY)
	@$(PYTHON) tools/wheel.py dist

# Versions and hashes for both Python versions, no index addresses. Needs uv. What a checkout, an
# installation to run, and a build need: the last two take their versions from the first.
LOCKING := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
BUILD := setuptools>=80,<81

## write requirements.txt, requirements-run.txt and requirements-build.txt again
lock:
	@echo '$(BUILD)' | $(LOCKING) --extra cold --extra dev pyproject.toml - --output-file $(LOCK)
	@$(LOCKING) --extra cold --constraints $(LOCK) pyproject.toml --output-file requirements-run.txt
	@echo '$(BUILD)' | $(LOCKING) --constraints $(LOCK) - --output-file requirements-build.txt

## delete .venv and all files left by builds and tests
clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -exec rm -rf {} +
