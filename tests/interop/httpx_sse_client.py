"""httpx-sse of PyPI. Its users reconnect; this is what its documentation shows."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def main(url: str) -> None:
    last_event_id = ""
    delay = 0.0
    # httpx gives up on a silent stream after 5 seconds unless told otherwise. Three heartbeats.
    with httpx.Client(timeout=httpx.Timeout(10, read=45)) as client:
        while True:
            time.sleep(delay)
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            try:
                with connect_sse(client, "GET", url, headers=headers) as source:
                    for sse in source.iter_sse():
                        last_event_id = sse.id
                        if sse.retry is not None:
                            delay = sse.retry / 1000
                        print(json.dumps({"event": sse.event, "data": sse.data, "id": sse.id}), flush=True)
            except httpx.TransportError as error:
                print(f"{error!r}; once more", file=sys.stderr)


main(sys.argv[1])
