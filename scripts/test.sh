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
if command -v Xvfb >/dev/null; then
  display=$(mktemp)
  Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3>"$display" >/dev/null 2>&1 &
  xvfb=$!
  trap 'kill $xvfb 2>/dev/null; rm -f "$display"' EXIT
  for _ in {1..100}; do [[ -s $display ]] && break; sleep 0.1; done
  export DISPLAY=:$(<"$display") QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
  unset WAYLAND_DISPLAY
fi
gate python -m pytest --cov "$@"
