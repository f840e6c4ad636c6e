# What tests of one world each share: programs, a folder of their own, and lines "PASS: what" and "FAIL: what".
# Sourced with srcdir set or guessed; a test ends with "exit $failed".
srcdir=${srcdir:-$(dirname "$0")/../..}
BUILD=${BUILD:-$(pwd)}
for tool in reglookup jq; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
WORK=$(mktemp -d)
trap 'lab_stop; rm -rf "$WORK"' EXIT
. "$srcdir/tests/e2e/lib.sh" || exit 1
CPUU=$BUILD/cpuu
HIVE=$WORK/Users/alice/NTUSER.DAT
failed=0

check() { # what, then a command that must succeed
    what=$1
    shift
    if "$@" >"$WORK/check.out" 2>&1; then
        echo "PASS: $what"
    else
        echo "FAIL: $what"
        head -c 3000 "$WORK/check.out"
        failed=1
    fi
}
