# Steps of demo.sh: what it shows and how it looks at things. Sourced after tests/e2e/lib.sh; files are in
# the current folder, $WORK.

bold= plain=
[ -t 1 ] && bold=$(printf '\033[1m') plain=$(printf '\033[0m')
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

must() { # what, command ...
    must_be=$1
    shift
    if "$@"; then echo "  ok    $must_be"; else echo "  WRONG $must_be"; failed=1; fi
}

run() { # where its words go (.txt), switches
    name=$1
    shift
    set -- --hive Users/alice/NTUSER.DAT --state state "$@"
    echo "  \$ cpuu $*"
    "$BUILD/cpuu" "$@" >"$name.txt" 2>&1
    mask=$?
}

show() { # where words are, patterns: the first line of each
    name=$1
    shift
    for pattern in "$@"; do
        grep -m1 -e "$pattern" "$name.txt" | fold -s -w 104 | sed 's/ $//; 1s/^/  | /; 2,$s/^/  |   /'
    done
}

updated() { test $mask -eq 1 && grep -q "^Outlook	10	0$" CPUU.csv; }

# Everything there is, under a name: the hive as reglookup reads it, the mailboxes as the servers have them, files.
state() {
    reglookup "$HIVE" 2>/dev/null >"reglookup.$1"
    dump_hive "$HIVE" >"hive.$1"
    lab_get dump >"dump.$1"
    for org in source target; do jq -S ".$org" "dump.$1" >"$org.$1"; done
    cp "$FILES/Outlook.xml" "xml.$1"
    cp "$FILES/Outlook.srs" "srs.$1"
}
same() { for what in hive source target xml srs; do cmp -s "$what.$1" "$what.$2" || return 1; done; }

# ---- links, without cpuu -----------------------------------------------------------------------------

links_of() { # state, whose mailbox of alice
    jq -L "$top/tests/demo" --slurpfile index index.json --arg org "$2" --rawfile hive "reglookup.$1" \
        --rawfile xml "xml.$1" --arg srs "$(od -An -v -tx1 "srs.$1" | tr -d ' \n')" \
        -f "$top/tests/demo/links.jq" "dump.$1" >"links.$1"
}

compare_links() { # state before, state after
    jq -L "$top/tests/demo" -f "$top/tests/demo/index.jq" ids.json >index.json &&
        links_of "$1" source && links_of "$2" target &&
        jq -nr --rawfile expected "$top/tests/demo/expected.txt" --slurpfile before "links.$1" \
            --slurpfile after "links.$2" -f "$top/tests/demo/compare.jq"
}

expectations() { grep '^[^#]*|' "$top/tests/demo/expected.txt"; }
all_links_are_right() {
    ! grep -q '^  WRONG' links.txt && test "$(grep -c '^  ok ' links.txt)" -eq "$(expectations | wc -l)"
}
features() { "$BUILD/cpuu" --list-features | cut -d' ' -f1 | sort; }
every_feature_is_shown() {
    test "$(features)" = "$(expectations | sed 's/^+//; s/ .*//' | grep -v '^profile$' | sort -u)"
}

files_are_right() {
    public_folders target
    pane target.alice target.bob some | cmp -s - xml.after && groups target.alice target.bob | cmp -s - srs.after
}

# Keeps the organisations up, for the rehearsal by hand in README.md.
stay() {
    cat <<END

The organisations stay up until you press Enter, and alice's profile waits to be moved. In another terminal:
  cd $WORK
  ../cpuu --hive Users/alice/NTUSER.DAT --state state --dry-run
  ../cpuu --hive Users/alice/NTUSER.DAT --state state
  ../cpuu-inspect profile --hive Users/alice/NTUSER.DAT
  ../cpuu --hive Users/alice/NTUSER.DAT --state state -UndoAll
END
    read -r _
}
