#!/bin/bash
# A heavy mailbox (heavy-content.sh), feature by feature and as a whole: 300 folders, 500 shortcuts, 500 rules, an
# AutoComplete list of 5,000 rows, 20,000 contacts; and half of that, for the cost of an additional link. Each
# feature is updated alone at 0 and at 200 ms, and taken back. The first row has no links: what the other
# rows have more is what a feature costs. Sequential round trips are (wall at 200 ms - wall at 0 ms) / 200 ms, the
# budget is that of bench.sh. usage: BUILD=folder heavy.sh [features]; a build without sanitizers.
BUILD=${BUILD:-$PWD}
WORK=$(mktemp -d)
. "$(dirname "$0")/lib.sh" || exit 1
limit=65536 # KiB of memory a run may take
half="150 250 250 2500 10000"
full="300 500 500 5000 20000"
panes="Favorites Calendar Contacts Tasks Notes Journal"
features=(UserNames AddBoxes CONTAB ContactMembers Delegates MoveToFolder Nicks OtherUsersFolders "$panes" PublicFav
    Rules SearchFolders Services Shortcuts SRS)
[ $# -gt 0 ] && features=(UserNames "$@")
failed=0
declare -A cost # trips, bytes sent, bytes received, links; by size and feature

heavy_hive() {
    words=(contacts= move= other=)
    for i in 1 2 3 4 5; do
        words+=("contacts=G$i;$(id ".source.alice.folders[\"@contacts/G$i\"]")")
    done
    for i in $(seq 10); do # as many as Outlook keeps move-to folders
        words+=("box=$(person c$i)" "move=F$i;$(id ".source.alice.folders[\"@inbox/F$i\"]")" "other=Person c$i")
    done
    make_bench_hive "${words[@]}" || die "no profile"
    mkdir -p "$(dirname "$HIVE")"/AppData/{Roaming,Local}/Microsoft/Outlook
}

run() { # round-trip time, exit status to expect, options
    local rtt=$1 want=$2
    shift 2
    delay "$rtt"
    measure "$@"
    delay 0
    [ "$rc" = "$want" ] && return
    echo "  unexpected exit status $rc, not $want:"
    tail -5 "$WORK/out"
    failed=1
}

count_links() { links=$(jq '[.profiles[].features[]?.links[]?] | length' "$WORK/report.json"); }

row() { # what, links, wall at 0 ms, wall at 200 ms: the rest as the last run was measured
    trips=$(trips_between "$3" "$4")
    printf '%-17s %6s %7s %7s %8d %9d %9d %9d %7.0f %7.0f\n' "$1" "$2" "$trips" "$(budget_of "$sent" "$received")" \
        "$requests" "$sent" "$received" "$rss" "$3" "$4"
    [ "$rss" -le $limit ] || echo "  more memory than the limit of $limit KiB"
}

heading() {
    printf '\n%s folders, %s shortcuts, %s rules, %s AutoComplete rows, %s contacts\n' $1
    printf '%-17s %6s %7s %7s %8s %9s %9s %9s %7s %7s\n' what links trips budget requests sent received peak/KiB \
        ms@0 ms@200
}

one_feature() { # size, features
    local name=$2 at
    [ "$name" = "$panes" ] && name="six panes"
    echo "Features=$2" | make_ini
    for rtt in 0 200; do
        rm -rf "$WORK/state"
        heavy_hive
        run $rtt 1 --json "$WORK/report.json"
        at[rtt]=$wall
        keep=("$requests" "$sent" "$received" "$rss")
        run 0 1 -UndoAll
    done
    requests=${keep[0]} sent=${keep[1]} received=${keep[2]} rss=${keep[3]}
    count_links
    row "$name" "$links" "${at[0]}" "${at[200]}"
    cost[$1,$name]="$trips $sent $received $links"
}

everything() {
    local -A at was
    make_ini </dev/null
    dump_mailboxes target | md5sum >"$WORK/before"
    for rtt in 0 200; do
        rm -rf "$WORK/state"
        heavy_hive
        run $rtt 1 --json "$WORK/report.json"
        at[update$rtt]=$wall was[update]="$requests $sent $received $rss"
        count_links
        run $rtt 0
        at[again$rtt]=$wall was[again]="$requests $sent $received $rss"
        run $rtt 1 -UndoAll
        at[undo$rtt]=$wall was[undo]="$requests $sent $received $rss"
    done
    for what in update again undo; do
        read -r requests sent received rss <<<"${was[$what]}"
        row "all: $what" "$links" "${at[${what}0]}" "${at[${what}200]}"
    done
    dump_mailboxes target | md5sum | cmp -s - "$WORK/before" && return
    echo "  the undo did not bring the mailbox back"
    failed=1
}

additional() { # half and full: what the links cost that only the full mailbox has
    printf '\nCost of 1,000 additional links\n%-17s %6s %7s %9s %9s\n' what links trips sent received
    for name in "${features[@]}"; do
        [ "$name" = "$panes" ] && name="six panes"
        echo "$name|${cost[half,$name]} ${cost[full,$name]}"
    done | awk -F'[| ]' '{ name = $0; sub(/\|.*/, "", name); n = NF; more = $n - $(n - 4)
        if (more > 50)
            printf "%-17s %6d %7.1f %9d %9d\n", name, more, ($(n - 3) - $(n - 7)) * 1000 / more,
                ($(n - 2) - $(n - 6)) * 1000 / more, ($(n - 1) - $(n - 5)) * 1000 / more }'
}

for size in half full; do
    "$top/tests/bench/heavy-content.sh" ${!size} >"$WORK/heavy.conf"
    lab_start "$WORK/heavy.conf"
    heading "${!size}"
    for feature in "${features[@]}"; do
        one_feature $size "$feature"
    done
    everything
    lab_stop
done
additional
exit $failed
