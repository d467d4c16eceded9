import random
from dataclasses import replace

import pytest

from monitord.web.head import Head, ProtocolError, parse_head, usual_head
from monitord.web.limits import Limits

from .vectors import ALL, FOUND, mixed_stream
from .wire import events_of


def parse(head: bytes) -> Head:
    return parse_head(head, 100)


@pytest.mark.parametrize(("data", "status"), ALL.values(), ids=ALL.keys())
def test_request_is_accepted_or_rejected_with_its_status(data: bytes, status: int) -> None:
    events = events_of([data])
    failures = [event[1] for event in events if event[0] == "failure"]
    assert failures == ([status] if status else [])
    if not status:
        assert events[0][0] == "head"


def test_authority_of_an_absolute_target_replaces_host() -> None:
    head = parse(b"GET http://target:8/x?y=z HTTP/1.1\r\nHost: field\r\n\r\n")
    assert (head.authority, head.path, head.query_string) == ("target:8", "/x", "y=z")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("//host/p", "//host/p", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a?", "/a", ""),
        ("/%2Fa%20b", "/%2Fa%20b", ""),
        ("http://h", "/", ""),
        ("http://h?x", "/", "x"),
    ],
)
def test_target_is_split_at_its_first_question_mark(target: str, path: str, query: str) -> None:
    head = parse(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (head.path, head.query_string) == (path, query)


def test_options_with_an_absolute_target_without_path_applies_to_the_server() -> None:
    assert parse(b"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n").path == "*"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "Keep-Alive, CLOSE", False),
        ("1.1", "closed", True),
        ("1.0", "", False),
        ("1.0", "keep-alive", True),
        ("1.0", "keep-alive, close", False),
    ],
)
def test_persistence_depends_on_version_and_connection_field(
    version: str, connection: str, kept: bool
) -> None:
    field = f"Connection: {connection}\r\n" if connection else ""
    assert parse(f"GET / HTTP/{version}\r\nHost: h\r\n{field}\r\n".encode()).keep_alive is kept


def test_connection_fields_are_combined() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n")
    assert not head.keep_alive


def test_expectation_without_a_body_is_ignored() -> None:
    assert not parse(b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").expects_continue


def test_protocol_error_has_status_and_message() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(b"GET / HTTP/1.1\r\nX: y\r\n\r\n")
    assert (caught.value.status, caught.value.message) == (400, "HTTP/1.1 needs a Host field")


def test_fields_of_a_head_that_debian_httptools_rejects_are_split() -> None:
    """It rejects heads over 64 KiB."""
    fields = b"".join(b"X%d: %b\r\n" % (number, b"a" * 6000) for number in range(20))
    assert len(parse(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n").fields) == 21


def attributes(head: Head) -> tuple[object, ...]:
    return (
        head.method, head.target, head.path, head.query_string, head.authority, head.minor_version, head.fields,
        head.length, head.keep_alive, head.expects_continue, head.frames_response,
    )  # fmt: skip


CLIENTS = {
    "curl": b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9100\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    "Prometheus": b"GET /metrics HTTP/1.1\r\nHost: localhost:9100\r\nUser-Agent: Prometheus/2.42.0\r\n"
    b"Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
    b"Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
    "Firefox": b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; rv:128.0) Gecko/20100101\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Connection: keep-alive\r\nCookie: a=b\r\nUpgrade-Insecure-Requests: 1\r\nPriority: u=1\r\n\r\n",
}


@pytest.mark.parametrize("data", CLIENTS.values(), ids=CLIENTS.keys())
def test_head_of_a_common_client_is_usual(data: bytes) -> None:
    head = usual_head(data, Limits())
    assert head is not None
    assert attributes(head) == attributes(parse(data))


@pytest.mark.parametrize(
    "limits",
    [
        replace(Limits(), request_line_bytes=60),
        replace(Limits(), head_bytes=60),
        replace(Limits(), fields=29),
    ],
)
def test_usual_head_respects_the_limits(limits: Limits) -> None:
    assert usual_head(CLIENTS["curl"], limits) is None


def test_usual_head_is_the_fully_checked_head() -> None:
    """Every head that differs from a usual one in a single byte, and every other stream of these tests."""
    usual = b"GET /a?b=c HTTP/1.1\r\nHost: h:80\r\nTE: x\r\nConnection: keep-alive\r\nExpec: y\r\n\r\n"
    heads = [
        usual[:place] + bytes([octet]) + usual[place + 1 :]
        for place in range(len(usual))
        for octet in range(256)
    ]
    chance = random.Random(9112)
    heads += [data for data, _ in ALL.values()] + FOUND + [mixed_stream(chance) for _ in range(3000)]
    accepted = [(data, head) for data in heads if (head := usual_head(data, Limits())) is not None]
    for data, head in accepted:
        assert attributes(head) == attributes(parse(data)), data
    assert len(accepted) > 1000


def test_head_with_many_fields_is_not_usual() -> None:
    start = b"GET / HTTP/1.1\r\nHost: h\r\n"
    assert usual_head(start + b"X: y\r\n" * 29 + b"\r\n", Limits()) is not None
    assert usual_head(start + b"X: y\r\n" * 30 + b"\r\n", Limits()) is None
