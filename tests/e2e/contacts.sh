#!/bin/bash
# ContactMembers: addresses of contacts, personal lists, linked contacts. What must come out stands in the
# mailbox target/expected of the lab, written by the lab's own encoders. Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1

fresh_profile() {
    a=.source.alice
    "$BUILD/cpuu-mkprofile" width=8 version=16.0 profile=Outlook user='C:\Users\alice' \
        smtp="$(id $a.smtp)" dn="$(id $a.dn)" name="$(id $a.display)" guid="$(id $a.guid)" \
        inbox="$(id "$a.folders[\"@inbox\"]")" >"$WORK/profile.reg" || die "cpuu-mkprofile failed"
    rm -rf "$WORK/Users" "$WORK/state"
    mkdir -p "$WORK/Users/alice/AppData/Roaming/Microsoft/Outlook" \
        "$WORK/Users/alice/AppData/Local/Microsoft/Outlook"
    "$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg" || die "cpuu-mkhive failed"
    dump_hive "$HIVE" >"$WORK/hive.before"
}

begin() { # content, lines for the INI
    lab_stop
    lab_start "$1"
    fresh_profile
    echo "$2" | make_ini
    dump_mailboxes target >"$WORK/target.before"
    dump_mailboxes source >"$WORK/source.before"
}
run() { cpuu "$@" >"$WORK/out" 2>&1; }
updated() { test $((mask & 1)) -eq 1; }
unchanged() { # target, source
    dump_mailboxes "$1" >"$WORK/$1.now"
    diff "$WORK/$1.before" "$WORK/$1.now"
}
hive_unchanged() {
    dump_hive "$HIVE" >"$WORK/hive.now"
    diff "$WORK/hive.before" "$WORK/hive.now"
}

# Items of a folder in a mailbox of the target, but for the checksum, which is looked at on its own.
items() { # mailbox, folder
    dump_mailboxes target | jq -S --arg b "$1" --arg f "/Top of Information Store/$2" \
        '.target.mailboxes[$b][$f].messages | map(.properties | with_entries(select(.key | test("804c"; "i") | not)))
         | sort_by(tostring)'
}
same_items() { # folder
    items expected "$1" >"$WORK/want"
    items alice "$1" >"$WORK/have"
    test "$(jq length "$WORK/want")" -gt 0 && diff "$WORK/want" "$WORK/have"
}
decided() { # title, outcome, reason
    jq -e --arg t "$1" --arg o "$2" --arg r "$3" \
        '[.profiles[0].features[] | select(.name == "ContactMembers") | .links[]
          | select(.title == $t and .outcome == $o and .reason == $r)] | length == 1' "$WORK/report.json"
}

