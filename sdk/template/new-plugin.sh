#!/bin/sh
# Makes a new plugin out of this template: new-plugin.sh NAME FOLDER
# NAME is the word for Features= and Skip= ([A-Za-z][A-Za-z0-9]*, at most 32), FOLDER must not exist.
set -eu
die() { echo "new-plugin.sh: $*" >&2; exit 1; }
[ $# -eq 2 ] || die "usage: new-plugin.sh NAME FOLDER"
name=$1 folder=$2
case $name in
    '' | [!A-Za-z]* | *[!A-Za-z0-9]*) die "'$name' is not a letter followed by letters and digits" ;;
esac
[ ${#name} -le 32 ] || die "'$name' is longer than 32 characters"
[ ! -e "$folder" ] || die "'$folder' exists already"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
lower=$(printf %s "$name" | tr 'A-Z' 'a-z')
upper=$(printf %s "$name" | tr 'a-z' 'A-Z')
mkdir -p "$folder"
for file in plugin.c Makefile README.md; do
    sed -e "s/EXAMPLE/$upper/g" -e "s/Example/$name/g" -e "s/example/$lower/g" "$here/$file" \
        > "$folder/$file"
done
echo "Made $folder: edit plugin.c, then 'make check' there."
