# make link   run the link on real pictures      make test   lint, types, tests      make bench   speeds, against peers
# make fuzz   a million inputs for each decoder      make soak   the link for an hour, then 1,000 start-stop cycles
# make crash  kill processes at random and compare what arrives with an undisturbed run (minutes)
# make test-gnuradio   installs GNU Radio (apt-get) and tests against it; says so and skips where it cannot
# make test-cluster   installs Ray (the extra `cluster`) and tests on a cluster of this machine
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: link test test-gnuradio test-cluster lint bench crash fuzz soak clean

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
	$(BIN)/python -m pytest -n 2 --dist loadfile --reruns 1 -m 'not gnuradio and not cluster' $(ARGS)

test-gnuradio: $(STAMP)
	@if tools/install_gnuradio; then \
	    SEMSTREAM_GNURADIO=required $(BIN)/python -m pytest --reruns 1 -m gnuradio tests/blocks tests/flowgraphs $(ARGS); \
	else echo "skipped"; fi

test-cluster: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[cluster]'
	SEMSTREAM_CLUSTER=required $(BIN)/python -m pytest --reruns 1 -m cluster tests/runtime tests/tools $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[bench]'
	$(BIN)/python tools/bench.py $(ARGS)

crash: $(STAMP)
	$(BIN)/python tools/crash.py $(ARGS)

fuzz: $(STAMP)
	-$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tools/fuzz.py all $(ARGS)

soak: $(STAMP)
	$(BIN)/python tools/soak.py --minutes 60 --out out/soak/threads $(ARGS)
	$(BIN)/python tools/soak.py --minutes 60 --engine processes --out out/soak/processes $(ARGS)
	$(BIN)/python tools/soak.py --cycles 1000 --out out/soak/cycles
	$(BIN)/python tools/soak.py --cycles 50 --engine processes --out out/soak/cycles_processes

clean:
	rm -rf $(VENV) out build dist *.egg-info
