#!/bin/sh
# Content for the lab: a heavy mailbox, and what a mailbox move made of it. At the source F folders, S
# navigation shortcuts, R rules (in the table and in Outlook's own stream), an AutoComplete list of N rows, C
# contacts; the move has copied folders, contacts and the AutoComplete list. Of C / 10 people of the old
# organisation every fourth is unknown at the target and every fourth has not moved; 20 colleagues share their
# mailboxes, ten of them are delegates; 20 search folders, 20 favourite public folders. usage: heavy-content.sh F S R N C
F=$1 S=$2 R=$3 N=$4 C=$5
exec awk -v F="$F" -v S="$S" -v R="$R" -v N="$N" -v C="$C" '
function person(i) { return "p" (i % P + 1) }
function colleague(i) { return "c" (i % 20 + 1) }
function dn(who) { return "/o=SourceOrg/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=" who }
function address(id) { return "{00062004-0000-0000-C000-000000000046}:0x" id }
function moved(i) { return i % 4 > 1 }

# One person at both sides: known by the old name, known as somebody outside, or not known.
function user(who, i, shares) {
    printf "[user source/%s]\ndn = %s\ndisplay = Person %s\n", who, dn(who), who
    if (shares)
        print "grant = alice"
    if (i % 4 == 0)
        return
    printf "[user target/%s]\ndisplay = Person %s\nproxy = X500:%s\n", who, who, dn(who)
    if (!moved(i))
        printf "kind = remote\nsmtp = %s@source.test\n", who
    else if (shares)
        print "grant = alice"
}

function slot(base, who) {
    printf "prop %s:001F \"Person %s\"\n", address("80" base "0"), who
    printf "prop %s:001F EX\n", address("80" base "2")
    printf "prop %s:001F \"%s\"\n", address("80" base "3"), dn(who)
    printf "prop %s:001F \"%s@source.test\"\n", address("80" base "4"), who
    printf "prop %s:0102 ab:source/%s\n", address("80" base "5"), who
}

function contact(i, source) {
    printf "item @contacts/G%d%s\n", i % 5 + 1, source && i % 100 == 1 ? " as s" i : ""
    printf "prop Class IPM.Contact\nprop DisplayName \"Contact %d\"\nprop 300B0102 %032x\n", i, i
    if (i % 20 < 11)
        slot(8, person(i * 7))
    else {
        printf "prop %s:001F SMTP\n", address("8082")
        printf "prop %s:001F \"contact%d@elsewhere.test\"\n", address("8083"), i
    }
    if (i % 10 == 5)
        slot(9, person(i * 13))
    if (i % 100 == 0) # linked with its neighbour
        print "prop {00062008-0000-0000-C000-000000000046}:0x8585:0102 hex:01000000 hex:4C000000 hex:46000000 msg:s" i + 1 " hex:0000"
}

function list(i,    k) {
    printf "item @contacts/G%d\nprop Class IPM.DistList\nprop DisplayName \"List %d\"\n", i % 5 + 1, i
    printf "prop 300B0102 f%031x\nprop %s:001F \"List %d\"\nprop %s:1102", i, address("8053"), i, address("8055")
    for (k = 0; k < 20; k++)
        printf " member:source/%s", person(i * 20 + k)
    printf "\nprop %s:1102", address("8054")
    for (k = 0; k < 20; k++)
        printf " \"oneoff:Person %s|SMTP|%s@source.test\"", person(i * 20 + k), person(i * 20 + k)
    printf "\nprop %s:0003 12345\n", address("804C")
}

function nicks(    i, who) {
    printf "fai @inbox\nprop Class IPM.Configuration.Autocomplete\nprop Subject IPM.Configuration.Autocomplete\n"
    printf "prop RoamingDatatypes 1\nprop RoamingBinary nick:%d", N
    for (i = 0; i < N; i++) {
        who = person(i * 3)
        if (i % 2)
            printf " \"nickrow:fill %d|%d|Fill %d|SMTP|fill%d@elsewhere.test\"", i, N - i, i, i
        else
            printf " \"nickrow:%s %d|%d|Person %s|EX|%s|%s@source.test\"", who, i, N - i, who, dn(who), who
    }
    print " nickend:"
}

function copied(source,    i) {
    for (i = 1; i <= F; i++)
        print "folder @inbox/F" i
    for (i = 1; i <= 5; i++)
        printf "folder @contacts/G%d IPF.Contact\n", i
    for (i = 0; i < C; i++)
        contact(i, source)
    for (i = 0; i < C / 400; i++)
        list(i)
    nicks()
}

function shortcut(i,    other, folder) {
    other = i % 10 == 0
    folder = other ? colleague(i / 10) ":@calendar" : "@inbox/F" (i % F + 1)
    printf "fai @commonviews\nprop Class IPM.Microsoft.WunderBar.Link\nprop Subject \"Shortcut %d\"\n", i
    printf "prop WlinkSaveStamp 0x12345678\nprop WlinkFlags 0\nprop WlinkType %d\n", other ? 2 : 0
    printf "prop WlinkOrdinal %08x\nprop WlinkEntryId eid:%s\nprop WlinkRecordKey rk:%s\n", i * 256 + 1, folder, folder
    printf "prop WlinkStoreEntryId store:%s\n", other ? colleague(i / 10) : "alice"
    print "prop WlinkFolderType 0078060000000000c000000000000046"
    print "prop WlinkGroupClsid f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1\nprop WlinkGroupName Favorites"
    printf "prop WlinkSection %d\n", other ? 3 : 1
    if (other)
        printf "prop WlinkAddressBookEID ab:%s\nprop WlinkAddressBookStoreEID store:alice\n", colleague(i / 10)
}

