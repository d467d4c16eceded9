"""The parts of a request, and the combinations that are rejected."""

import pytest

from monitord.errors import InvalidValueError
from monitord.net import Endpoint, HttpRequest, TlsOptions, check_headers, parse_endpoint, parse_target
from monitord.net.http.url import redirect_target


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("a.test:80", Endpoint("a.test", 80)),
        ("192.0.2.1:65535", Endpoint("192.0.2.1", 65535)),
        ("[2001:db8::1]:443", Endpoint("2001:db8::1", 443)),
        ("[fe80::1%eth0]:443", Endpoint("fe80::1%eth0", 443)),
        ("[fe80::1%25eth0]:443", Endpoint("fe80::1%eth0", 443)),
        ("bücher.test:443", Endpoint("xn--bcher-kva.test", 443)),
    ],
)
def test_endpoint_is_a_host_and_a_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "", "a.test", "a.test:", ":80", "a.test:0", "a.test:65536", "::1:80", "a b:80", "a/b:1", " :1", "a|b:1",
        "a%00b:1", "[a.test]:1", "[192.0.2.1]:1", "[fe80::1%]:1", "a..b:1", "a\0:1",
    ],
)  # fmt: skip
def test_invalid_endpoint_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host and a port"):
        parse_endpoint(text)


def test_last_header_of_a_name_is_used() -> None:
    assert check_headers([("X-One", "1"), ("x-one", " 2 ")]) == {"x-one": "2"}


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([("a b", "c")], "is not a valid header name"),
        ([("", "c")], "is not a valid header name"),
        ([("A", "b\r\nC: d")], "contains a line break"),
        ([("A", "b\0")], "contains a line break or another control character"),
        ([("Transfer-Encoding", "chunked")], "is set by monitord"),
        ([("content-length", "3")], "is set by monitord"),
        ([("Connection", "close")], "is set by monitord"),
    ],
)
def test_invalid_header_is_rejected(headers: list[tuple[str, str]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_headers(headers)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"method": "GET /"}, "the method is not an HTTP method"),
        ({"url": f"http://a.test/{'x' * 9000}"}, "is longer than 8192 characters"),
        ({"body": b"x" * (1024 * 1024 + 1)}, "larger than 1024 KiB"),
        ({"bearer_token": "a\nb"}, "contains a line break"),
        ({"bearer_token": "a", "basic_auth": ("b", "c")}, "has more than one kind of authentication"),
        (
            {"bearer_token": "a", "headers": (("authorization", "b"),)},
            "has more than one kind of authentication",
        ),
        ({"url": "http://joe:pw@a.test/", "bearer_token": "a"}, "has more than one kind of authentication"),
        ({"proxy": "https://p.test/"}, "only proxies with plain HTTP are supported"),
        ({"proxy": "http+unix://%2Fx/"}, "only proxies with plain HTTP are supported"),
        (
            {"proxy": "http://p.test/", "connect_to": Endpoint("a", 1)},
            "proxy cannot be combined with connect_to",
        ),
        ({"proxy": "http://p.test/", "url": "http+unix://%2Fx/"}, "proxy cannot be combined with connect_to"),
        ({"connect_to": Endpoint("a", 1), "url": "http+unix://%2Fx/"}, "exclude each other"),
    ],
)
def test_conflicting_parts_are_rejected(parts: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem) as rejected:
        HttpRequest(**({"url": "http://a.test/"} | parts))  # type: ignore[arg-type]  # a table of tests
    assert rejected.value.hint


def test_request_shows_no_secret() -> None:
    request = HttpRequest(
        url="http://joe:s3cret@a.test/path?token=s3cret",
        headers=(("X", "s3cret"),),
        body=b"s3cret",
        proxy="http://joe:s3cret@p.test/",
    )
    assert repr(request) == "<HttpRequest GET http://a.test/path>"


def test_needs_name() -> None:
    def needs(url: str, **parts: object) -> bool:
        return HttpRequest(url=url, **parts).needs_name  # type: ignore[arg-type]  # a table of tests

    assert needs("http://a.test/")
    assert not needs("http://127.0.0.1/")
    assert not needs("http://[::1]/")
    assert not needs("http+unix://%2Fx/")
    assert not needs("http://a.test/", connect_to=Endpoint("127.0.0.1", 1))
    assert needs("http://127.0.0.1/", connect_to=Endpoint("a.test", 1))
    assert not needs("http://a.test/", proxy="http://127.0.0.1:1/")


def test_other_origin_gets_no_server_name_and_no_client_certificate() -> None:
    request = HttpRequest(
        url="https://a.test/",
        server_name="b.test",
        tls=TlsOptions(ca_file="/ca", certificate_file="/cert", key_file="/key"),
        connect_to=Endpoint("127.0.0.1", 8443),
    )
    home, abroad = request.target, parse_target("https://c.test/")[0]
    assert (request.server_name_for(home), request.server_name_for(abroad)) == ("b.test", "c.test")
    assert request.tls_for(home) is request.tls
    assert request.tls_for(abroad) == TlsOptions(ca_file="/ca")
    assert (request.endpoint_for(home), request.endpoint_for(abroad)) == (
        Endpoint("127.0.0.1", 8443),
        Endpoint("c.test", 443),
    )


@pytest.mark.parametrize(
    ("location", "is_home"),
    [
        ("https://a.test/x", True),
        ("https://A.test:443/x", True),
        ("http://a.test/x", False),
        ("https://a.test:8443/x", False),
        ("https://sub.a.test/x", False),
        ("https://a.test./x", False),
    ],
)
def test_credentials_are_for_the_origin_only(location: str, is_home: bool) -> None:
    request = HttpRequest(
        url="https://a.test/",
        bearer_token="t0ken",
        headers=(("Cookie", "a=1"), ("X-Key", "s3cret"), ("Referer", "https://a.test/?t=s3cret")),
        tls=TlsOptions(certificate_file="/cert"),
    )
    target = redirect_target(request.target, location)
    headers = request.headers_for(target, user_agent="t", with_body=False)
    assert [name in headers for name in ("Authorization", "Cookie", "X-Key", "Referer")] == [is_home] * 4
    assert (request.tls_for(target).certificate_file is not None) == is_home
