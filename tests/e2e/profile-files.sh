#!/bin/bash
# Shortcuts and SRS: the navigation file and the file of send/receive groups. What must come out is written
# by the same generators with the identifiers of the target; comparison is byte by byte.
# Prints PASS: and FAIL: lines.
set -u
srcdir=${srcdir:-$(dirname "$0")/../..}
BUILD=${BUILD:-$(pwd)}
WORK=$(mktemp -d)
trap 'lab_stop; rm -rf "$WORK"' EXIT
. "$srcdir/tests/e2e/lib.sh"
CPUU=$BUILD/cpuu
HIVE=$WORK/Users/alice/NTUSER.DAT
ROAMING=$WORK/Users/alice/AppData/Roaming/Microsoft/Outlook
failed=0

check() { # what, then a command that must succeed
    what=$1
    shift
    if "$@" >"$WORK/check.out" 2>&1; then
        echo "PASS: $what"
    else
        echo "FAIL: $what"
        head -c 3000 "$WORK/check.out"
        failed=1
    fi
}

folder() { id ".$1.folders[\"$2\"]"; }
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
upper() { tr 'a-f' 'A-F'; }

# [MS-OXCDATA] 2.2.4.3 with the block of Outlook 2013 and later: SMTP address, DN, type.
store() {
    printf '%s' 0000000038a1bb1005e5101aa1bb08002b2a56c20000454d534d44422e444c4c00000000
    printf '%s' 000000001b55fa20aa6611cd9bc800aa002fc45a"$3"000000
    printf '%s' "$(hex "$1")00$(hex "$2")00e94632f4"
    printf '%02x0000000200000010000000' $((16 + 2 * ${#1} + 4))
    printf '%s' "$(hex "$1" | sed 's/../&00/g')00000000"
}
store_of() { store "$(id ".$1.smtp")" "$(id ".$1.dn")" "$2"; }

zoe=$(store zoe@source.test /o=SourceOrg/cn=Recipients/cn=zoe 08)
nobody=00000000$(printf '%032d' 7)0100$(printf '%032d' 8)00000000002a0000
pst_store=0000000038a1bb1005e5101aa1bb08002b2a56c200006d737073742e646c6c00000000004e495441f9bfb80100aa0037d96e0000000043003a005c0061002e0070007300740000000000
pst_folder=00000000$(printf '%032d' 9)82800000

block() { # number, store
    printf '\t\t<storeblock>\r\n\t\t\t<eidstore>%s</eidstore>\r\n' "$(echo "$2" | upper)"
    printf '\t\t\t<storeid>%s</storeid>\r\n\t\t\t<crawledIn12>1</crawledIn12>\r\n\t\t</storeblock>\r\n' "$1"
}
shortcut() { # name, number of store, record key, EntryID
    printf '\r\n\t\t\t<wdLnk>\r\n\t\t\t\t<ltype>shortcut</ltype>\r\n\t\t\t\t<storeid>%s</storeid>\r\n' "$2"
    printf '\t\t\t\t<icondata></icondata>\r\n\t\t\t\t<reckey>%s</reckey>\r\n' "$(echo "$3" | upper)"
    printf '\t\t\t\t<eid>%s</eid>\r\n' "$(echo "$4" | upper)"
    printf '\t\t\t\t<clsid>0078060000000000C000000000000046</clsid>\r\n\t\t\t\t<name>%s</name>\r\n' "$1"
    printf '\t\t\t\t<lId>9b5f29913f1dfc48b12f0b9232119c0e</lId>\r\n\t\t\t</wdLnk>'
}
web_link() {
    printf '\r\n\t\t\t<wdLnk><ltype>shortcut</ltype><reckey></reckey><eid>%s</eid>' 680074007400700000
    printf '<clsid>86F0060000000000C000000000000046</clsid><name>Büro &amp; mehr</name></wdLnk>'
}

# The navigation file: side of alice, side of bob, whether the shortcut without a target is there, one for
# each further store, in that order: own, bob, carol, PST, nobody, public.
pane() {
    me=$1 bob=$2 all=$3
    printf '<?xml version="1.0"?>\r\n<!-- kept -->\r\n<wundbar>\r\n\t<initMail>1</initMail>\r\n'
    printf '\t<version>1614326</version>\r\n\t<stores>\r\n'
    block 1 "$(store_of $me 0c)"
    block 2 "$(store_of $bob 08)"
    block 3 "$(store_of source.carol 08)"
    block 4 "$pst_store"
    block 5 "$zoe"
    block 6 "$public"
    printf '\t</stores>\r\n\t<userdefined>\r\n\t\t<linkgroup name="Моё" clsid="20CE183835725344923D743485E3C4E3">'
    if [ "$all" != none ]; then
        shortcut 'Outlook Today' 1 "$(id .$me.guid)" "$(store_of $me 0c)"
        shortcut Projects 1 "$(folder $me @inbox/Projects)" "$(folder $me @inbox/Projects)"
        [ "$all" = all ] && shortcut Gone 1 "$(folder $me "@inbox/Only at the source")" "$(folder $me "@inbox/Only at the source")"
        shortcut 'Bobs Kalender' 2 "$(folder $bob @calendar)" "$(folder $bob @calendar)"
        shortcut "Carol" 3 "$(folder source.carol @calendar)" "$(folder source.carol @calendar)"
        shortcut PST 4 01020304 "$pst_folder"
        shortcut Zoe 5 "$nobody" "$nobody"
        shortcut News 6 "$news" "$news"
        web_link
    fi
    printf '\r\n\t\t</linkgroup>\r\n\t</userdefined>\r\n\t<unknown a="1"/>\r\n</wundbar>\r\n'
}

groups() { # side of alice, side of bob
    "$BUILD/cpuu-mksrs" "$(folder $1 @inbox)" "$(folder $1 @calendar)" "$(folder source.alice '@inbox/Only at the source')" \
        "$(folder $2 @inbox)" "$(folder source.carol @inbox)" "$nobody"
}

decision() { # feature, title, outcome: the report says so
    jq -e --arg f "$1" --arg t "$2" --arg o "$3" \
        '[.. | objects | select(.name? == $f) | .. | objects | select(.title? == $t and .outcome? == $o)] | length >= 1' \
        "$WORK/report.json"
}

lab_start "$srcdir/tests/lab/demo.conf"
make_ini </dev/null
make_hive "$HIVE" 8 16.0

public=$(id '.source."(public)".store') news=$(id '.source."(public)".folders["Company/News"]')
pane source.alice source.bob all >"$WORK/before.xml"
groups source.alice source.bob >"$WORK/before.srs"
# The public store is named by the server that opened it: the one that holds the mailbox.
public=$(id '.target."(public)".store' | cut -c1-120)$(id .target.alice.store | cut -c121-218)
news=$(id '.target."(public)".folders["Company/News"]')
pane target.alice target.bob some >"$WORK/expected.xml"
groups target.alice target.bob >"$WORK/expected.srs"
public=$(id '.source."(public)".store') news=$(id '.source."(public)".folders["Company/News"]')
pane source.alice source.bob none >"$WORK/empty.xml"

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

# Real files, whose mailboxes nobody knows here: not a byte may change.
oracles=${CPUU_ORACLES:-}/profiles
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
    echo "SKIP: real files: CPUU_ORACLES does not name them"
fi
exit $failed
