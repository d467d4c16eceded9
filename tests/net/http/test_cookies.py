"""Cookies between redirects (RFC 6265bis): which are stored, and to which hosts they are sent."""

from datetime import UTC, datetime

import pytest

from monitord.net import parse_target
from monitord.net.http.cookies import (
    MAX_COOKIE_BYTES,
    MAX_COOKIES,
    MAX_SET_COOKIE_CHARACTERS,
    MAX_SET_COOKIES,
    CookieStore,
    with_cookies,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def cookies_after(
    *headers: str,
    url: str = "https://www.a.test/dir/page",
    then: str | None = None,
    later_s: float = 0.0,
) -> str:
    """The Cookie header of the request that follows."""
    now = [NOW]
    store = CookieStore(lambda: now[0])
    store.store(headers, parse_target(url)[0])
    now[0] += later_s
    return with_cookies(None, store.select(parse_target(then or url)[0]))


@pytest.mark.parametrize(
    "pair",
    [
        'a="x y"', 'a="x\\"y\\\\z\\101"', "a=x y", "a=x,y", 'a={"k":"v, w"}', "a=b=c==", "a=", "a=%20%3B+",
        "a[b]=1", "a b=1", "a@b:c/d=1", "{}=1", "ä=ö", "a=\udce4\udcfc", "a=''", "$Version=1", "Path=/x",
        "expires=1", 'a="', "x", "a=<>()", "A=1", "a=x\ty",
    ],
)  # fmt: skip
def test_cookie_is_sent_back_byte_for_byte(pair: str) -> None:
    assert (
        cookies_after(f"{pair}; Path=/; Partitioned; Priority=High; Unknown; SameSite=Weird; HttpOnly")
        == pair
    )


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("  a \t=\t 1  ;Path=/", "a=1"),
        ("a=1;;; ;path = /dir ; = ;", "a=1"),
        ("=1", "1"),
        ("1", "1"),
        ("", ""),
        ("=", ""),
        (";Path=/", ""),
        ("a=1\x01", ""),
        ("a=1\x7f", ""),
        ("a=1; Path=/\0", ""),
        ("a=" + "x" * (MAX_COOKIE_BYTES - 1), "a=" + "x" * (MAX_COOKIE_BYTES - 1)),
        ("a=" + "x" * MAX_COOKIE_BYTES, ""),
        ("a=" + "ä" * (MAX_COOKIE_BYTES // 2), ""),
        ("a=1; Domain=" + "x" * 1025, "a=1"),
    ],
)
def test_cookie_is_parsed_as_by_browsers(header: str, sent: str) -> None:
    assert cookies_after(header) == sent


@pytest.mark.parametrize(
    ("attributes", "then", "is_sent"),
    [
        ("", "https://www.a.test/dir/", True),
        ("", "https://www.a.test:8443/dir/", True),
        ("", "https://sub.www.a.test/dir/", False),
        ("", "https://a.test/dir/", False),
        ("Domain=a.test", "https://a.test/dir/", True),
        ("Domain=.A.Test", "https://b.a.test/dir/", True),
        ("Domain=a.test", "https://ba.test/dir/", False),
        ("Domain=www.a.test", "https://www.a.test/dir/", True),
        ("Domain=sub.www.a.test", "https://sub.www.a.test/dir/", False),
        ("Domain=b.test", "https://b.test/dir/", False),
        ("Domain=b.test", "https://www.a.test/dir/", False),
        ("Domain=test", "https://www.a.test/dir/", False),
        ("Domain=.test", "https://www.a.test/dir/", False),
        ("Domain=test.", "https://www.a.test/dir/", False),
        ("Domain=", "https://www.a.test/dir/", True),
        ("Domain=", "https://sub.www.a.test/dir/", False),
        ("Domain=b.test; Domain=a.test", "https://a.test/dir/", True),
    ],
)
def test_cookie_is_sent_to_matching_hosts(attributes: str, then: str, is_sent: bool) -> None:
    assert bool(cookies_after(f"a=1; {attributes}", then=then)) is is_sent


@pytest.mark.parametrize(
    ("url", "domain", "is_kept"),
    [
        ("http://127.0.0.1/", "127.0.0.1", True),
        ("http://127.0.0.1/", "0.0.1", False),
        ("http://[::1]/", "::1", True),
        ("http://localhost/", "localhost", True),
        ("http://a.localhost/", "localhost", False),
    ],
)
def test_address_and_a_single_label_match_only_themselves(url: str, domain: str, is_kept: bool) -> None:
    assert bool(cookies_after(f"a=1; Domain={domain}", url=url)) is is_kept


@pytest.mark.parametrize(
    ("url", "attributes", "then", "is_sent"),
    [
        ("/dir/page", "", "/dir", True),
        ("/dir/page", "", "/dir/other/x", True),
        ("/dir/page", "", "/", False),
        ("/dir/page", "", "/directory", False),
        ("/dir/", "", "/dir/x", True),
        ("/page?a=/b/", "", "/", True),
        ("/", "", "/x", True),
        ("/dir/page", "Path=/", "/x", True),
        ("/dir/page", "Path=/x", "/x/y", True),
        ("/dir/page", "Path=/x", "/xy", False),
        ("/dir/page", "Path=/x/", "/x", False),
        ("/dir/page", "Path=/x/", "/x/y", True),
        ("/dir/page", "Path=x", "/dir/y", True),
        ("/dir/page", "Path=", "/dir/y", True),
        ("/dir/page", 'Path="/"', "/x", False),
        ("/dir/page", "Path=/x; Path=/y", "/y", True),
        ("/dir/page", "Path=/%41", "/A", False),
    ],
)
def test_cookie_is_sent_to_matching_paths(url: str, attributes: str, then: str, is_sent: bool) -> None:
    host = "https://a.test"
    assert bool(cookies_after(f"a=1; {attributes}", url=host + url, then=host + then)) is is_sent


@pytest.mark.parametrize(
    ("header", "url", "then", "is_sent"),
    [
        ("a=1; Secure", "https://a.test/", "https://a.test/", True),
        ("a=1; secure=no", "https://a.test/", "http://a.test/", False),
        ("a=1; Secure", "http://a.test/", "https://a.test/", False),
        ("a=1", "https://a.test/", "http://a.test/", True),
        ("a=1; Secure", "http://127.0.0.1/", "http://127.0.0.1/", True),
        ("a=1; Secure", "http+unix://%2Fx/", "http+unix://%2Fx/", True),
        ("__Secure-a=1; Secure", "https://a.test/", "https://a.test/", True),
        ("__Secure-a=1", "https://a.test/", "https://a.test/", False),
        ("__secure-a=1", "https://a.test/", "https://a.test/", False),
        ("__Host-a=1; Secure; Path=/", "https://a.test/", "https://a.test/", True),
        ("__Host-a=1; Secure", "https://a.test/", "https://a.test/", False),
        ("__Host-a=1; Path=/", "https://a.test/", "https://a.test/", False),
        ("__Host-a=1; Secure; Path=/; Domain=a.test", "https://a.test/", "https://a.test/", False),
        ("__Host-a=1; Secure; Path=/", "http://a.test/", "https://a.test/", False),
        ("=__Host-a=1", "https://a.test/", "https://a.test/", False),
        ("__HOSTa=1", "https://a.test/", "https://a.test/", True),
    ],
)
def test_secure_cookies_and_prefixes_are_restricted(header: str, url: str, then: str, is_sent: bool) -> None:
    assert bool(cookies_after(header, url=url, then=then)) is is_sent


def test_plain_http_does_not_replace_a_secure_cookie() -> None:
    store = CookieStore(lambda: NOW)
    https, http = parse_target("https://a.test/")[0], parse_target("http://a.test/")[0]
    store.store(["a=1; Secure", "b=1"], https)
    store.store(["a=2", "a=; Max-Age=0", "b=2", "c=2"], http)
    assert with_cookies(None, store.select(https)) == "a=1; b=2; c=2"


@pytest.mark.parametrize(
    ("attributes", "later_s", "is_sent"),
    [
        ("Max-Age=0", 0, False),
        ("Max-Age=-1", 0, False),
        ("Max-Age=10", 9, True),
        ("Max-Age=10", 10, False),
        ("Max-Age=" + "9" * 900, 1e6, True),
        ("Max-Age=soon", 1e6, True),
        ("Max-Age=", 1e6, True),
        ("Max-Age=1.5", 1e6, True),
        ("Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0, True),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Max-Age=x", 0, False),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0, False),
        ("Expires=Sun, 01 Mar 2026 00:00:10 GMT", 9, True),
        ("Expires=Sun, 01 Mar 2026 00:00:10 GMT", 10, False),
        ("Expires=0", 0, True),
        ("Expires=-1", 0, True),
        ("Expires=", 0, True),
    ],
)  # fmt: skip
def test_cookie_expires_by_max_age_or_expires(attributes: str, later_s: float, is_sent: bool) -> None:
    assert bool(cookies_after(f"a=1; {attributes}", later_s=later_s)) is is_sent


