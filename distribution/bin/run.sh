#!/bin/sh
# run.sh CLASS_OR_COMMAND [options]: runs the raptormq binary. A class name of RocketMQ becomes the command that does the
# same. JVM flags are ignored; -D properties are kept, also those of JAVA_OPT and JAVA_OPT_EXT.
# The binary is $RAPTORMQ_BIN, or raptormq beside this script, or that of the source tree, or the one on the PATH.
here=$(cd "$(dirname "$0")" && pwd)
binary=${RAPTORMQ_BIN:-}
for candidate in "$here/raptormq" "$here/../../target/release/raptormq" "$(command -v raptormq)"; do
  [ -n "$binary" ] || [ ! -x "$candidate" ] || binary=$candidate
done
[ -n "$binary" ] || { echo "raptormq is not built: run cargo build --release, or set RAPTORMQ_BIN" >&2; exit 1; }
export ROCKETMQ_HOME="${ROCKETMQ_HOME:-$(dirname "$here")}"

for word in $JAVA_OPT $JAVA_OPT_EXT; do
  case $word in -D?*) set -- "$@" "$word" ;; esac
done
count=$#
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  case $word in
    -X* | -server | -ea | --add-exports=* | --add-opens=*) ;;
    org.apache.rocketmq.namesrv.NamesrvStartup) set -- "$@" namesrv ;;
    org.apache.rocketmq.broker.BrokerStartup) set -- "$@" broker ;;
    org.apache.rocketmq.tools.command.MQAdminStartup) set -- "$@" mqadmin ;;
    org.apache.rocketmq.*) set -- "$@" tools "$word" ;;
    *) set -- "$@" "$word" ;;
  esac
  count=$((count - 1))
done
exec "$binary" "$@"
