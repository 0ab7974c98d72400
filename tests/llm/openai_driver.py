"""OpenAI's own client of PyPI: runs one scenario at the server of the first argument, and prints what it got as JSON.

The second argument is the scenario, the third a second server: the same behind a network that breaks.
"""

import json
import sys

import httpx2
import openai

url, scenario, cuts = (sys.argv[1:] + [""])[:3]


def client(url):
    return openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0, timeout=60)


server = client(url)
#: What a connection that breaks is to this client.
BROKEN = (openai.APIConnectionError, httpx2.HTTPError)


def chat(question, at=server, **more):
    messages = [{"role": "user", "content": question}]
    return at.chat.completions.create(model="m", messages=messages, stream=True, **more)


def ask(question, at=server):
    return at.responses.create(model="m", input=question, background=True, stream=True)


def collect(items, each=lambda item, count: None):
    """Everything of an iteration, and the error with which it has ended."""
    collected = []
    try:
        for item in items:
            collected.append(item)
            each(item, len(collected))
        return collected, None
    except BROKEN as error:
        return collected, type(error).__name__


def chat_text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def text(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def chat_whole():
    chunks, error = collect(chat("count to 50", stream_options={"include_usage": True}))
    return chat_text(chunks), chunks[-2].choices[0].finish_reason, chunks[-1].usage.completion_tokens, error


def chat_cut():
    chunks, error = collect(chat("count to 100", client(cuts)))
    whole = server.chat.completions.retrieve(chunks[0].id)
    return chat_text(chunks), error, whole.choices[0].message.content


def chat_failed():
    chunks = []
    try:
        for chunk in chat("count to 5 and fail"):
            chunks.append(chunk)
    except openai.APIError as error:
        return chat_text(chunks), error.type, error.message


def refused():
    refusals = []
    for call in (
        lambda: server.chat.completions.create(model="m", messages=[]),
        lambda: server.chat.completions.retrieve("chatcmpl-17"),
        lambda: server.responses.retrieve("resp_" + "0" * 32),
        lambda: server.chat.completions.create(model="m", messages=[{"role": "user", "content": "count to 1 and fail"}]),
    ):
        try:
            call()
        except openai.APIStatusError as error:
            refusals.append(type(error).__name__)
    return refusals


def responses_cut():
    """Goes on after the event that it has, as often as the network breaks."""
    events, error = collect(ask("count to 200"))
    id = events[0].response.id
    again, count = [], 0
    while not again or again[-1].type != "response.completed":
        after = {"starting_after": again[-1].sequence_number} if again else {}
        try:
            rest, error = collect(client(cuts).responses.retrieve(id, stream=True, **after))
            again += rest
        except BROKEN:
            pass  # in the head
        count += 1
    return text(again), again == events, count


def responses_stopped():
    events = []

    def each(event, count):
        events.append(event)
        if count == 20:
            server.responses.cancel(events[0].response.id)

    _, error = collect(ask("count to 10000"), each)
    after = server.responses.retrieve(events[0].response.id)
    return text(events), events[-1].type, after.status, after.output_text, error


def responses_readers():
    id = server.responses.create(model="m", input="count to 20", background=True).id
    readers = [server.responses.retrieve(id, stream=True) for _ in range(2)]
    one, other = (collect(reader)[0] for reader in readers)
    late, _ = collect(server.responses.retrieve(id, stream=True))
    return text(one), other == one, late == one


print(json.dumps(globals()[scenario]()))
