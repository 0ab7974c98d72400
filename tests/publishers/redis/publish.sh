#!/bin/sh
# Publishes an event: publish.sh TOPIC EVENT DATA
# REDIS_PORT is the port of Redis on this machine.
set -eu

exec redis-cli -e -p "${REDIS_PORT:-6379}" \
  XADD '{tidings}:log' 'MAXLEN' '~' 100000 '*' topic "$1" event "$2" data "$3"
