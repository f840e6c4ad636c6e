#!/bin/bash
# Selections, switches and settings: what each changes, and that undo takes it back.
testing=e2e-behaviour
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
profiles=/Software/Microsoft/Office/16.0/Outlook/Profiles

text() { reglookup "$HIVE" 2>/dev/null | sed 's/%00//g'; }
has() { text | grep -aq "$1"; }
has_not() { ! has "$1"; }
keys() { reglookup -t KEY -p "$profiles" "$HIVE" 2>/dev/null | cut -d, -f1 | grep -o 'CPUU_[^/]*$'; }
boxes() { # mailboxes in the profile besides the user's own
    text | grep -a "^$profiles/Outlook/" | grep -a '001f6641,BINARY,SMTP:' | grep -vc 'SMTP:alice@'
}
back() { # case: undo gives back the start
    gives "$1: undo" 1 -UndoAll
    snapshot now
    same_or_fail "$1: undo restores" start now
}
mail_same() { dump_mailboxes target | cmp -s - "$WORK/mail.start"; }
fresh() { # [INI lines on standard input]
    lab_stop
    rm -rf "$WORK/state" "$WORK/Users"
    world "${1:-8}" "${2:-16.0}"
}

# ---- settings --------------------------------------------------------------------------------------------
world < <(echo BackupCopy=journal)
check "two additional mailboxes to begin with" "$(boxes)" test "$(boxes)" = 2
gives "BackupCopy=journal" 1
check "BackupCopy=journal: no copy in the hive" "there is one" has_not CPUU_Backup_
back "BackupCopy=journal"

make_ini </dev/null
gives "-LeaveTemporaryProfile" 1 -LeaveTemporaryProfile
check "-LeaveTemporaryProfile: one is left" "$(keys)" test "$(keys | grep -c 'CPUU_{')" -gt 0
gives "undo takes the temporary profile away" 1 -UndoAll
check "no temporary profile after undo" "$(keys)" test "$(keys | grep -c CPUU_)" = 0
gives "-LeaveTemporaryProfile once more" 1 -LeaveTemporaryProfile
gives "temporary profile is left alone" 0
check "temporary profile is no row" "$(cat "$WORK/cpuu.csv")" bash -c '! grep -q "CPUU_{" "$0"' "$WORK/cpuu.csv"
gives "cleanup takes it away" 1 -Cleanup
check "no temporary profile after cleanup" "$(keys)" test "$(keys | grep -c CPUU_)" = 0

fresh < <(echo "Features=AddBoxes")
gives "Features=AddBoxes" 1
check "Features=AddBoxes: the mailbox is not touched" "its dump differs" mail_same
check "Features=AddBoxes: bob has moved" "no bob@target.test" has '001f6641,BINARY,SMTP:bob@target.test'
back "Features=AddBoxes"
echo "Features=Favorites Tasks" | make_ini
gives "Features=Favorites Tasks" 1
lab_get "dump?org=target" >"$WORK/after.json"
count() { jq -r --argjson s "$1" '[.target.mailboxes.alice["/Common Views"].associated[].properties
    | select(.["68520003"] == $s and .["68490003"] != 4)] | length' "$WORK/after.json"; }
check "Features=Favorites Tasks: favorites" "$(count 1)" test "$(count 1)" = 4
check "Features=Favorites Tasks: no notes" "$(count 6)" test "$(count 6)" = 0
check "Features=Favorites Tasks: only the tasks of one" "$(count 5)" test "$(count 5)" = 1
back "Features=Favorites Tasks"
echo "Skip=AddBoxes CONTAB Services" | make_ini
rm -f "$WORK/cpuu.log"
gives "Skip" 1
ticked=$(grep -ac 'Calendar: which calendars are ticked' "$WORK/cpuu.log")
check "calendars that are ticked are mentioned once" "$ticked" test "$ticked" = 1
check "Skip=AddBoxes: the list is empty" "$(boxes)" test "$(boxes)" = 0
check "Skip=AddBoxes: bob is gone" "still there" \
    bash -c '! grep -aq "^$0/Outlook/.*SMTP:bob@" <<<"$1"' "$profiles" "$(text)"
