#!/bin/bash
# Whatever a plugin asks of the host fails: each place in its code that calls a service or allocates memory, and a
# sample of all calls; then the server refuses what the feature writes. The feature is critical: the profile, its
# files and the mailbox must be the ones from before. Not critical, and not selected, it must have done nothing.
# usage: services.sh mailbox|profile
# CPUU_TORTURE_FULL=1 leaves out no call, CPUU_TORTURE_FEATURES="NAME ..." takes these features alone.
kind=${1:-mailbox}
testing=torture-services-$kind
CPUU=${BUILD:-$PWD}/cpuu-plugin-twin
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
. "$src/tests/e2e/golden/world.sh" || exit 1
full=${CPUU_TORTURE_FULL:-0}
points=0 tolerated=0

case $kind in
mailbox) features="Favorites Calendar Contacts Tasks Notes Journal Rules SearchFolders Delegates Nicks ContactMembers PublicFav" ;;
*) features="AddBoxes CONTAB MoveToFolder OtherUsersFolders Services UserNames Shortcuts SRS" ;;
esac
features=${CPUU_TORTURE_FEATURES:-$features}
plugin_of() {
    case $1 in
    Favorites | Calendar | Contacts | Tasks | Notes | Journal) echo /panes.so ;;
    *) echo "/${1,,}.so" ;;
    esac
}

# ---- states, as far as they need to be looked at hundreds of times ------------------------------------------

look() { # name
    lab_get 'dump?org=target' >"$WORK/mail.$1"
    (cd "$WORK/Users/alice" && find AppData -type f -exec cksum {} + | sort) >"$WORK/files.$1"
}
# What an update has made of everything, and what it says about the feature.
look_closely() { # name
    look $1
    dump_plain "$HIVE" >"$WORK/hive.$1"
    jq --arg f $f '.profiles[0].features[] | select(.name == $f)' "$WORK/report.json" >"$WORK/report.$1"
}
looks_like() { # state: mailbox and files are those
    look now
    cmp -s "$WORK/mail.now" "$WORK/mail.$1" && cmp -s "$WORK/files.now" "$WORK/files.$1"
}
fresh_profile() {
    rm -rf "$WORK/Users" "$WORK/state"
    cp -a "$WORK/Users.start" "$WORK/Users"
}
violated() { # where, what
    fail "$1" "$2"
    tail -6 "$WORK/out" | sed 's/^/    /'
    [ $failures -gt ${MAX_FAILURES:-5} ] && { echo "too many; giving up"; finish; }
    lab_stop
    lab_start "$WORK/content.conf"
    make_ini <"$WORK/lines"
    fresh_profile
}

# ---- one point ------------------------------------------------------------------------------------------------

fault() { # kind, n: run with that call failing
    crashed=
    points=$((points + 1))
    rm -f "$WORK/cpuu.log"
    CPUU_FAULT_FEATURE=$f CPUU_FAULT_PLUGIN=$plugin CPUU_FAULT_FAIL=$1:$2 run
    [ -z "$crashed" ] || violated "$f: $1 $2" "crash"
    grep -aq 'has a bug' "$WORK/out" "$WORK/cpuu.log" &&
        violated "$f: $1 $2" "$(grep -ah 'has a bug' "$WORK/out" "$WORK/cpuu.log" | head -1)"
}
undone() { # where: what was updated goes back
    run -UndoAll
    dump_hive "$HIVE" >"$WORK/hive.now"
    cmp -s "$WORK/hive.now" "$WORK/hive.start" && looks_like start || violated "$1, then undo" "not the state before"
    fresh_profile
}

could_do_without() { # where
    tolerated=$((tolerated + 1))
    echo "could do without: $1: $(grep -ao "^    $f .*" "$WORK/out")"
}

# Mailboxes of others that the server has refused leave links at the source, with a word in the log.
excused() {
    [ -n "${refusing:-}" ] && grep -a ' Cannot ' "$WORK/cpuu.log" | grep -avq 'eve@\|zoe@'
}

# The feature is critical.
all_or_nothing() { # where
    case "$mask $(csv Outlook)" in
    "4 11 0")
        cmp -s "$HIVE" "$WORK/Users.start/alice/NTUSER.DAT" || violated "$1" "the hive was written"
        looks_like start || violated "$1" "mailbox or files are not as before"
        [ -z "$(ls -A "$WORK/state" 2>/dev/null)" ] || violated "$1" "left in the state folder: $(ls -A "$WORK/state")"
        grep -aq "feature $f\|$f:" "$WORK/out" || violated "$1" "not said which feature failed" ;;
    "1 10 0") # the plugin could do without
        could_do_without "$1"
        look_closely now
        for what in mail files hive report; do
            cmp -s "$WORK/$what.now" "$WORK/$what.new" || excused ||
                violated "$1" "updated in part without a word ($what):
