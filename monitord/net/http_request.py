"""What is asked over HTTP, checked and made ready once, because the same request is sent again and again.

Credentials belong to the origin (scheme, host and port) that was configured. A redirect to another origin gets
what a stranger may see: no credential, no cookie of another host, no header of the caller's that is not in
`_HARMLESS`, no client certificate.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from yarl import URL

from monitord.net.resolver import IpFamily, literal_address
from monitord.net.tls import TlsOptions

MAX_REDIRECTS = 10
MAX_URL_CHARACTERS = 8192
MAX_REQUEST_BODY_BYTES = 1024 * 1024
DEFAULT_MAX_BODY_BYTES = 1024 * 1024
MAX_DRAINED_BYTES = 64 * 1024 * 1024
"""A limit for bodies that nobody wants to see. It ends the endless ones; large files take another method."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_HARMLESS = frozenset(
    {"accept", "accept-language", "accept-encoding", "user-agent", "cache-control", "pragma"}
)
_OURS = frozenset({"content-length", "transfer-encoding", "connection"})
_ABOUT_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `url` has no credentials and no fragment; `host` is as it goes over the wire (punycode)."""

    url: URL
    host: str
    port: int
    is_tls: bool
    socket_path: str | None = None

    @property
    def origin(self) -> tuple[bool, str, int, str | None]:
        return self.is_tls, self.host, self.port, self.socket_path

    @property
    def host_header(self) -> str:
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def server_name(self) -> str:
        """What the certificate must be good for. RFC 6066, section 3: no trailing dot."""
        return self.host.partition("%")[0].rstrip(".")

    def __str__(self) -> str:
        if self.socket_path is not None:
            return f"http+unix:{self.socket_path}:{self.url.raw_path}"
        query = f"?{self.url.raw_query_string}" if self.url.raw_query_string else ""
        return f"{self.url.scheme}://{self.host_header}{self.url.raw_path}{query}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect to."""

    host: str
    port: int


def parse_endpoint(text: str) -> Endpoint:
    """ "host:port" or "[address]:port"; raises ValueError("problem; hint")."""
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:\s/@]+)):(\d{1,5})", text, re.ASCII)
    if match is None or not 0 < int(match[3]) <= 65535:  # noqa: PLR2004 - the largest port
        raise ValueError('is not a host and a port; write "host:port" or "[address]:port"')
    return Endpoint(match[1] or match[2], int(match[3]))


def parse_target(text: str) -> tuple[Target, str | None]:
    """The target, and "user:password" if the URL holds it. Raises ValueError("problem; hint") that holds neither."""
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError(f"is longer than {MAX_URL_CHARACTERS} characters")
    try:
        parts = urlsplit(text.strip())
        if parts.scheme == "http+unix":
            return _socket_target(parts.netloc, parts.path, parts.query), None
        url = URL(text.strip())
        scheme, host, port = url.scheme, url.raw_host, url.port
        userinfo = _userinfo(url)
    except (ValueError, UnicodeError):
        raise ValueError('is not a URL; write "https://host/path"') from None
    if scheme not in _PORTS or not host or not port or _CONTROLS.search(text):
        raise ValueError('is not a URL of http; write "https://host/path"')
    bare = url.with_user(None).with_fragment(None)
    return Target(bare, host.lower(), port, scheme == "https"), userinfo


def _userinfo(url: URL) -> str | None:
    if url.user is None and url.password is None:
        return None
    return f"{url.user or ''}:{url.password or ''}"


