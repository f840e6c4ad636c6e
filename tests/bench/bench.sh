#!/bin/bash
# Cost of update, no-op and undo against the lab, at three sizes and three round-trip times. Sequential round
# trips are measured from outside: (wall at 200 ms - wall at 0 ms) / 200 ms, and compared with the budget
#     12 + ceil(bytes sent / 28 KB) / 4 + ceil(bytes received / 200 KB) / 4
# usage: BUILD=folder bench.sh [sizes]; a build without sanitizers.
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$PWD}
WORK=$(mktemp -d)
. "$top/tests/e2e/lib.sh"
trap 'lab_stop; rm -rf "$WORK"' EXIT
HIVE=$WORK/Users/alice/NTUSER.DAT
CPUU=$BUILD/cpuu

make_bench_hive() {
    a=.source.alice
    "$BUILD/cpuu-mkprofile" profile=Outlook user='C:\Users\alice' smtp="$(id $a.smtp)" dn="$(id $a.dn)" \
        name="$(id $a.display)" guid="$(id $a.guid)" inbox="$(id "$a.folders[\"@inbox\"]")" \
        box= contacts= move= contacts="Contacts;$(id "$a.folders[\"@contacts\"]")" >"$WORK/profile.reg"
    mkdir -p "$(dirname "$HIVE")"
    rm -f "$HIVE"
    "$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg"
}

measure() { # options of cpuu: sets wall, rss, rc, requests, sent, received
    lab_get 'stats?reset=1' >/dev/null
    read -r wall rss rc < <("$BUILD/bench-run" "$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" \
        -Log "$WORK/cpuu.log" "$@" 2>"$WORK/out")
    lab_get stats >"$WORK/stats.json"
    requests=$(jq '[.[].requests] | add' "$WORK/stats.json")
    sent=$(jq '[.[].bytes_in] | add' "$WORK/stats.json")
    received=$(jq '[.[].bytes_out] | add' "$WORK/stats.json")
}

printf '%-7s %6s %5s %9s %9s %8s %9s %9s %7s %7s\n' what links RTT wall/ms peak/KiB requests sent received trips budget
for n in ${*:-30 300 3000}; do
    "$top/tests/bench/content.sh" "$n" >"$WORK/bench.conf"
    lab_start "$WORK/bench.conf"
    make_ini </dev/null
    declare -A base
    for rtt in 0 50 200; do
        rm -rf "$WORK/state"
        make_bench_hive
        lab_post fault "{\"delay_ms\": $((rtt / 2))}" >/dev/null
        for what in update no-op undo; do
            case $what in
            undo) measure -UndoAll ;;
            *) measure ;;
            esac
            [ $rtt -eq 0 ] && base[$what]=$wall
            trips=- budget=-
            if [ $rtt -eq 200 ]; then
                trips=$(awk -v a="$wall" -v b="${base[$what]}" 'BEGIN { printf "%.1f", (a - b) / 200 }')
                budget=$(awk -v s="$sent" -v r="$received" 'function up(x) { return x == int(x) ? x : int(x) + 1 }
                    BEGIN { printf "%.1f", 12 + up(s / 28672) / 4 + up(r / 204800) / 4 }')
            fi
            printf '%-7s %6d %5d %9.0f %9d %8d %9d %9d %7s %7s\n' $what "$n" $rtt "$wall" "$rss" "$requests" "$sent" "$received" "$trips" "$budget"
            case $what:$rc in update:1 | no-op:0 | undo:1) ;; *) echo "  unexpected exit status $rc:"; tail -5 "$WORK/out" ;; esac
        done
    done
    lab_stop
done
"$BUILD/bench-hive" "$WORK" || exit 1
