#!/bin/sh
# Installs what is missing, builds with the address and undefined-behaviour sanitizers, runs all tests.
# The last line is "N passed, N failed" (", N skipped").
cd "$(dirname "$0")" || exit 1
config/install-deps.sh check || exit 1
build=$PWD/build/check
config/build.sh "$build" --enable-sanitizers --enable-werror >build.log 2>&1 || {
    tail -40 build.log
    echo "The build failed."
    echo "0 passed, 1 failed"
    exit 1
}
rm -f build.log
# Leaks are errors; a time-out is a failure.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
export UBSAN_OPTIONS=print_stacktrace=1
export CK_VERBOSITY=normal CK_DEFAULT_TIMEOUT=120
make -C "$build" -k -j"$(nproc)" check >"$build/check.log" 2>&1
status=$?
exec tests/summary.sh "$build" "$status"
