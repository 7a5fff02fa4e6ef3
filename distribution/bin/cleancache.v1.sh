#!/bin/sh
# As cleancache.sh, and also what the kernel remembers of folders and files. As root.
set -eu
free -m
sync
echo 3 > /proc/sys/vm/drop_caches
free -m
