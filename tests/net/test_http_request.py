"""What a request is made of, and what it refuses to be."""

import pytest

from monitord.net import Endpoint, HttpRequest, TlsOptions, check_headers, parse_endpoint, parse_target
from monitord.net.http_request import redirect_target


@pytest.mark.parametrize(
    ("text", "shown", "host", "port", "is_tls", "userinfo"),
    [
        ("http://a.test", "http://a.test/", "a.test", 80, False, None),
        ("HTTPS://A.Test/x", "https://a.test/x", "a.test", 443, True, None),
        ("https://a.test:8443/?q=1#part", "https://a.test:8443/?q=1", "a.test", 8443, True, None),
        ("http://joe:p%40ss@a.test/", "http://a.test/", "a.test", 80, False, "joe:p@ss"),
        ("http://joe@a.test/", "http://a.test/", "a.test", 80, False, "joe:"),
        ("http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81/", "2001:db8::1", 81, False, None),
        (" http://bücher.test/ä ", "http://xn--bcher-kva.test/%C3%A4", "xn--bcher-kva.test", 80, False, None),
    ],
)
def test_a_url_is_taken_apart(
    text: str, shown: str, host: str, port: int, is_tls: bool, userinfo: str | None
) -> None:
    target, found = parse_target(text)
    assert str(target).lower() == shown.lower()
    assert (target.host, target.port, target.is_tls, found) == (host, port, is_tls, userinfo)


def test_a_url_of_a_unix_socket_is_taken_apart() -> None:
    target, userinfo = parse_target("http+unix://%2Frun%2Fapp.sock/path?q=1")
    assert (target.socket_path, target.url.path_qs, userinfo) == ("/run/app.sock", "/path?q=1", None)
    assert str(target) == "http+unix:/run/app.sock:/path"


@pytest.mark.parametrize(
    "text",
    [
        "", "a.test", "/path", "ftp://a.test/", "http://", "http:///path", "http://a.test:0x/", "http://a.test:99999/",
        "http://[::1/", "http://a\nb.test/", "http+unix://run%2Fapp.sock/", "http+unix:///x", "javascript:alert(1)",
        "http://" + "a" * 9000,
    ],
)  # fmt: skip
def test_what_is_not_a_url_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is ") as raised:
        parse_target(text)
    assert "a.test" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("a.test:80", Endpoint("a.test", 80)),
        ("192.0.2.1:65535", Endpoint("192.0.2.1", 65535)),
        ("[2001:db8::1]:443", Endpoint("2001:db8::1", 443)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "a.test", "a.test:", ":80", "a.test:0", "a.test:65536", "::1:80", "a b:80", "a/b:1"]
)
def test_what_is_not_an_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host and a port"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://a.test/", "a.test"),
        ("http://a.test:443/", "a.test:443"),
        ("https://a.test:443/", "a.test"),
        ("https://a.test:80/", "a.test:80"),
        ("http://[::1]:81/", "[::1]:81"),
    ],
)
def test_the_host_header_names_the_port_unless_it_goes_without_saying(url: str, header: str) -> None:
    assert parse_target(url)[0].host_header == header


def test_a_trailing_dot_and_a_zone_are_no_part_of_the_name_in_a_certificate() -> None:
    assert parse_target("https://a.test./")[0].server_name == "a.test"
    assert parse_target("https://[fe80::1%25eth0]/")[0].server_name == "fe80::1"


def test_the_last_header_of_a_name_counts() -> None:
    assert check_headers([("X-One", "1"), ("x-one", " 2 ")]) == {"x-one": "2"}


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ([("a b", "c")], "is not a word of HTTP"),
        ([("", "c")], "is not a word of HTTP"),
        ([("A", "b\r\nC: d")], "holds a line break"),
        ([("A", "b\0")], "holds a line break or another control character"),
        ([("Transfer-Encoding", "chunked")], "is set by the client"),
        ([("content-length", "3")], "is set by the client"),
        ([("Connection", "close")], "is set by the client"),
    ],
)
def test_a_header_that_cannot_be_one_is_refused(headers: list[tuple[str, str]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_headers(headers)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"method": "GET /"}, "the method is not a word"),
        ({"body": b"x" * (1024 * 1024 + 1)}, "larger than 1024 KiB"),
        ({"bearer": "a\nb"}, "holds a line break"),
        ({"bearer": "a", "basic_auth": ("b", "c")}, "more than one kind of authentication"),
        ({"bearer": "a", "headers": (("authorization", "b"),)}, "more than one kind of authentication"),
        ({"url": "http://joe:pw@a.test/", "bearer": "a"}, "more than one kind of authentication"),
        ({"proxy": "https://p.test/"}, "the proxy is spoken to in plain HTTP"),
        ({"proxy": "http+unix://%2Fx/"}, "the proxy is spoken to in plain HTTP"),
        ({"proxy": "http://p.test/", "connect_to": Endpoint("a", 1)}, "a proxy chooses the address itself"),
        ({"proxy": "http://p.test/", "url": "http+unix://%2Fx/"}, "a proxy chooses the address itself"),
        ({"connect_to": Endpoint("a", 1), "url": "http+unix://%2Fx/"}, "exclude each other"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        HttpRequest(**({"url": "http://a.test/"} | parts))  # type: ignore[arg-type]  # a table of tests


def test_a_request_shows_no_secret() -> None:
    request = HttpRequest(
        url="http://joe:s3cret@a.test/path?token=s3cret",
        headers=(("X", "s3cret"),),
        body=b"s3cret",
        proxy="http://joe:s3cret@p.test/",
    )
    assert repr(request) == "<HttpRequest GET http://a.test/path>"


def test_whether_a_name_is_needed() -> None:
    def needs(url: str, **parts: object) -> bool:
        return HttpRequest(url=url, **parts).needs_name  # type: ignore[arg-type]  # a table of tests

    assert needs("http://a.test/")
    assert not needs("http://127.0.0.1/")
    assert not needs("http://[::1]/")
    assert not needs("http+unix://%2Fx/")
    assert not needs("http://a.test/", connect_to=Endpoint("127.0.0.1", 1))
    assert needs("http://127.0.0.1/", connect_to=Endpoint("a.test", 1))
    assert not needs("http://a.test/", proxy="http://127.0.0.1:1/")


def test_a_stranger_gets_no_server_name_and_no_client_certificate() -> None:
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
    ("base", "location", "target"),
    [
        ("http://a.test/x/y", "z", "http://a.test/x/z"),
        ("http://a.test/x/y", "/z?q=1#f", "http://a.test/z?q=1"),
        ("http://a.test/x", "//b.test/", "http://b.test/"),
        ("http://a.test/x", "https://b.test", "https://b.test/"),
        ("http://a.test/x", "http://joe:pw@b.test/", "http://b.test/"),
        ("http://a.test/x", "/mit leer/ä", "http://a.test/mit%20leer/%C3%A4"),
        ("http://a.test/x", "?q=a%2Fb", "http://a.test/x?q=a/b"),
    ],
)
def test_where_a_redirect_leads(base: str, location: str, target: str) -> None:
    assert str(redirect_target(parse_target(base)[0], location)) == target
