#!/usr/bin/env bash
# Makes .fuzz, the virtual environment of `make fuzz`: atheris and pytest, from PyPI. It says so where atheris cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(tools/python.sh)

if .fuzz/bin/python -c 'import atheris, pytest' 2>/dev/null; then exit 0; fi
rm -rf .fuzz/bin .fuzz/lib .fuzz/lib64 .fuzz/include .fuzz/pyvenv.cfg
"$python" -m venv .fuzz
if ! .fuzz/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: atheris pytest; then
  echo "atheris has no wheel for $("$python" --version) here; expected CPython on Linux, x86-64." >&2
  echo "Say which Python: make fuzz PYTHON=/path/to/python3.11. A short run of the same kind is in make test." >&2
  exit 1
fi