# [MS-OXOCNTC] 3.1.5.11, written once more: CRC-32 of the members without the usual complements.
checksum() { # members in hex: u32 count, then u16 size and bytes of each
    sum=0 members= rest=${1:8}
    while [ -n "$rest" ]; do
        size=$((16#${rest:2:2}${rest:0:2} * 2))
        members=$members${rest:4:$size}
        rest=${rest:$((4 + size))}
    done
    for byte in $(echo "$members" | fold -w2); do
        sum=$((sum ^ 16#$byte))
        for bit in 1 2 3 4 5 6 7 8; do
            if [ $((sum & 1)) -eq 1 ]; then sum=$(((sum >> 1) ^ 0xEDB88320)); else sum=$((sum >> 1)); fi
        done
    done
    echo $sum
}
value_of() { # list, part of a property's name
    dump_mailboxes target | jq -r --arg n "$1" --arg k "$2" \
        '[.target.mailboxes.alice[].messages? // [] | .[].properties | select(.["0E1D001F"] == $n)][0]
         | to_entries[] | select(.key | test($k; "i")) | .value | if type == "array" then join("") else . end'
}
checksum_is_right() { # list
    want=$(checksum "$(value_of "$1" ':0x8055')")
    have=$(value_of "$1" ':0x804c')
    echo "expected $want, found $have"
    test "$have" = "$want" || test "$have" = $((want - (1 << 32)))
}

# ---- everything once -------------------------------------------------------------------------------

begin "$srcdir/tests/lab/contacts.conf" Features=ContactMembers
run --dry-run
check "a dry run changes nothing" unchanged target
run
check "update succeeds" updated
check "contacts and a list with a stream: as expected" same_items Contacts
check "a list with arrays, in a subfolder: as expected" same_items Contacts/Suppliers
check "a subfolder of a class of its own: as expected" same_items Contacts/Suppliers/Клиенты
check "a contact outside the contact folders: not touched" \
    test "$(items alice Inbox/Cards)" = "$(jq -S --arg f '/Top of Information Store/Inbox/Cards' \
        '.target.mailboxes.alice[$f].messages | map(.properties) | sort_by(tostring)' "$WORK/target.before")"
check "the checksum of the list is that of its members" checksum_is_right Team
check "the source is not written" unchanged source
check "a colleague who has moved" decided 'Bob Brown: e-mail 1' rewritten migrated
check "a colleague who has not moved" decided 'Bob Brown: e-mail 2' kept not-migrated
check "somebody found by address only" decided 'Erin Engel: e-mail 1' rewritten migrated
check "somebody nobody knows" decided 'Gone: e-mail 1' kept unknown
check "somebody named by the target's identity" decided 'Already: e-mail 1' already at-target
check "a linked entry of the address book" \
    decided 'Bob Brown: entry of the address book it is linked with' rewritten migrated
check "a linked contact" decided 'Erin Engel: linked contact' rewritten own
check "a linked contact that was not moved" decided 'Gone: linked contact' kept missing
check "a contact as member of a list" decided 'Team: member Bob (card)' rewritten own
check "a distribution list as member of a list" decided 'Streamed: member Staff List' rewritten migrated
check "contacts in PST files are reported, once" \
    decided 'Contacts in 1 PST file of the profile' already local
check "no decision about an SMTP address" jq -e \
    '[.profiles[0].features[] | select(.name == "ContactMembers") | .links[] | .title
      | select(test("e-mail 3|fax|Someone"))] | length == 0' "$WORK/report.json"

dump_mailboxes target >"$WORK/target.once"
fresh_profile
run
dump_mailboxes target >"$WORK/target.twice"
check "updated from a second profile: nothing changes" cmp "$WORK/target.once" "$WORK/target.twice"

begin "$srcdir/tests/lab/contacts.conf" Features=ContactMembers
run
run -UndoAll
check "undo succeeds" updated
check "undo restores the target mailbox" unchanged target
check "undo restores the profile" hive_unchanged

begin "$srcdir/tests/lab/contacts.conf" Skip=ContactMembers
run
check "skipped: not touched" unchanged target

# ---- a list that outgrows its arrays ---------------------------------------------------------------

{
    cat "$srcdir/tests/lab/contacts.conf"
    address='{00062004-0000-0000-C000-000000000046}'
    echo '[mailbox target/alice]'
    echo 'item @contacts'
    echo 'prop Class IPM.DistList'
    echo 'prop Subject Big'
    echo "prop $address:0x8053:001F Big"
    echo "prop $address:0x8055:1102$(for i in $(seq 160); do printf ' member:source/bob'; done)"
    echo "prop $address:0x8054:1102$(for i in $(seq 160); do printf ' "oneoff:B|SMTP|b@x"'; done)"
} >"$WORK/content.conf"
begin "$WORK/content.conf" Features=ContactMembers
old=$(value_of Big ':0x8055')
run
check "a list that outgrows its arrays: update succeeds" updated
check "a list that outgrows its arrays: they stay below the limit" test "$(value_of Big ':0x8055')" = "$old"
stream=$(value_of Big ':0x8064')
check "a list that outgrows its arrays: it has a stream of 160 members" \
    test "${stream:0:8} ${stream:16:8} ${stream:24:8}" = '01000000 01000000 a0000000'
target_bob=$(printf '/o=TargetOrg/ou=Exchange Administrative Group/cn=Recipients/cn=bob' | od -An -v -tx1 | tr -d ' \n')
check "a list that outgrows its arrays: all of them are at the target" \
    test "$(echo "$stream" | grep -o "$target_bob" | wc -l)" -eq 160
run -UndoAll
check "a list that outgrows its arrays: undo restores it" unchanged target

# ---- many contacts ---------------------------------------------------------------------------------

many=${CONTACTS:-2000}
{
    cat "$srcdir/tests/lab/contacts.conf"
    echo '[mailbox target/alice]'
    echo 'folder @contacts/Many IPF.Contact'
    for i in $(seq "$many"); do
        echo 'item @contacts/Many'
        echo 'prop Class IPM.Contact'
        echo "prop Subject \"Contact $i\""
        echo "prop DisplayName \"Contact $i\""
        echo "prop $address:0x8080:001F \"Contact $i\""
        echo "prop $address:0x8082:001F EX"
        echo "prop $address:0x8083:001F /o=SourceOrg/ou=Ex/cn=Recipients/cn=bob"
        echo "prop $address:0x8084:001F bob@source.test"
        echo "prop $address:0x8085:0102 ab:source/bob"
        echo "prop $address:0x8090:001F \"Contact $i\""
        echo "prop $address:0x8092:001F SMTP"
        echo "prop $address:0x8093:001F contact$i@elsewhere.test"
        echo "prop $address:0x8095:0102 \"oneoff:Contact $i|SMTP|contact$i@elsewhere.test\""
    done
} >"$WORK/content.conf"
begin "$WORK/content.conf" Features=ContactMembers
lab_get 'stats?reset=1' >/dev/null
run
requests=$(lab_get stats | jq '.target.requests')
check "$many contacts: update succeeds" updated
lab_get 'dump?org=target' >"$WORK/many.json"
check "$many contacts: all of them name the target" test "$(jq --arg d \
    '/o=TargetOrg/ou=Exchange Administrative Group/cn=Recipients/cn=bob' \
    '[.target.mailboxes.alice["/Top of Information Store/Contacts/Many"].messages[].properties
      | select(any(.[]; . == $d))] | length' "$WORK/many.json")" -eq "$many"
check "$many contacts: $requests requests, at most one for 5 of them" \
    test "$requests" -le $((60 + many / 5))
run -UndoAll
check "$many contacts: undo succeeds" updated
check "$many contacts: undo restores them" unchanged target
exit $failed
