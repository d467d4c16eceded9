"""HTTP URLs: parsing, resolution of redirects, and the form in which they are sent."""

import re

import pytest

from monitord.net import parse_target
from monitord.net.http.url import redirect_target


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
def test_url_is_parsed(
    text: str, shown: str, host: str, port: int, is_tls: bool, userinfo: str | None
) -> None:
    target, found = parse_target(text)
    assert str(target).lower() == shown.lower()
    assert (target.host, target.port, target.is_tls, found) == (host, port, is_tls, userinfo)


def test_unix_socket_url_is_parsed() -> None:
    target, userinfo = parse_target("http+unix://%2Frun%2Fapp.sock/path?q=1")
    assert (target.socket_path, target.request_target, userinfo) == ("/run/app.sock", "/path?q=1", None)
    assert str(target) == "http+unix:/run/app.sock:/path?q=1"


@pytest.mark.parametrize(
    "written",
    [
        "/%40%28%3A%2E%7E?x=%2F%3F%3A%40", "/100%", "/a%zz", "/A_%26_B", "/A_&_B", "/%c3%a4%C3%A4", "/a+b%20c?d+e%20f",
        "/a|[]{}\\\"<>^`;p=1;q'(*)!$,@~", "/a/%2e%2e/%2E/b", "/a//b//", "//", "/x?", "/?", "/x??", "/?a=b?c/../d",
        "/.../..b/c..", "/%00", "/a%0Ab",
    ],
)  # fmt: skip
def test_allowed_characters_are_sent_unchanged(written: str) -> None:
    assert parse_target(f"http://a.test{written}#part")[0].request_target == written
    assert (
        redirect_target(parse_target("http://b.test/x/y?z")[0], f"http://a.test{written}").request_target
        == written
    )


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "/"),
        ("?a b", "/?a%20b"),
        ("#part", "/"),
        ("/ä?\u2028ö", "/%C3%A4?%E2%80%A8%C3%B6"),
        ("/a b/\u00a0c", "/a%20b/%C2%A0c"),
        # Dot segments as in RFC 3986, section 5.2.4, and curl.
        ("/a/../b", "/b"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..?x=../y", "/a/?x=../y"),
        ("/../../x", "/x"),
        ("/a/..", "/"),
        ("/a//../b", "/a/b"),
        ("/..", "/"),
    ],
)
def test_forbidden_bytes_are_encoded_and_dot_segments_removed(written: str, sent: str) -> None:
    assert parse_target(f"http://a.test{written}")[0].request_target == sent


@pytest.mark.parametrize(
    "text",
    [
        "", "a.test", "/path", "ftp://a.test/", "http://", "http:///path", "http://a.test:0x/", "http://a.test:99999/",
        "http://[::1/", "http://a\nb.test/", "http+unix://run%2Fapp.sock/", "http+unix:///x", "javascript:alert(1)",
        "http://" + "a" * 9000, "http://a.test:0/", "http://a.test:00/", "http://a.test:-1/", "http://a.test:٣/",
        "http://a b.test/", "http://a%20b.test/", "http://%00a.test/", "http://a|b.test/", "http://a%7Cb.test/",
        "http:// a.test/", "http://a.test\x00/", "http://a.test/\x01", "http://a.test/\tx", "http://a.test/\x7f",
        "http://a..b.test/", "http://.a.test/", "http://-a.test/", "http://a.test,b.test/", "http://a.test;x/",
        "http://a\\b.test/", "http://a<b.test/", "http://{a}.test/", "http://a^b.test/", "http://a*.test/",
        "http://[a.test]/", "http://[192.0.2.1]/", "http://::1/", "http://[::1]x/", "http://[::1%25]/",
        "http://[fe80::1%25eth/0]/", "http://[fe80::1%25eth 0]/", "http://[fe80::1%25" + "e" * 16 + "]/",
        "http://" + "a" * 64 + ".test/", "http://a.test:80:80/", "http://[v1.fe80::a]/", "http://%ff.test/",
        "http://ü|.a.test/", "http+unix://%2Frun%2Fa%00/", "http+unix://%ff/", "http://user@/", "http://192.0.2.300/", "http://a.test%3A80/",
    ],
)  # fmt: skip
def test_invalid_url_is_rejected_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is ") as raised:
        parse_target(text)
    assert "a.test" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("HTTP://A.TEST:/", "http://a.test"),
        ("http://a.test:080/", "http://a.test"),
        ("https://a.test:443/", "https://a.test"),
        ("http://%61.te%73t/", "http://a.test"),
        ("http://a.test./", "http://a.test."),
        ("http://my_host/", "http://my_host"),
        ("http://STRASSE.test/", "http://strasse.test"),
        ("http://straße.test/", "http://xn--strae-oqa.test"),
        ("http://127.1/", "http://127.0.0.1"),
        ("http://日本。jp/", "http://xn--wgv71a.jp"),
        ("http://b%C3%BCcher.test/", "http://xn--bcher-kva.test"),
        ("http://[2001:DB8:0:0::1]/", "http://[2001:db8::1]"),
        ("http://[::FFFF:192.0.2.1]/", "http://[::ffff:192.0.2.1]"),
    ],
)
def test_one_origin_has_one_spelling(text: str, origin: str) -> None:
    assert parse_target(text)[0].shown_origin == origin