def _socket_target(netloc: str, path: str, query: str) -> Target:
    socket_path = unquote(netloc)
    if not socket_path.startswith("/") or "\0" in socket_path:
        raise ValueError
    url = URL.build(scheme="http", host="localhost", path=path or "/", query_string=query, encoded=True)
    return Target(url, "localhost", 80, is_tls=False, socket_path=socket_path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HttpRequest:
    """Raises ValueError("problem; hint") when made of parts that do not fit. Compares by identity.

    - `url`: http, https or http+unix://%2Frun%2Fapp.sock/path; "user:password@" in it means basic authentication.
    - `headers`: sent as they stand; the last of a name counts. `Host` may be among them.
    - `proxy`: http://[user:password@]host:port. Names are then resolved by the proxy.
    - `connect_to`: connect there, and speak as if to the URL's host.
    - `read_body`: the body is wanted. Either way all of it is received, unless it exceeds `max_body_bytes`, which
      ends the exchange.
    - `status_decides`: the exchange succeeds once the head of the response has arrived. Only the beginning of the
      body is received, within a second, and a failure in it is ignored.
    - `want_certificate`: facts of the certificates, at some cost.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    basic_auth: tuple[str, str] | None = None
    bearer: str | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None
    follow_redirects: bool = True
    proxy: str | None = None
    connect_to: Endpoint | None = None
    ip_family: IpFamily = IpFamily.ANY
    reuse_connection: bool = False
    read_body: bool = False
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    want_certificate: bool = False
    status_decides: bool = False

    target: Target = field(init=False)
    proxy_target: Target | None = field(init=False)
    proxy_authorization: str | None = field(init=False)
    _own_headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise ValueError('the method is not a word; write "GET"')
        if self.body is not None and len(self.body) > MAX_REQUEST_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_REQUEST_BODY_BYTES // 1024} KiB")
        target, userinfo = parse_target(self.url)
        credentials = [_basic(userinfo)] if userinfo is not None else []
        if self.basic_auth is not None:
            credentials.append(_basic(":".join(self.basic_auth)))
        if self.bearer is not None:
            credentials.append(f"Bearer {self.bearer}")
        own = check_headers(self.headers)
        if "authorization" in {name.lower() for name in own}:
            credentials.append("")
        if len(credentials) > 1:
            raise ValueError("more than one kind of authentication; keep one")
        if credentials and credentials[0]:
            own["Authorization"] = _checked_value("Authorization", credentials[0])
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "_own_headers", own)
        self._read_proxy()

    def _read_proxy(self) -> None:
        proxy, userinfo = parse_target(self.proxy) if self.proxy is not None else (None, None)
        if proxy is not None and (proxy.is_tls or proxy.socket_path is not None):
            raise ValueError('the proxy is spoken to in plain HTTP; write "http://host:port"')
        if proxy is not None and (self.connect_to is not None or self.target.socket_path is not None):
            raise ValueError("a proxy chooses the address itself: leave out proxy, connect_to or http+unix")
        if self.connect_to is not None and self.target.socket_path is not None:
            raise ValueError("connect_to and http+unix exclude each other; keep one")
        object.__setattr__(self, "proxy_target", proxy)
        object.__setattr__(self, "proxy_authorization", None if userinfo is None else _basic(userinfo))

    def __repr__(self) -> str:
        # Headers, body and query may hold what nobody should see.
        return f"<HttpRequest {self.method} {self.target.url.origin()}{self.target.url.raw_path}>"

    def is_at_home(self, target: Target) -> bool:
        """Whether the target is of the origin that the credentials are for."""
        return target.origin == self.target.origin

    def keeps_connection(self, target: Target) -> bool:
        return self.reuse_connection and self.is_at_home(target)

    def headers_for(self, target: Target, *, user_agent: str, with_body: bool) -> dict[str, str]:
        """What is sent to this target, without cookies."""
        headers = {"Host": target.host_header, "User-Agent": user_agent, "Accept": "*/*"}
        at_home = self.is_at_home(target)
        given = {name.lower(): name for name in headers}
        for name, value in self._own_headers.items():
            lower = name.lower()
            if not at_home and lower not in _HARMLESS and not (with_body and lower in _ABOUT_BODY):
                continue
            if not with_body and lower in _ABOUT_BODY and self.body is not None:
                continue
            if lower in given:
                del headers[given[lower]]
            headers[name] = value
        if not self.keeps_connection(target):
            headers["Connection"] = "close"
        return headers

    def tls_for(self, target: Target) -> TlsOptions:
        if self.is_at_home(target) or self.tls.certificate_file is None:
            return self.tls
        return TlsOptions(verify=self.tls.verify, ca_file=self.tls.ca_file, min_version=self.tls.min_version)

    def server_name_for(self, target: Target) -> str:
        if self.server_name is not None and self.is_at_home(target):
            return self.server_name
        return target.server_name

    def endpoint_for(self, target: Target) -> Endpoint:
        """Where to connect to: the proxy, the place given in `connect_to`, or the target itself."""
        if self.proxy_target is not None:
            return Endpoint(self.proxy_target.host, self.proxy_target.port)
        if self.connect_to is not None and self.is_at_home(target):
            return self.connect_to
        return Endpoint(target.host, target.port)

    @property
    def needs_name(self) -> bool:
        """Whether the first connection needs a name resolved."""
        return (
            self.target.socket_path is None and literal_address(self.endpoint_for(self.target).host) is None
        )


def _basic(userinfo: str) -> str:
    return "Basic " + base64.b64encode(userinfo.encode()).decode()


def check_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """As they are sent, the last of each name. Raises ValueError("problem; hint") for what cannot be one."""
    checked: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"the header {name!r} is not a word of HTTP")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is set by the client; leave it out")
        checked.pop(names.get(name.lower(), name), None)
        names[name.lower()] = name
        checked[name] = _checked_value(name, value)
    return checked


def _checked_value(name: str, value: str) -> str:
    if _CONTROLS.search(value):
        raise ValueError(f"the value of the header {name} holds a line break or another control character")
    return value.strip()


def redirect_target(target: Target, location: str) -> Target:
    """Where a Location header leads. Raises ValueError("problem") when no HTTP client can go there."""
    try:
        # Servers send raw spaces and umlauts; yarl quotes them and leaves what is quoted as it is.
        text = str(target.url.join(URL(location)))
    except (ValueError, UnicodeError):
        raise ValueError("the redirect leads to something that is not a URL") from None
    if urlsplit(text).scheme not in _PORTS:
        raise ValueError("the redirect leads away from HTTP")
    if target.socket_path is not None and URL(text).origin() == target.url.origin():
        url = URL(text).with_fragment(None)
        return Target(url, target.host, target.port, is_tls=False, socket_path=target.socket_path)
    try:
        return parse_target(text)[0]
    except ValueError:
        raise ValueError("the redirect leads to something that is not a URL of http") from None


def method_after(status: int, method: str) -> str:
    """RFC 9110, section 15.4: 303 means GET; for 301 and 302 everybody makes a GET of a POST."""
    if status == 303 and method != "HEAD":  # noqa: PLR2004 - See Other
        return "GET"
    if status in {301, 302} and method == "POST":
        return "GET"
    return method
