# Needs make and Python 3.12 or 3.11, or uv; everything else comes into .venv.

PYTHON := .venv/bin/python
LOCK := requirements.txt
READY := .venv/.ready

# Tests make and delete thousands of small files: in memory, where there is room for them.
TEMPORARY := $(shell [ -w /dev/shm ] && df -Pk /dev/shm | \
	awk 'NR == 2 && $$4 > 8000000 { found = 1 } END { print found ? "/dev/shm" : "$(or $(TMPDIR),/tmp)" }' \
	|| echo $(or $(TMPDIR),/tmp))

.PHONY: run up live test check bench bench-live soak small-memory chaos faults lock clean

run: $(READY)
	@$(PYTHON) -m bytewax.run dataflows.ohlcv

# The whole pipeline and its page; the sample, unless CANDLEWAX_FEED says otherwise.
up: $(READY)
	@.venv/bin/candlewax up

# The exchanges' websockets into the embedded database, until Ctrl-C.
live: $(READY)
	@CANDLEWAX_FEED=live $(PYTHON) -m bytewax.run dataflows.ohlcv

# Tests of a file share what they set up. CANDLEWAX_TEST_EXAMPLES=1000 tries more cases.
test: check
	@TMPDIR=$(TEMPORARY) $(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

bench: $(READY)
	@$(PYTHON) -m bench

# Of running pipelines; needs Java and Maven for a broker. PARTS="sockets chain latency footprint page watched api"
bench-live: $(READY)
	@$(PYTHON) -m bench.live $(PARTS)

# The whole pipeline for hours, watched by a program; writes a line a minute into FILE. MINUTES=30 instead of HOURS.
soak: $(READY)
	@$(PYTHON) -m bench.soak --hours $(or $(HOURS),24) $(if $(MINUTES),--minutes $(MINUTES)) --into $(or $(FILE),soak.tsv)

# The page in a control group of 512 MiB, asked by SQL for more than there is; takes root. MEBIBYTES=384 ROUNDS=5
small-memory: $(READY)
	@$(PYTHON) -m bench.small_memory --mebibytes $(or $(MEBIBYTES),512) --rounds $(or $(ROUNDS),2)

# Live feeds through kills, cuts and restarts, accounted for trade by trade: MINUTES=10 RATE=2000.
# As in the tests, on several threads of Polars.
chaos: $(READY)
	@POLARS_MAX_THREADS=4 $(PYTHON) -m tests.kafka.chaos --minutes $(or $(MINUTES),10) --rate $(or $(RATE),2000)

# What can go wrong, made to go wrong; writes the table of docs/faults.md. NAMES="broker-away two-ingest" RUNS=100
faults: $(READY)
	@POLARS_MAX_THREADS=4 $(PYTHON) -m tests.faults $(NAMES) --full --runs $(or $(RUNS),10)

$(READY): $(LOCK) pyproject.toml tools/environment.sh
	@sh tools/environment.sh .venv $(LOCK)
	@touch $@

# Writes requirements.txt: versions and hashes for both Pythons, no addresses. Needs uv.
lock:
	@echo 'setuptools>=80,<81' | uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url \
		--extra dev pyproject.toml - --output-file $(LOCK)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -exec rm -rf {} +
