"""Cookies of one exchange or of a sequence: set by responses, sent with later requests (RFC 6265bis).

Names and values are stored unchanged, because a server may treat another spelling as another cookie. Bytes that are not
UTF-8 become surrogate escapes. SameSite and HttpOnly apply to browsers and are ignored. There is no public suffix list:
only single labels are treated as public suffixes.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from monitord.net.base.addressing import is_loopback
from monitord.net.base.resolver import literal_address
from monitord.net.http.url import Target

MAX_COOKIES = 150
"""The oldest are dropped first."""
MAX_COOKIE_BYTES = 4096
"""Maximum size of name and value together."""
MAX_ATTRIBUTE_BYTES = 1024
MAX_SET_COOKIES = 400
"""Maximum Set-Cookie headers read of one response; MAX_SET_COOKIE_CHARACTERS limits their total length."""
MAX_SET_COOKIE_CHARACTERS = 64 * 1024
MAX_AGE_S = 400 * 86400.0

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WHITESPACE = " \t"
_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9]).*", re.DOTALL)
_DAY = re.compile(r"([0-9]{1,2})(?![0-9]).*", re.DOTALL)
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9]).*", re.DOTALL)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_YEAR = 1601


@dataclass(frozen=True, slots=True)
class Cookie:
    """A stored cookie. `expires_at` is in seconds since the epoch; None means until the store is dropped."""

    name: str
    value: str
    domain: str
    is_host_only: bool
    path: str
    is_secure: bool
    expires_at: float | None

    @property
    def key(self) -> tuple[str, str, bool, str]:
        return self.name, self.domain, self.is_host_only, self.path

    @property
    def pair(self) -> str:
        return f"{self.name}={self.value}" if self.name else self.value


class CookieStore:
    """Cookies of exchanges. `host` of the methods: the host name of the Host header if it differs from the URL."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` returns the time of the wall clock in seconds since the epoch."""
        self._now = now
        self._cookies: dict[tuple[str, str, bool, str], Cookie] = {}  # in order of creation

    def store(self, headers: Iterable[str], target: Target, host: str | None = None) -> None:
        """Store the cookies of the Set-Cookie headers of a response from `target`. Invalid cookies are ignored."""
        now = self._now()
        characters = 0
        for header in islice(headers, MAX_SET_COOKIES):
            characters += len(header)
            if characters > MAX_SET_COOKIE_CHARACTERS:
                break
            cookie = _parse(header, target, host or target.host, now)
            if cookie is None or (not _is_confidential(target) and self._would_replace_secure(cookie)):
                continue
            if cookie.expires_at is not None and cookie.expires_at <= now:
                self._cookies.pop(cookie.key, None)
                continue
            self._cookies[cookie.key] = cookie
            if len(self._cookies) > MAX_COOKIES:
                del self._cookies[next(iter(self._cookies))]

    def _would_replace_secure(self, cookie: Cookie) -> bool:
        """RFC 6265bis, section 5.7, "leave secure cookies alone": plain HTTP must not overwrite them."""
        return not cookie.is_secure and any(
            other.is_secure
            and other.name == cookie.name
            and (_domain_matches(other.domain, cookie.domain) or _domain_matches(cookie.domain, other.domain))
            and _path_matches(cookie.path, other.path)
            for other in self._cookies.values()
        )

    def find(self, name: str) -> Cookie | None:
        """Return the newest cookie of this name, of any domain and path."""
        matching = (cookie for cookie in reversed(self._cookies.values()) if cookie.name == name)
        return next(matching, None)

    def values(self) -> list[str]:
        """Return the values of all cookies."""
        return [cookie.value for cookie in self._cookies.values()]

    def select(self, target: Target, host: str | None = None) -> list[Cookie]:
        """Return the cookies to send to `target`: longer paths first, then older cookies first."""
        now, host = self._now(), host or target.host
        selected = [
            cookie
            for cookie in self._cookies.values()
            if (cookie.domain == host if cookie.is_host_only else _domain_matches(host, cookie.domain))
            and _path_matches(target.path, cookie.path)
            and (_is_confidential(target) or not cookie.is_secure)
            and (cookie.expires_at is None or cookie.expires_at > now)
        ]
        return sorted(selected, key=lambda cookie: -len(cookie.path))


