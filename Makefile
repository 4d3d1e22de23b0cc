# make link   run the link on real pictures      make test   lint, types, tests      make bench   speeds, against peers
# make crash  kill processes at random and compare what arrives with an undisturbed run (minutes)
# make test-gnuradio   installs GNU Radio (apt-get) and tests against it; says so and skips where it cannot
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: link test test-gnuradio lint bench crash clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (some GB with PyTorch; minutes)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $(STAMP)

link: $(STAMP)
	$(BIN)/python flowgraphs/awgn_link.py $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict semstream/runtime

test: $(STAMP) lint
	$(BIN)/python -m pytest -m 'not gnuradio' $(ARGS)

test-gnuradio: $(STAMP)
	@if tools/install_gnuradio; then \
	    SEMSTREAM_GNURADIO=required $(BIN)/python -m pytest -m gnuradio tests/blocks tests/flowgraphs $(ARGS); \
	else echo "skipped"; fi

bench: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[bench]'
	$(BIN)/python tools/bench.py $(ARGS)

crash: $(STAMP)
	$(BIN)/python tools/crash.py $(ARGS)

clean:
	rm -rf $(VENV) out build dist *.egg-info
