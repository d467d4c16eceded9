"""The heads and bodies in received bytes as a list, for comparisons between cuts and between builds of httptools.

Run as a program it reads a JSON list of base64 texts on standard input and writes what each came to, so that
a test can ask another build in another process.
"""

import base64
import json
import sys
from collections.abc import Iterable, Iterator

from monitord.web.framing import Inbox
from monitord.web.head import ProtocolError
from monitord.web.limits import Limits

Event = tuple[object, ...]

LIMITS = Limits(request_line_bytes=200, head_bytes=600, fields=12)


def events_of(
    pieces: Iterable[bytes],
    limits: Limits = LIMITS,
    kept: list[int] | None = None,
) -> list[Event]:
    """Return heads, bodies (joined), ends of bodies, and the status of the error at the end.

    `kept`, if given, is filled with the bytes that stay unread after each piece.
    """
    inbox = Inbox(limits)
    events: list[Event] = []
    try:
        for piece in pieces:
            inbox.feed(piece)
            for event in _take(inbox):
                if event[0] == "body" and events and events[-1][0] == "body":
                    events[-1] = ("body", str(events[-1][1]) + str(event[1]))
                else:
                    events.append(event)
            if kept is not None:
                kept.append(inbox.unused_bytes)
    except ProtocolError as failure:
        events.append(("failure", failure.status))
    return events


def _take(inbox: Inbox) -> Iterator[Event]:
    in_body = inbox.frame is not None
    while True:
        while in_body:
            piece = inbox.take_body(50)
            if piece:
                yield ("body", piece.decode("latin-1"))
            if inbox.frame is None:
                in_body = False
                yield ("end",)
            elif not piece:
                return
        head = inbox.next_head()
        if head is None:
            return
        fields = [
            [name.decode("latin-1"), value.strip(b" \t").decode("latin-1")] for name, value in head.fields
        ]
        yield (
            "head", head.method, head.target, head.path, head.query_string, head.authority, head.minor_version,
            fields, head.length, head.keep_alive, head.expects_continue,
        )  # fmt: skip
        in_body = inbox.frame is not None


def main() -> None:
    wanted = json.load(sys.stdin)
    json.dump([events_of([base64.b64decode(text)]) for text in wanted], sys.stdout)


if __name__ == "__main__":
    main()
