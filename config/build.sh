#!/bin/sh
# Configures (once) and builds in a folder. usage: build.sh FOLDER [configure options]
set -e
top=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
shift
[ -x "$top/configure" ] || "$top/autogen.sh" >"$top/autogen.log" 2>&1 || { cat "$top/autogen.log" >&2; exit 1; }
rm -f "$top/autogen.log"
mkdir -p "$folder"
cd "$folder"
[ -f Makefile ] || "$top/configure" "$@" >configure.out 2>&1 || { tail -30 configure.out >&2; exit 1; }
exec make -j"$(nproc)"
