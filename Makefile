.DEFAULT_GOAL := help
.PHONY: help install format lint types imports docs size test test-slow matrix check

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: ## install the package and the tools of development
	pip install -e ".[dev]"

format: ## format and fix what can be fixed
	ruff format .
	ruff check --fix .

lint: ## style, spelling
	ruff format --check .
	ruff check .
	codespell gcvideo conf scripts tests benchmarks docs examples *.md

types: ## static types
	basedpyright

imports: ## which room may import which
	lint-imports

docs: ## the Python API as HTML in site/; fails on a broken link
	python .ci/api_docs.py site

size: ## lines by room, repetition, and private functions with one caller
	python .ci/size.py

test: ## the default suite, minutes
	pytest

test-slow: ## everything that needs no GPU
	pytest -m "not gpu"

matrix: ## the tests on other versions and processors; only="oldest avx2" takes some
	python3 .ci/matrix.py $(only)

check: lint types imports test ## all of it
