#!/bin/bash
# Makes the n-th operation of a kind fail. usage: fail.sh alloc|write|flush|request|answer [update|undo|cleanup]
# The program must say why and end by itself; afterwards the same holds as after a kill.
kind=${1:-write}
modes=${2:-update undo cleanup}
testing=torture-fail-$kind
. "${srcdir:=$(dirname "$0")/../..}/tests/torture/lib.sh" || exit 1

# There are thousands of some: every one only when there is time.
stride_of() {
    [ $full = 1 ] && { echo 1; return; }
    case $kind-$1 in
    alloc-*) echo $(($2 / ${3:-30} + 1)) ;;
    *) echo $(($2 / ${3:-25} + 1)) ;;
    esac
}

fails_at() { # n, arguments
    crashed=
    n_failed=$1
    shift
    CPUU_FAULT_FAIL=$kind:$n_failed run "$@"
    points=$((points + 1))
    [ -z "$crashed" ] || again
    # Without success there must be a reason.
    [ $((mask & 1)) -eq 1 ] || grep -aq 'error:\|warning:\|cpuu:.*[a-z]' "$WORK/out" ||
        violated "$kind $n_failed failed" "no message"
}

# A feature that failed and is not critical stays behind while the rest is updated, and a colleague who
# cannot be asked stays at the source: then the state is neither old nor new. The log must say so, and
# undo must take it back all the same.
committed_in_part() { # where
    [ "$(csv Outlook)" = "10 0" ] || return 1
    snapshot now
    same now new && return 1
    parts=$((parts + 1))
    grep -aq '^    [A-Za-z]* *failed' "$WORK/out" ||
        grep -aqi 'cannot \(open\|look\|be read\|read\|reach\)' "$WORK/cpuu.log" ||
        violated "$1" "updated in part without a word"
    return 0
}

fail_update() {
    n=1
    while [ $n -le "$total" ]; do
        fails_at $n
        if committed_in_part "update, $kind $n failed"; then
            to_old "update in part, $kind $n failed"
            n=$((n + stride))
            continue
        fi
        hive_whole || violated "update, $kind $n failed" "the hive is neither old nor new"
        if [ $((n / stride % 2)) -eq 0 ]; then
            to_new_and_back "update, $kind $n failed"
        else
            to_old "update, $kind $n failed"
        fi
        n=$((n + stride))
    done
}

fail_undo() {
    n=1
    updated
    while [ $n -le "$total" ]; do
        fails_at $n -UndoAll
        hive_whole || violated "undo, $kind $n failed" "the hive is neither old nor new"
        to_old "undo, $kind $n failed"
        updated
        n=$((n + stride))
    done
    to_old "the last update"
}

fail_cleanup() {
    n=1
    updated
    while [ $n -le "$total" ]; do
        fails_at $n -Cleanup
        run -UndoAll # finishes a cleanup that had begun
        case $(csv Outlook) in
        "12 "*) is_state "cleanup, $kind $n failed, then undo" start ;;
        "3 "*) is_state "cleanup, $kind $n failed, then undo" clean && again ;;
        *) violated "cleanup, $kind $n failed, then undo" "the CSV row is '$(csv Outlook)'" ;;
        esac
        updated
        n=$((n + stride))
    done
}

parts=0
learn
updated
CPUU_FAULT_COUNT=$WORK/count.cleanup run -Cleanup
snapshot clean
ln -sf source.start "$WORK/source.clean"
again
for mode in $modes; do
    total=$(counted $mode $kind)
    [ -n "$total" ] || continue
    stride=$(stride_of $mode "$total" "${CPUU_TORTURE_POINTS:-}")
    echo "$mode: $total x $kind, every ${stride}th"
    fail_$mode
done
[ $points -gt 5 ] || fail "points" "only $points: the fault points are gone"
[ $failures -eq 0 ] && pass "$points failed operations ($parts updates in part)"
finish
