#!/bin/sh
# Installs the Debian packages that are missing, with sudo when not root. Quiet when there is nothing to do.
# usage: install-deps.sh [check]     "check" adds what only the tests need
set -e
packages="gcc make autoconf automake libtool libltdl-dev pkg-config libinih-dev libxml2-dev
libcurl4-openssl-dev check libhivex-dev libsqlite3-dev libjansson-dev libsodium-dev libmicrohttpd-dev
libgnutls28-dev openssl ca-certificates jq reglookup libregf-utils xz-utils"
[ "$1" = check ] && packages="$packages file"

missing=
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    echo "Cannot install the packages named above; install them by hand and start again." >&2
    exit 1
fi
rm -f "$log"
