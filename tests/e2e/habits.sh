#!/bin/sh
# A whole test against a server with other habits (tests/lab/lab.h). usage: habits.sh HABITS TEST
LAB_HABITS=$1 exec "$(dirname "$0")/$2.sh"
