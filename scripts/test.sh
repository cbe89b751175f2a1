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
tests=("$bin/python" -m pytest --cov "$@")
if [[ $(uname -s) == Linux ]] && command -v Xvfb >/dev/null; then
  unset WAYLAND_DISPLAY
  export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
  gate python -m napari_medseg.cli.virtual_display 1600x1000x24 "${tests[@]}"
else
  "${tests[@]}"
fi
