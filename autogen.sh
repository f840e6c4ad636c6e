#!/bin/sh
# Generates configure and friends. Needs autoconf, automake, libtool and libltdl's m4 macros.
set -e
cd "$(dirname "$0")"
mkdir -p config/build-aux config/m4
exec autoreconf --install --force --warnings=all,no-obsolete