@pytest.mark.parametrize(
    "url", ["http://[fe80::1%25eth0]:81/", "http://[FE80::1%eth0]:81/", "http://[fe80::1%25et%680]:81/"]
)
def test_zone_of_an_address_is_not_in_the_host_header(url: str) -> None:
    """RFC 6874, section 4."""
    target = parse_target(url)[0]
    assert (target.host, target.host_header) == ("fe80::1%eth0", "[fe80::1]:81")


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
def test_host_header_omits_the_default_port(url: str, header: str) -> None:
    assert parse_target(url)[0].host_header == header


def test_trailing_dot_and_a_zone_are_not_part_of_the_name_in_a_certificate() -> None:
    assert parse_target("https://a.test./")[0].server_name == "a.test"
    assert parse_target("https://[fe80::1%25eth0]/")[0].server_name == "fe80::1"


@pytest.mark.parametrize(
    ("base", "location", "target"),
    [
        ("http://a.test/x/y", "z", "http://a.test/x/z"),
        ("http://a.test/x/y", "/z?q=1#f", "http://a.test/z?q=1"),
        ("http://a.test/x", "//b.test/", "http://b.test/"),
        ("http://a.test/x", "https://b.test", "https://b.test/"),
        ("http://a.test/x", "http://joe:pw@b.test/", "http://b.test/"),
        ("http://a.test/x", "/mit leer/ä", "http://a.test/mit%20leer/%C3%A4"),
        ("http://a.test/x", "?q=a%2Fb", "http://a.test/x?q=a%2Fb"),
        ("http://a.test/x?old", "?", "http://a.test/x?"),
        ("http://a.test/x?old", "", "http://a.test/x?old"),
        ("http://a.test/x?old", "#part", "http://a.test/x?old"),
        ("http://a.test/x?old", "y", "http://a.test/y"),
        ("http://a.test", "y", "http://a.test/y"),
        ("http://a.test/one//two/three", "z/../y", "http://a.test/one//two/y"),
        ("http://a.test/one//two/three", "..", "http://a.test/one//"),
        ("http://a.test/one//two/three", ".", "http://a.test/one//two/"),
        ("http://a.test/one//two/three", "../../../..", "http://a.test/"),
        ("http://a.test/one/two", "/%2e%2e/x", "http://a.test/%2e%2e/x"),
        ("http://a.test/one/two", "%2e%2e/x", "http://a.test/one/%2e%2e/x"),
        ("http://a.test/x/y", ";p", "http://a.test/x/;p"),
        ("http://a.test/x/y?q/r", "./a:b", "http://a.test/x/a:b"),
        ("http://a.test/x/y", "\\z\\", "http://a.test/x/\\z\\"),
        ("http://a.test/x", " \t/y \t", "http://a.test/y"),
        ("http://a.test/x", "/a\tb", "http://a.test/a%09b"),
        ("http://a.test/x", "/\udce4?\udcfc", "http://a.test/%E4?%FC"),
        ("http://a.test/x", "HTTP://B.TEST:80/Y", "http://b.test/Y"),
        ("http://a.test/x", "http://b.test?y", "http://b.test/?y"),
        ("http://a.test/x", "//bücher.test", "http://xn--bcher-kva.test/"),
        ("https://a.test/x", "//b.test:443/", "https://b.test/"),
        ("http://a.test/x", "http://[fe80::1%25eth0]/", "http://[fe80::1]/"),
    ],
)
def test_redirect_target_is_resolved(base: str, location: str, target: str) -> None:
    assert str(redirect_target(parse_target(base)[0], location)) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://a b.test/",
        "http://a.test:0/",
        "http://%00/",
        "http://a|b/",
        "http:x",
        "http:/x",
        "//",
        "////x",
        "http:////x",
        "http://a\udce4/",
    ],
)
def test_redirect_to_an_invalid_url_is_rejected(location: str) -> None:
    with pytest.raises(ValueError, match="the redirect target is not a URL"):
        redirect_target(parse_target("http://a.test/")[0], location)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("///b.test/x", "http://b.test/x"),
        ("http:///b.test/x?y", "http://b.test/x?y"),
        ("HTTPS:///b.test", "https://b.test/"),
    ],
)
def test_three_slashes_count_as_two_in_a_redirect(location: str, target: str) -> None:
    """As in curl and browsers."""
    assert str(redirect_target(parse_target("http://a.test/")[0], location)) == target


