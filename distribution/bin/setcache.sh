#!/bin/sh
# setcache.sh KILOBYTES: memory that the kernel keeps free for what cannot wait (vm.min_free_kbytes). As root.
set -eu
[ $# -eq 1 ] || { echo "usage: setcache.sh KILOBYTES"; exit 1; }
sysctl -w "vm.min_free_kbytes=$1"
