# What the end-to-end and torture tests share: a lab, a hive and a folder of their own, and lines
# "PASS: test case", "FAIL: test case: why", "SKIP: test case: why". Sourced with the test's name as
# $testing; the last line of a test is "finish". Expected values come from the lab's dump and ids and
# from reglookup, never from cpuu.
src=$(cd "${srcdir:-.}" && pwd)
BUILD=${BUILD:-$PWD}
CPUU=${CPUU:-$BUILD/cpuu}
failures=0

for tool in reglookup jq; do
    command -v $tool >/dev/null || { echo "SKIP: $testing: $tool is not installed"; exit 77; }
done

# Memory is the kindest disk for thousands of flushes.
scratch=${CPUU_TEST_TMP:-/tmp}
[ -z "${CPUU_TEST_TMP:-}" ] && [ -w /dev/shm ] && scratch=/dev/shm
WORK=$(mktemp -d "$scratch/cpuu-$testing-XXXXXX") || exit 1
export CPUU_TEST_WORK="$WORK"
. "$src/tests/e2e/lib.sh" || exit 1

leave() {
    lab_stop
    if [ -n "${KEEP_WORK:-}" ]; then echo "kept: $WORK"; else rm -rf "$WORK"; fi
}
trap leave EXIT
trap 'exit 1' INT TERM HUP

pass() { echo "PASS: $testing $1"; }
fail() { # case, why
    failures=$((failures + 1))
    echo "FAIL: $testing $1: $2"
}
finish() { [ $failures -eq 0 ]; exit; }

# check CASE WHY COMMAND...: the command must succeed.
check() {
    check_case=$1 check_why=$2
    shift 2
    if "$@"; then pass "$check_case"; else fail "$check_case" "$check_why"; fi
}

# A user of the demo content with a fresh hive: width, Outlook version. INI lines on standard input.
world() {
    lab_start "${CONTENT:-$src/tests/lab/demo.conf}"
    HIVE=$WORK/Users/alice/NTUSER.DAT
    make_hive "$HIVE" "${1:-8}" "${2:-16.0}"
    make_ini
    snapshot start
}

# Runs cpuu, its words in $WORK/out, its mask in $mask. A finding of a sanitizer is always a failure.
run() {
    cpuu "$@" >"$WORK/out" 2>&1 </dev/null
    if grep -aq 'Sanitizer\|runtime error:' "$WORK/out" || { [ $mask -gt 128 ] && [ $mask -ne 137 ]; }; then
        fail "run $*" "crash or finding of a sanitizer (status $mask)"
        grep -a -A12 'Sanitizer\|runtime error:' "$WORK/out" | head -40
        crashed=1
    fi
}

# run, and the mask that it must have: says CASE MASK [arguments]
gives() {
    gives_case=$1 gives_mask=$2
    shift 2
    run "$@"
    if [ $mask -eq "$gives_mask" ]; then
        pass "$gives_case"
    else
        fail "$gives_case" "exit mask $mask instead of $gives_mask"
        tail -12 "$WORK/out"
    fi
}

# The words of the last run.
says() { # case, pattern
    if grep -aqe "$2" "$WORK/out" "$WORK/cpuu.log"; then
        pass "$1"
    else
        fail "$1" "neither output nor log says '$2'"
        tail -12 "$WORK/out"
    fi
}

# The row of a profile in the CSV file of the last run: "status previous".
csv() { awk -F'\t' -v p="$1" '$1 == p { print $2, $3 }' "$WORK/cpuu.csv"; }
csv_is() { # case, profile, "status previous"
    found=$(csv "$2")
    check "$1" "the CSV row of $2 is '$found' instead of '$3'" test "$found" = "$3"
}

# ---- states ----------------------------------------------------------------------------------------
# What identifies one run and no other (names of backups, ids of journals) is no part of a state.
plain() {
    sed -E 's/CPUU_Backup_[0-9a-f]{32}/CPUU_Backup_X/g
            s/(Software.CPUU.)\{[0-9a-f-]{36}\}/\1{X}/g' | sort
}
dump_plain() { dump_hive "$1" | plain; }

snapshot() { # name
    dump_hive "$HIVE" >"$WORK/hive.$1.exact"
    plain <"$WORK/hive.$1.exact" >"$WORK/hive.$1"
    dump_mailboxes target >"$WORK/mail.$1"
    dump_mailboxes source >"$WORK/source.$1"
}

# same A B: hive, target and source are equal in both snapshots; says what is not.
same() {
    differs=
    for what in hive mail source; do
        cmp -s "$WORK/$what.$1" "$WORK/$what.$2" || differs="$differs $what"
    done
    [ -z "$differs" ]
}
same_or_fail() { # case, A, B
    if same "$2" "$3"; then
        pass "$1"
    else
        fail "$1" "$2 and $3 differ in:$differs"
        for what in $differs; do diff "$WORK/$what.$2" "$WORK/$what.$3" | cut -c1-200 | head -8; done
    fi
}
