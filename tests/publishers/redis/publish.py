"""Publishes an event: publish.py TOPIC EVENT DATA

REDIS_PORT is the port of Redis on this machine.
"""

import os
import sys

import redis

topic, event, data = sys.argv[1:]
client = redis.Redis(port=int(os.environ.get("REDIS_PORT", "6379")))
fields = {"topic": topic, "event": event, "data": data}
entry = client.xadd("{tidings}:log", fields, maxlen=100_000, approximate=True)
print(entry.decode())