$(diff "$WORK/$what.new" "$WORK/$what.now" | cut -c1-150 | head -8)"
        done
        undone "$1" ;;
    *) violated "$1" "status $mask, CSV row '$(csv Outlook)'" ;;
    esac
}

counted() { awk -v k="$1" '$1 == k { print $2 }' "$WORK/count"; }
sample() { # total, points: the numbers to try
    step=$(($1 / $2 + 1))
    [ $full = 1 ] && step=1
    seq $step $step "$1"
}

critical() { # points in a sample
    printf 'Features=%s\nCritical=%s\n' $f $f >"$WORK/lines"
    make_ini <"$WORK/lines"
    lab_get 'stats?reset=1' >/dev/null
    CPUU_FAULT_FEATURE=$f CPUU_FAULT_PLUGIN=$plugin CPUU_FAULT_COUNT=$WORK/count run
    executes=$(lab_get stats | jq .target.executes)
    look_closely new
    undone "$f"
    line="$f:"
    for what in service memory; do
        total=$(counted $what) places=$(counted $what-place)
        [ -n "$total" ] || { [ $what-$f = memory-UserNames ] || violated "$f" "no call of $what"; continue; }
        line="$line $what $total calls from $places places, every $((total / $1 + 1))th;"
        for n in $(seq 1 "$places"); do
            fault $what-place $n
            all_or_nothing "$f, $what place $n failed"
        done
        for n in $(sample "$total" "$1"); do
            fault $what $n
            all_or_nothing "$f, $what call $n failed"
        done
    done
    echo "$line"
}

# The server refuses a request for good, so that no second try mends it.
refused() { # points in a sample
    for n in $(sample "$executes" "$1"); do
        points=$((points + 1))
        refusing=yes
        rm -f "$WORK/cpuu.log"
        lab_post fault "{\"org\":\"target\",\"type\":\"Execute\",\"action\":\"fail\",\"at\":$n,\"count\":3}" >/dev/null
        run
        lab_post fault '{"action":""}' >/dev/null
        case "$mask $(csv Outlook)" in
        "4 11 0" | "1 10 0") all_or_nothing "$f, request $n of $executes refused" ;;
        *) # not even opened: nothing may have changed
            looks_like start || run -UndoAll
            looks_like start || violated "$f, request $n refused" "status $mask, not the state before"
            fresh_profile ;;
        esac
        refusing=
    done
}

# Not critical: the profile is updated, without this feature. All places leave the same behind.
alone_in_failing() { # INI line
    echo "$1" >"$WORK/lines"
    make_ini <"$WORK/lines"
    for n in 1 $(counted service-place); do
        fault service-place $n
        where="$f, $1, service place $n failed"
        [ "$(csv Outlook)" = "10 0" ] || { violated "$where" "status $mask, CSV row '$(csv Outlook)'"; continue; }
        if [ "$(jq -r --arg f $f '.profiles[0].features[] | select(.name == $f) | .state' "$WORK/report.json")" != failed ]; then
            could_do_without "$where"
            undone "$where"
            continue
        fi
        look failed$n
        dump_plain "$HIVE" >"$WORK/hive.failed$n"
        cmp -s "$WORK/mail.failed$n" "$WORK/mail.start" || violated "$where" "it has changed the mailbox"
        for what in hive files; do
            cmp -s "$WORK/$what.failed$n" "$WORK/$what.failed1" || violated "$where" "it leaves something behind ($what)"
        done
        undone "$where"
    done
}

# ---- all of them ------------------------------------------------------------------------------------------------

world_content >"$WORK/content.conf"
lab_start "$WORK/content.conf"
know_ids
HIVE=$WORK/Users/alice/NTUSER.DAT
world_hive
dump_hive "$HIVE" >"$WORK/hive.start"
look start
cp -a "$WORK/Users" "$WORK/Users.start"
for f in $features; do
    plugin=$(plugin_of $f)
    case $f in
    Favorites | Contacts | Tasks | Notes | Journal) critical 1 ;; # the code of Calendar
    *) critical 3 ;;
    esac
    [ $kind = mailbox ] && refused 2
    alone_in_failing "Features=$f"
    if [ $kind = profile ]; then
        echo Skip=All >"$WORK/lines"
        make_ini <"$WORK/lines"
        CPUU_FAULT_FEATURE=$f CPUU_FAULT_PLUGIN=$plugin CPUU_FAULT_COUNT=$WORK/count run
        fresh_profile
        alone_in_failing Skip=All
    fi
    pass "$f"
done
[ $points -gt 5 ] || fail "points" "only $points: the faults are gone"
echo "$points calls failed, $tolerated of them could be done without"
finish
