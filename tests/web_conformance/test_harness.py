"""Each check of the harness fails with a server that violates it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from .building import (
    PROBE,
    accepts,
    body,
    case,
    closed_gracefully,
    get,
    happened,
    head,
    in_sync_or_closed,
    interim_statuses,
    rejects,
    status,
)
from .harness import Address, Answers, Case, Pause, play
from .reader import AnswerReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nplain\n"
PROBED = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nquery=probe\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(session: Session) -> AsyncIterator[Address]:
    """A server that calls `session` for each connection and closes it afterwards."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await session(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(port=server.sockets[0].getsockname()[1])


def replying(*answers: bytes, stays_open: bool = False) -> Session:
    """Send a response for each head, then close or wait until the client does."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        if stays_open:
            await reader.read()

    return session


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    own: socket.socket = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _eager(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


ACCEPTS = accepts("x", "persistent-1.1", get(), body(b"plain\n"))
REJECTS = rejects("x", "host-required", get())
GRACEFUL = case("x", "lingering-close", [get()], closed_gracefully, closes=True)
FRAMED = case("x", "unread-body", [get(), Answers(1), PROBE], in_sync_or_closed(status(200)), answers=2)
EXPECTS = case(
    "x", "expect-100", [head("POST", "/echo", "Content-Length: 0"), Pause.INTERIM], interim_statuses(100)
)
HEAD = accepts("x", "head-no-content", head("HEAD", "/plain"), methods=("HEAD",))

GOOD: dict[str, tuple[Case, Session]] = {
    "accepted-and-in-step": (ACCEPTS, replying(OK, PROBED, stays_open=True)),
    "rejected-and-closed": (REJECTS, replying(BAD)),
    "closed": (GRACEFUL, replying(OK)),
    "closed-instead-of-in-step": (FRAMED, replying(OK)),
    "interim": (EXPECTS, replying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)),
    "head": (HEAD, replying(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", PROBED)),
}

FAULTY: dict[str, tuple[Case, Session, str]] = {
    "other-content": (ACCEPTS, replying(OK.replace(b"plain", b"other"), PROBED), "the content is"),
    "closed-too-early": (ACCEPTS, replying(OK), "1 answers instead of 2"),
    "out-of-step": (ACCEPTS, replying(OK, OK), "lacks b'query=probe'"),
    "accepted-instead-of-rejected": (REJECTS, replying(OK), "200 instead of 400"),
    "rejected-twice": (REJECTS, replying(BAD + BAD), "2 answers instead of 1"),
    "reset": (GRACEFUL, _reset, "the connection is reset"),
    "body-taken-for-a-request": (
        FRAMED,
        replying(OK + PROBED.replace(b"12", b"15").replace(b"probe", b"smuggled")),
        "the bytes of the body were taken for a request",
    ),
    "no-interim": (EXPECTS, replying(OK), "interim answers are []"),
    "content-with-head": (HEAD, replying(OK, PROBED), "no status line but b'plain"),
    "half-an-answer": (REJECTS, replying(b"HTTP/1.1 400 Bad Request\r\n"), "the connection ended after"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_good_server_passes(name: str) -> None:
    played, session = GOOD[name]
    async with scripted(session) as address:
        assert (await play(played, address)).complaint is None


@pytest.mark.parametrize("name", FAULTY)
async def test_failure_is_detected(name: str) -> None:
    played, session, expected = FAULTY[name]
    async with scripted(session) as address:
        complaint = (await play(played, address)).complaint
    assert complaint is not None
    assert expected in complaint


async def test_response_before_the_end_of_the_request_is_detected() -> None:
    late = case(
        "x",
        "field-whole-section",
        [get()[:10], Pause.GAP, Pause.GAP, get()[10:]],
        happened("sent", "sent", "200"),
    )
    async with scripted(_eager) as address:
        complaint = (await play(late, address)).complaint
    assert complaint is not None
    assert "the order is" in complaint


MALFORMED = {
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "no-space-after-status": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "http-2": b"HTTP/2.0 200 OK\r\n\r\n",
    "four-digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "blank-before-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "control": b"HTTP/1.1 200 OK\r\nX: a\x01\r\nContent-Length: 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n",
    "length-and-coding": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other-coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "204-with-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "100-with-length": b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "bad-chunk-end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX",
    "content-after-304": b"HTTP/1.1 304 Not Modified\r\n\r\nabcdefgh",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_response_is_a_complaint(name: str) -> None:
    reader = AnswerReader(())
    reader.feed(MALFORMED[name])
    assert reader.complaint is not None


CUT = {
    "in-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "in-content": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npla",
    "in-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npla",
    "before-last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npla\r\n",
}


@pytest.mark.parametrize("name", CUT)
def test_truncated_response_is_a_complaint(name: str) -> None:
    reader = AnswerReader(())
    reader.feed(CUT[name])
    assert reader.complaint is None
    reader.feed_eof()
    assert reader.complaint is not None


def test_responses_do_not_depend_on_the_pieces() -> None:
    stream = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"HTTP/1.1 204 No Content\r\nX: a\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\n3\r\ntwo\r\n0\r\nT: 1\r\n\r\n"
        b"HTTP/1.0 200 OK\r\nX: b\r\n\r\nto the end"
    )
    whole, single = AnswerReader(()), AnswerReader(())
    whole.feed(stream)
    whole.feed_eof()
    for octet in stream:
        single.feed(bytes([octet]))
    single.feed_eof()
    assert whole.complaint is None
    assert whole.answers == single.answers
    assert [answer.body for answer in whole.answers] == [b"plain\n", b"", b"onetwo", b"to the end"]
    assert [answer.status for answer in whole.interim] == [100]
