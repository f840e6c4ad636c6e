#!/bin/bash
# The offline file (OST): KeepOST, BackupOST, CreateRegFileForOSTRecovery, ProcessOfflineProfiles and the
# Recreate message; and the name of the store (-NameTrgStoreAsSrc). Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1
LOCAL=$WORK/Users/alice/AppData/Local/Microsoft/Outlook
OST=$LOCAL/alice@source.test.ost

begin() { # words for the content: the Recreate message's XML, or nothing; lines for the INI follow
    cp "$srcdir/tests/lab/demo.conf" "$WORK/content.conf"
    if [ -n "$1" ]; then
        cat >>"$WORK/content.conf" <<EOF
[mailbox source/alice]
item @shortcuts
prop Class IPM.Note
prop 7C00001F Company
prop 7C020102 sk:public:Company
prop 7D030003 1
fai @inbox
prop Class IPM.Configuration.CPUU.Recreate
prop Subject IPM.Configuration.CPUU.Recreate
prop 7C060003 2
prop 7C080102 "utf8:$1"
EOF
    fi
    shift
    lab_stop
    lab_start "$WORK/content.conf"
    rm -rf "$WORK/state" "$WORK/Users"
    make_hive "$HIVE" 8 16.0
    head -c 3000000 /dev/urandom >"$OST"
    cp "$OST" "$WORK/ost.before"
    printf '%s\n' "$@" | make_ini
    dump_hive "$HIVE" >"$WORK/hive.before"
    : >"$WORK/cpuu.log"
}
run() { cpuu "$@" >"$WORK/out" 2>&1; }
code() { cut -f2- "$WORK/cpuu.csv" | tr '\t' '\n' | grep -qx "$1"; }
unchanged() { dump_hive "$HIVE" | cmp - "$WORK/hive.before" && cmp "$OST" "$WORK/ost.before"; }
logged() { grep -aqe "$1" "$WORK/cpuu.log"; }

good='<RecreateMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"/>'
path='C:\Users\alice\AppData\Local\Microsoft\Outlook\alice@source.test.ost'
ost_is() { # the profile's offline file, as reglookup writes UTF-16
    dump_hive "$HIVE" | grep '/Profiles/Outlook/' >"$WORK/here"
    grep -qF "/001f6610,BINARY,$(printf '%s' "$1" | sed 's/./&%00/g')%00%00" "$WORK/here"
}

# Without ProcessOfflineProfiles an offline profile is left alone.
begin "$good"
sed -i 's/^ProcessOfflineProfiles=1/ProcessOfflineProfiles=0/' "$WORK/CPUU.ini"
run
check "an offline profile is left alone: code 6" code 6
check "and nothing has changed" unchanged

# The mailbox was recreated for the file: it is kept, copied, and can be linked again.
begin "$good" KeepOST BackupOST
check "the profile names the file" ost_is "$path"
run --dry-run
check "a dry run copies nothing" test "$(ls "$LOCAL")" = "$(basename "$OST")"
run
check "update succeeds" test $((mask & 1)) -eq 1
check "the profile goes on using the file" ost_is "$path"
check "favourite public folders are left out" jq -e '[.. | objects | select(.name? == "PublicFav") | .. | objects | select(.title? == "Company" and .outcome? == "dropped")] | length == 1' "$WORK/report.json"
check "the file is as before" cmp "$OST" "$WORK/ost.before"
check "the copy is complete" cmp "$OST.cpuu-backup" "$WORK/ost.before"
iconv -f UTF-16 -t UTF-8 "$LOCAL/Outlook.ost.reg" | tr -d '\r' >"$WORK/reg"
key=$(dump_hive "$HIVE" | sed -n 's|,BINARY.*||; s|^/\(.*Profiles/Outlook/.*\)/001f6610$|\1|p' | tr / '\\')
{
    printf 'Windows Registry Editor Version 5.00\n\n[HKEY_CURRENT_USER\\%s]\n"001f6610"=hex:' "$key"
    printf '%s' "$path" | od -An -v -tx1 | tr -d '\n' | sed 's/ \(..\)/\1,00,/g; s/$/00,00/'
    echo
} >"$WORK/reg.expected"
check "the .reg file names section and file" diff "$WORK/reg.expected" "$WORK/reg"
run -UndoAll
check "undo restores the profile and leaves the file" unchanged
check "undo removes the .reg file" test ! -e "$LOCAL/Outlook.ost.reg"
check "undo says where the copy is" logged 'cpuu-backup'
check "and leaves it" cmp "$OST.cpuu-backup" "$WORK/ost.before"

begin "$good" KeepOST BackupOST CreateRegFileForOSTRecovery=0
run
check "CreateRegFileForOSTRecovery=0 makes no .reg file" test ! -e "$LOCAL/Outlook.ost.reg"
run -Cleanup
check "cleanup succeeds" test $((mask & 1)) -eq 1
check "cleanup deletes the copy" test ! -e "$OST.cpuu-backup"
check "and leaves the file" cmp "$OST" "$WORK/ost.before"

# No Recreate message: the file belongs to the old mailbox.
begin '' KeepOST BackupOST
run
check "without a Recreate message the profile is updated" test $((mask & 1)) -eq 1
check "with another offline file" ost_is 'C:\Users\alice\AppData\Local\Microsoft\Outlook\alice@target.test.ost'
check "which is said" logged 'KeepOST and BackupOST are ignored'
check "and the old file is neither touched nor copied" test "$(ls "$LOCAL")" = "$(basename "$OST")"

# Recreated, but KeepOST is not asked for: always update (the guide), with the old file left behind.
begin "$good"
run
check "without KeepOST another file is used" ost_is 'C:\Users\alice\AppData\Local\Microsoft\Outlook\alice@target.test.ost'

# A Recreate message that cannot be understood: what holds can only be guessed.
for bad in '<RecreateMessage xmlns=\"urn:cpuu:switch:1\" version=\"2\"/>' '<RecreateMessage/>' '<Recreate' \
    '<RecreateMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"><x/></RecreateMessage>'; do
    begin "$bad" KeepOST
    run
    check "a Recreate message '$bad': code 21" code 21
    check "and nothing has changed" unchanged
done

# No room for the copy (the file only pretends to be large), or no file.
begin "$good" BackupOST
if truncate -s 4T "$OST" 2>/dev/null; then
    run
    check "no room for the copy: code 22" code 22
    check "and the profile is as before" test -z "$(dump_hive "$HIVE" | diff - "$WORK/hive.before")"
    check "and nothing is left" test "$(ls -A "$LOCAL")" = "$(basename "$OST")"
else
    echo "SKIP: no room for the copy: this file system has no files of that size"
fi
begin "$good" BackupOST
rm "$OST"
run
check "no file to copy: code 9" code 9
check "and the profile stays" test -z "$(dump_hive "$HIVE" | diff - "$WORK/hive.before")"

# The name of the store.
begin ''
run -NameTrgStoreAsSrc
check "-NameTrgStoreAsSrc: update succeeds" test $((mask & 1)) -eq 1
store=$(dump_hive "$HIVE" | grep '/Profiles/Outlook/' | grep '/01023414,BINARY,T%94%A1%C0' | sed 's|/01023414.*||')
check "the store keeps its name" test "$(dump_hive "$HIVE" | grep -F "$store/001f3001" | sed 's/%00//g; s/.*BINARY,//')" = alice@source.test
run -UndoAll
check "undo restores the profile" unchanged
exit $failed
