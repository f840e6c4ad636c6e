#!/bin/bash
# The server misbehaves at request N of an update or an undo: busy, broken, gone, before and after it
# has done what was asked. usage: lab.sh update|undo
mode=${1:-update}
testing=torture-lab-$mode
. "${srcdir:=$(dirname "$0")/../..}/tests/torture/lib.sh" || exit 1

actions="503 fail fail-after garbage truncate close close-after lose-context too-small 401"

requests() { lab_get stats | jq '[.[].requests] | add'; }
fault() { # action, n
    lab_post fault "{\"action\":\"$1\",\"at\":$2,\"count\":1}" >/dev/null
}
no_fault() { lab_post fault '{"action":""}' >/dev/null; }

# What is in the profile must be whole; when it says "updated" it may lack what the server refused, but
# the log must tell; when not, the mailbox is the old one, now or after the next run.
after_update() { # where
    no_fault
    snapshot now
    case $(csv Outlook) in
    "10 "*)
        if ! same now new; then
            parts=$((parts + 1))
            grep -aq '^    [A-Za-z]* *\(failed\|partly\)' "$WORK/out" ||
                violated "$1" "updated in part without a word"
        fi
        to_old "$1" ;;
    *)
        cmp -s "$WORK/hive.now" "$WORK/hive.start" || violated "$1" "not updated, but the hive is not the old one"
        cmp -s "$WORK/source.now" "$WORK/source.start" || violated "$1" "the source has changed"
        if [ $((points % 2)) -eq 0 ]; then to_new_and_back "$1"; else to_old "$1"; fi ;;
    esac
}

learn
parts=0
[ $mode = update ] || updated
lab_get 'stats?reset=1' >/dev/null
if [ $mode = update ]; then updated; else run -UndoAll; fi
total=$(requests)
[ $mode = update ] && run -UndoAll
stride=$((total * 10 / ${CPUU_TORTURE_POINTS:-45} + 1))
[ $full = 1 ] && stride=1
echo "$mode: $total requests x $(wc -w <<<"$actions") faults, every ${stride}th"
i=0
for action in $actions; do
    n=1
    while [ $n -le "$total" ]; do
        i=$((i + 1))
        if [ $((i % stride)) -eq 0 ]; then
            points=$((points + 1))
            if [ $mode = update ]; then
                fault $action $n
                run
                after_update "update, $action at request $n"
            else
                updated
                fault $action $n
                run -UndoAll
                no_fault
                hive_whole || violated "undo, $action at request $n" "the hive is neither old nor new"
                to_old "undo, $action at request $n"
            fi
        fi
        n=$((n + 1))
    done
done
[ $points -gt 10 ] || fail "points" "only $points"
[ $failures -eq 0 ] && pass "$points faults of the server ($parts updates in part)"
finish