check "Skip=CONTAB: the address book is empty" "folders are left" \
    bash -c '! grep -aq "^$0/Outlook/[^,]*/11026620,BINARY,%0[1-9]" <<<"$1"' "$profiles" \
    "$(reglookup "$HIVE" 2>/dev/null)"
back "Skip"

# ---- a mapping file and no network -------------------------------------------------------------------------
{
    echo source_smtp,source_dn,target_smtp,target_dn,display_name,office365,migrated
    for who in alice bob; do
        echo "$who@source.test,$(id .source.$who.dn),$who@target.test,$(id .target.$who.dn),$who,0,1"
    done
} >"$WORK/map.csv"
printf 'MappingFile=%s/map.csv\nSkip=All\n' "$WORK" | make_ini
rm "$WORK/credentials.ini"
lab_stop
gives "Skip=All with a mapping file and no network" 1
csv_is "Skip=All: CSV" Outlook "10 0"
check "Skip=All: the account" "no alice@target.test" has '/00000002/Email,[^,]*,alice@target.test'
check "Skip=All: no additional mailbox" "$(boxes)" test "$(boxes)" = 0
gives "Skip=All: undo without network" 1 -UndoAll
dump_hive "$HIVE" >"$WORK/hive.now.exact"
check "Skip=All: undo restores" "the hives differ" cmp -s "$WORK/hive.start.exact" "$WORK/hive.now.exact"

# ---- several profiles, several hives -----------------------------------------------------------------------
fresh </dev/null
a=.source.alice
"$BUILD/cpuu-mkprofile" profile=Second user='C:\Users\alice' smtp="$(id $a.smtp)" dn="$(id $a.dn)" \
    name="$(id $a.display)" guid="$(id $a.guid)" inbox="$(id "$a.folders[\"@inbox\"]")" \
    box= contacts= move= other= | sed 1d >"$WORK/second.reg"
grep -v DefaultProfile "$WORK/second.reg" | cat "$WORK/profile.reg" - >"$WORK/two.reg"
rm "$HIVE"
"$BUILD/cpuu-mkhive" "$HIVE" "$WORK/two.reg" || fail "two profiles" "no hive"
snapshot start
gives "list two profiles" 0 --list-profiles
says "list: the default profile" '^  Outlook (default)'
says "list: the other one" '^  Second$'
gives "-Profiles second" 1 -Profiles SECOND
csv_is "-Profiles: the one" Second "10 0"
csv_is "-Profiles: not the other" Outlook ""
gives "-UndoDefaultProfile has nothing to do" 0 -UndoDefaultProfile
csv_is "-UndoDefaultProfile: CSV" Outlook "3 0"
gives "-Undo one" 1 -Undo Second
snapshot now
same_or_fail "-Undo one restores" start now
gives "-DefaultProfile" 1 -DefaultProfile
csv_is "-DefaultProfile: CSV" Outlook "10 0"
dump_mailboxes target >"$WORK/mail.one"
gives "a second profile of the mailbox" 1 -Profiles Second
csv_is "a second profile: CSV" Second "10 0"
dump_mailboxes target >"$WORK/mail.two"
check "a second profile changes nothing more" "the mailbox differs" cmp -s "$WORK/mail.one" "$WORK/mail.two"
gives "-Undo of the second" 1 -Undo Second
dump_mailboxes target >"$WORK/mail.two"
check "-Undo of the second leaves the mailbox" "it differs" cmp -s "$WORK/mail.one" "$WORK/mail.two"
gives "-UndoDefaultProfile" 1 -UndoDefaultProfile
snapshot now
same_or_fail "-UndoDefaultProfile restores" start now
gives "both" 1
csv_is "both: first" Outlook "10 0"
csv_is "both: second" Second "10 0"
back "both"

