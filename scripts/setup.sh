#!/usr/bin/env bash
# Make the private environment .venv with the versions of constraints.txt, and install what OpenGL and Qt need from the
# system. A second run sees that nothing changed and returns at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONHOME

die() { echo "setup: $*" >&2; exit 1; }

# find_uv: print the path of uv, the system's own or the one fetched into .uv; print nothing where there is none.
find_uv() {
  local candidate
  for candidate in uv "$HOME/.local/bin/uv" .uv/bin/uv; do
    if "$candidate" --version >/dev/null 2>&1; then command -v "$candidate"; return; fi
  done
}

has_module() { python3 -c "import $1" 2>/dev/null; }

# missing_packages: print the Debian packages whose program or library is not there.
missing_packages() {
  if [[ -z $(find_uv) ]] && ! has_module pip && ! has_module ensurepip; then echo python3-venv; fi
  if [[ -z ${DISPLAY:-} ]] && ! command -v Xvfb >/dev/null; then echo xvfb; fi
  python3 - libEGL.so.1=libegl1 libGL.so.1=libgl1 libdbus-1.so.3=libdbus-1-3 libfontconfig.so.1=libfontconfig1 \
    libglib-2.0.so.0=libglib2.0-0 libxcb-cursor.so.0=libxcb-cursor0 libxcb-icccm.so.4=libxcb-icccm4 \
    libxcb-keysyms.so.1=libxcb-keysyms1 libxcb-shape.so.0=libxcb-shape0 libxkbcommon-x11.so.0=libxkbcommon-x11-0 <<'PYTHON'
import ctypes, sys
for library, package in (pair.split("=") for pair in sys.argv[1:]):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
PYTHON
}

# apt_install PACKAGE...: install what is missing on Debian or Ubuntu, or say in one line what to install.
apt_install() {
  local -a as_root=()
  command -v apt-get >/dev/null || die "system packages are missing; install what your system calls: $*"
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || die "system packages are missing; run: sudo apt-get install --no-install-recommends $*"
    as_root=(sudo -n)
  fi
  echo "setup: installing system packages: $*"
  local log; log=$(mktemp)
  {
    "${as_root[@]}" apt-get update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
  } </dev/null >"$log" 2>&1 || { cat "$log" >&2; die "apt-get could not install: $*"; }
  rm -f "$log"
}

# fetch_uv: install uv with pip into .uv, apart from the system's Python and from the environment.
fetch_uv() {
  echo "setup: fetching uv into .uv"
  local -a pinned=(--quiet --disable-pip-version-check --constraint constraints.txt uv)
  if has_module pip; then
    python3 -m pip install --target .uv "${pinned[@]}"
  else
    python3 -m venv --clear .uv
    .uv/bin/python -m pip install "${pinned[@]}"
  fi
}

# state: print what the environment depends on, so that it is rebuilt when one of these changes.
state() { { pwd; cat pyproject.toml constraints.txt scripts/setup.sh; } | git hash-object --stdin; }

install_python_packages() {
  local uv; uv=$(find_uv)
  if [[ -z $uv ]]; then fetch_uv; uv=$(find_uv); fi
  [[ -x .venv/bin/python ]] || "$uv" venv --quiet --python '>=3.11,<3.14' .venv
  echo "setup: installing Python packages into .venv (several GB, torch with CUDA is most of it)"
  # Somebody who watches sees the download; a log stays short.
  local output=--quiet; if [[ -t 2 ]]; then output=--color=auto; fi
  "$uv" pip install "$output" --python .venv --compile-bytecode --constraint constraints.txt \
    --build-constraint constraints.txt --group test --group docs --editable '.[sample,desktop]'
}

if [[ $(uname -s) == Linux ]]; then
  read -ra packages <<<"$(missing_packages | tr "\n" " ")"
  if ((${#packages[@]})); then apt_install "${packages[@]}"; fi
fi
wanted=$(state)
if [[ $(cat .venv/.setup 2>/dev/null) != "$wanted" ]]; then
  install_python_packages
  echo "$wanted" >.venv/.setup
fi
