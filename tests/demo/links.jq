# The links of alice's mailbox, profile and files, as somebody reads them who knows nothing of cpuu: a list of
# {feature, link, object}. A link is told by the identifiers in its bytes (index.jq): all objects they name, so that
# one that names both sides is seen. Formats: [MS-OXOCFG] 2.2.9, [MS-OXOCNTC] 2.2.2, [MS-OXORULE] 2.2.5, [MS-OXOSRCH]
# 2.2.4, [MS-OXODLGT] 2.2.2, "Autocomplete stream" of the Outlook MAPI reference; lists of a profile: observed.
#
# Input: dump of the lab. Arguments: $index, file; $org, whose mailbox of alice it is about; $hive, text of reglookup;
# $xml, text; $srs, hex.
include "hex";

def found($index): . as $hex | [$index[] | select(any(.ids[]; . as $id | $hex | contains($id)))];
def without($objects): reduce ($objects[].ids[]) as $id (.; split($id) | join("_"));

# What some bytes name; a person that is named beside a folder of theirs is part of that folder's name.
def named: found($index[0].folders) as $f | (without($f) | found($index[0].people)) as $p
    | [$p[].name | . as $who | select(all($f[].name; startswith("\($who): ") | not))] + [$f[].name]
    | unique | join(", ") | if . == "" then "-" else . end;

# ---- mailboxes ------------------------------------------------------------------------------------------

def flat: to_entries | map(if .key | endswith("001F") then .value | utf16 + "0000"
    else .value | tostring end) | join("_");
def only($pattern): with_entries(select(.key | test($pattern)));
def folder($name): to_entries[] | select(.key | test("/(\($name))$")) | .value;
def subject: .["0E1D001F"];
def class($name): select(.["001A001F"] == $name);
def row($feature; $link; $object): {feature: $feature, link: $link, object: $object};