mkdir -p "$WORK/Users/two/deep" "$WORK/Users/none"
"$BUILD/cpuu-mkhive" "$WORK/Users/two/deep/ntuser.dat" "$WORK/profile.reg"
echo x >"$WORK/Users/none/NTUSER.DAT.LOG1"
one=$HIVE
dump_hive "$WORK/Users/two/deep/ntuser.dat" >"$WORK/hive2.start"
"$CPUU" --hives "$WORK/Users" -INI "$WORK/CPUU.ini" --state "$WORK/state" -Log "$WORK/cpuu.log" >"$WORK/out" 2>&1
check "--hives: two hives" "$(cat "$WORK/out")" test "$(grep -c 'Outlook.10.0' "$WORK/cpuu.csv")" = 2
"$CPUU" --hives "$WORK/Users" -INI "$WORK/CPUU.ini" --state "$WORK/state" -Log "$WORK/cpuu.log" -UndoAll >"$WORK/out" 2>&1
snapshot now
same_or_fail "--hives: undo restores" start now
dump_hive "$WORK/Users/two/deep/ntuser.dat" | cmp -s - "$WORK/hive2.start" &&
    pass "--hives: undo restores the other" || fail "--hives: undo restores the other" "it differs"

# ---- undo without the mailbox ------------------------------------------------------------------------------
fresh </dev/null
gives "update" 1
dump_hive "$HIVE" >"$WORK/hive.new.exact"
lab_stop
gives "undo, mailbox not reachable" 4 -UndoAll
csv_is "undo, mailbox not reachable: CSV" Outlook "13 2"
says "undo, mailbox not reachable: what can be done" '--profile-only'
dump_hive "$HIVE" | cmp -s - "$WORK/hive.new.exact" && pass "undo, mailbox not reachable: hive" ||
    fail "undo, mailbox not reachable: hive" "it has changed"
gives "undo --profile-only" 1 -UndoAll --profile-only
csv_is "undo --profile-only: CSV" Outlook "12 2"
dump_hive "$HIVE" | cmp -s - "$WORK/hive.start.exact" && pass "undo --profile-only restores the hive" ||
    fail "undo --profile-only restores the hive" "it differs"

# ---- a service account on both sides -----------------------------------------------------------------------
fresh </dev/null
sed -i 's/^User=.*@/User=svcadmin@/; s/^Password=.*/Password=admin-source/' "$WORK/credentials.ini"
sed -i '/^\[Target\]/,$s/^Password=.*/Password=admin-target/' "$WORK/credentials.ini"
gives "service account" 1
check_shortcuts >"$WORK/shortcuts" && pass "service account: all shortcuts" ||
    fail "service account: all shortcuts" "$(grep WRONG "$WORK/shortcuts" | head -3)"
back "service account"

# ---- what the migration copied -----------------------------------------------------------------------------
lab_stop
cat "$src/tests/lab/demo.conf" - >"$WORK/copied.conf" <<'END'
[mailbox target/alice]
fai @commonviews
prop Class IPM.Microsoft.WunderBar.Link
prop Subject Projects
prop WlinkSaveStamp 0x12345678
prop WlinkType 0
prop WlinkFlags 0
prop WlinkOrdinal 82
prop WlinkEntryId eid:source/alice:@inbox/Projects
prop WlinkRecordKey eid:source/alice:@inbox/Projects
prop WlinkStoreEntryId store:source/alice
prop WlinkFolderType 0078060000000000c000000000000046
prop WlinkGroupClsid f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1
prop WlinkGroupName Favorites
prop WlinkSection 1
END
CONTENT=$WORK/copied.conf
fresh </dev/null
gives "copied shortcut" 1
check_shortcuts >"$WORK/shortcuts" && pass "copied shortcut: rewritten in place, not doubled" ||
    fail "copied shortcut: rewritten in place, not doubled" "$(grep WRONG "$WORK/shortcuts" | head -3)"
back "copied shortcut"
CONTENT=

