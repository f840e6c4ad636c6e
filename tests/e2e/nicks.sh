#!/bin/bash
# Nicks: AutoComplete lists in the mailbox and in .nk2 files. What must come out stands in a mailbox of the
# lab, written by the lab's own encoder, and is compared byte for byte. Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1
ROAMING=$WORK/Users/alice/AppData/Roaming/Microsoft/Outlook

# ---- the lab and the profile ---------------------------------------------------------------------

# The common content; more of it for the target mailbox on standard input. Then a fresh profile.
begin() { # Outlook version, lines for the INI
    cat "$srcdir/tests/lab/nicks.conf" - >"$WORK/content.conf"
    lab_stop
    lab_start "$WORK/content.conf"
    fresh_profile "$1"
    echo "$2" | make_ini
    dump_mailboxes target >"$WORK/target.before"
    dump_mailboxes source >"$WORK/source.before"
}

# "old": an Outlook up to 2010, whose profiles lie elsewhere in the registry
wms='Windows NT\\CurrentVersion\\Windows Messaging Subsystem\\Profiles'
fresh_profile() { # Outlook version
    version=$1 move=
    [ "$1" = old ] && version=16.0 &&
        move="s/Office\\\\16\.0\\\\Outlook\\\\Profiles/$wms/; s/Office\\\\16\.0\\\\Outlook]/$wms]/"
    a=.source.alice
    "$BUILD/cpuu-mkprofile" width=8 version="$version" profile=Outlook user='C:\Users\alice' \
        smtp="$(id $a.smtp)" dn="$(id $a.dn)" name="$(id $a.display)" guid="$(id $a.guid)" \
        inbox="$(id "$a.folders[\"@inbox\"]")" | sed "$move" >"$WORK/profile.reg" || die "cpuu-mkprofile failed"
    rm -rf "$WORK/Users" "$WORK/state"
    mkdir -p "$ROAMING" "$WORK/Users/alice/AppData/Local/Microsoft/Outlook"
    "$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg" || die "cpuu-mkhive failed"
    dump_hive "$HIVE" >"$WORK/hive.before"
}

list_in() { # folder of a dump (org.mailbox["/folder"]), subject: the stream in hex
    lab_get dump | jq -r --arg s "$2" ".$1.associated[].properties | select(.[\"0E1D001F\"] == \$s)
        | .[\"7C090102\"]"
}
expected() { list_in 'target.mailboxes.expected["/Top of Information Store/Inbox"]' "$1"; }
target_list() { list_in 'target.mailboxes.alice["/Top of Information Store/Inbox"]' IPM.Configuration.Autocomplete; }
source_list() { list_in 'source.mailboxes.alice["/Top of Information Store/Inbox"]' IPM.Configuration.Autocomplete; }
own_list() { list_in 'target.mailboxes.expected["/Top of Information Store/Drafts"]' own; }

target_is() { # expected list
    test -n "$1" && test "$(target_list)" = "$1"
}
target_unchanged() {
    dump_mailboxes target >"$WORK/target.now"
    diff "$WORK/target.before" "$WORK/target.now"
}
source_unchanged() {
    dump_mailboxes source >"$WORK/source.now"
    diff "$WORK/source.before" "$WORK/source.now"
}
hive_unchanged() {
    dump_hive "$HIVE" >"$WORK/hive.now"
    diff "$WORK/hive.before" "$WORK/hive.now"
}
run() { cpuu "$@" >"$WORK/out" 2>&1; }
updated() { test $((mask & 1)) -eq 1; }
decided() { # title, outcome, reason
    jq -e --arg t "$1" --arg o "$2" --arg r "$3" \
        '[.profiles[0].features[] | select(.name == "Nicks") | .links[]
          | select(.title == $t and .outcome == $o and .reason == $r)] | length == 1' "$WORK/report.json"
}

message() { # hex of a list: a message in the target's Inbox
    echo "[mailbox target/alice]"
    echo "fai @inbox"
    echo "prop Class IPM.Configuration.Autocomplete"
    echo "prop Subject IPM.Configuration.Autocomplete"
    echo "prop RoamingDatatypes 1"
    echo "prop RoamingBinary $1"
}

to_bytes() { sed 's/../\\x&/g' | xargs -0 /usr/bin/printf; }
from_bytes() { od -An -v -tx1 "$1" | tr -d ' \n'; }

undo_restores() { # case
    run -UndoAll
    check "$1: undo succeeds" updated
    check "$1: undo restores the target mailbox" target_unchanged
    check "$1: undo restores the profile" hive_unchanged
}

# ---- the target has no list ----------------------------------------------------------------------

