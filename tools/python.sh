#!/usr/bin/env bash
# Prints the path of a Python 3.10 or newer that really starts: $PYTHON, else the first on the path, else pyenv's.
# It changes nothing.
set -euo pipefail

real_path() {  # a pyenv shim may exist and not start, so the interpreter itself is asked
  "$1" -c 'import sys; assert sys.version_info >= (3, 10); print(sys.executable)' 2>/dev/null
}

candidates() {
  if [ -n "${PYTHON:-}" ]; then echo "$PYTHON"; return; fi
  printf '%s\n' python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10
  if command -v pyenv >/dev/null; then ls -d "$(pyenv root)"/versions/3.1*/bin/python3 2>/dev/null || true; fi
}

while read -r candidate; do
  if found=$(real_path "$candidate"); then echo "$found"; exit 0; fi
done < <(candidates)

echo "No Python 3.10 or newer starts here. Expected one as python3. Install it, or say: make ... PYTHON=/path/to/python3" >&2
exit 1
