#!/bin/sh
# tproducer.sh [options]: sends to BenchmarkTest and prints rates and times, in the background; -h lists the options.
sh "$(dirname "$0")/runclass.sh" org.apache.rocketmq.example.benchmark.TransactionProducer "$@" &
