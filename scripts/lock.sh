#!/usr/bin/env bash
# Write the exact version of every package that setup.sh may install to constraints.txt: names, versions, markers, no more.
# Versions that still fit are kept; 'scripts/lock.sh --upgrade' takes the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
printf '%s\n' uv hatchling hatch-vcs editables |
  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --all-extras --group test --group docs pyproject.toml - \
    --output-file constraints.txt "$@"
