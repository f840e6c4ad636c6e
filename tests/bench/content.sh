#!/bin/sh
# Content for the lab: a mailbox with N folders and N navigation shortcuts, every tenth to the calendar of a
# colleague (20 of them, every second one has moved). usage: content.sh N
n=$1
cat <<'EOF'
[org source]
o = SourceOrg
domain = source.test
[org target]
o = TargetOrg
domain = target.test
[user source/alice]
display = Alice Adams
password = alice-source
[user target/alice]
display = Alice Adams
password = alice-target
EOF
colleagues=$((n / 10 < 20 ? n / 10 : 20))
for c in $(seq 1 $colleagues); do
    printf '[user source/c%d]\ndisplay = Colleague %d\ngrant = alice\n' $c $c
    [ $((c % 2)) -eq 0 ] && printf '[user target/c%d]\ndisplay = Colleague %d\ngrant = alice\n' $c $c
done
for c in $(seq 1 $colleagues); do
    [ $((c % 2)) -eq 0 ] && printf '[mailbox source/c%d]\nswitch target/c%d\n' $c $c
done
for side in source target; do
    echo "[mailbox $side/alice]"
    awk -v n="$n" 'BEGIN { for (i = 1; i <= n; i++) printf "folder @inbox/F%d\n", i }'
done
echo '[mailbox source/alice]'
echo 'switch target/alice'
awk -v n="$n" -v k="$colleagues" 'BEGIN {
    for (i = 1; i <= n; i++) {
        other = k && i % 10 == 0 ? "c" (i / 10 % k + 1) : ""
        section = other == "" ? 1 : 3
        print "fai @commonviews\nprop Class IPM.Microsoft.WunderBar.Link"
        printf "prop Subject \"Shortcut %d\"\nprop WlinkSaveStamp 0x12345678\nprop WlinkFlags 0\n", i
        printf "prop WlinkType %d\nprop WlinkOrdinal %08x\n", other == "" ? 0 : 2, i * 256 + 1
        printf "prop WlinkEntryId eid:%s\nprop WlinkRecordKey rk:%s\n", other == "" ? "@inbox/F" i : other ":@calendar", other == "" ? "@inbox/F" i : other ":@calendar"
        printf "prop WlinkStoreEntryId store:%s\n", other == "" ? "alice" : other
        print "prop WlinkFolderType 0078060000000000c000000000000046"
        print "prop WlinkGroupClsid f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1\nprop WlinkGroupName Favorites"
        printf "prop WlinkSection %d\n", section
        if (other != "")
            printf "prop WlinkAddressBookEID ab:%s\nprop WlinkAddressBookStoreEID store:alice\n", other
    }
}'
