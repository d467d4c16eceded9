"""What a handler is given: the request, each part of it worked out when it is first asked for."""

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
from .exchange import Exchange, Link
from .head import Head
from .keys import AppKey, ReadKey
from .peer import Peer, peer_of
from .response import StreamResponse

MAX_FORM_FIELDS = 1000

# By their names in Python's own table. It knows more, such as punycode, which takes a time that grows with the square
# of the length, and it remembers for good whatever name it was asked for.
CHARSETS = frozenset(aliases) | frozenset(aliases.values())

_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.6.6. The standard library's parser takes half a second for a quoted string of semicolons.
_PARAMETER = re.compile(r';[ \t]*+([^\s=;"]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))')

T = TypeVar("T")


class Named(Protocol):
    """A path or pattern that has routes: `routing.Resource`."""

    @property
    def template(self) -> str: ...
    def url_for(self, **values: object) -> URL: ...


class Names(Protocol):
    """The routes with names: `routing.UrlDispatcher`."""

    def __getitem__(self, name: str) -> Named: ...


class Serving(Protocol):
    """What handlers see of their application: `application.Application`."""

    @property
    def client_max_size(self) -> int: ...
    @property
    def router(self) -> Names: ...
    def __getitem__(self, key: ReadKey[T]) -> T: ...
    def __setitem__(self, key: AppKey[T], value: T) -> None: ...
    def __contains__(self, key: AppKey[Any]) -> bool: ...


class Matched(Protocol):
    """The route that a request led to: `routing.Route`."""

    @property
    def method(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def resource(self) -> Named: ...
    @property
    def client_max_size(self) -> int | None: ...
    @property
    def app(self) -> Serving | None: ...


class BodyStream:
    """The body as it comes: `async for piece in request.content`."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def read_piece(self) -> bytes:
        """What has come, waiting for it if need be; empty at the end. Raises as `Exchange.read_body` does."""
        return await self._exchange.read_body()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._exchange.read_body():
            yield piece


class Request:
    """One request. Lives until its response is sent."""

    begun: Exchange | None = None  # its exchange, if anything has asked for it: few requests need one
    answered_with: StreamResponse | None = None  # if it was answered without one
    route: Matched | None = None
    match_info: Mapping[str, Any] = MappingProxyType({})
    allowed: frozenset[str] = frozenset()  # the methods of this path, when it has no such route
    _body: bytes | None = None
    _gathered: bytearray | None = None  # of it, so far
    _headers: CIMultiDictProxy[str] | None = None
    _cookies: Mapping[str, str] | None = None
    _query: MultiDictProxy[str] | None = None
    _peer: Peer | None = None
    _state: SimpleNamespace | None = None
    _url: URL | None = None

    def __init__(self, head: Head, connection: Link, app: Serving) -> None:
        self.method = head.method
        self.raw_path = head.path  # as it came, still encoded, without the query
        self._app = app
        self._connection = connection
        self._head = head

    def __repr__(self) -> str:
        return f"<Request {self.method} {self._head.target}>"

    @property
    def app(self) -> Serving:
        """The application whose route this is; the main one when there is none."""
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
        """For what middlewares hand to handlers."""
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    @property
    def version(self) -> tuple[int, int]:
        return (1, self._head.minor_version)

    @property
    def exchange(self) -> Exchange:
        """Its body and its response on the connection."""
        if self.begun is None:
            self.begun = Exchange(self._connection, self._head)
            self.begun.response = self.answered_with
            self.begun.finished = self.answered_with is not None
        return self.begun

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
        """From an absolute request target, else from the Host field; may be empty."""
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
        """Names without regard to case; repeated fields are kept apart (`getall`). Bytes are read as Latin-1."""
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
        """As declared; None for a chunked body."""
        return self._head.length

    @property
    def content_type(self) -> str:
        """Without parameters, in small letters; "application/octet-stream" when none is given."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
        return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"

    @property
    def charset(self) -> str | None:
        found = _PARAMETER.findall(self.headers.get("Content-Type", ""))
        return next((f"{a}{b}".lower() for name, a, b in found if name.lower() == "charset"), None)

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            self._peer = peer_of(self._connection.transport.get_extra_info("socket"))
        return self._peer

    @property
    def local_address(self) -> str | None:
        """The address that the client has connected to over TCP; None over a Unix socket."""
        name = self._connection.transport.get_extra_info("sockname")
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def content(self) -> BodyStream:
        """The body in pieces, without a limit on their sum: the handler's own business then."""
        return BodyStream(self.exchange)

    @property
    def body_exists(self) -> bool:
        return self._head.length != 0

    async def read(self) -> bytes:
        """The whole body. Raises HTTPRequestEntityTooLarge beyond `client_max_size`, before reading if it can."""
        if self._body is None:
            most = self.client_max_size
            if self._head.length is not None and self._head.length > most:
                raise HTTPRequestEntityTooLarge
            # Kept when this is refused or cancelled: who reads again goes on from there.
            gathered = self._gathered = self._gathered or bytearray()
            while len(gathered) <= most and (piece := await self.exchange.read_body()):
                gathered += piece
            if len(gathered) > most:
                raise HTTPRequestEntityTooLarge
            self._body, self._gathered = bytes(gathered), None
        return self._body

    async def text(self) -> str:
        """The body by its charset, UTF-8 if it names none. Raises HTTPBadRequest, HTTPUnsupportedMediaType."""
        return (await self._decoded())[0]

    async def _decoded(self) -> tuple[str, str]:
        """The body, and its charset by the name that it has in Python."""
        body = await self.read()
        charset = normalize_encoding(self.charset or "utf-8").lower()
        try:
            if charset not in CHARSETS:
                raise LookupError(charset)  # noqa: TRY301 - as if there were none
            return body.decode(charset), charset
        except LookupError as error:
            raise HTTPUnsupportedMediaType(text=f"unknown charset {self.charset!r}") from error
        except UnicodeError as error:
            raise HTTPBadRequest(text=f"the body is not {self.charset or 'utf-8'}") from error

    async def json(self) -> Any:
        """Raises HTTPBadRequest when the body is not JSON, as when it is empty."""
        text = await self.text()
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HTTPBadRequest(text=f"the body is not JSON: {error}") from error

    async def form(self) -> MultiDictProxy[str]:
        """The fields of an application/x-www-form-urlencoded body."""
        if self.content_type != "application/x-www-form-urlencoded":
            raise HTTPUnsupportedMediaType(text="a form is sent as application/x-www-form-urlencoded")
        text, charset = await self._decoded()
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
