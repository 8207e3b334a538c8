#!/usr/bin/env bash
# Sees to the programs that the tests use as referees and as real servers. As root on Debian it installs what is
# missing; anywhere else it names it. It fails only where they are required (CI, NETFIXTURES_REQUIRE_REFEREES).
set -euo pipefail
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# Debian keeps the programs of a PostgreSQL server away from PATH; the function looks anew, behind an installation too.
here() { command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null; }

declare -A package=(
  [tshark]=tshark [capinfos]=wireshark-common [editcap]=wireshark-common [tcpdump]=tcpdump [redis-server]=redis-server
  [initdb]=postgresql [openssl]=openssl [mergecap]=wireshark-common
)

missing() { for tool in "${!package[@]}"; do here "$tool" || echo "$tool"; done | sort; }
packages_of() { for tool in "$@"; do echo "${package[$tool]}"; done | sort -u; }
required() { [[ "${NETFIXTURES_REQUIRE_REFEREES:-${CI:-}}" =~ ^(1|true|True|yes)$ ]]; }

tools=$(missing)
[ -n "$tools" ] || exit 0

packages=$(packages_of $tools | xargs)
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
  echo "Installing what the tests use: $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null || true
  tools=$(missing)
  [ -n "$tools" ] || exit 0
fi

echo "NOT HERE: $(echo $tools)"
echo "Tests that need them are skipped. On Debian: sudo apt-get install $packages"
if required; then echo "They are required here (CI or NETFIXTURES_REQUIRE_REFEREES is set)." >&2; exit 1; fi
