#!/bin/bash
# What an update of 30 links asks of the servers: one more request is one more to wait for, as most of
# them wait for one another. The lab answers slowly enough for what goes on side by side to do so.
testing=trips
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
HIVE=$WORK/NTUSER.DAT

"$src/tests/bench/content.sh" 30 >"$WORK/content.conf"
lab_start "$WORK/content.conf"
make_ini </dev/null
a=.source.alice
"$BUILD/cpuu-mkprofile" profile=Outlook user='C:\Users\alice' smtp="$(id $a.smtp)" dn="$(id $a.dn)" \
    name="$(id $a.display)" guid="$(id $a.guid)" inbox="$(id "$a.folders[\"@inbox\"]")" \
    box= contacts= move= contacts="Contacts;$(id "$a.folders[\"@contacts\"]")" >"$WORK/profile.reg"
"$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg"
lab_post fault '{"delay_ms": 60}' >/dev/null
lab_get 'stats?reset=1' >/dev/null
cpuu >"$WORK/out" 2>&1
check "update" "exit mask $mask" test $((mask & 1)) = 1
lab_get stats >"$WORK/stats.json"

at_most() { # what, organisation, field, most
    n=$(jq ".$2.$3" "$WORK/stats.json")
    check "$1" "$n $3 at the $2, at most $4" test "$n" -gt 0 -a "$n" -le "$4"
}
# Own mailbox: Logon; special folders, Switch Message and what features read; the rest of it. Three
# colleagues: Logon; Switch Message. The one who has moved: his folders.
at_most "source: requests to mailboxes" source executes 10
at_most "source: contexts" source connects 4
# Own mailbox: Logon; the tree of folders on a context of its own, beside special folders and what
# features read; what lives in those; what is there before the change; the change. The colleague who has
# moved: Logon; his folders. Contexts are connected before it is known who of the three has.
at_most "target: requests to mailboxes" target executes 8
at_most "target: contexts" target connects 5
at_most "target: Autodiscover" target autodiscovers 2
finish
