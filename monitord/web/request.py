"""The request of a handler; each part is computed when it is first used."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from encodings import normalize_encoding
from encodings.aliases import aliases
from types import MappingProxyType, SimpleNamespace
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .cookies import parse_cookies
from .exceptions import HTTPBadRequest, HTTPRequestEntityTooLarge, HTTPUnsupportedMediaType
from .exchange import Exchange, ExchangeConnection
from .head import Head
from .keys import AppKey, ReadKey
from .peer import Peer, get_peer
from .response import StreamResponse

MAX_FORM_FIELDS = 1000

# The names in Python's table of encodings. `bytes.decode` accepts more: punycode, which takes quadratic time, and
# unknown names, each of which it keeps in a cache without a limit.
CHARSETS = frozenset(aliases) | frozenset(aliases.values())

_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.6.6. The parser of the standard library takes half a second for a quoted string of semicolons.
_PARAMETER = re.compile(r';[ \t]*+([^\s=;"]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))')

T = TypeVar("T")


class ResourceInfo(Protocol):
    """A path or pattern with routes: `routing.Resource`."""

    @property
    def template(self) -> str: ...
    def url_for(self, **values: object) -> URL: ...


class NamedResources(Protocol):
    """The named routes: `routing.UrlDispatcher`."""

    def __getitem__(self, name: str) -> ResourceInfo: ...


class ApplicationView(Protocol):
    """The part of `application.Application` that handlers use."""

    @property
    def client_max_size(self) -> int: ...
    @property
    def router(self) -> NamedResources: ...
    def __getitem__(self, key: ReadKey[T]) -> T: ...
    def __setitem__(self, key: AppKey[T], value: T) -> None: ...
    def __contains__(self, key: AppKey[Any]) -> bool: ...


class RouteInfo(Protocol):
    """The matched route: `routing.Route`."""

    @property
    def method(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def resource(self) -> ResourceInfo: ...
    @property
    def client_max_size(self) -> int | None: ...
    @property
    def app(self) -> ApplicationView | None: ...


class BodyStream:
    """The body as a stream: `async for piece in request.content`."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._exchange.read_body():
            yield piece


