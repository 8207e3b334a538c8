#!/usr/bin/env bash
# Makes the virtual environment $1 and installs what $2 (a requirement of ours, such as '.[all]') and the dependency
# group $3 name. Made from nothing it needs a Python and PyPI alone; as root on Debian it installs python3-venv if missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 what=$2 group=$3
python=${4:-$(tools/python.sh)}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

make_venv() { rm -rf "$venv"; "$python" -m venv "$venv" >"$log" 2>&1; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  echo "Making $venv with $python"
  if ! make_venv; then
    if ! can_install; then
      cat "$log" >&2
      echo "python3 -m venv failed. On Debian: sudo apt-get install python3-venv" >&2
      exit 1
    fi
    echo "python3 -m venv failed; installing python3-venv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    make_venv || { cat "$log" >&2; exit 1; }
  fi
fi

# Dependency groups need pip 25.1; Debian's is older.
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
if ! "$venv/bin/python" -m pip install -qq -e "$what" --group "$group" 2>"$log"; then
  # pcapy-ng has no wheel for every platform, and building it needs libpcap's headers.
  echo "Could not install $what; trying without the extra 'kernel'. What pip said:" >&2
  tail -n 3 "$log" >&2
  "$venv/bin/python" -m pip install -qq -e '.[tls,timeout]' --group "$group"
fi
echo "$venv is ready: $("$venv/bin/python" --version), $("$venv/bin/python" -m pip --version | cut -d' ' -f1,2)"
