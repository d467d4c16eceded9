"""HTTP requests, checked and prepared once, because a monitor sends the same request with every check.

Credentials belong to the configured origin (scheme, host and port). After a redirect to another origin, the request has
none of the configured credentials, no cookies of another host, no configured headers except those in `_HARMLESS`, and
no client certificate. It has the body, and the headers about it, only after an upgrade from http to https of the same
host on the default ports. Credentials in the URL of a Location header are sent.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from monitord.errors import InvalidValueError
from monitord.net.base.addressing import NO_SOURCE, SourceAddresses, parse_host
from monitord.net.base.resolver import IpFamily, literal_address
from monitord.net.base.tls import TlsOptions
from monitord.net.http.response import DEFAULT_MAX_HEAD_BYTES
from monitord.net.http.url import PORTS, Target, parse_target

MAX_REDIRECTS = 10
MAX_REQUEST_BODY_BYTES = 1024 * 1024
DEFAULT_MAX_BODY_BYTES = 1024 * 1024
MAX_DRAINED_BYTES = 64 * 1024 * 1024
"""Limit for bodies that no condition reads. It ends endless streams."""
ENDLESS_TYPES = frozenset({"text/event-stream", "multipart/x-mixed-replace"})
SEE_OTHER = 303
REDIRECTS = frozenset({301, 302, SEE_OTHER, 307, 308})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_HARMLESS = frozenset(
    {"accept", "accept-language", "accept-encoding", "user-agent", "cache-control", "pragma"}
)
_SET_BY_CLIENT = frozenset({"content-length", "transfer-encoding", "connection"})
_ABOUT_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port to connect to."""

    host: str
    port: int


