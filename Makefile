# The same commands for people and for CI. Each sets up what it needs on a machine with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: install demo test test-slow coverage check bench

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# A search and a short final training on synthetic data: three minutes on two cores with bf16, longer on others.
demo: install
	rm -rf results/demo
	$(BIN)/python -m tune.run --space search_spaces/simple_cnn.py --data synthetic --name demo \
	    --trials 12 --max-epochs 4 --seed 0 --wandb offline
	$(BIN)/python -m tune.finalize demo --epochs 6
	@echo
	@echo "The search is in results/demo, the final model and its predictions in results/demo/final:"
	@ls -l results/demo results/demo/final

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# One at a time: some fill the machine by themselves.
test-slow: install
	$(BIN)/python -m pytest -m "slow and not gpu"

# `make test` again, slower: the lines and branches that it runs, also in commands and Ray's workers. Tests that fail do not
# end it: `make test` is their judge.
coverage: install
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder --timeout 600
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ours and the plain scripts side by side, on CIFAR-100: about an hour and a half; BENCH=--quick proves that it runs.
bench: install
	$(BIN)/python -m benchmarks $(BENCH)
