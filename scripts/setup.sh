#!/usr/bin/env bash
# Make the private environment .venv with the versions of constraints.txt, and install what OpenGL and Qt need from the
# system. A second run sees that nothing changed and returns at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONHOME

die() { echo "setup: $*" >&2; exit 1; }

# apt_install PACKAGE...: install what is missing from Debian or Ubuntu, or say what to install.
apt_install() {
  local -a as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  if ! command -v apt-get >/dev/null; then
    die "missing system libraries; install what your system calls: $*"
  elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    die "missing system packages; run: sudo apt-get install --no-install-recommends $*"
  fi
  echo "setup: installing system packages: $*"
  local log; log=$(mktemp)
  {
    "${as_root[@]}" apt-get update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
  } </dev/null >"$log" 2>&1 || { cat "$log" >&2; die "apt-get could not install: $*"; }
  rm -f "$log"
}

# missing_packages: print the Debian packages whose library or program is not there.
missing_packages() {
  python3 - <<'PYTHON'
import ctypes, os, shutil
libraries = {
    "libEGL.so.1": "libegl1", "libGL.so.1": "libgl1", "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1", "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0", "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1", "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
def absent(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return True
    return False
missing = [package for name, package in libraries.items() if absent(name)]
if not shutil.which("Xvfb") and not os.environ.get("DISPLAY"):
    missing.insert(0, "xvfb")
print(*missing)
PYTHON
}

# find_uv: print the path of uv, which is fetched with pip into .uv where the system has none.
find_uv() {
  local candidate
  for candidate in uv "$HOME/.local/bin/uv" .uv/bin/uv; do
    if "$candidate" --version >/dev/null 2>&1; then command -v "$candidate"; return; fi
  done
  echo "setup: fetching uv into .uv" >&2
  local -a pinned=(--quiet --disable-pip-version-check --constraint constraints.txt uv)
  if python3 -m pip --version >/dev/null 2>&1; then
    python3 -m pip install --target .uv "${pinned[@]}" >&2
  else
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv >&2
    python3 -m venv --clear .uv
    .uv/bin/python -m pip install "${pinned[@]}" >&2
  fi
  echo .uv/bin/uv
}

# state: print what the environment depends on, so that it is rebuilt when one of these changes.
state() { { pwd; cat pyproject.toml constraints.txt scripts/setup.sh; } | git hash-object --stdin; }

install_python_packages() {
  local uv; uv=$(find_uv)
  [[ -x .venv/bin/python ]] || "$uv" venv --quiet --python '>=3.11,<3.14' .venv
  echo "setup: installing Python packages into .venv (several GB, torch with CUDA is most of it)"
  "$uv" pip install --quiet --python .venv --compile-bytecode --constraint constraints.txt \
    --build-constraint constraints.txt --group test --group docs --editable '.[sample,desktop]'
}

if [[ $(uname -s) == Linux ]]; then
  read -ra packages <<<"$(missing_packages)"
  if ((${#packages[@]})); then apt_install "${packages[@]}"; fi
fi
wanted=$(state)
if [[ $(cat .venv/.setup 2>/dev/null) != "$wanted" ]]; then
  install_python_packages
  echo "$wanted" >.venv/.setup
fi
