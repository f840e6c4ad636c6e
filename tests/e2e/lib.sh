# Shared steps of the demo and the end-to-end tests: the lab, a profile that opens its mailboxes, and
# ways to look at both that use nothing of cpuu. Sourced; needs BUILD (a build folder) and WORK (an
# empty folder), and stops what it starts.

die() { echo "$*" >&2; exit 1; }

lab_pid=

lab_start() { # content file [options]
    content=$1
    shift
    rm -f "$WORK/ready"
    "$BUILD/cpuu-lab" --ca-dir "$WORK" --ready-file "$WORK/ready" "$@" "$content" >"$WORK/lab.out" 2>&1 &
    lab_pid=$!
    i=0
    until [ -s "$WORK/ready" ]; do
        i=$((i + 1))
        [ $i -gt 200 ] && die "the lab did not start: $(cat "$WORK/lab.out")"
        kill -0 $lab_pid 2>/dev/null || die "the lab ended: $(cat "$WORK/lab.out")"
        sleep 0.1
    done
    control=$(jq -r .control "$WORK/ready")
    source_url=$(jq -r .source "$WORK/ready")
    target_url=$(jq -r .target "$WORK/ready")
    lab_get ids >"$WORK/ids.json"
    for habit in ${LAB_HABITS:-}; do # odd, unknown=67: whole tests against another kind of server
        case $habit in *=*) ;; *) habit=$habit=true ;; esac
        for org in source target; do
            lab_post fault "{\"org\":\"$org\",\"${habit%%=*}\":${habit#*=}}" >/dev/null
        done
    done
}

lab_stop() {
    [ -z "$lab_pid" ] && return
    kill $lab_pid 2>/dev/null
    wait $lab_pid 2>/dev/null
    lab_pid=
}

# The lab's control port, without a line of cpuu: bash and curl are not needed on a fresh machine either.
lab_get() { "$BUILD/cpuu-lab-get" "$control/lab/$1"; }
lab_post() { "$BUILD/cpuu-lab-get" "$control/lab/$1" "$2"; }

id() { jq -r "$1" "$WORK/ids.json"; } # a value of ids.json

# A hive whose default profile opens alice's source mailbox, with links of every kind in it.
# arguments: hive, descriptor width (4 or 8), Outlook version, more arguments of cpuu-mkprofile
make_hive() {
    a=.source.alice
    "$BUILD/cpuu-mkprofile" width="$2" version="$3" profile=Outlook user='C:\Users\alice' \
        smtp="$(id $a.smtp)" dn="$(id $a.dn)" name="$(id $a.display)" guid="$(id $a.guid)" \
        inbox="$(id "$a.folders[\"@inbox\"]")" \
        box= box="$(person bob)" box="$(person carol)" \
        contacts= contacts="Contacts;$(id "$a.folders[\"@contacts\"]")" \
        contacts="Клиенты;$(id "$a.folders[\"@contacts/Клиенты\"]")" \
        contacts="Suppliers;$(id "$a.folders[\"@contacts/Suppliers\"]")" "${@:4}" \
        >"$WORK/profile.reg" || die "cpuu-mkprofile failed"
    rm -f "$1"
    mkdir -p "$(dirname "$1")/AppData/Roaming/Microsoft/Outlook" \
        "$(dirname "$1")/AppData/Local/Microsoft/Outlook"
    "$BUILD/cpuu-mkhive" "$1" "$WORK/profile.reg" || die "cpuu-mkhive failed"
}

person() { echo "$(id .source.$1.smtp);$(id .source.$1.dn);$(id .source.$1.display);$(id .source.$1.guid)"; }

