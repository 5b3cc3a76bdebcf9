# What a person types. `make setup` is safe to repeat and goes on where it was interrupted.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# The first Python that is new enough; `python3` where none is, which then says so itself.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV := .venv/bin
# Ten minutes, so a command of its own.
SWAPS := tests/unit/etcd/test_swap.py tests/unit/etcd/test_swap_back.py tests/unit/etcd/test_set_swap.py tests/unit/etcd/test_volume_swap.py
LOST := tests/lab/plugins/test_state_lost.py tests/lab/plugins/test_state_lost_everywhere.py

.PHONY: help setup rehearse soak layouts shapes back again bench-up bench-swap bench-drain figures crash living lab lab-down sabotage test test-back test-again test-crash test-swaps test-lost test-size lint doctor clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## virtual environment, pinned packages, tools (built once, kept in a cache)
	@$(PYTHON) -m lab setup

rehearse: setup ## move the lab's cluster from VPC legacy to VPC main, and report (PROFILE=large PODS=4000, LAYOUT=kubeadm, ETCD=volume, SHAPE=awkward SEED=7 CONTROLLERS=real)
	@$(VENV)/python -m rehearsal rehearse

soak: setup ## the same with an AWS that takes as long as AWS does (the program's own limits); says how long before it begins
	@$(VENV)/python -m rehearsal rehearse --timing aws

layouts: setup ## the whole migration for every layout of the control plane, each by learner and by volume
	@$(VENV)/python -m rehearsal layouts

shapes: setup ## the whole migration of accounts with oddities, a variation a seed (COUNT=10, SEEDS=3,7)
	@$(VENV)/python -m rehearsal shapes

back: setup ## go forward to stages 3 to 6 and 7 (one member moved) in turn, back to 0 from each, and compare the world with what it was
	@$(VENV)/python -m rehearsal back

again: setup ## two migrations in a row, legacy to main to next, then a new image and a pool renamed
	@$(VENV)/python -m rehearsal again

living: setup ## the whole migration, then a new image for a pool and for the members, and a pool renamed
	@$(VENV)/python -m rehearsal living

bench-up: setup ## preview and up at every stage against an engine with nothing to do, AWS calls, bytes of state (GROUPS=72)
	@$(VENV)/python -m rehearsal.benches.up

crash: setup ## kill the engine and its hosts, and stop AWS, at seeded moments forward and back (SEED=n COUNT=n)
	@$(VENV)/python -m rehearsal crash

bench-swap: setup ## gaps in writes: leaders handed over against killed, and all members moved (PAIRS=n)
	@$(VENV)/python -m rehearsal.benches.swap

bench-drain: setup ## this drain beside kubectl's and the floor below both, on one cluster (NODES=200 PODS=4000 SEED=n COMPARE=nodes:pods)
	@$(VENV)/python -m rehearsal.benches.drain

figures: setup ## tables and plots of docs/performance.md, from the reports that lie in .lab/report
	@$(VENV)/python -m rehearsal.benches.figures

sabotage: setup ## break one thing at a time and see the proof say so
	@$(VENV)/python -m rehearsal sabotage

lab: setup ## bring up AWS, network, machines and the legacy cluster
	@$(VENV)/python -m rehearsal up

lab-down: ## end every process of the lab
	@$(PYTHON) -m lab down

lint: setup ## ruff and basedpyright
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check -q .
	@$(VENV)/basedpyright

test: setup ## everything CI runs: checkers, unit and lab tests side by side, then a rehearsal by itself
	@$(VENV)/python -m tests

test-back: lint ## one turn there and back, in its short form
	@$(VENV)/python -m pytest tests/rehearsal/test_back.py $(PYTEST_ARGS)

test-again: lint ## the next migration to stage 3, after the rehearsal if its lab still stands, else after one
	@$(VENV)/python -m pytest tests/rehearsal/test_again.py $(PYTEST_ARGS)

test-crash: lint ## strikes of each kind, in their short form
	@$(VENV)/python -m pytest tests/rehearsal/test_crash.py $(PYTEST_ARGS)

test-swaps: lint ## members' swaps interrupted and turned round at every step, on real etcd; some fifteen minutes
	@$(VENV)/python -m pytest -n 3 --timeout 400 $(SWAPS) $(PYTEST_ARGS)

test-lost: lint ## every stage refreshed, its state lost and built anew; some ten minutes
	@$(VENV)/python -m pytest $(LOST) $(PYTEST_ARGS)

test-size: lint ## state and calls of 72 groups, on the real engine; some three minutes
	@$(VENV)/python -m pytest tests/lab/plugins/test_size.py $(PYTEST_ARGS)

doctor: ## where each tool comes from, and what to do about what is missing
	@$(PYTHON) -m lab doctor

clean: ## end the lab and delete its state (the tools' cache stays)
	@$(PYTHON) -m lab down --purge
	@rm -rf .pytest_cache .ruff_cache
