from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.web.framing import ChunkedFrame, Inbox, LengthFrame
from monitord.web.head import ProtocolError

from .vectors import ALL, CHUNKED, FOUND, GET
from .wire import LIMITS, events_of

PIECES = st.sampled_from(
    [
        *(data for data, _ in ALL.values()),
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n", b"\n", b"\r", b"\0", b"GET ", b"/ ", b"HTTP/1.1", b"HTTP/1.0",
        b"Host: h\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n",
        b"Connection: close\r\n", b"a" * 150, b": ", b" ", b"\x80", b"5;", b"fff",
    ]
)  # fmt: skip
STREAMS = st.lists(PIECES | st.binary(max_size=8), max_size=8).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


@settings(max_examples=300)
@given(data=STREAMS, places=st.lists(st.integers(0, 5000), max_size=12))
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: bytes, places: list[int]) -> None:
    assert events_of(cut(data, places)) == events_of([data])


@settings(max_examples=60)
@given(data=STREAMS)
def test_events_of_single_bytes_are_those_of_the_whole(data: bytes) -> None:
    assert events_of(data[at : at + 1] for at in range(len(data))) == events_of([data])


@pytest.mark.parametrize("length", range(195, 206))
@pytest.mark.parametrize("after", [b"", b"\r\n\r\n", b"\n", b"\rx", b"\0", b" HTTP/2.0\r\n\r\n"])
def test_cuts_at_the_limit_of_the_request_line_change_nothing(length: int, after: bytes) -> None:
    data = b"GET /".ljust(length, b"a") + after + b"aaaa"
    assert events_of(data[at : at + 1] for at in range(len(data))) == events_of([data])


@pytest.mark.parametrize("length", range(592, 606))
@pytest.mark.parametrize("after", [b"", b"\r\n\r\n", b"\n", b"\rx", b"\0"])
def test_cuts_at_the_limit_of_the_head_change_nothing(length: int, after: bytes) -> None:
    data = (GET + b"X: ").ljust(length, b"a") + after + b"aaaa"
    assert events_of(data[at : at + 1] for at in range(len(data))) == events_of([data])


@pytest.mark.parametrize(("data", "status"), ALL.values(), ids=ALL.keys())
def test_every_vector_has_the_same_result_byte_by_byte(data: bytes, status: int) -> None:
    assert events_of(data[at : at + 1] for at in range(len(data))) == events_of([data])


def test_bare_character_is_reported_before_too_many_fields() -> None:
    """It is rejected when it arrives, so it must also be the reason for a head that arrives at once."""
    data = b"\0" + GET + b"Host: h\r\n" + b"X: y\r\n" * 12 + b"\r\n"
    assert events_of([data[:1], data[1:]]) == events_of([data]) == [("failure", 400)]


def test_inputs_of_the_fuzzer_do_not_depend_on_cuts() -> None:
    for data in FOUND:
        whole = events_of([data])
        assert events_of(data[at : at + 1] for at in range(len(data))) == whole, data


@settings(max_examples=200)
@given(data=st.binary(max_size=2000), places=st.lists(st.integers(0, 2000), max_size=8))
def test_any_bytes_give_events_or_a_protocol_error(data: bytes, places: list[int]) -> None:
    for event in events_of(cut(data, places)):
        assert event[0] in {"head", "body", "end", "failure"}


@settings(max_examples=100)
@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_chunked_body_is_decoded_unchanged(body: bytes, sizes: list[int]) -> None:
    wire, at = b"", 0
    while at < len(body):
        for size in sizes:
            piece = body[at : at + size]
            if piece:
                wire += b"%x\r\n%b\r\n" % (len(piece), piece)
            at += size
    events = events_of([CHUNKED + wire + b"0\r\n\r\n" + GET + b"\r\n"])
    assert b"".join(str(event[1]).encode("latin-1") for event in events if event[0] == "body") == body
    assert [event[0] for event in events if event[0] != "body"] == ["head", "end", "head"]


def inbox() -> Inbox:
    return Inbox(LIMITS)


@pytest.mark.parametrize(
    "drip",
    [b"a", b"GET / HTTP/1.1\r\nHost: h\r\nX: ", CHUNKED + b"5;", CHUNKED + b"0\r\nA: b\r\n"],
    ids=["request line", "field", "chunk extension", "trailer"],
)
def test_endless_input_is_rejected_in_limited_memory(drip: bytes) -> None:
    box = inbox()
    box.feed(drip)
    most = 0
    with pytest.raises(ProtocolError):  # noqa: PT012 - which of the bytes is one too many is not the point
        for _ in range(20_000):
            if box.frame is None:
                box.next_head()
            else:
                box.take_body(1000)
            box.feed(b"A: b\r\n" if drip.endswith(b"\n") else b"a")
            most = max(most, box.unused_bytes)
    assert most < 1000


def test_many_small_extensions_are_rejected() -> None:
    box = inbox()
    box.feed(CHUNKED)
    box.next_head()
    with pytest.raises(ProtocolError, match="extensions"):  # noqa: PT012 - which of them is one too many is not the point
        for _ in range(1000):
            box.feed(b"1;" + b"a" * 100 + b"\r\nx\r\n")
            box.take_body(1000)


def test_next_head_waits_for_the_body_before_it() -> None:
    box = inbox()
    box.feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert box.next_head()
    assert box.frame is not None
    assert box.frame.left == 3
    assert box.take_body(2) == b"ab"
    assert box.frame.left == 1
    assert [box.take_body(100), box.frame] == [b"c", None]
    head = box.next_head()
    assert head is not None
    assert head.method == "GET"
    assert box.unused_bytes == 0


def test_bytes_before_a_malformed_chunk_are_returned_first() -> None:
    frame = ChunkedFrame()
    piece, _ = frame.take(b"3\r\nabc\r\nzz\r\n", 0, 100)
    assert piece == b"abc"
    with pytest.raises(ProtocolError):
        frame.take(b"zz\r\n", 0, 100)


def test_body_of_length_zero_is_done_at_once() -> None:
    assert LengthFrame(0).done


def test_dropped_bytes_are_not_part_of_the_next_head() -> None:
    box = inbox()
    box.feed(b"GET / HT")
    assert box.next_head() is None
    box.drop()
    assert box.unused_bytes == 0
    box.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert box.next_head()