def with_cookies(header: str | None, cookies: Iterable[Cookie]) -> str:
    """Return the Cookie header: the configured cookies that the server has not replaced, then the server's cookies."""
    cookies = list(cookies)
    names = {cookie.name for cookie in cookies}
    configured = [pair.strip() for pair in (header or "").split(";")]
    remaining = [pair for pair in configured if pair and pair.partition("=")[0].strip() not in names]
    return "; ".join([*remaining, *(cookie.pair for cookie in cookies)])


def _is_confidential(target: Target) -> bool:
    """Return whether Secure cookies may be used: with TLS, and to this host, as in curl."""
    return target.is_tls or target.socket_path is not None or is_loopback(target.host)


def _parse(header: str, target: Target, host: str, now: float) -> Cookie | None:
    """Parse a Set-Cookie header (RFC 6265bis, sections 5.6 and 5.7); None if the cookie must be ignored."""
    if _CONTROLS.search(header):
        return None
    pair, *rest = header.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(_WHITESPACE), value.strip(_WHITESPACE)
    if not (name or value) or _size(name) + _size(value) > MAX_COOKIE_BYTES:
        return None
    attributes = _attributes(rest)
    domain = attributes.get("domain", "").removeprefix(".").lower()
    if domain and "." not in domain.rstrip("."):  # a single label counts as a public suffix
        if domain != host:
            return None
        domain = ""
    if domain and not _domain_matches(host, domain):
        return None
    path = attributes.get("path", "")
    # Max-Age overrides Expires.
    expires_at = _cookie_date(attributes.get("expires", ""))
    if (age := attributes.get("max-age")) is not None:
        expires_at = now + min(float(age), MAX_AGE_S)
    cookie = Cookie(
        name=name,
        value=value,
        domain=domain or host,
        is_host_only=not domain,
        path=path if path.startswith("/") else target.path[: target.path.rindex("/")] or "/",
        is_secure="secure" in attributes,
        expires_at=expires_at,
    )
    if cookie.is_secure and not _is_confidential(target):
        return None
    return cookie if _keeps_its_prefix(cookie, has_domain=bool(domain), path=path) else None


def _attributes(parts: Iterable[str]) -> dict[str, str]:
    """Return the attributes by lower-case name. The last valid value of each counts."""
    attributes: dict[str, str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        key, value = key.strip(_WHITESPACE).lower(), value.strip(_WHITESPACE)
        is_unusable = (key == "expires" and _cookie_date(value) is None) or (
            key == "max-age" and not re.fullmatch(r"-?[0-9]+", value)
        )
        if _size(value) <= MAX_ATTRIBUTE_BYTES and not is_unusable:
            attributes[key] = value
    return attributes


def _keeps_its_prefix(cookie: Cookie, *, has_domain: bool, path: str) -> bool:
    """Return whether the cookie meets the rules of its name prefix. A nameless cookie must not have a prefix."""
    prefixed = (cookie.name or cookie.value).lower()
    if not cookie.name:
        return not prefixed.startswith(("__secure-", "__host-"))
    if prefixed.startswith("__secure-"):
        return cookie.is_secure
    if prefixed.startswith("__host-"):
        return cookie.is_secure and not has_domain and path == "/"
    return True


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _domain_matches(host: str, domain: str) -> bool:
    return host == domain or (host.endswith(f".{domain}") and literal_address(host) is None)


def _path_matches(path: str, cookie_path: str) -> bool:
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )


def _cookie_date(text: str) -> float | None:
    """Parse a cookie date (RFC 6265, section 5.1.1) to seconds since the epoch; None if it is invalid."""
    clock: re.Match[str] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (match := _TIME.fullmatch(token)):
            clock = match
        elif day is None and (match := _DAY.fullmatch(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.fullmatch(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:  # noqa: PLR2004 - two digits
        year += 1900 if year >= 70 else 2000  # noqa: PLR2004 - 70 to 99 mean the 20th century
    if year < _FIRST_YEAR:
        return None
    try:
        return datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), tzinfo=UTC).timestamp()
    except ValueError:
        return None
