"""HTTP URLs, sent as configured.

A server may distinguish "/A_%26_B" from "/A_&_B", so no percent-encoding is added or removed: only bytes that must not
appear in a request line (RFC 9112, section 3) are encoded. Dot segments are removed (RFC 3986, section 5.2.4), as in
curl and browsers. yarl is used only to convert a host name to ASCII.
"""

import re
import socket
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes

from monitord.errors import InvalidValueError
from monitord.net.base.addressing import parse_host
from monitord.net.base.resolver import literal_address

MAX_URL_CHARACTERS = 8192
PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535
_IPV6 = 6

# RFC 3986, appendix B, with the scheme of section 3.1. It matches any text.
_PARTS = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.DOTALL,
)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?")
_SENDABLE = re.compile(r"[\x21-\x7e]*")
_UNSENDABLE = re.compile(rb"[^\x21-\x7e]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_THREE_SLASHES = re.compile(r"((?:https?:)?//)/(?=[^/])", re.IGNORECASE)

_MAX_SOCKET_PATH_BYTES = 107
"""See unix(7)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL without its fragment.

    - `path`, `query`: as they are sent. An empty query differs from None.
    - `host`: in lower case and in ASCII; an IPv6 address without brackets, and with a zone after "%".
    - `userinfo`: "user:password", decoded; not compared and not shown.
    """

    host: str
    port: int
    is_tls: bool
    path: str = "/"
    query: str | None = None
    socket_path: str | None = None
    userinfo: str | None = field(default=None, compare=False, repr=False)

    @property
    def scheme(self) -> str:
        return "https" if self.is_tls else "http"

    @property
    def origin(self) -> tuple[bool, str, int, str | None]:
        return self.is_tls, self.host, self.port, self.socket_path

    @property
    def host_header(self) -> str:
        """The value of the Host header, without a zone (RFC 6874, section 4)."""
        return self._bare_host if self.port == (443 if self.is_tls else 80) else self.authority

    @property
    def _bare_host(self) -> str:
        return f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """Host and port, for CONNECT (RFC 9110, section 9.3.6)."""
        return f"{self._bare_host}:{self.port}"

    @property
    def server_name(self) -> str:
        """The name that the certificate must be valid for, without a trailing dot (RFC 6066, section 3)."""
        return self.host.partition("%")[0].rstrip(".")

    @property
    def request_target(self) -> str:
        """The origin form of RFC 9112, section 3.2.1."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def shown_origin(self) -> str:
        if self.socket_path is not None:
            return f"http+unix:{self.socket_path}:"
        return f"{self.scheme}://{self.host_header}"

    def __str__(self) -> str:
        return self.shown_origin + self.request_target


@lru_cache(maxsize=64)  # a monitor's URL is parsed three times: for the option, its secrets and the request
def parse_target(text: str) -> tuple[Target, str | None]:
    """Return the target, and "user:password" if the URL has it.

    Raises InvalidValueError, whose text contains no part of the URL.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise InvalidValueError(
            f"is longer than {MAX_URL_CHARACTERS} characters",
            "shorten it; a long query can be sent as a body",
        )
    text = text.strip()
    if _CONTROLS.search(text):
        raise InvalidValueError(
            "is not a URL", 'write "https://host/path" with control characters percent-encoded, as in "%09"'
        )
    parts = _PARTS.fullmatch(text)
    scheme = (parts["scheme"] or "").lower() if parts else ""
    if parts is not None and scheme == "http+unix":
        return _socket_target(parts["authority"] or "", parts["path"], parts["query"]), None
    if parts is None or scheme not in PORTS or not parts["authority"]:
        raise InvalidValueError("is not an HTTP URL", 'write "https://host/path"')
    try:
        target = _target(scheme, parts["authority"], parts["path"], parts["query"])
    except UnicodeError:
        raise InvalidValueError("is not a URL", 'write "https://host/path"') from None
    except ValueError as error:
        raise InvalidValueError("is not a URL", f'write "https://host/path" {error}') from None
    if target.userinfo is None:
        return target, None
    return replace(target, userinfo=None), target.userinfo


def redirect_target(base: Target, location: str) -> Target:
    """Return the target of a Location header (RFC 9110, section 10.2.2). Undecodable bytes are surrogate escapes.

    Three slashes are read as two, as in curl and browsers. Raises ValueError("problem") for URLs other than http and
    https: `http+unix` is rejected, so that no server can direct the client to a socket of this host.
    """
    location = location.strip(" \t")
    if extra := _THREE_SLASHES.match(location):
        location = extra[1] + location[extra.end() :]
    parts = _PARTS.fullmatch(location)
    scheme, authority = (parts["scheme"], parts["authority"]) if parts else (None, None)
    if scheme is not None and scheme.lower() not in PORTS:
        raise ValueError("the redirect target is not an HTTP URL")
    if parts is None or len(location) > MAX_URL_CHARACTERS or (scheme is not None and not authority):
        raise ValueError("the redirect target is not a URL")
    path, query = parts["path"], parts["query"]
    try:
        if authority is None:
            # RFC 3986, section 5.2.2. The authority of the base is kept, including userinfo.
            if not path:
                return replace(base, query=base.query if query is None else _sendable(query))
            merged = path if path.startswith("/") else base.path[: base.path.rindex("/") + 1] + path
            return replace(
                base, path=_sendable_path(merged), query=None if query is None else _sendable(query)
            )
        target = _target((scheme or base.scheme).lower(), authority, path, query)
    except UnicodeError:
        raise ValueError("the redirect target is not a URL") from None
    except ValueError as error:
        raise ValueError(f"the redirect target is not a URL {error}") from None
    is_same_server = (target.is_tls, target.host, target.port) == (base.is_tls, base.host, base.port)
    if base.socket_path is not None and is_same_server:
        return replace(target, socket_path=base.socket_path)
    return target


def is_unusual_location(location: str) -> bool:
    """Return whether it contains characters that are not allowed in a URL, or three slashes instead of two."""
    return not _SENDABLE.fullmatch(location) or _THREE_SLASHES.match(location) is not None


def _target(scheme: str, authority: str, path: str, query: str | None) -> Target:
    """Build a target. Raises ValueError with a hint that contains no part of the URL."""
    userinfo, _, host_and_port = authority.rpartition("@")
    match = _HOST_AND_PORT.fullmatch(host_and_port)
    if match is None:
        raise ValueError('with "host:port" or "[address]:port"')
    port = int(match["port"]) if match["port"] else PORTS[scheme]
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"with a port from 1 to {_MAX_PORT}")
    user, _, password = userinfo.partition(":")
    return Target(
        host=_host(match["host"]),
        port=port,
        is_tls=scheme == "https",
        path=_sendable_path(path),
        query=None if query is None else _sendable(query),
        userinfo=f"{unquote(user)}:{unquote(password)}" if userinfo else None,
    )


def _host(text: str) -> str:
    """Return the normalized host. Raises ValueError with a hint."""
    is_bracketed = text.startswith("[")
    decoded = text if is_bracketed else unquote(text, errors="strict")
    try:
        host = parse_host(decoded) if decoded.strip() == decoded else ""
    except ValueError:
        host = ""
    is_ipv6 = literal_address(host) == _IPV6
    if not host or is_bracketed is not is_ipv6:
        raise ValueError("with a name or an address as the host")
    if not is_ipv6:
        return host
    # The shortest form, so that origins can be compared.
    address, percent, zone = host.partition("%")
    packed = socket.inet_pton(socket.AF_INET6, address)
    return socket.inet_ntop(socket.AF_INET6, packed) + percent + zone


def _socket_target(authority: str, path: str, query: str | None) -> Target:
    try:
        socket_path = unquote_to_bytes(authority).decode()
    except UnicodeError:
        socket_path = ""
    if not socket_path.startswith("/") or "\0" in socket_path:
        raise InvalidValueError("is not a Unix socket URL", 'write "http+unix://%2Fpath%2Fof%2Fsocket/path"')
    if len(socket_path.encode()) > _MAX_SOCKET_PATH_BYTES:
        raise InvalidValueError(
            f"has a socket whose path is longer than {_MAX_SOCKET_PATH_BYTES} bytes",
            "choose a shorter path (unix(7))",
        )
    return Target(
        host="localhost",
        port=PORTS["http"],
        is_tls=False,
        path=_sendable_path(path),
        query=None if query is None else _sendable(query),
        socket_path=socket_path,
    )


def _sendable(text: str) -> str:
    """Percent-encode bytes not allowed in a request line: spaces, control characters and bytes outside ASCII."""
    encoded = text.encode("utf-8", "surrogateescape")
    return _UNSENDABLE.sub(lambda match: b"%%%02X" % match[0][0], encoded).decode("ascii")


def _sendable_path(path: str) -> str:
    """Encode a path and remove dot segments (RFC 3986, section 5.2.4). Percent-encoded dots are kept, as in curl."""
    path = _sendable(path) if path else "/"
    if "/." not in path:
        return path
    remaining: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del remaining[-1:]
        elif segment != ".":
            remaining.append(segment)
    if segments[-1] in {".", ".."}:
        remaining.append("")
    return "/" + "/".join(remaining)
