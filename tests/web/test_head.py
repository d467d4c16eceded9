import pytest

from monitord.web.head import KNOWN_HEAD_BYTES, KNOWN_HEADS, Head, HeadParser, ProtocolFailure

from .vectors import ALL
from .wire import events_of


def parse(head: bytes) -> Head:
    return HeadParser(100).parse(head)


@pytest.mark.parametrize(("data", "status"), ALL.values(), ids=ALL.keys())
def test_a_request_is_accepted_or_refused_with_its_status(data: bytes, status: int) -> None:
    events = events_of([data])
    failures = [event[1] for event in events if event[0] == "failure"]
    assert failures == ([status] if status else [])
    if not status:
        assert events[0][0] == "head"


@pytest.mark.parametrize(("data", "status"), ALL.values(), ids=ALL.keys())
def test_a_parser_is_unharmed_by_the_request_before(data: bytes, status: int) -> None:
    parser = HeadParser(12)
    before = events_of([data], parser=parser)
    assert events_of([data], parser=parser) == before
    after = events_of([b"GET /next HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"], parser=parser)
    assert after == [
        ("head", "GET", "/next", "/next", "", "h", 1, [["Host", "h"], ["X", "y"]], 0, True, False)
    ]


def test_the_authority_of_an_absolute_target_takes_the_place_of_host() -> None:
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
def test_a_target_is_split_at_its_first_question_mark(target: str, path: str, query: str) -> None:
    head = parse(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (head.path, head.query_string) == (path, query)


def test_options_of_an_absolute_target_without_path_means_the_server() -> None:
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
def test_the_connection_lasts_as_version_and_field_say(version: str, connection: str, kept: bool) -> None:
    field = f"Connection: {connection}\r\n" if connection else ""
    assert parse(f"GET / HTTP/{version}\r\nHost: h\r\n{field}\r\n".encode()).keep_alive is kept


def test_connection_fields_add_up() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n")
    assert not head.keep_alive


def test_an_expectation_without_a_body_is_nothing_to_wait_for() -> None:
    assert not parse(b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").expects_continue


def test_a_failure_carries_status_and_words_for_the_client() -> None:
    with pytest.raises(ProtocolFailure) as caught:
        parse(b"GET / HTTP/1.1\r\nX: y\r\n\r\n")
    assert (caught.value.status, caught.value.message) == (400, "HTTP/1.1 needs a Host field")


def test_a_head_of_the_largest_size_passes_both_builds() -> None:
    """Debian's httptools refuses heads of more than 64 KiB, so the default bound lies below."""
    fields = b"".join(b"X%d: %b\r\n" % (number, b"a" * 6000) for number in range(5))
    assert len(parse(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n").fields) == 6


def test_a_head_sent_again_is_parsed_once_and_few_small_ones_are_remembered() -> None:
    parser = HeadParser(100)
    again = b"GET /again HTTP/1.1\r\nHost: h\r\n\r\n"
    assert parser.parse(again) is parser.parse(again)
    for number in range(3 * KNOWN_HEADS):
        parser.parse(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
    large = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * KNOWN_HEAD_BYTES + b"\r\n\r\n"
    assert parser.parse(large) is not parser.parse(large)
    assert len(parser.known) <= KNOWN_HEADS


def test_a_refused_head_is_refused_again() -> None:
    parser = HeadParser(100)
    for _ in range(2):
        with pytest.raises(ProtocolFailure):
            parser.parse(b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n")
