"""sseclient-py of PyPI, with requests. Its users reconnect."""

import json
import sys
import time

import requests
import sseclient


def main(url: str) -> None:
    last_event_id = None
    delay = 0.0
    while True:
        time.sleep(delay)
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        try:
            # Three heartbeats.
            response = requests.get(url, stream=True, headers=headers, timeout=(10, 45))
            for event in sseclient.SSEClient(response).events():
                last_event_id = event.id or last_event_id
                if event.retry:
                    delay = int(event.retry) / 1000
                print(json.dumps({"event": event.event, "data": event.data, "id": event.id or ""}), flush=True)
        except requests.exceptions.RequestException as error:
            print(f"{error!r}; once more", file=sys.stderr)


main(sys.argv[1])