@pytest.mark.parametrize(
    ("date", "is_past"),
    [
        ("Sat, 28-Feb-2026 23:59:59 GMT", True),
        ("Saturday, 28-Feb-26 23:59:59 GMT", True),
        ("Sat Feb 28 23:59:59 2026", True),
        ("28 february 2026 23:59:59 +0100", True),
        ("2026 Feb 28 1:2:3", True),
        ("28feb 23:59:59 feb 2026x", True),
        ("Mon, 01-Jan-70 00:00:00 GMT", True),
        ("Mon, 01-Jan-69 00:00:00 GMT", False),
        ("Sun, 01 Mar 2026 00:00:01 GMT", False),
        # No dates: the attribute is ignored, and the cookie is kept.
        ("Sat, 30 Feb 2026 00:00:00 GMT", False),
        ("28 Feb 2026", False),
        ("28 Feb 2026 24:00:00", False),
        ("28 Feb 2026 23:59:60", False),
        ("28 Feb 1600 00:00:00", False),
        ("28 Feb 20260 00:00:00", False),
        ("1 2 2026 00:00:00", False),
    ],
)
def test_cookie_dates_are_parsed_in_any_format(date: str, is_past: bool) -> None:
    """RFC 6265, section 5.1.1."""
    assert bool(cookies_after(f"a=1; Expires={date}")) is not is_past


