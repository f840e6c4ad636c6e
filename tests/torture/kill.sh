#!/bin/bash
# Kills the program at its fault points. usage: kill.sh update|undo|cleanup|recovery|retry
# recovery: an update is killed at a sample of its steps, then the undo that follows at each of its own.
# retry: the answer to a request in which several features write is lost, and the update that takes them
# back and tries them once more is killed at a sample of the steps from there on.
mode=${1:-update}
testing=torture-kill-$mode
. "${srcdir:=$(dirname "$0")/../..}/tests/torture/lib.sh" || exit 1

killed_at() { # step, arguments
    step=$1
    shift
    CPUU_FAULT_KILL=$step run "$@"
    points=$((points + 1))
    [ $mask -eq 137 ]
}

kill_update() {
    n=1
    while killed_at $n; do
        hive_whole || violated "update killed at $n" "the hive is neither old nor new"
        # Even steps are followed by an update, odd ones by an undo; all by both when there is time.
        if [ $((n % 2)) -eq 0 ] || [ $full = 1 ]; then
            to_new_and_back "update killed at $n"
        fi
        if [ $((n % 2)) -eq 1 ] || [ $full = 1 ]; then
            killed_at $n || :
            to_old "update killed at $n"
        fi
        n=$((n + 1))
    done
    to_old "update that was not killed"
}

kill_undo() {
    n=1
    updated
    while killed_at $n -UndoAll; do
        hive_whole || violated "undo killed at $n" "the hive is neither old nor new"
        if [ $((n % 2)) -eq 0 ]; then
            to_old "undo killed at $n"
        else
            to_new_and_back "undo killed at $n"
        fi
        updated
        n=$((n + 1))
    done
    is_state "undo that was not killed" start
}

# After the cleanup the profile stays updated; the world is made anew for each step.
kill_cleanup() {
    n=1
    updated
    run -Cleanup
    snapshot clean
    ln -sf source.start "$WORK/source.clean"
    again
    updated
    while killed_at $n -Cleanup; do
        dump_plain "$HIVE" >"$WORK/hive.now"
        cmp -s "$WORK/hive.now" "$WORK/hive.new" || cmp -s "$WORK/hive.now" "$WORK/hive.clean" ||
            violated "cleanup killed at $n" "the hive is neither updated nor clean"
        run -Cleanup
        is_state "cleanup killed at $n, then cleanup" clean && no_rubbish "cleanup killed at $n"
        run -UndoAll
        [ "$(csv Outlook)" = "3 2" ] ||
            violated "cleanup killed at $n, then undo" "the CSV row is '$(csv Outlook)'"
        again
        updated
        n=$((n + 1))
    done
}

kill_recovery() {
    stride=29
    [ $full = 1 ] && stride=3
    echo "every ${stride}th step of update, every 2nd of the undo that follows"
    n=2
    while killed_at $n; do
        m=1
        while killed_at $m -UndoAll; do
            hive_whole || violated "update killed at $n, undo at $m" "the hive is neither old nor new"
            to_old "update killed at $n, undo at $m"
            m=$((m + 2))
            killed_at $n || :
        done
        is_state "update killed at $n, undo complete" start
        n=$((n + stride))
    done
    to_old "update that was not killed"
}

lose() { # the n-th answer at the target to what changes something; none: no more
    lab_post fault "{\"org\":\"target\",\"action\":\"${1:+close-after}\",\"type\":\"change\",\"at\":${1:-1}}" >/dev/null
}

kill_retry() {
    joint=2 # the first one is written by one feature
    lose $joint
    CPUU_FAULT_TRACE=$WORK/trace CPUU_FAULT_COUNT=$WORK/count.retry run
    lose
    grep -aq 'once more by itself' "$WORK/cpuu.log" || fail "points" "no feature is tried once more"
    is_state "an answer that was lost" new
    to_old "an answer that was lost"
    n=$(grep -n '^mailbox.write$' "$WORK/trace" | sed -n "${joint}p" | cut -d: -f1)
    total=$(counted retry steps)
    stride=$(((total - n) / ${CPUU_TORTURE_POINTS:-60} + 1))
    [ $full = 1 ] && stride=1
    echo "steps $n to $total of the update, every ${stride}th"
    while lose $joint && killed_at $n; do
        lose
        hive_whole || violated "retry killed at $n" "the hive is neither old nor new"
        if [ $((n / stride % 2)) -eq 0 ]; then
            to_new_and_back "retry killed at $n"
        else
            to_old "retry killed at $n"
        fi
        n=$((n + stride))
    done
    lose
    to_old "retry that was not killed"
}

learn
kill_$mode
[ $points -gt 10 ] || fail "points" "only $points: the fault points are gone"
[ $failures -eq 0 ] && pass "killed at $points points"
finish