# A shortcut also names the store it is listed in, which is the user's own.
def listed_by: (.["68910102"] // "" | named) as $store
    | if $store == "-" or $store == "\($org) alice" then "" else " (listed by \($store))" end;
def panes: folder("Common Views").associated[]?.properties
    | class("IPM.Microsoft.WunderBar.Link") | select(.["68490003"] != 4)
    | row(["", "Favorites", "", "Calendar", "Contacts", "Tasks", "Notes", "Journal"][.["68520003"]]; subject;
        (only("^68(4C|4D|4E|54)0102") | flat | named) + listed_by);

def favourites: folder("Shortcuts").messages[]?.properties | class("IPM.Note")
    | row("PublicFav"; .["7C00001F"]; .["7C020102"] | named);

# In a rule a folder is a number that holds in its mailbox only.
def moved_to: .["668000FE"] as $hex | [$index[0].folders[] | select(.name | startswith("\($org) alice: "))
    | . as $f | select($hex | test("1500 01....\($f.ids[0][76:88])"; "x")) | .name];
def rules: folder("Inbox|Posteingang").rules[]?
    | (moved_to + [only("667900FD|668000FE") | flat | named | select(. != "-")] | join(", ")) as $objects
    | if .["6681001F"] == "RuleOrganizer"
      then row("Rules"; .["6682001F"]; $objects + if .["66770003"] % 2 == 1 then "" else "(switched off)" end)
      else row("Delegates"; "meeting requests to"; $objects) end;

def delegates: (folder("Freebusy Data").messages[]?.properties
    | class("IPM.Microsoft.ScheduleData.FreeBusy") | [(.["684A101F"] | strings), (.["68451102"] | blobs)] | transpose[]
    | row("Delegates"; .[0]; .[1] | named)),
    row("Delegates"; "calendar rights"; folder("Calendar|Kalender").permissions | to_entries
        | map(.value as $rights | .key | ascii + "00" | named | select(. != "-")
            | "\(.) \({"1147": "editor", "1025": "reviewer"}["\($rights)"] // $rights)")
        | sort | join(", ") | select(. != ""));

def free_busy: .["/"], folder("Inbox|Posteingang") | .properties["36E41102"] // empty
    | row("Delegates"; "free/busy settings"; named);

def search_folders: folder("Common Views").associated[]?.properties
    | class("IPM.Microsoft.WunderBar.SFInfo") | row("SearchFolders"; subject; .["68450102"] | named);

def nick_row: .hex as $hex | .at as $start | reduce range(0; $hex | number($start; 4)) as $i
    ({at: ($start + 4), hex: $hex, start: $start};
     .at as $at | ($hex | number($at; 2)) as $type
     | ($hex | number($at + 2; 2)) as $id
     | if $type == 31 or $type == 258 then ($hex | number($at + 16; 4)) as $size
         | (if $id == 12289 then .shown = ($hex[($at + 20) * 2:($at + 20 + $size) * 2] | text) else . end)
         | .at += 20 + $size
       else .at += 16 end);
def nicks: folder("Inbox|Posteingang").associated[]?.properties | class("IPM.Configuration.Autocomplete")
    | .["7C090102"] as $hex | foreach range(0; $hex | number(12; 4)) as $i ({at: 16, hex: $hex}; nick_row; .)
    | row("Nicks"; .shown; $hex[.start * 2:.at * 2] | named);

def contacts: folder("Contacts|Suppliers").messages[]?.properties | . as $item
    | if .["001A001F"] == "IPM.Contact"
      then row("ContactMembers"; "\(subject): e-mail 1"; only(":0x808[345]:") | flat | named)
      elif .["001A001F"] == "IPM.DistList"
      then [only(":0x8055:"), only(":0x8054:") | to_entries[0].value | blobs] | transpose[]
        | row("ContactMembers"; $item | "\(subject): a member"; join("_") | named) else empty end;

def mailbox: panes, favourites, rules, delegates, free_busy, search_folders, nicks;

# ---- profile --------------------------------------------------------------------------------------------

# Lines of reglookup to {section: {value name: hex}}
def unquoted: split("%") | .[:1] + [.[1:][] | [(.[:2] | ascii_downcase), .[2:]] | .[0], (.[1] | ascii)]
    | .[0] |= ascii | join("");
def sections: [split("\n")[] | select(contains("/Profiles/Outlook/")) | split(",")
    | select(.[1] != "KEY") | (.[0] | split("/Profiles/Outlook/")[1] | split("/")) as $path
    | {section: ($path[:-1] | join("/")), value: $path[-1], hex: (.[2:3] | add // "" | unquoted)}]
    | group_by(.section) | map({key: .[0].section, value: (map({key: .value, value: .hex}) | from_entries)})
    | from_entries;
def pairs($names; $ids): [(.[$names] // "00000000" | texts), (.[$ids] // "00000000" | items)] | transpose;
def quote: text | "'\(.)'";

def profile: (.[] | select(.["01023414"] == "9eb4770074e411ce8c5e00aa004254e2")
        | row("AddBoxes"; .["001f3001"] | text; only("001e660b|001f6641|01020ff9|01020fff") | join("_") | named)),
    (.[] | select(.["11026620"]) | [pairs("101f6628"; "11026620"), (.["11026626"] | items)] | transpose[]
        | row("CONTAB"; .[0][0]; [.[0][1], .[1]] | join("_") | named)),
    (.[] | select(.["11026620"]) | row("CONTAB"; "their store's name"; only("101[ef]662[27]") | join("_") | named)),
    (.["0a0d020000000000c000000000000046"]
        | (pairs("101f031e"; "1102022a")[] | select(.[0] != "" or .[1] != "")
            | row("MoveToFolder"; .[0]; .[1] | named)),
          row("MoveToFolder"; "last used"; only("0102040[89]") | join("_") | named),
          (.["101f0390"] // "00000000" | texts | to_entries[] | row("OtherUsersFolders"; "name \(.key + 1)"; "'\(.value)'")),
          row("Services"; "stores remembered"; (.["1102039b", "1102044e", "11020458"] // empty | items[]) | named),
          row("Services"; "window remembered"; .["11020434"] // "" | named)),
    (.["9207f3e0a3b11019908b08002b2a56c2"] | row("Services"; "search path"; .["11023d05"] // "" | named)),
    (.[] | (select(.["00036688"] == "01000000") | row("UserNames"; "a mailbox"; .["001f3001"] | quote)),
        (.["001f660f", "001f6616"] // empty | row("UserNames"; "a public folder"; quote)),
        (select(.["001f6700"]) | row("UserNames"; "a PST"; .["001f3001"] | quote))),
    (.[] | select(.["001f6620"]) | row("profile"; "Exchange account"; only("001e6603|001f66|01020ff8")
            | del(.["001f6610"]) | join("_") | named),
        row("profile"; "offline file"; .["001f6610"] // "" | text | split("\\")[-1])),
    (.[] | select(.["01023414"] == "5494a1c0297f101ba58708002b2a2517")
        | row("profile"; "mailbox"; only("001e660b|001f6641|01020ff9|01020fff") | join("_") | named)),
    (.["9375CFF0413111d3B88A00104B2A6676/00000002"]
        | row("profile"; "delivery folder"; join("_") | named));

# ---- files ------------------------------------------------------------------------------------------------

def element($name): capture("<\($name)>(?<text>[^<]*)</\($name)>").text;
def shortcuts: [splits("<wdLnk>")][1:][]
    | row("Shortcuts"; element("name") | gsub("&amp;"; "&");
        [element("reckey", "eid") | ascii_downcase] | join("_") | named);

# EntryIDs of a file that is not read further, by their places
def groups: . as $hex | [$index[0].folders[] | . as $f | $hex | index($f.ids[0]) // empty | {at: ., name: $f.name}]
    | sort_by(.at) | to_entries[] | row("SRS"; "folder \(.key + 1)"; .value.name);

[(.[$org].mailboxes.alice | mailbox), (.target.mailboxes.alice | contacts), ($hive | sections | profile),
 ($xml | shortcuts), ($srs | groups)]