def test_cookie_is_replaced_or_cleared_by_its_name_domain_and_path() -> None:
    assert cookies_after("sid=1; Path=/", "sid=; Path=/dir; Max-Age=0") == "sid=1"
    assert cookies_after("sid=1; Path=/", "sid=2; Path=/") == "sid=2"
    assert cookies_after("sid=1; Path=/", "sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT") == ""
    assert cookies_after("sid=1; Path=/", "SID=; Path=/; Max-Age=0") == "sid=1"
    assert cookies_after("sid=1", "sid=2; Domain=www.a.test") == "sid=1; sid=2"


def test_longer_paths_and_older_cookies_are_sent_first() -> None:
    headers = ("a=1; Path=/", "b=2; Path=/", "c=3; Path=/dir", "d=4; Path=/dir/page", "a=5; Path=/")
    assert cookies_after(*headers) == "d=4; c=3; a=5; b=2"


def test_number_of_cookies_is_limited() -> None:
    sent = cookies_after(*(f"c{number}=1" for number in range(MAX_COOKIES + 2))).split("; ")
    assert (len(sent), sent[0], sent[-1]) == (MAX_COOKIES, "c2=1", f"c{MAX_COOKIES + 1}=1")


def test_parsed_part_of_a_response_is_limited() -> None:
    """Thousands of cookies, or long ones, must not hold the event loop."""
    assert cookies_after(*[f"c{number}=1; Max-Age=0" for number in range(MAX_SET_COOKIES)], "a=1") == ""
    assert cookies_after("b=1", "a=1" + ";" * MAX_SET_COOKIE_CHARACTERS, "c=1") == "b=1"


def test_cookies_of_the_caller_are_replaced_by_newer_ones_only() -> None:
    store = CookieStore(lambda: NOW)
    target = parse_target("https://a.test/")[0]
    store.store(["b=new", "c=3"], target)
    assert with_cookies('a="1 2";b=old; d', store.select(target)) == 'a="1 2"; d; b=new; c=3'


def test_name_in_a_host_header_is_used() -> None:
    store = CookieStore(lambda: NOW)
    target = parse_target("http://192.0.2.1/")[0]
    store.store(["a=1; Domain=a.test"], target, "www.a.test")
    assert with_cookies(None, store.select(target, "www.a.test")) == "a=1"
    assert store.select(target) == []
