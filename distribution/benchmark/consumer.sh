#!/bin/sh
# consumer.sh [options]: consumes BenchmarkTest and prints rates and times, in the background; -h lists the options.
sh "$(dirname "$0")/runclass.sh" org.apache.rocketmq.example.benchmark.Consumer "$@" &
