#!/bin/sh
# cachedog.sh [MEGABYTES]: watches the free memory, and gives page cache back when it falls below so many MiB (by default
# 1024). As root; runs until it is stopped.
set -eu
least=${1:-1024}
here=$(dirname "$0")
while :; do
  available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  if [ "$available" -lt "$least" ]; then
    echo "$(date '+%F %T') $available MiB are available"
    sh "$here/cleancache.sh"
  fi
  sleep 10
done
