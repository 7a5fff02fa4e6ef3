#!/bin/sh
# Builds the image and starts a name server and a broker in containers, for clients on this machine.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
docker build -f "$home/docker/Dockerfile" -t raptormq "$home"
docker run -d --name rmqnamesrv --network host raptormq sh mqnamesrv
docker run -d --name rmqbroker --network host -e NAMESRV_ADDR=127.0.0.1:9876 raptormq \
  sh mqbroker -c /home/rocketmq/conf/broker.conf