@pytest.mark.parametrize(
    ("location", "detail"),
    [
        ("http://b.test:99999/", "with a port from 1 to 65535"),
        ("http://b.test:0/", "with a port from 1 to 65535"),
        ("http://a b.test/", "with a name or an address as the host"),
        ("http://b.test:80:80/", 'with "host:port" or "[address]:port"'),
    ],
)
def test_rejected_redirect_names_the_problem(location: str, detail: str) -> None:
    with pytest.raises(ValueError, match=re.escape(detail)):
        redirect_target(parse_target("http://a.test/")[0], location)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            "http+unix:///run/app.sock",
            'is not a Unix socket URL; write "http+unix://%2Fpath%2Fof%2Fsocket/path"',
        ),
        (
            "http+unix://%2F" + "a" * 107 + "/",
            "has a socket whose path is longer than 107 bytes; choose a shorter",
        ),
    ],
)
def test_invalid_unix_socket_url_is_rejected(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_target(url)


@pytest.mark.parametrize(
    ("location", "socket_path"),
    [
        ("/x", "/run/app.sock"),
        ("//localhost/x", "/run/app.sock"),
        ("http://localhost:80/x", "/run/app.sock"),
        ("https://localhost/x", None),
        ("http://localhost:81/x", None),
        ("http://a.test/x", None),
    ],
)
def test_redirect_of_a_unix_socket_stays_there_or_leads_to_a_host(
    location: str, socket_path: str | None
) -> None:
    base = parse_target("http+unix://%2Frun%2Fapp.sock/")[0]
    assert redirect_target(base, location).socket_path == socket_path


@pytest.mark.parametrize("base", ["http://a.test/", "http+unix://%2Frun%2Fapp.sock/"])
def test_no_redirect_leads_to_a_unix_socket(base: str) -> None:
    with pytest.raises(ValueError, match="the redirect target is not an HTTP URL"):
        redirect_target(parse_target(base)[0], "http+unix://%2Frun%2Fother.sock/")


def test_credentials_of_a_location_are_for_its_origin() -> None:
    home = parse_target("http://a.test/")[0]
    other = redirect_target(home, "http://joe:p%40ss@b.test/x")
    assert (other.userinfo, redirect_target(other, "y").userinfo) == ("joe:p@ss", "joe:p@ss")
    assert redirect_target(other, "http://b.test/y").userinfo is None
    assert "p@ss" not in repr(other) + str(other)
