#!/bin/bash
# Shortcuts and SRS: the navigation file and the file of send/receive groups. What must come out is written
# by the same generators with the identifiers of the target; comparison is byte by byte.
# Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1
. "$srcdir/tests/e2e/profile-data.sh" || exit 1
ROAMING=$WORK/Users/alice/AppData/Roaming/Microsoft/Outlook

decision() { # feature, title, outcome: the report says so
    jq -e --arg f "$1" --arg t "$2" --arg o "$3" \
        '[.. | objects | select(.name? == $f) | .. | objects | select(.title? == $t and .outcome? == $o)] | length >= 1' \
        "$WORK/report.json"
}

lab_start "$srcdir/tests/lab/demo.conf"
make_ini </dev/null
make_hive "$HIVE" 8 16.0

public_folders source
pane source.alice source.bob all >"$WORK/before.xml"
pane source.alice source.bob none >"$WORK/empty.xml"
groups source.alice source.bob >"$WORK/before.srs"
public_folders target
pane target.alice target.bob some >"$WORK/expected.xml"
groups target.alice target.bob >"$WORK/expected.srs"

for f in xml srs; do
    check "the expected .$f is another one" test "$(cksum <"$WORK/before.$f")" != "$(cksum <"$WORK/expected.$f")"
done

cp "$WORK/before.xml" "$ROAMING/Outlook.xml"
cp "$WORK/before.srs" "$ROAMING/Outlook.srs"
dump_hive "$HIVE" >"$WORK/hive.before"

cpuu --dry-run >/dev/null 2>&1
check "a dry run leaves the navigation file" cmp "$WORK/before.xml" "$ROAMING/Outlook.xml"
check "a dry run leaves the send/receive groups" cmp "$WORK/before.srs" "$ROAMING/Outlook.srs"

cpuu >/dev/null 2>&1
check "update succeeds" test $((mask & 1)) -eq 1
check "the navigation file is as expected" cmp "$WORK/expected.xml" "$ROAMING/Outlook.xml"
check "the send/receive groups are as expected" cmp "$WORK/expected.srs" "$ROAMING/Outlook.srs"
check "a shortcut to a missing folder is dropped" decision Shortcuts Gone dropped
check "a shortcut to a colleague who stayed is kept" decision Shortcuts Carol kept
check "a shortcut to an unknown mailbox is kept" decision Shortcuts Zoe kept
check "a shortcut into a PST is left alone" decision Shortcuts PST already
check "folders of send/receive groups are reported" decision SRS 'folder of a send/receive group' rewritten
cpuu >/dev/null 2>&1
check "a second update changes no file" cmp "$WORK/expected.xml" "$ROAMING/Outlook.xml"
cpuu -UndoAll >/dev/null 2>&1
dump_hive "$HIVE" >"$WORK/hive.undone"
check "undo restores the navigation file" cmp "$WORK/before.xml" "$ROAMING/Outlook.xml"
check "undo restores the send/receive groups" cmp "$WORK/before.srs" "$ROAMING/Outlook.srs"
check "undo restores the profile" cmp "$WORK/hive.before" "$WORK/hive.undone"

# Files that are at the target already: nothing is written (a second profile, or a run after a lost journal).
cp "$WORK/expected.xml" "$ROAMING/Outlook.xml"
cp "$WORK/expected.srs" "$ROAMING/Outlook.srs"
cpuu >/dev/null 2>&1
check "links that are at the target already stay" cmp "$WORK/expected.xml" "$ROAMING/Outlook.xml"
check "so they do in send/receive groups" cmp "$WORK/expected.srs" "$ROAMING/Outlook.srs"
cpuu -UndoAll >/dev/null 2>&1
check "undo leaves them, too" cmp "$WORK/expected.xml" "$ROAMING/Outlook.xml"

# Not selected.
cp "$WORK/before.xml" "$ROAMING/Outlook.xml"
cp "$WORK/before.srs" "$ROAMING/Outlook.srs"
echo 'Skip=Shortcuts SRS' | make_ini
[ "$(command id -u)" = 0 ] && chown -R 12345:12345 "$WORK/Users/alice"
cpuu >/dev/null 2>&1
check "update without these features succeeds" test $((mask & 1)) -eq 1
check "skipped: the pane is empty, the rest of the file stays" cmp "$WORK/empty.xml" "$ROAMING/Outlook.xml"
check "skipped: the send/receive groups are gone" test ! -e "$ROAMING/Outlook.srs"
cpuu -UndoAll >/dev/null 2>&1
check "undo restores the emptied navigation file" cmp "$WORK/before.xml" "$ROAMING/Outlook.xml"
check "undo restores the deleted groups" cmp "$WORK/before.srs" "$ROAMING/Outlook.srs"
check "both belong to the user" test "$(stat -c %u "$ROAMING/Outlook.srs" "$ROAMING/Outlook.xml" | sort -u)" = "$(stat -c %u "$ROAMING")"

# Damaged files: said, left, and no reason to leave the profile unswitched.
make_ini </dev/null
printf '<wundbar><stores>' >"$ROAMING/Outlook.xml"
head -c 700 "$WORK/before.srs" >"$ROAMING/Outlook.srs"
cp "$ROAMING/Outlook.xml" "$WORK/damaged.xml"
cp "$ROAMING/Outlook.srs" "$WORK/damaged.srs"
cpuu >/dev/null 2>"$WORK/err"
check "damaged files are reported" test "$(grep -c 'understand the' "$WORK/cpuu.log")" -ge 2
check "a damaged navigation file stays" cmp "$WORK/damaged.xml" "$ROAMING/Outlook.xml"
check "damaged groups stay" cmp "$WORK/damaged.srs" "$ROAMING/Outlook.srs"
cpuu -UndoAll >/dev/null 2>&1

# A profile without these files.
rm -f "$ROAMING/Outlook.xml" "$ROAMING/Outlook.srs"
cpuu >/dev/null 2>&1
check "a profile without these files is updated" test $((mask & 1)) -eq 1
check "and gets none" test -z "$(ls "$ROAMING")"

# A profile whose name no file can have: there is nothing to update, and nothing has failed.
cpuu -UndoAll >/dev/null 2>&1
echo "Critical=SRS Shortcuts Nicks" | make_ini
make_hive "$HIVE" 8 16.0 profile='a/b'
cpuu >"$WORK/err" 2>&1
check "a profile called a/b is updated" test $mask -eq 1
cpuu -UndoAll >/dev/null 2>&1
make_ini </dev/null
make_hive "$HIVE" 8 16.0

# Real files, whose mailboxes nobody knows here: not a byte may change.
oracles=${CPUU_ORACLES:-$srcdir/../shared/oracles}/profiles # independent data, as in tests/unit/oracle.h
if [ -d "$oracles/srs" ]; then
    cpuu -UndoAll >/dev/null 2>&1
    for f in "$oracles"/srs/*.srs; do
        cp "$oracles/navxml/stevedep_Outlook2016.redacted.xml" "$ROAMING/Outlook.xml"
        cp "$f" "$ROAMING/Outlook.srs"
        cpuu >/dev/null 2>&1
        check "update with real files succeeds" test $((mask & 1)) -eq 1
        check "links to unknown mailboxes in a real navigation file stay" cmp "$oracles/navxml/stevedep_Outlook2016.redacted.xml" "$ROAMING/Outlook.xml"
        check "links to unknown mailboxes in $(basename "$f") stay" cmp "$f" "$ROAMING/Outlook.srs"
        cpuu -UndoAll >/dev/null 2>&1
    done
else
    echo "SKIP: real files: no independent data ($oracles)"
fi
exit $failed
