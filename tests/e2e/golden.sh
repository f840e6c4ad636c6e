#!/bin/bash
# Every feature in one world that has links of every kind (golden/world.sh): its report against
# golden/<feature>.json, what became of mailbox, profile and files against golden/*.state, with ids replaced by
# what they stand for. Then twice, from a second profile, undone, not selected, and each feature alone.
# CPUU_GOLDEN_WRITE=1 writes these files instead; every row of them is then to be looked at.
testing=e2e-golden
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
. "$src/tests/e2e/golden/world.sh" || exit 1
golden=$src/tests/e2e/golden

in_mailbox="Favorites Calendar Contacts Tasks Notes Journal Rules SearchFolders Delegates Nicks ContactMembers PublicFav"
in_profile="AddBoxes CONTAB MoveToFolder OtherUsersFolders Services UserNames Shortcuts SRS"

# ---- ids as a person reads them -----------------------------------------------------------------------

# A sed script: EntryIDs, source keys and store EntryIDs in hex of any case, and folders as the report has them.
name_ids() {
    jq -r 'to_entries[] | .key as $org | .value | to_entries[] | .key as $who | .value
        | ((.folders // {}) | to_entries[] | "\(.value) \($org)/\($who):\(.key)"),
          (.store // empty | "\(.) store of \($org)/\($who)"),
          (.guid // empty | "\(.) mailbox \($org)/\($who)")' "$WORK/ids.json" >"$WORK/known"
    {
        cat "$WORK/known"
        echo "$zoe_folder folder of zoe"
        echo "$zoe_store store of zoe"
        echo "$pst_folder folder of PST"
        echo "$pst_store store of PST"
        # The public store is named by the server that opened it: the one that holds the mailbox.
        echo "$(known_id '.target.(public).store' | cut -c1-120)$(known_id .target.alice.store | cut -c121-218) store of target/(public)"
        for who in source.alice source.bob source.carol source.eve source.zoe target.alice target.bob target.tina; do
            address=${who#*.}@${who%%.*}.test name=$(dn "$([ ${who%%.*} = source ] && echo Source || echo Target)" ${who#*.})
            for type in 08 0c; do
                echo "$(store_eid $address "$name" $type) store of ${who/./\/} ($type)"
            done
            echo "00000000dca740c8c042101ab4b908002b2fe1820100000000000000$(hex "$name")00 entry of ${who/./\/}"
            echo "$(hex "EX:$(tr a-z A-Z <<<"$name")")00 search key of ${who/./\/}"
            echo "$(wide "$name")0000 DN of ${who/./\/}"
            echo "$(wide $address)0000 address of ${who/./\/}"
        done
    } | awk '{ n = length($1); what = substr($0, n + 2); gsub(/[\/&]/, "\\\\&", what)
               print 1000 - n, "s/" $1 "/<" what ">/gI"
               if (n == 92) {
                   print 1000 - 44, "s/" substr($1, 45, 44) "/<key of " what ">/gI"
                   g = substr($1, 9, 32)
                   print 1, "s/folder " substr($1, 77, 12) " of store [{]" substr(g, 7, 2) substr(g, 5, 2) substr(g, 3, 2) \
                       substr(g, 1, 2) "-" substr(g, 11, 2) substr(g, 9, 2) "-" substr(g, 15, 2) substr(g, 13, 2) "-" \
                       substr(g, 17, 4) "-" substr(g, 21) "}/<" what ">/gI"
               } }' | sort -n -s -k1,1 | cut -d' ' -f2- >"$WORK/names.sed"
    printf '%s\n' 's/localhost:[0-9]+/localhost:PORT/g' "s#$WORK#WORK#g" >>"$WORK/names.sed"
}
named() { sed -E -f "$WORK/names.sed"; }

# ---- what is compared ----------------------------------------------------------------------------------

# One feature of the last report, one line for each link and change.
rows_of() { # feature
    jq --arg f "$1" 'def text: if . == null then "-" else . end;
        .profiles[0] | (.changes | map(select(.feature == $f)
            | "\(.where) | \(.name) | \(.before | text) | \(.after | text)")) as $changes
        | .features[] | select(.name == $f)
        | {feature: .name, state, message,
           links: [.links[]? | "\(.title) | \(.outcome) | \(.reason) | \(.before | text) | \(.after | text)"],
           changes: $changes}' "$WORK/report.json" | named
}

# The hive: one line for each value, text as text, other bytes in hex.
profile_state() {
    dump_plain "$1" | grep -v 'CPUU_Backup_' | LC_ALL=C awk -F, '
        BEGIN { for (i = 0; i < 256; i++) { h = sprintf("%02X", i); code[h] = i; chr[h] = sprintf("%c", i) } }
        $2 == "BINARY" || $2 == "SZ" || $2 == "MULTI_SZ" {
            n = 0; hex = ""; text = ""; plain = $2 != "BINARY"
            if (plain) { print; next }
            for (i = 1; i <= length($3); i++) {
                c = substr($3, i, 1)
                if (c == "%") { b[n++] = substr($3, i + 1, 2); i += 2 } else b[n++] = sprintf("%02X", ord[c])
            }
            wide = n > 2 && n % 2 == 0 && b[n - 1] b[n - 2] == "0000"
            for (i = 0; i < n; i++) {
                hex = hex b[i]
                if (i % 2 == 1 && b[i] != "00") wide = 0
                if (i % 2 == 0 && i < n - 2 && (code[b[i]] < 32 || code[b[i]] > 126)) wide = 0
                if (i % 2 == 0 && i < n - 2) text = text chr[b[i]]
            }
            print $1 "," $2 "," (wide ? "\"" text "\"" : tolower(hex)); next
        }
        { print }
        BEGIN { for (i = 32; i < 127; i++) ord[sprintf("%c", i)] = i }' | sort
}

# A dump of the lab, one line for each property.
mailbox_state() {
    jq -r '.target.mailboxes.alice | to_entries[] | .key as $f | .value
        | ((.permissions // {}) | to_entries[] | "\($f) | permission | \(.key) | \(.value)"),
          ((.properties // {}) | to_entries[] | "\($f) | folder | \(.key) | \(.value | tostring)"),
          ((.rules // [])[] | (.["6682001F"] // "") as $t | to_entries[] | "\($f) | rule \($t) | \(.key) | \(.value | tostring)"),
          ((.messages // []) + (.associated // []) | .[] | .properties
            | "\(.["001A001F"]) \(.["68520003"] // "") \(.["0E1D001F"] // .["7C00001F"] // .["65EC001F"] // "")" as $t
            | to_entries[] | "\($f) | \($t) | \(.key) | \(.value | tostring)")' "$1" | sort
}

file_state() { # the two files in the user's folder
    sed 's/></>\n</g' "$1/Outlook.xml" | tr -d '\r'
    od -An -v -tx1 "$1/Outlook.srs" | tr -d ' \n' | named | grep -o '<[^>]*>'
}

# What has changed between two such lists.
change_of() { diff "$1" "$2" | grep '^[<>]' | sed 's/^</-/; s/^>/+/' | named; }

is_golden() { # case, file, have
    if [ -n "${CPUU_GOLDEN_WRITE:-}" ]; then
        cp "$3" "$golden/$2"
    fi
    if cmp -s "$golden/$2" "$3"; then
        pass "$1"
    else
        fail "$1" "$2 is another one"
        diff "$golden/$2" "$3" | cut -c1-240 | head -20
    fi
}

# ---- states ----------------------------------------------------------------------------------------------

state() { # name: hive and files, byte by byte as reglookup and cksum see them; the mailboxes' dumps
    dump_plain "$HIVE" >"$WORK/hive.$1"
    (cd "$(dirname "$HIVE")" && find AppData -type f -exec cksum {} + | sort) >>"$WORK/hive.$1"
    lab_get 'dump?org=target' >"$WORK/mail.$1"
    lab_get 'dump?org=source' >"$WORK/source.$1"
}
is() { # case, state: what is now is that state
    state now
    same_or_fail "$1" "$2" now
}
mail_is() { # case, state: of the mailboxes alone
    lab_get 'dump?org=target' >"$WORK/mail.now"
    lab_get 'dump?org=source' >"$WORK/source.now"
    check "$1" "$(diff "$WORK/mail.$2" "$WORK/mail.now" | cut -c1-200 | head -8)" cmp -s "$WORK/mail.$2" "$WORK/mail.now"
    check "$1: the source" "it differs" cmp -s "$WORK/source.$2" "$WORK/source.now"
}
with() { # lines for the INI
    printf '%s\n' "$@" | make_ini
}

# ---- everything at once ------------------------------------------------------------------------------------

world_content >"$WORK/content.conf"
lab_start "$WORK/content.conf"
know_ids
name_ids
HIVE=$WORK/Users/alice/NTUSER.DAT
world_hive
with
state start
profile_state "$HIVE" >"$WORK/profile.before"
mailbox_state "$WORK/mail.start" >"$WORK/mailbox.before"
file_state "$ROAMING" >"$WORK/files.before"
cp -a "$WORK/Users" "$WORK/Users.start"

gives "update" 1
for f in $in_mailbox $in_profile; do rows_of $f >"$WORK/$f.json"; done
state updated
check "the source is only read" "it differs" cmp -s "$WORK/source.start" "$WORK/source.updated"
mailbox_state "$WORK/mail.updated" >"$WORK/mailbox.after"
profile_state "$HIVE" >"$WORK/profile.after"
file_state "$ROAMING" >"$WORK/files.after"
for what in mailbox profile files; do
    change_of "$WORK/$what.before" "$WORK/$what.after" >"$WORK/$what.state"
    is_golden "state of the $what" $what.state "$WORK/$what.state"
done

lab_get 'stats?reset=1' >/dev/null
gives "again: nothing to do" 0
is "again: nothing changes" updated
check "again: no request" "$(lab_get stats)" test "$(lab_get stats | jq '[.[].requests] | add')" = 0

# The same mailbox from another profile, of another Outlook, on a computer that knows nothing of the first.
first=$HIVE
HIVE=$WORK/Second/alice/NTUSER.DAT
world_hive 4 15.0
mv "$WORK/state" "$WORK/state.first"
state second
gives "a second profile" 1
mail_is "a second profile: the mailbox stays" updated
for f in $in_mailbox; do
    check "a second profile: $f has nothing to change" "$(rows_of $f | jq -c .changes)" \
        test "$(rows_of $f | jq '.changes | length')" = 0
done
for f in $in_profile; do
    rows_of $f | jq .links >"$WORK/have"
    jq .links "$WORK/$f.json" >"$WORK/want"
    check "a second profile: $f decides the same" "$(diff "$WORK/want" "$WORK/have" | head -6)" \
        cmp -s "$WORK/want" "$WORK/have"
done
gives "a second profile: undo" 1 -UndoAll
mail_is "a second profile: undo leaves the mailbox" updated
dump_plain "$HIVE" >"$WORK/have"
check "a second profile: undo restores it" "it differs" cmp -s <(grep -v '^[0-9]' "$WORK/hive.second") "$WORK/have"
rm -rf "$WORK/state"
mv "$WORK/state.first" "$WORK/state"
HIVE=$first ROAMING=$(dirname "$first")/AppData/Roaming/Microsoft/Outlook

gives "undo" 1 -UndoAll
is "undo restores everything" start

# ---- nothing selected ----------------------------------------------------------------------------------------

with Skip=All
gives "Skip=All" 1
mail_is "Skip=All: the mailbox is not touched" start
for f in $in_mailbox $in_profile; do
    rows_of $f | jq '{skipped: .changes}' >"$WORK/skipped"
    jq -s '.[0] + .[1]' "$WORK/$f.json" "$WORK/skipped" >"$WORK/$f.all"
done
for f in $in_mailbox; do
    check "Skip=All: $f touches nothing" "$(jq -c .skipped "$WORK/$f.all")" test "$(jq '.skipped | length' "$WORK/$f.all")" = 0
done
for f in $in_profile; do
    check "Skip=All: $f is reset" "nothing changed" test "$(jq '.skipped | length' "$WORK/$f.all")" -gt 0
done
gives "Skip=All: undo" 1 -UndoAll
is "Skip=All: undo restores everything" start

# ---- each feature alone ----------------------------------------------------------------------------------------
# What others find out, or do to the profile, makes a difference to some: "alone" has what is another then.

for f in $in_mailbox $in_profile; do
    with Features=$f
    gives "$f alone" 1
    rows_of $f >"$WORK/alone"
    jq -s '.[0] as $all | .[1] | with_entries(select(.value != $all[.key]))
        | if . == {} then $all else $all + {alone: .} end' "$WORK/$f.all" "$WORK/alone" >"$WORK/$f.have"
    is_golden "report of $f" $f.json "$WORK/$f.have"
    case " $in_profile " in *" $f "*) mail_is "$f alone: the mailbox is not touched" start ;; esac
    gives "$f alone: undo" 1 -UndoAll
    is "$f alone: undo restores everything" start
done
finish
