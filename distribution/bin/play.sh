#!/bin/sh
# Starts a name server and a broker in the background; their output goes to ns.log and bk.log here.
here=$(dirname "$0")
address=$(hostname -i 2>/dev/null | awk '{ print $1 }')
address=${address:-127.0.0.1}:9876
nohup sh "$here/mqnamesrv" > ns.log 2>&1 &
nohup sh "$here/mqbroker" -n "$address" > bk.log 2>&1 &
echo "Start Name Server and Broker Successfully, $address"