begin 16.0 Features=Nicks </dev/null
rewritten=$(expected rewritten) merged=$(expected merged) original=$(source_list) own=$(own_list)
run
check "no list at the target: update succeeds" updated
check "no list at the target: the source's is created, every identity translated" target_is "$rewritten"
check "no list at the target: the source is not written" source_unchanged
check "a colleague who has moved" decided 'Bob Brown' rewritten migrated
check "the user" decided 'Alice Adams' rewritten own
check "somebody found by address only" decided 'Erin Engel' rewritten migrated
check "a distribution list" decided 'Staff List' rewritten migrated
check "a colleague who has not moved" decided 'Carol Clark' kept not-migrated
check "somebody nobody knows" decided 'Nobody Known' kept unknown
check "an SMTP address is no link" jq -e \
    '[.profiles[0].features[] | select(.name == "Nicks") | .links[]] | length == 6' "$WORK/report.json"
dump_mailboxes target >"$WORK/target.once"
fresh_profile 16.0
run
dump_mailboxes target >"$WORK/target.twice"
check "updated from a second profile: nothing changes" cmp "$WORK/target.once" "$WORK/target.twice"
begin 16.0 Features=Nicks </dev/null
run
undo_restores "no list at the target"

# ---- a copy, a list of its own, one that is right already ------------------------------------------

message "$original" >"$WORK/more"
begin 16.0 Features=Nicks <"$WORK/more"
run
check "copied by the move: update succeeds" updated
check "copied by the move: corrected in place" target_is "$rewritten"
undo_restores "copied by the move"

message "$own" >"$WORK/more"
begin 16.0 Features=Nicks <"$WORK/more"
run
check "a list of its own: update succeeds" updated
check "a list of its own: rows it lacks are merged in by weight, its own stay" target_is "$merged"
undo_restores "a list of its own"

message "$rewritten" >"$WORK/more"
begin 16.0 Features=Nicks <"$WORK/more"
run
check "right already: update succeeds" updated
check "right already: not touched" target_unchanged

# ---- damaged, skipped, removed ---------------------------------------------------------------------

damaged=$(echo "$original" | cut -c1-1500)
message "$damaged" >"$WORK/more"
begin 16.0 Features=Nicks <"$WORK/more"
run
check "damaged at the target: update succeeds" updated
check "damaged at the target: not touched" target_unchanged
check "damaged at the target: reported" \
    decided 'AutoComplete list of the target mailbox' kept unreadable

message "$original" >"$WORK/more"
begin 16.0 'Skip=Nicks' <"$WORK/more"
run
check "skipped: not touched" target_unchanged

message "$original" >"$WORK/more"
begin 16.0 'Remove=Nicks' <"$WORK/more"
run
check "Remove=Nicks: update succeeds" updated
check "Remove=Nicks: the list is gone" test -z "$(target_list 2>/dev/null)"
check "Remove=Nicks: warned with the number of entries" grep -q 'deletes.*with its 7 entries' "$WORK/cpuu.log"
run -UndoAll
check "Remove=Nicks: undo brings it back" target_unchanged

# ---- .nk2 --------------------------------------------------------------------------------------------

nk2() { # Outlook version, line for the INI
    begin "$1" "$2" </dev/null
    echo "$original" | tr -d '\n' | to_bytes >"$ROAMING/Outlook.nk2"
    cp "$ROAMING/Outlook.nk2" "$WORK/nk2.before"
    run
}
nk2 old Features=Nicks
check ".nk2: update succeeds" updated
check ".nk2: rewritten" test "$(from_bytes "$ROAMING/Outlook.nk2")" = "$rewritten"
run -UndoAll
check ".nk2: undo restores it" cmp "$WORK/nk2.before" "$ROAMING/Outlook.nk2"
nk2 16.0 Features=Nicks
check ".nk2: not touched for an Outlook that has no use for it" cmp "$WORK/nk2.before" "$ROAMING/Outlook.nk2"
nk2 old Remove=Nicks
check ".nk2: Remove=Nicks deletes it" test ! -e "$ROAMING/Outlook.nk2"
run -UndoAll
check ".nk2: undo brings it back" cmp "$WORK/nk2.before" "$ROAMING/Outlook.nk2"

# ---- 5,000 rows --------------------------------------------------------------------------------------

{
    echo "[mailbox target/expected]"
    echo "fai @drafts"
    echo "prop Class IPM.Configuration.Autocomplete"
    echo "prop Subject big"
    echo "prop RoamingBinary nick:5000 nickfill:5000|bob nickend:"
    message 'nick:5000 nickfill:5000|source/bob nickend:'
} >"$WORK/more"
begin 16.0 Features=Nicks <"$WORK/more"
big=$(list_in 'target.mailboxes.expected["/Top of Information Store/Drafts"]' big)
lab_get 'stats?reset=1' >/dev/null
run
requests=$(lab_get stats | jq '.target.requests')
check "5,000 rows: update succeeds" updated
# seven rows of the source come in behind them
check "5,000 rows: rewritten in their order" \
    test "$(target_list | cut -c33-2000000)" = "$(echo "$big" | cut -c33-2000000)"
# sent in pieces of 28 KB and read in larger ones; nothing grows with the number of rows
most=$((40 + ${#big} / 2 / 20000))
check "5,000 rows: one read and one write ($requests requests, at most $most)" test "$requests" -le $most
undo_restores "5,000 rows"
exit $failed
