#!/bin/sh
# runclass.sh CLASS [options]: runs one of RocketMQ's benchmark programs.
[ $# -ge 1 ] || { echo "USAGE: $0 classname opts"; exit 1; }
exec sh "$(dirname "$0")/../bin/run.sh" "$@"