class Request:
    """One request. It can be used until its response is sent."""

    used_exchange: Exchange | None = None  # created at the first use of `exchange`; few requests need it
    sent_response: StreamResponse | None = None  # without an exchange
    route: RouteInfo | None = None
    match_info: Mapping[str, Any] = MappingProxyType({})
    allowed: frozenset[str] = frozenset()  # the methods of this path, if it has no route for the method
    _body: bytes | None = None
    _partial_body: bytearray | None = None  # of an interrupted `read`
    _headers: CIMultiDictProxy[str] | None = None
    _cookies: Mapping[str, str] | None = None
    _query: MultiDictProxy[str] | None = None
    _peer: Peer | None = None
    _state: SimpleNamespace | None = None
    _url: URL | None = None

    def __init__(self, head: Head, connection: ExchangeConnection, app: ApplicationView) -> None:
        self.method = head.method
        self.raw_path = head.path  # percent-encoded, without the query
        self._app = app
        self._connection = connection
        self._head = head

    def __repr__(self) -> str:
        return f"<Request {self.method} {self._head.target}>"

    @property
    def app(self) -> ApplicationView:
        """The application of the route; the main application if there is no route."""
        if self.route is not None and self.route.app is not None:
            return self.route.app
        return self._app

    @property
    def client_max_size(self) -> int:
        if self.route is not None and self.route.client_max_size is not None:
            return self.route.client_max_size
        return self.app.client_max_size

    @property
    def state(self) -> SimpleNamespace:
        """Values that middlewares pass to handlers."""
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    @property
    def version(self) -> tuple[int, int]:
        return (1, self._head.minor_version)

    @property
    def exchange(self) -> Exchange:
        """The body and the response on the connection."""
        if self.used_exchange is None:
            self.used_exchange = Exchange(self._connection, self._head)
            self.used_exchange.response = self.sent_response
            self.used_exchange.finished = self.sent_response is not None
        return self.used_exchange

    @property
    def path(self) -> str:
        """The path, decoded."""
        path = self.raw_path
        return unquote(path) if "%" in path else path

    @property
    def query_string(self) -> str:
        return self._head.query_string

    @property
    def query(self) -> MultiDictProxy[str]:
        if self._query is None:
            pairs = parse_qsl(self._head.query_string, keep_blank_values=True)
            self._query = MultiDictProxy(MultiDict(pairs))
        return self._query

    @property
    def host(self) -> str:
        """The authority of an absolute request target, otherwise of the Host field; can be empty."""
        return self._head.authority

    @property
    def url(self) -> URL:
        if self._url is None:
            self._url = URL.build(
                scheme="http" if self._head.authority else "",
                authority=self._head.authority,
                path=self.raw_path,
                query_string=self._head.query_string,
                encoded=True,
            )
        return self._url

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Fields by case-insensitive name, repeated fields separately (`getall`). Values are decoded as Latin-1."""
        if self._headers is None:
            fields = self._head.fields
            pairs = [(name.decode(), value.strip(b" \t").decode("latin-1")) for name, value in fields]
            self._headers = CIMultiDictProxy(CIMultiDict(pairs))
        return self._headers

    @property
    def cookies(self) -> Mapping[str, str]:
        if self._cookies is None:
            self._cookies = MappingProxyType(parse_cookies("; ".join(self.headers.getall("Cookie", ()))))
        return self._cookies

    @property
    def content_length(self) -> int | None:
        """The declared length in bytes; None for a chunked body."""
        return self._head.length

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; by default "application/octet-stream"."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
        return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"

    @property
    def charset(self) -> str | None:
        parameters = _PARAMETER.findall(self.headers.get("Content-Type", ""))
        return next((f"{a}{b}".lower() for name, a, b in parameters if name.lower() == "charset"), None)

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            self._peer = get_peer(self._connection.transport.get_extra_info("socket"))
        return self._peer

    @property
    def local_address(self) -> str | None:
        """The address to which the client has connected over TCP; None over a Unix socket."""
        name = self._connection.transport.get_extra_info("sockname")
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def socket_path(self) -> str | None:
        """The path of the Unix socket to which the client has connected, as it was bound; None over TCP."""
        name = self._connection.transport.get_extra_info("sockname")
        return name if isinstance(name, str) and name else None

    @property
    def content(self) -> BodyStream:
        """The body in pieces. The handler is responsible for limiting its size."""
        return BodyStream(self.exchange)

    @property
    def body_exists(self) -> bool:
        return self._head.length != 0

    async def read(self) -> bytes:
        """Return the complete body. Raises HTTPRequestEntityTooLarge if it exceeds `client_max_size`."""
        if self._body is None:
            max_bytes = self.client_max_size
            if self._head.length is not None and self._head.length > max_bytes:
                raise HTTPRequestEntityTooLarge
            # A second call continues where the first was cancelled or failed.
            body = self._partial_body = self._partial_body or bytearray()
            while len(body) <= max_bytes and (piece := await self.exchange.read_body()):
                body += piece
            if len(body) > max_bytes:
                raise HTTPRequestEntityTooLarge
            self._body, self._partial_body = bytes(body), None
        return self._body

    async def text(self) -> str:
        """Return the body, decoded by its charset (default UTF-8). Raises HTTPBadRequest, HTTPUnsupportedMediaType."""
        return (await self._decode_body())[0]

    async def _decode_body(self) -> tuple[str, str]:
        """Return the decoded body and the Python name of its charset."""
        body = await self.read()
        charset = normalize_encoding(self.charset or "utf-8").lower()
        try:
            if charset not in CHARSETS:
                raise LookupError(charset)  # noqa: TRY301 - as for an unknown name
            return body.decode(charset), charset
        except LookupError as error:
            raise HTTPUnsupportedMediaType(text=f"unknown charset {self.charset!r}") from error
        except UnicodeError as error:
            raise HTTPBadRequest(text=f"the body is not {self.charset or 'utf-8'}") from error

    async def json(self) -> Any:
        """Return the parsed body. Raises HTTPBadRequest if it is not JSON."""
        text = await self.text()
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HTTPBadRequest(text=f"the body is not JSON: {error}") from error

    async def form(self) -> MultiDictProxy[str]:
        """Return the fields of an application/x-www-form-urlencoded body.

        Raises HTTPUnsupportedMediaType, HTTPBadRequest, and HTTPRequestEntityTooLarge beyond MAX_FORM_FIELDS.
        """
        if self.content_type != "application/x-www-form-urlencoded":
            raise HTTPUnsupportedMediaType(text="send the form as application/x-www-form-urlencoded")
        text, charset = await self._decode_body()
        try:
            pairs = parse_qsl(
                text,
                keep_blank_values=True,
                encoding=charset,
                errors="strict",
                max_num_fields=MAX_FORM_FIELDS,
            )
        except UnicodeError as error:
            raise HTTPBadRequest(text=f"the form is not {self.charset or 'utf-8'}") from error
        except ValueError as error:
            raise HTTPRequestEntityTooLarge(text=f"more than {MAX_FORM_FIELDS} form fields") from error
        return MultiDictProxy(MultiDict(pairs))
