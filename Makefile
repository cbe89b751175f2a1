.PHONY: setup demo test docs format lock

setup:
	@bash scripts/setup.sh

demo: setup
	@.venv/bin/napari-medseg demo

test: setup
	@bash scripts/test.sh

docs: setup
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

format: setup
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

# Bring constraints.txt up to date after a change of the dependencies.
lock:
	@bash scripts/lock.sh
