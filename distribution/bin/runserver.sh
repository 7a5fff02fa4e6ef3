#!/bin/sh
# runserver.sh CLASS [options]: what RocketMQ runs in a JVM.
exec sh "$(dirname "$0")/run.sh" "$@"
