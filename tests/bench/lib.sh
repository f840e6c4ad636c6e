# Shared steps of the benches: a profile against the lab, and what one run of cpuu costs. Sourced after WORK and
# BUILD are set.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$top/tests/e2e/lib.sh" || exit 1
trap 'lab_stop; rm -rf "$WORK"' EXIT
HIVE=$WORK/Users/alice/NTUSER.DAT
CPUU=$BUILD/cpuu

make_bench_hive() { # more words for cpuu-mkprofile
    a=.source.alice
    "$BUILD/cpuu-mkprofile" profile=Outlook user='C:\Users\alice' smtp="$(id $a.smtp)" dn="$(id $a.dn)" \
        name="$(id $a.display)" guid="$(id $a.guid)" inbox="$(id "$a.folders[\"@inbox\"]")" \
        box= contacts= move= contacts="Contacts;$(id "$a.folders[\"@contacts\"]")" "$@" >"$WORK/profile.reg"
    mkdir -p "$(dirname "$HIVE")"
    rm -f "$HIVE"
    "$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg"
}

delay() { lab_post fault "{\"delay_ms\": $(($1 / 2))}" >/dev/null; } # round-trip time in milliseconds

measure() { # options of cpuu: sets wall, rss, rc, requests, sent, received
    lab_get 'stats?reset=1' >/dev/null
    read -r wall rss rc < <("$BUILD/bench-run" "$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" \
        -Log "$WORK/cpuu.log" "$@" 2>"$WORK/out")
    lab_get stats >"$WORK/stats.json"
    requests=$(jq '[.[].requests] | add' "$WORK/stats.json")
    sent=$(jq '[.[].bytes_in] | add' "$WORK/stats.json")
    received=$(jq '[.[].bytes_out] | add' "$WORK/stats.json")
}

trips_between() { # wall at 0 ms, wall at 200 ms
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", (b - a) / 200 }'
}

budget_of() { # bytes sent, bytes received
    awk -v s="$1" -v r="$2" 'function up(x) { return x == int(x) ? x : int(x) + 1 }
        BEGIN { printf "%.1f", 12 + up(s / 28672) / 4 + up(r / 204800) / 4 }'
}
