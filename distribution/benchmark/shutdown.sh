#!/bin/sh
# shutdown.sh producer|consumer|tproducer|bproducer: tells the benchmarks of this kind that run in the background to stop.
case $1 in
  producer) class=Producer name=producer ;;
  consumer) class=Consumer name=consumer ;;
  tproducer) class=TransactionProducer name="transaction producer" ;;
  bproducer) class=BatchProducer name="batch producer" ;;
  *) echo "Usage: shutdown producer | consumer | tproducer | bproducer"; exit 1 ;;
esac

# The process ids of `raptormq tools CLASS`, with -D words anywhere before.
pids=
for process in /proc/[0-9]*; do
  found=$(tr '\0' '\n' 2>/dev/null < "$process/cmdline" | awk '
    NR == 1 { sub(".*/", ""); if ($0 != "raptormq") exit }
    NR > 1 && !/^-D/ && $0 != "tools" { sub("^org[.]apache[.]rocketmq[.]example[.]", ""); print; exit }')
  [ "$found" != "benchmark.$class" ] || pids="$pids ${process#/proc/}"
done
pids=${pids# }
[ -n "$pids" ] || { echo "No benchmark $name running."; exit 255; }

echo "The benchmark $name($pids) is running..."
# shellcheck disable=SC2086 # one word a process
kill $pids || exit 1
echo "Send shutdown request to benchmark $name($pids) OK"
