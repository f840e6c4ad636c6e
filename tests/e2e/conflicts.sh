#!/bin/bash
# Between the update and its undo somebody else changes what the update wrote: that stays, is reported,
# and everything else goes back.
testing=e2e-conflicts
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
guid() { # of the target mailbox, as its URL has it: the first three fields are little-endian
    g=$(id .target.alice.guid)
    echo "${g:6:2}${g:4:2}${g:2:2}${g:0:2}-${g:10:2}${g:8:2}-${g:14:2}${g:12:2}-${g:16:4}-${g:20:12}"
}
client() { # shortcut [new name]
    "$BUILD/cpuu-second-client" "$WORK/ca.pem" \
        "$target_url/mapi/emsmdb/?MailboxId=$(guid)@target.test" "$(id .target.alice.dn)" \
        alice@target.test alice-target "$@" || fail "second client" "it could not change '$1'"
}
shortcuts() { # names of the target's shortcuts in a dump
    jq -r '.target.mailboxes.alice["/Common Views"].associated[].properties["0E1D001F"]' "$1" | sort
}

world 8 16.0 </dev/null
gives "update" 1
client Projects "My own name"   # created by the update, renamed
client Ideas                    # created by the update, deleted
client Kalender "Mein Kalender" # there before the update
gives "undo" 1 -UndoAll
csv_is "undo: CSV" Outlook "12 2"
snapshot undone
check "undo: the hive" "it differs" cmp -s "$WORK/hive.start" "$WORK/hive.undone"
check "undo: the source" "it differs" cmp -s "$WORK/source.start" "$WORK/source.undone"
shortcuts "$WORK/mail.start" | sed 's/^Kalender$/Mein Kalender/' >"$WORK/want"
echo "My own name" >>"$WORK/want"
sort -o "$WORK/want" "$WORK/want"
shortcuts "$WORK/mail.undone" >"$WORK/have"
check "undo: what somebody else changed stays, the rest is gone" "$(diff "$WORK/want" "$WORK/have")" \
    cmp -s "$WORK/want" "$WORK/have"
conflicts() { jq -r '[.profiles[] | .conflicts | length] | add' "$WORK/report.json"; }
check "undo: the report has the conflict" "$(conflicts)" test "$(conflicts)" -ge 1
check "undo: the conflict names the shortcut" "$(jq -c '.profiles[].conflicts' "$WORK/report.json")" \
    grep -q 'Projects\|My own name' <<<"$(jq -c '.profiles[].conflicts' "$WORK/report.json")"
says "undo: the log has the conflict" "Projects.*\(changed\|kept\)\|conflict"
gives "update after a conflict" 1
gives "undo after a conflict" 1 -UndoAll
snapshot again
check "undo after a conflict gives back what it found" "$(shortcuts "$WORK/mail.again" | diff "$WORK/want" -)" \
    cmp -s "$WORK/want" <(shortcuts "$WORK/mail.again")
finish
