#!/bin/bash
# Cost of update, no-op and undo against the lab, at three sizes and three round-trip times. Sequential round
# trips are measured from outside: (wall at 200 ms - wall at 0 ms) / 200 ms, and compared with the budget
#     12 + ceil(bytes sent / 28 KB) / 4 + ceil(bytes received / 200 KB) / 4
# usage: BUILD=folder bench.sh [sizes]; a build without sanitizers.
BUILD=${BUILD:-$PWD}
WORK=$(mktemp -d)
. "$(dirname "$0")/lib.sh" || exit 1

printf '%-7s %6s %5s %9s %9s %8s %9s %9s %7s %7s\n' what links RTT wall/ms peak/KiB requests sent received trips budget
for n in ${*:-30 300 3000}; do
    "$top/tests/bench/content.sh" "$n" >"$WORK/bench.conf"
    lab_start "$WORK/bench.conf"
    make_ini </dev/null
    declare -A base
    for rtt in 0 50 200; do
        rm -rf "$WORK/state"
        make_bench_hive
        delay $rtt
        for what in update no-op undo; do
            case $what in
            undo) measure -UndoAll ;;
            *) measure ;;
            esac
            [ $rtt -eq 0 ] && base[$what]=$wall
            trips=- budget=-
            if [ $rtt -eq 200 ]; then
                trips=$(trips_between "${base[$what]}" "$wall")
                budget=$(budget_of "$sent" "$received")
            fi
            printf '%-7s %6d %5d %9.0f %9d %8d %9d %9d %7s %7s\n' $what "$n" $rtt "$wall" "$rss" "$requests" "$sent" "$received" "$trips" "$budget"
            case $what:$rc in update:1 | no-op:0 | undo:1) ;; *) echo "  unexpected exit status $rc:"; tail -5 "$WORK/out" ;; esac
        done
    done
    lab_stop
done
"$BUILD/bench-hive" "$WORK" || exit 1