function search_folder(i) {
    printf "fai @commonviews\nprop Class IPM.Microsoft.WunderBar.SFInfo\nprop Subject \"Search %d\"\n", i
    printf "prop 68410003 14\nprop 68420102 %032x\nprop 68440102 01020304\n", i + 1
    printf "prop 68450102 04100000 42000000 00000000 chars8[ text16:deadline ] 00000000 01000000 chars8[ text16:F%d ] ", i
    printf "size32[ 01000000 486C1026 2e000000 506C1026 eid:@inbox/F%d ] 00000000 00000000\n", i
    printf "prop 68460003 66\nprop 68470003 %d\nprop 68480003 0x30000\nprop 68340003 219000000\nprop 683A0003 219043200\n", i
}

function favourite(i) {
    printf "item @shortcuts\nprop Class IPM.Note\nprop 7C00001F Public%d\nprop 7C020102 sk:source/public:Public%d\n", i, i
    print "prop 7D030003 1\nprop 7D09001F IPF.Note"
}

function rule(i) {
    printf "rule @inbox \"Rule %d\" seq=%d if=%s do=%s\n", i, i + 10,
        i % 5 == 0 ? "from:" person(i) : "subject:word" i,
        i % 10 == 3 ? "forward:source/" person(i) : "move:@inbox/F" (i % F + 1)
}

function organizer(    i) {
    print "fai @inbox\nprop Class IPM.RuleOrganizer\nprop Subject \"Outlook Rules Organizer\""
    printf "prop 68020102 0000140000001406 000000000000000000000000000000000000000000000000 0100000001000000 00000000 "
    printf "%02x%02x", R % 256, R / 256
    for (i = 0; i < R; i++) {
        printf " 000014 06 chars8[ \"text16:Rule %d\" ] 01000000 00000000 01000000 00000000 01000000 ", i
        printf "size32[ 0200 FFFF 0000 size16[ utf8:CRuleElement ] 90010000 01000000 00000000 01000000 0180 "
        printf "2c010000 01000000 00000000 size32[ eid:@inbox/F%d ] size32[ store:alice ] chars8[ text16:F%d ] 00000000 ]",
            i % F + 1, i % F + 1
    }
    print " 00000000 00000000 000000000000000000000000"
}

function delegates(    i, k, kinds, what) {
    printf "item @freebusydata as lfb\nprop Class IPM.Microsoft.ScheduleData.FreeBusy\nprop Subject LocalFreebusy\n"
    split("684A101F 6844101F 68451102 686B1003", what, " ")
    for (k = 1; k <= 4; k++) {
        printf "prop %s", what[k]
        for (i = 1; i <= 10; i++)
            printf k < 3 ? " \"Person c%d\"" : k == 3 ? " ab:c%d" : " 1", i
        print ""
    }
    print "prop 6842000B 1\nprop 6843000B 0\nprop 684B000B 0"
    print "folderprop @inbox 36E41102 \"\" msg:lfb \"\" eid:@freebusydata"
    print "folderprop @root 36E41102 \"\" msg:lfb \"\" eid:@freebusydata"
    printf "rule @inbox \"\" seq=0 \"provider=Schedule+ EMS Interface\" if=subject:meeting"
    for (i = 1; i <= 10; i++)
        printf " do=delegate:c%d", i
    print ""
    for (i = 1; i <= 10; i++)
        printf "permission @calendar c%d editor\npermission @inbox c%d reviewer\n", i, i
}

BEGIN {
    P = C / 10
    print "[org source]\no = SourceOrg\ndomain = source.test"
    print "[org target]\no = TargetOrg\ndomain = target.test"
    printf "[user source/alice]\ndn = %s\ndisplay = Alice Adams\npassword = alice-source\n", dn("alice")
    printf "[user target/alice]\ndisplay = Alice Adams\npassword = alice-target\nproxy = X500:%s\n", dn("alice")
    for (i = 1; i <= 20; i++)
        user("c" i, i, 1)
    for (i = 1; i <= P; i++)
        user("p" i, i, 0)
    for (i = 1; i <= 20; i++)
        if (moved(i))
            printf "[mailbox source/c%d]\nswitch target/c%d\n", i, i
    for (i = 1; i <= 20; i++)
        public = public "folder Public" i "\n"
    printf "[public source]\n%s[public target]\n%s", public, public
    print "[mailbox target/alice]"
    copied(0)
    print "folderprop @inbox 36E41102 \"\" \"\" \"\" eid:@freebusydata"
    print "folderprop @root 36E41102 \"\" \"\" \"\" eid:@freebusydata"
    print "[mailbox source/alice]\nswitch target/alice"
    copied(1)
    for (i = 1; i <= S; i++)
        shortcut(i)
    for (i = 1; i <= 20; i++)
        search_folder(i)
    for (i = 1; i <= 20; i++)
        favourite(i)
    for (i = 0; i < R; i++)
        rule(i)
    organizer()
    delegates()
}'
