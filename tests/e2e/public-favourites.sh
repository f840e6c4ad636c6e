#!/bin/bash
# PublicFav: favourite public folders. What must come out is in a mailbox of the target that nobody opens,
# written down with identifiers of the target. Prints PASS: and FAIL: lines.
set -u
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/checks.sh" || exit 1

favourite() { # name, source key, depth, parent's source key or "", further lines on standard input
    printf 'item @shortcuts\nprop Class IPM.Note\nprop 7C00001F "%s"\nprop 7C020102 %s\n' "$1" "$2"
    printf 'prop 7D030003 %s\nprop 7D09001F IPF.Note\n' "$3"
    [ -n "$4" ] && printf 'prop 7D020102 %s\n' "$4"
    cat
    echo
}

favourites() { # organisation that has the folders
    favourite Company "sk:$1/public:Company" 1 '' <<<'prop 7D010003 1'
    favourite News "sk:$1/public:Company/News" 2 "sk:$1/public:Company" <<EOF
prop 7C01001F "Neues für mich"
prop 7D070003 1
EOF
}

{
    cat "$srcdir/tests/lab/demo.conf"
    cat <<EOF

[user target/expected]
display = Expected

[public source]
folder "Company/Only at the source"
folder Company/News/Local
folder Company/News/Gone

[public target]
folder Company/News/Local

[mailbox source/alice]
EOF
    favourites source
    favourite Gone 'sk:public:Company/Only at the source' 2 sk:public:Company </dev/null
    favourite Strange 00112233445566778899aabbccddeeff001122334455 1 '' </dev/null
    favourite Local 'sk:public:Company/News/Local' 3 sk:public:Company/News </dev/null
    favourite 'Company/Über uns' 'sk:public:Company/Über uns' 2 sk:public:Company <<EOF
prop 7D080102 sk:public:Company/News 0000 02000000 "sk:public:Company/Only at the source" 0000 02000000
EOF
    printf 'item @shortcuts\nprop Class IPM.Other\nprop Subject "not ours"\n'
    echo '[mailbox target/alice]'
    # one the mailbox move has copied, with a name of the target user's own; one only the target has
    favourite Local 'sk:source/public:Company/News/Local' 3 sk:source/public:Company/News <<<'prop 7C01001F "mein Name"'
    favourite 'of the target' 'sk:public:Company/News' 9 sk:public:Company <<<'prop 7C01001F "schon da"'
    echo '[mailbox target/expected]'
    favourite Company "sk:public:Company" 1 '' <<<'prop 7D010003 1'
    favourite 'of the target' 'sk:public:Company/News' 9 sk:public:Company <<<'prop 7C01001F "schon da"'
    favourite Local 'sk:public:Company/News/Local' 3 sk:public:Company/News <<<'prop 7C01001F "mein Name"'
    favourite 'Company/Über uns' 'sk:public:Company/Über uns' 2 sk:public:Company <<EOF
prop 7D080102 sk:public:Company/News 0000 02000000
EOF
} | sed 's|sk:\(source/\)\{0,1\}public:Company/Über uns|"sk:\1public:Company/Über uns"|; s|sk:public:Company/Only at the source$|"&"|; s|^prop 7C020102 sk:public:Company/Only at the source|prop 7C020102 "sk:public:Company/Only at the source"|' >"$WORK/content.conf"

lab_start "$WORK/content.conf"
make_hive "$HIVE" 8 16.0
make_ini </dev/null
dump_hive "$HIVE" >"$WORK/hive.before"
dump_mailboxes target >"$WORK/mail.before"
dump_mailboxes source >"$WORK/source.before"

shortcuts() { jq -S ".target.mailboxes.$1 | [.[\"/Shortcuts\"].messages[].properties] | sort_by(.[\"7C020102\"])" "$2"; }
decision() { # title, outcome
    jq -e --arg t "$1" --arg o "$2" \
        '[.. | objects | select(.name? == "PublicFav") | .. | objects | select(.title? == $t and .outcome? == $o)] | length == 1' \
        "$WORK/report.json"
}

cpuu >/dev/null 2>&1
check "update succeeds" test $((mask & 1)) -eq 1
dump_mailboxes target >"$WORK/mail.after"
shortcuts alice "$WORK/mail.after" >"$WORK/have"
shortcuts expected "$WORK/mail.after" >"$WORK/want"
check "something is expected" test "$(jq length "$WORK/want")" -eq 4
check "favourites are as expected" diff "$WORK/want" "$WORK/have"
check "a folder that is missing at the target is dropped" decision Gone dropped
check "the report names it by its path" jq -e '[.. | objects | select(.title? == "Gone" and
    .before? == "public folders:\\Company\\Only at the source")] | length == 1' "$WORK/report.json"
check "a folder nobody knows is dropped" decision Strange dropped
check "a favourite with a name of the user's own is found" decision 'Neues für mich' rewritten
cpuu >/dev/null 2>&1
dump_mailboxes target >"$WORK/mail.twice"
check "a second update changes nothing" cmp "$WORK/mail.after" "$WORK/mail.twice"
cpuu -UndoAll >/dev/null 2>&1
dump_mailboxes target >"$WORK/mail.undone"
dump_mailboxes source >"$WORK/source.undone"
dump_hive "$HIVE" >"$WORK/hive.undone"
check "undo restores the mailbox" cmp "$WORK/mail.before" "$WORK/mail.undone"
check "undo restores the profile" cmp "$WORK/hive.before" "$WORK/hive.undone"
check "the source was not touched" cmp "$WORK/source.before" "$WORK/source.undone"

echo 'Skip=PublicFav' | make_ini
cpuu >/dev/null 2>&1
dump_mailboxes target >"$WORK/mail.after"
shortcuts alice "$WORK/mail.after" >"$WORK/have"
shortcuts alice "$WORK/mail.before" >"$WORK/want"
check "skipped: nothing in the mailbox is touched" cmp "$WORK/want" "$WORK/have"
exit $failed
