#!/bin/bash
# The answer to a request in which several features write is lost, or the server fails with it as a
# whole: each of them is taken back and tried once more by itself, and nobody notices but the log.
testing=e2e-retry
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1

# What the report says of each feature, in the order of their names: a second try comes later.
told() {
    jq -S -c '[.profiles[0].features[] | {name, state, links: (.links | length)}] | sort_by(.name)' "$WORK/report.json"
}
changes() { jq '.profiles[0].changes | length' "$WORK/report.json"; }
failed() { jq '[.profiles[0].features[] | select(.state == "failed")] | length' "$WORK/report.json"; }
retried() { grep -ac 'is tried once more by itself' "$WORK/cpuu.log"; }
lose() { # action, first, count: of the requests that change something at the target
    lab_post fault "{\"org\":\"target\",\"action\":\"$1\",\"type\":\"change\",\"at\":$2,\"count\":$3}" >/dev/null
}
update() { # case, mask [arguments]
    rm -f "$WORK/cpuu.log"
    gives "$@"
    lab_post fault '{"action":""}' >/dev/null
    snapshot now
}
back() { # case
    gives "$1: undo" 1 -UndoAll
    snapshot undone
    same_or_fail "$1: undo gives back the start" start undone
}

world 8 16.0 </dev/null
update "undisturbed" 1
for what in mail hive; do mv "$WORK/$what.now" "$WORK/$what.new"; done
ln -s source.start "$WORK/source.new"
features=$(told)
changes=$(changes)
check "undisturbed: nothing is tried again" "$(retried)" test "$(retried)" = 0
back "undisturbed"

# The first request with changes is a flush of one feature; the second one is of many.
lost() { # case, action, first, least number of features that are concerned
    lose $2 $3 1
    update "$1" 1
    same_or_fail "$1: the new state" new now
    check "$1: features are tried again" "$(retried)" test "$(retried)" -ge $4
    check "$1: no feature failed" "$(failed)" test "$(failed)" = 0
    check "$1: the report is that of an undisturbed update" "$(diff <(jq . <<<"$features") <(told | jq .))" \
        test "$features" = "$(told)"
    check "$1: each change is reported once" "$(changes) instead of $changes" test "$(changes)" = $changes
    back "$1"
}
lost "flush of one feature" close-after 1 1
for how in close-after fail-after truncate; do lost "joint write, $how" $how 2 5; done
echo 'Critical=Favorites Calendar Rules' | make_ini
lost "joint write of critical features" close-after 2 5
make_ini </dev/null

# The connection fails again where that is taken back: once is borne, too.
lose close-after 2 2
update "taking back is disturbed" 1
same_or_fail "taking back is disturbed: the new state" new now
says "taking back is disturbed: the log" 'could not be taken back, which is tried once more'
back "taking back is disturbed"

# Every one is disturbed: what fails again has failed, alone; the rest is updated, and undo knows it.
lose close-after 2 100000
lab_get 'stats?reset=1' >/dev/null
update "each write is disturbed" 1
asked=$(lab_get stats | jq '[.[].requests] | add')
csv_is "each write is disturbed: CSV" Outlook "10 0"
check "each write is disturbed: who has a change failed" "$(told)" test "$(failed)" -ge 5
check "each write is disturbed: nobody is tried for ever" "$(retried) times" test "$(retried)" = "$(failed)"
check "each write is disturbed: requests" "there were $asked" test "$asked" -lt 250
for when in start now; do # the contacts were written before
    jq '.target.mailboxes.alice |= with_entries(select(.key | contains("/Contacts") | not))' \
        "$WORK/mail.$when" >"$WORK/rest.$when"
done
check "each write is disturbed: nothing of them is left" "$(diff "$WORK/rest.start" "$WORK/rest.now" | head -5)" \
    cmp -s "$WORK/rest.start" "$WORK/rest.now"
back "each write is disturbed"

# Autodiscover is busy for a moment.
lab_post fault '{"action":"503","type":"Autodiscover","count":1}' >/dev/null
update "Autodiscover is busy" 1
same_or_fail "Autodiscover is busy: the new state" new now
check "Autodiscover is busy: the log" "$(grep -ac 'is busy, trying again in' "$WORK/cpuu.log") times" \
    grep -aq 'Autodiscover at .* is busy, trying again in 500 ms' "$WORK/cpuu.log"
back "Autodiscover is busy"

# The server is gone: nothing is tried in vain, the profile is as it was, and the next run goes on from there.
lose die-after 2 1
rm -f "$WORK/cpuu.log"
gives "the server is gone" 4
csv_is "the server is gone: CSV" Outlook "13 0"
says "the server is gone: the log" 'could not be taken back'
check "the server is gone: nothing is tried again" "$(retried)" test "$(retried)" = 0
check "the server is gone: the hive" "changed" cmp -s "$WORK/hive.start" <(dump_plain "$HIVE")
lab_start "$src/tests/lab/demo.conf"
make_ini </dev/null
update "the server is back" 1
same_or_fail "the server is back: the new state" new now
back "the server is back"
finish
