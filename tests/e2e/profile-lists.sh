#!/bin/bash
# MoveToFolder, OtherUsersFolders, UserNames and the stores Outlook remembers (Services): the lists of names and folders in the profile. What must
# come out is written by cpuu-mkprofile, which has encoders of its own, and compared as reglookup reads it.
# Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1
. "$srcdir/tests/e2e/profile-data.sh" || exit 1

before() {
    rm -rf "$HIVE" "$WORK/state"
    make_full_hive "$HIVE" "$width" "$version"
}

# The same lists as they must be afterwards.
expected() {
    a=target.alice
    public_folders target
    "$BUILD/cpuu-mkprofile" width="$width" version="$version" profile=Outlook user='C:\Users\alice' \
        pst="$pst" box= contacts= move= other= \
        smtp="$(id .$a.smtp)" dn="$(id .$a.dn)" guid="$(id .$a.guid)" server="$(id .$a.smtp)" \
        windows=2 inbox="$(folder $a @inbox)" fresh="Projects;$(folder $a @inbox/Projects)" \
        fresh=- \
        fresh="Клиенты;$(folder $a @contacts/Клиенты)" \
        fresh="Bob's calendar;$(folder target.bob @calendar);$(id .target.bob.smtp);$(id .target.bob.dn)" \
        move="Carol's calendar;$(folder source.carol @calendar);$(id .source.carol.smtp);$(id .source.carol.dn)" \
        move="Zoe;$nobody;zoe@source.test;/o=SourceOrg/cn=Recipients/cn=zoe" \
        fresh="News;$news;store;$public" move="Old;pst;$pst" \
        other='Robert Brown' other='Carol Clark' other='Zoe Zebra' >"$WORK/expected.reg" ||
        die "cpuu-mkprofile failed"
    rm -f "$WORK/expected.hive"
    "$BUILD/cpuu-mkhive" "$WORK/expected.hive" "$WORK/expected.reg" || die "cpuu-mkhive failed"
}

# The lists in a hive; the slot numbers are as before.
lists() { dump_hive "$1" | grep -E '/Profiles/Outlook/0a0d020000000000c000000000000046/(1102039b|1102044e|1102032f|11020458|11020434|1102022a|101f031e|01020408|01020409|101f0390|101e0384),'; }
same_lists() {
    lists "$WORK/expected.hive" >"$WORK/lists.expected"
    lists "$HIVE" >"$WORK/lists.after"
    test -s "$WORK/lists.expected" && diff "$WORK/lists.expected" "$WORK/lists.after"
}
has_no_lists() { test -z "$(lists "$HIVE")"; }

# Some section of the profile has exactly that (ASCII) text as that value; as reglookup writes UTF-16.
has_name() { # value name, text
    dump_hive "$HIVE" | grep '/Profiles/Outlook/' >"$WORK/here"
    grep -qF "/$1,BINARY,$(printf '%s' "$2" | sed 's/./&%00/g; s/,/%2C/g')%00%00" "$WORK/here"
}
lacks_name() {
    dump_hive "$HIVE" | grep '/Profiles/Outlook/' >"$WORK/here"
    ! grep -qF "/$1,BINARY,$(printf '%s' "$2" | sed 's/./&%00/g; s/,/%2C/g')%00%00" "$WORK/here"
}

decision() { # feature, title, outcome: the report says so
    jq -e --arg f "$1" --arg t "$2" --arg o "$3" \
        '[.. | objects | select(.name? == $f) | .. | objects | select(.title? == $t and .outcome? == $o)] | length == 1' \
        "$WORK/report.json"
}

run_width() {
    width=$1 version=$2
    case=" ($((width * 8))-bit, $version)"
    before
    expected
    dump_hive "$HIVE" >"$WORK/hive.before"
    cpuu -DefaultProfile >/dev/null 2>&1
    check "update succeeds$case" test $((mask & 1)) -eq 1
    check "lists are as expected, byte for byte$case" same_lists
    for n in 'Meine Post' 'Bob, sales' 'My old mail'; do
        check "the name '$n' stays$case" has_name 001f3001 "$n"
    done
    check "names of the public folders stay$case" has_name 001f660f Beliebte
    check "a missing folder is reported as dropped$case" decision MoveToFolder 'Only at the source' dropped
    check "a colleague who stayed is kept$case" decision MoveToFolder "Carol's calendar" kept
    check "an unknown mailbox is kept$case" decision MoveToFolder Zoe kept
    check "a PST is left alone$case" decision MoveToFolder Old already
    dump_hive "$HIVE" >"$WORK/hive.after"
    cpuu -DefaultProfile >/dev/null 2>&1
    dump_hive "$HIVE" >"$WORK/hive.twice"
    check "a second update changes nothing$case" cmp "$WORK/hive.after" "$WORK/hive.twice"
    cpuu -UndoAll >/dev/null 2>&1
    dump_hive "$HIVE" >"$WORK/hive.undone"
    check "undo restores the profile$case" cmp "$WORK/hive.before" "$WORK/hive.undone"

    rm -rf "$WORK/state"
    echo 'Skip=MoveToFolder OtherUsersFolders UserNames Services' | make_ini
    cpuu -DefaultProfile >/dev/null 2>&1
    check "update without these features succeeds$case" test $((mask & 1)) -eq 1
    check "skipped: the lists are empty$case" has_no_lists
    for n in 'Meine Post' 'Bob, sales' 'My old mail'; do
        check "skipped: the name '$n' is gone$case" lacks_name 001f3001 "$n"
    done
    check "skipped: the PST is called after its file$case" has_name 001f3001 'Old mail'
    check "skipped: the mailbox is called by its new address$case" has_name 001f3001 alice@target.test
    check "skipped: the colleague's mailbox, too$case" has_name 001f3001 bob@target.test
    check "skipped: names of the public folders are gone$case" lacks_name 001f660f Beliebte
    cpuu -UndoAll >/dev/null 2>&1
    dump_hive "$HIVE" >"$WORK/hive.undone"
    check "undo restores what skipping changed$case" cmp "$WORK/hive.before" "$WORK/hive.undone"
    make_ini </dev/null
}

# Bob is called Robert at the target.
sed '/^\[user target\/bob\]/,/^display/s/^display = .*/display = Robert Brown/' \
    "$srcdir/tests/lab/demo.conf" >"$WORK/content.conf"
lab_start "$WORK/content.conf"
make_ini </dev/null
run_width 8 16.0
run_width 4 15.0

# The target's address book does not know Bob by anything of the source; his own Switch Message, read
# when a folder of his is looked for, does. Who asked before that must not settle it for all others.
width=8 version=16.0
before
echo 'Features=OtherUsersFolders Calendar Rules' | make_ini
cpuu -DefaultProfile >/dev/null 2>&1
check "a name nobody knows yet is kept" decision OtherUsersFolders 'Bob Brown' kept
check "what was heard of him since counts" jq -e \
    '[.. | objects | select(.name? == "Rules") | .links[] | select(.title == "From Bob").outcome] == ["rewritten", "rewritten"]' \
    "$WORK/report.json"
exit $failed
