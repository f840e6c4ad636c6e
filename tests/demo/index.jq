# Who is who: the objects of both organisations and every identifier by which bytes may name them, in hex. From
# what the lab says of its content (ids) to {folders, people} of [{name, ids}], with names such as "target
# bob" and "target bob: Calendar".
include "hex";

# Default folders are called as tests/lab/demo.conf calls them.
def path($owner): if $owner == "target alice"
    then sub("^@inbox"; "Posteingang") | sub("^@calendar"; "Kalender") else . end
    | ltrimstr("@") | (.[:1] | ascii_upcase) + .[1:];

def everybody: [to_entries[] | .key as $org | .value | to_entries[] | {name: "\($org) \(.key)"} + .value]
    + [{name: "unknown zoe", dn: "/o=SourceOrg/cn=Recipients/cn=zoe", smtp: "zoe@source.test"}];

# A public folder has the same source key in every replica: GUID and counter of its EntryID, [MS-OXCDATA] 2.2.4.1.
def folders: [everybody[] | .name as $owner | (.folders // {}) | to_entries[]
    | {name: "\($owner): \(.key | path($owner))",
       ids: [.value, if $owner | test("public") then .value[44:88] else empty end]}]
    + [{name: "unknown zoe: a folder", ids: ["00000000\("0" * 31)70100\("0" * 31)8"]}];

def people: [everybody[] | {name, ids: [
        (.dn // empty | (., ascii_upcase | ascii + "00"), utf16 + "0000"),
        (.smtp // empty | (., ascii_upcase | ascii + "00"), utf16 + "0000"),
        (.guid // empty)]}]
    + [{name: "a PST", ids: ["4e495441f9bfb80100aa0037d96e0000", "\("0" * 31)982800000"]},
       {name: "global list", ids: ["dca740c8c042101ab4b908002b2fe18201000000000100002f00"]}];

# Who has not moved is known at the target by the same address: that is their address at the source.
{folders: folders, people: (reduce people[] as $p ([]; [.[].ids[]] as $taken | . + [$p | .ids -= $taken]))}