# CPUU.ini and credentials for the lab; more lines for the INI on standard input.
make_ini() {
    cat >"$WORK/credentials.ini" <<EOF
[Source]
User=alice@source.test
Password=alice-source
[Target]
User=alice@target.test
Password=alice-target
EOF
    chmod 600 "$WORK/credentials.ini"
    {
        echo "[Parameters]"
        echo "CAFile=$WORK/ca.pem"
        echo "CredentialsFile=$WORK/credentials.ini"
        echo "AutodiscoverSourceURL=$source_url/autodiscover/autodiscover.xml"
        echo "AutodiscoverTargetURL=$target_url/autodiscover/autodiscover.xml"
        echo "TargetDomains=target.test"
        echo "ProcessOfflineProfiles=1"
        cat
    } >"$WORK/CPUU.ini"
}

# Everything in a hive but time stamps, as an independent program reads it: path, type, value; then key
# owners and permissions.
dump_hive() { reglookup "$1" 2>/dev/null | cut -d, -f1-3 | sort; }

# The state of the mailboxes of one organisation, canonical.
dump_mailboxes() { lab_get "dump?org=$1" | jq -S .; }

# Runs cpuu on the hive; its exit mask is in $mask.
cpuu() {
    "$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" -Log "$WORK/cpuu.log" \
        --json "$WORK/report.json" "$@"
    mask=$?
}

# ---- what must be true after an update of the demo content ---------------------------------------
# pane section | name shown | mailbox | folder it must open ("-" = no such shortcut may exist)
expected_shortcuts() {
    cat <<'EOF'
1|Posteingang|target.alice|@inbox
1|Projects|target.alice|@inbox/Projects
1|My name for Müller|target.alice|@inbox/Müller & Söhne
1|株式会社テスト|target.alice|@inbox/株式会社テスト
1|Only at the source|-|-
1|Unread in projects|-|-
1|News|-|-
3|Kalender|target.alice|@calendar
3|Team Calendar|target.alice|@calendar/Team Calendar
3|Bob Brown|target.bob|@calendar
3|Carol Clark|source.carol|@calendar
4|Клиенты|target.alice|@contacts/Клиенты
5|Arbeit|target.alice|@tasks/Arbeit
6|Ideas|target.alice|@notes/Ideas
7|2024|target.alice|@journal/2024
EOF
}

# Compares the target's shortcuts with the table; one line for each, "ok" or "WRONG". False when one is
# wrong. Everything is read from the lab's dump, nothing from cpuu.
check_shortcuts() {
    lab_get "dump?org=target" >"$WORK/after.json"
    wrong=0
    while IFS='|' read -r section name box folder; do
        found=$(jq -r --arg n "$name" --argjson s "$section" \
            '.target.mailboxes.alice["/Common Views"].associated[].properties
             | select(.["0E1D001F"] == $n and .["68520003"] == $s and .["68490003"] != 4)
             | [.["684C0102"], .["684D0102"]] | join(" ")' "$WORK/after.json")
        want=
        [ "$box" != - ] && want=$(jq -r --arg f "$folder" ".$box.folders[\$f]" "$WORK/ids.json")
        if [ "$box" = - ] && [ -z "$found" ]; then
            printf '  ok     %-22s has no place at the target\n' "$name"
        elif [ "$box" != - ] && [ "$found" = "$want $want" ]; then
            printf '  ok     %-22s opens %s of %s\n' "$name" "$folder" "$box"
        else
            printf '  WRONG  %-22s opens "%s", expected "%s" (%s of %s)\n' "$name" "$found" "$want" "$folder" "$box"
            wrong=1
        fi
    done <<EOF
$(expected_shortcuts)
EOF
    return $wrong
}

# Bytes as reglookup quotes them: %XX for all but printable characters (and its own , % " \).
quoted() { # hex
    fold -w2 <<<"$1" | while read -r h; do
        d=$((16#$h))
        if [ $d -ge 32 ] && [ $d -lt 127 ] && [ "$h" != 22 ] && [ "$h" != 25 ] && [ "$h" != 2c ] && [ "$h" != 5c ]; then
            printf "\\x$h"
        else
            printf '%%%s' "${h^^}"
        fi
    done
}
