#!/bin/sh
# Sets the kernel of this machine for brokers: as root, until the next boot; what should last goes into /etc/sysctl.d.
# Prints what it sets. `os.sh -n` only prints.
# The original also sets vm.drop_caches=1, which empties the page cache once (cleancache.sh does); vm.dirty_writeback_centisecs
# to an hour, after which a loss of power costs more than the broker's own flush can help; unlimited memlock, because it
# locks memory; and the disk's scheduler, which today's kernels choose well for the disk that they have.
set -eu
dry=${1:-}
put() { # key value why
  echo "$1 = $2    # $3"
  [ "$dry" = -n ] || sysctl -q -w "$1=$2"
}
put vm.overcommit_memory 1 "memory that is reserved is not refused"
put vm.zone_reclaim_mode 0 "memory of other NUMA nodes is used before the page cache is given up"
put vm.max_map_count 655360 "one mapping for each log file that is read"
put vm.swappiness 1 "the process is not swapped out for the page cache"
put vm.page-cluster 3 "pages that are swapped in at once"
put vm.dirty_background_ratio 50 "the broker flushes by itself: the kernel need not begin early"
put vm.dirty_ratio 50 "writers are not made to write back before that"
put net.core.somaxconn 4096 "connections that wait to be accepted"
limits=/etc/security/limits.d/raptormq.conf
echo "nofile 655350 in $limits, for sessions that begin from now on"
if [ "$dry" != -n ] && [ -d /etc/security/limits.d ]; then
  printf '* soft nofile 655350\n* hard nofile 655350\n' > "$limits"
fi