def parse_endpoint(text: str) -> Endpoint:
    """Parse "host:port" or "[address]:port". Raises InvalidValueError."""
    match = re.fullmatch(r"(\[[^\[\]]+\]|[^\[\]:]+):(\d{1,5})", text, re.ASCII)
    try:
        if match is not None and 0 < int(match[2]) <= 65535 and match[1].strip() == match[1]:  # noqa: PLR2004 - the largest port
            return Endpoint(parse_host(match[1]), int(match[2]))
    except ValueError:
        pass
    raise InvalidValueError("is not a host and a port", 'write "host:port" or "[address]:port"')


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HttpRequest:
    """An HTTP request. Compared by identity. Raises InvalidValueError if the parts cannot be combined.

    - `url`: http, https or http+unix://%2Frun%2Fapp.sock/path; "user:password@" in it means basic authentication.
    - `headers`: sent unchanged; the last value of a name counts. `Host` is allowed.
    - `digest_auth`: user name and password, of which only digests are sent, after a challenge.
    - `proxy`: http://[user:password@]host:port. The proxy resolves names.
    - `connect_to`: connect to this endpoint, but send the request for the host of the URL.
    - `read_body`: return the body. The whole body is received in any case, unless it is larger than `max_body_bytes`,
      which is a failure.
    - `status_decides`: the exchange succeeds when the head of the response has been received. Only the beginning of the
      body is received, for at most a second, and a failure in it is ignored.
    - `receive_body`: if false, the exchange ends with the head of the response and the connection is closed.
    - `receive_streams`: if false, the same applies to content types of endless streams (`ENDLESS_TYPES`, and audio
      and video without a length).
    - `max_head_bytes`: limit for the status line and headers, including interim responses.
    - `want_certificate`: include the fields of the certificates, which takes time.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    basic_auth: tuple[str, str] | None = None
    digest_auth: tuple[str, str] | None = None
    bearer_token: str | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None
    follow_redirects: bool = True
    proxy: str | None = None
    connect_to: Endpoint | None = None
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE
    reuse_connection: bool = False
    read_body: bool = False
    receive_body: bool = True
    receive_streams: bool = True
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES
    want_certificate: bool = False
    status_decides: bool = False

    requests_upgrade: bool = field(init=False)
    target: Target = field(init=False)
    proxy_target: Target | None = field(init=False)
    proxy_authorization: str | None = field(init=False)
    _own_headers: dict[str, str] = field(init=False)
    _own_host: str | None = field(init=False)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise InvalidValueError("the method is not an HTTP method", 'write "GET"')
        if self.body is not None and len(self.body) > MAX_REQUEST_BODY_BYTES:
            raise InvalidValueError(
                f"the body is larger than {MAX_REQUEST_BODY_BYTES // 1024} KiB", "write a smaller body"
            )
        target, userinfo = parse_target(self.url)
        credentials = [_basic(userinfo)] if userinfo is not None else []
        if self.basic_auth is not None:
            credentials.append(_basic(":".join(self.basic_auth)))
        if self.digest_auth is not None:
            credentials.append("")
        if self.bearer_token is not None:
            credentials.append(f"Bearer {self.bearer_token}")
        headers = check_headers(self.headers)
        if "authorization" in {name.lower() for name in headers}:
            credentials.append("")
        if len(credentials) > 1:
            raise InvalidValueError("has more than one kind of authentication", "keep one")
        if credentials and credentials[0]:
            headers["Authorization"] = _checked_value("Authorization", credentials[0])
        host = next((value for name, value in headers.items() if name.lower() == "host"), None)
        if target.socket_path is not None and host is not None:
            target = _named(target, host)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "requests_upgrade", "upgrade" in {name.lower() for name in headers})
        object.__setattr__(self, "_own_headers", headers)
        object.__setattr__(self, "_own_host", host)
        self._read_proxy()

    def _read_proxy(self) -> None:
        proxy, userinfo = parse_target(self.proxy) if self.proxy is not None else (None, None)
        if proxy is not None and (proxy.is_tls or proxy.socket_path is not None):
            raise InvalidValueError("only proxies with plain HTTP are supported", 'write "http://host:port"')
        if proxy is not None and (self.connect_to is not None or self.target.socket_path is not None):
            raise InvalidValueError(
                "proxy cannot be combined with connect_to or http+unix", "remove one of them"
            )
        if self.connect_to is not None and self.target.socket_path is not None:
            raise InvalidValueError("connect_to and http+unix exclude each other", "keep one")
        if self.source and self.target.socket_path is not None:
            raise InvalidValueError("source_address has no effect with http+unix", "remove it")
        object.__setattr__(self, "proxy_target", proxy)
        object.__setattr__(self, "proxy_authorization", None if userinfo is None else _basic(userinfo))

    def __repr__(self) -> str:
        # Headers, body and query may contain secrets.
        return f"<HttpRequest {self.method} {self.target.shown_origin}{self.target.path}>"

    def is_same_origin(self, target: Target) -> bool:
        """Return whether the target has the origin that the credentials belong to."""
        return target is self.target or target.origin == self.target.origin

    def host_name(self, target: Target) -> str:
        """Return the host name of the Host header that is sent to this target."""
        if self._own_host and self.is_same_origin(target):
            return _named(target, self._own_host).host
        return target.host

    def may_send_body(self, target: Target) -> bool:
        """Return whether the body may be sent: to the same origin, or after an upgrade to https on the same host."""
        first = self.target
        is_upgrade = (first.is_tls, first.port, first.socket_path) == (False, PORTS["http"], None) and (
            target.origin == (True, first.host, PORTS["https"], None)
        )
        return is_upgrade or self.is_same_origin(target)

    def keeps_connection(self, target: Target) -> bool:
        return self.reuse_connection and self.is_same_origin(target)

    def headers_for(self, target: Target, *, user_agent: str, with_body: bool) -> dict[str, str]:
        """Return the headers to send to this target, without cookies."""
        headers = {"Host": target.host_header, "User-Agent": user_agent, "Accept": "*/*"}
        is_same_origin = self.is_same_origin(target)
        defaults = {name.lower(): name for name in headers}
        for name, value in self._own_headers.items():
            lower = name.lower()
            if not is_same_origin and lower not in _HARMLESS and not (with_body and lower in _ABOUT_BODY):
                continue
            if not with_body and lower in _ABOUT_BODY and self.body is not None:
                continue
            if lower in defaults:
                del headers[defaults[lower]]
            headers[name] = value
        if target.userinfo is not None and not any(name.lower() == "authorization" for name in headers):
            # From a Location header: not a configured secret, and sent by curl and browsers too.
            headers["Authorization"] = _basic(target.userinfo)
        if self.requests_upgrade and is_same_origin:
            headers["Connection"] = "Upgrade"  # RFC 9110, section 7.8
        elif not self.keeps_connection(target):
            headers["Connection"] = "close"
        return headers

    def tls_for(self, target: Target) -> TlsOptions:
        if self.is_same_origin(target) or self.tls.certificate_file is None:
            return self.tls
        return TlsOptions(verify=self.tls.verify, ca_file=self.tls.ca_file, min_version=self.tls.min_version)

    def server_name_for(self, target: Target) -> str:
        if self.server_name is not None and self.is_same_origin(target):
            return self.server_name
        return target.server_name

    def endpoint_for(self, target: Target) -> Endpoint:
        """Return the endpoint to connect to: the proxy, `connect_to`, or the target itself."""
        if self.proxy_target is not None:
            return Endpoint(self.proxy_target.host, self.proxy_target.port)
        if self.connect_to is not None and self.is_same_origin(target):
            return self.connect_to
        return Endpoint(target.host, target.port)

    @property
    def needs_name(self) -> bool:
        """Whether the first connection requires name resolution."""
        return (
            self.target.socket_path is None and literal_address(self.endpoint_for(self.target).host) is None
        )


def _named(target: Target, host: str) -> Target:
    """Return the target with the host of a Host header; unchanged if the header is invalid."""
    try:
        named = parse_target(f"{target.scheme}://{host}/")[0]
    except ValueError:
        return target
    return replace(target, host=named.host, port=named.port)


def _basic(userinfo: str) -> str:
    return "Basic " + base64.b64encode(userinfo.encode("utf-8", "surrogateescape")).decode()


def check_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers to send, the last value of each name. Raises InvalidValueError for an invalid header."""
    checked: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            # A name that contains a whole header may contain a secret.
            word = name.partition(":")[0]
            shown = repr(word) if word == name else f"{word!r} …"
            raise InvalidValueError(
                f"the header {shown} is not a valid header name", "write the name and the value separately"
            )
        if name.lower() in _SET_BY_CLIENT:
            raise InvalidValueError(f"the header {name} is set by monitord", "remove it")
        checked.pop(names.get(name.lower(), name), None)
        names[name.lower()] = name
        checked[name] = _checked_value(name, value)
    return checked


def _checked_value(name: str, value: str) -> str:
    if _CONTROLS.search(value):
        raise InvalidValueError(
            f"the value of the header {name} contains a line break or another control character",
            "write it on one line, without control characters",
        )
    return value.strip()


def method_after(status: int, method: str) -> str:
    """Return the method after a redirect (RFC 9110, section 15.4): GET for 303, and for POST after 301 and 302."""
    if status == SEE_OTHER and method != "HEAD":
        return "GET"
    if status in {301, 302} and method == "POST":
        return "GET"
    return method
