#!/usr/bin/env bash
# Every gate a change has to pass, cheap ones first. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE VIRTUAL_ENV
bin=$PWD/.venv/bin

gate() { echo "== $*"; "$bin/$1" "${@:2}"; }

gate ruff format --check .
gate ruff check .
gate mypy
gate lint-imports --no-logo
gate npe2 validate napari-medseg
export NO_MKDOCS_2_WARNING=1
gate mkdocs build --quiet --strict

# Tests that move the mouse want a screen of their own, so a virtual one is taken wherever there is one.
run=()
if [[ $(uname -s) == Linux ]] && command -v Xvfb >/dev/null; then
  unset WAYLAND_DISPLAY
  export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
  run=("$bin/python" -m napari_medseg.cli.virtual_display 1600x1000x24)
fi
run+=("$bin/python" -m pytest)
if (($#)); then exec "${run[@]}" "$@"; fi

# The windows wait more than they compute, so they share the machine with everything else. Each part in a process of its own:
# loading torch beside Mesa's OpenGL would end it.
parts=$(mktemp -d)
set -m # in a process group of its own, or it would ignore the interrupts that some tests send
COVERAGE_FILE=$parts/.coverage.rest "${run[@]}" --cov --cov-report= --cov-fail-under=0 --ignore=tests/ui >"$parts/rest" 2>&1 </dev/null &
rest=$!
set +m
trap 'kill -- "-$rest" 2>/dev/null || true; rm -rf "$parts"' EXIT
failed=0
echo "== pytest tests/ui"
COVERAGE_FILE=$parts/.coverage.windows "${run[@]}" --cov --cov-report= --cov-fail-under=0 tests/ui || failed=1
wait "$rest" || failed=1
echo "== pytest, all else"
cat "$parts/rest"
"$bin/coverage" combine --quiet --keep --data-file=.coverage "$parts"/.coverage.*
gate coverage report
exit $failed