# ---- a feature fails at the server -------------------------------------------------------------------------
# Each Execute of the target fails once: that costs no feature, critical or not.
fresh < <(echo "Critical=Notes")
lab_get 'stats?reset=1' >/dev/null
run
total=$(lab_get stats | jq .target.executes)
run -UndoAll
problem=
for n in $(seq 1 "$total"); do
    lab_post fault "{\"org\":\"target\",\"type\":\"Execute\",\"action\":\"fail\",\"at\":$n,\"count\":1}" >/dev/null
    run
    lab_post fault '{"action":""}' >/dev/null
    grep -aq 'has a bug' "$WORK/out" && problem="request $n: $(grep -a 'has a bug' "$WORK/out" | head -1)"
    [ "$mask $(csv Outlook)" = "1 10 0" ] || problem="request $n: status $mask, CSV row '$(csv Outlook)'"
    grep -aq '^    [A-Za-z]* *failed' "$WORK/out" && problem="request $n: $(grep -a '^    [A-Za-z]* *failed' "$WORK/out")"
    run -UndoAll
    snapshot now
    same start now || problem="request $n: undo does not restore:$differs"
done
check "a failed request ($total of them)" "$problem" test -z "$problem"
# What the server refuses (RopModifyRules here) it refuses twice. The failure of a critical feature takes
# everything back; that of another one leaves the rest updated and says so.
fresh < <(echo "Critical=Rules")
refuse() { lab_post fault "{\"org\":\"target\",\"unsupported\":$1}" >/dev/null; }
refuse 65
gives "a critical feature is refused" 4
csv_is "a critical feature is refused: CSV" Outlook "11 0"
says "a critical feature is refused: reason" 'feature Rules'
snapshot now
same_or_fail "a critical feature that fails takes all back" start now
make_ini </dev/null
gives "a feature is refused" 1
check "a feature that is not critical fails alone" "$(grep -a '^    [A-Za-z]* ' "$WORK/out")" \
    test "$(grep -ac '^    [A-Za-z]* *failed' "$WORK/out")" = 1
says "a feature that is not critical fails alone: which one" '^    Rules *failed'
refuse 0
gives "a feature is refused: undo" 1 -UndoAll
snapshot now
same_or_fail "a feature is refused: undo" start now

# ---- a name that libhivex cannot write ---------------------------------------------------------------------
# No tool here makes such a key, so one byte of an ASCII name is changed in the file: Latin-1 in the key,
# UTF-16 in DefaultProfile.
fresh </dev/null
sed 's/\\Profiles\\Outlook/\\Profiles\\Xutlook/; s/="Outlook"/="Xutlook"/' "$WORK/profile.reg" >"$WORK/x.reg"
rm "$HIVE"
"$BUILD/cpuu-mkhive" "$HIVE" "$WORK/x.reg"
LC_ALL=C sed -i 's/Xutlook/\xdcutlook/g; s/X\x00u\x00t\x00l\x00/\xdc\x00u\x00t\x00l\x00/g' "$HIVE"
snapshot start
gives "non-ASCII name: list" 0 --list-profiles
says "non-ASCII name: is shown" '^  Üutlook'
run
if [ $mask -eq 1 ]; then
    pass "non-ASCII name: updated"
    back "non-ASCII name"
else
    says "non-ASCII name: reason" 'ASCII'
    snapshot now
    same_or_fail "non-ASCII name: nothing changed" start now
fi
# ---- a profile whose name comes before that of its backup copy ----------------------------------------
make_ini </dev/null
make_hive "$HIVE" 8 16.0
sed 's/Profiles\\Outlook/Profiles\\Alice/; s/="Outlook"/="Alice"/' "$WORK/profile.reg" >"$WORK/alice.reg"
rm -rf "$WORK/state" "$HIVE" "$WORK/cpuu.csv"
"$BUILD/cpuu-mkhive" "$HIVE" "$WORK/alice.reg"
gives "a profile called Alice is updated" 1
csv_is "a profile called Alice is updated: CSV" Alice "10 0"
gives "and cleaned up" 1 -Cleanup
csv_is "and cleaned up: CSV" Alice "14 2"
finish
