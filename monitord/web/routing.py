"""Routing: literal paths in a dictionary, patterns in a list for each literal prefix.

A path is matched in its canonical percent-encoding, so `%2F` differs from `/`, and the captured values are decoded
once, afterwards. A literal path takes precedence over a pattern; among patterns, the longer literal prefix takes
precedence, then the pattern that was added first. Adding a route that could never be reached is an error.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar, cast
from urllib.parse import quote, unquote
from uuid import UUID

from yarl import URL

from .head import METHODS
from .request import ApplicationView, Request
from .response import StreamResponse

Handler = Callable[[Request], Awaitable[StreamResponse]]
H = TypeVar("H", bound=Handler)

_PATH_SAFE = "/!$&'()*+,;=:@-._~"
_CANONICAL = re.compile(r"[0-9A-Za-z/!$&'()*+,;=:@\-._~]*")
# Parts of a template: text, a parameter whose pattern can contain braces ({name:[0-9]{3}}), or an unmatched brace.
_PART = re.compile(
    r"(?P<text>[^{}]+)|\{(?P<name>[^{}:]*)(?::(?P<kind>(?:[^{}]|\{[^{}]*\})*))?\}|[{}]", re.DOTALL
)


class Converter(NamedTuple):
    """The pattern and the type of a parameter. `wider` contains the converters that match all of its values."""

    pattern: str
    convert: Callable[[str], Any]
    wider: frozenset[str]


CONVERTERS: dict[str, Converter] = {
    "str": Converter(r"[^/]+", str, frozenset({"str", "path"})),
    "int": Converter(r"[0-9]{1,18}", int, frozenset({"int", "float", "str", "path"})),
    "float": Converter(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", float, frozenset({"float", "str", "path"})),
    "uuid": Converter(
        r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", UUID, frozenset({"uuid", "str", "path"})
    ),
    "path": Converter(r".*", str, frozenset({"path"})),
}


def canonical_path(path: str) -> str:
    """Return the canonical percent-encoding of a path."""
    if _CANONICAL.fullmatch(path):
        return path
    return "/".join(quote(unquote(part, errors="strict"), safe=_PATH_SAFE[1:]) for part in path.split("/"))


@dataclass(slots=True)
class Route:
    """A handler for a method of a resource. `call` is the handler inside its middlewares."""

    method: str
    resource: "Resource"
    handler: Handler
    name: str | None
    client_max_size: int | None
    app: ApplicationView | None = None
    call: Handler = field(init=False)

    def __post_init__(self) -> None:
        self.call = self.handler


@dataclass(slots=True)
class Resource:
    """A path or pattern with its routes by method."""

    template: str
    parts: "tuple[str | Parameter, ...]"
    router: "UrlDispatcher"
    routes: dict[str, Route] = field(default_factory=dict)
    matches: "dict[str, Match]" = field(default_factory=dict)  # of a literal path
    _pattern: re.Pattern[str] | None = None

    @property
    def is_literal(self) -> bool:
        return all(isinstance(part, str) for part in self.parts)

    def match(self, path: str) -> re.Match[str] | None:
        # Compiled at the first use: it takes half a millisecond, and those of a mounted application are never used.
        if self._pattern is None:
            segments: list[Parts] = [()]
            for part in self.parts:
                first, *others = part.split("/") if isinstance(part, str) else [part]
                segments[-1] += (first,)
                segments += [(other,) for other in others]
            self._pattern = re.compile("/".join(map(_expression, segments)), re.DOTALL)
        return self._pattern.fullmatch(path)

    @property
    def literal_prefix(self) -> str:
        """The literal beginning of every path of this resource, up to a slash."""
        first = self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""
        return first if self.is_literal else first[: first.rfind("/") + 1]

    def url_for(self, **values: object) -> URL:
        """Return the path with these parameters. Raises TypeError for other names, ValueError for invalid values."""
        parameters = [part for part in self.parts if isinstance(part, Parameter)]
        if {part.name for part in parameters} != set(values):
            raise TypeError(
                f"{self.template} requires {', '.join(part.name for part in parameters) or 'no parameters'}"
            )
        path = self.router.prefix
        for part in self.parts:
            if isinstance(part, str):
                path += part
                continue
            safe = _PATH_SAFE if part.converter == "path" else _PATH_SAFE[1:]
            text = quote(str(values[part.name]), safe=safe)
            if not re.fullmatch(part.pattern, text):
                raise ValueError(f"{self.template}: {values[part.name]!r} does not match {{{part.name}}}")
            path += text
        return URL.build(path=path, encoded=True)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A variable part of a path. `converter` is "" for a regular expression of the application."""

    name: str
    converter: str
    pattern: str

    def covers(self, other: "Parameter") -> bool:
        """Return whether this matches everything that `other` matches."""
        if other.converter and self.converter:
            return self.converter in CONVERTERS[other.converter].wider
        return self.pattern == other.pattern or (self.converter == "path")


Parts = tuple[str | Parameter, ...]


def parse_template(template: str) -> Parts:
    """Split a template into its parts. Raises ValueError if it is invalid."""
    if not template.startswith("/"):
        raise ValueError(f"{template!r}: a path must begin with a slash")
    parts: list[str | Parameter] = []
    names: set[str] = set()
    for match in _PART.finditer(template):
        text, name, kind = match["text"], match["name"], match["kind"]
        if text is not None:
            parts.append(_literal(text))
        elif name is None:
            raise ValueError(f"{template!r}: the brace at position {match.start()} has no counterpart")
        elif not name.isidentifier() or name in names:
            raise ValueError(
                f"{template!r}: {name!r} is {'repeated' if name in names else 'not an identifier'}"
            )
        else:
            names.add(name)
            parts.append(_parameter(template, name, kind or "str"))
    return tuple(parts)


def _literal(text: str) -> str:
    if "?" in text or "#" in text or "\0" in text:
        raise ValueError(f"{text!r}: a path cannot contain ?, # or NUL")
    return canonical_path(text)


def _parameter(template: str, name: str, kind: str) -> Parameter:
    if kind in CONVERTERS:
        return Parameter(name, kind, CONVERTERS[kind].pattern)
    try:
        pattern = re.compile(f"(?:{kind})")  # as a part of a longer pattern
    except re.error as error:
        raise ValueError(f"{template!r}: {kind!r} is neither a converter nor a pattern: {error}") from error
    if pattern.groups:
        raise ValueError(f"{template!r}: {kind!r} has a group; write (?:…)")
    if re.fullmatch(r"[a-z]+", kind):
        raise ValueError(f"{template!r}: unknown converter {kind!r}; use {', '.join(CONVERTERS)}")
    return Parameter(name, "", kind)


def _expression(segment: Parts) -> str:
    expression = "".join(
        f"(?P<{part.name}>{part.pattern})" if isinstance(part, Parameter) else re.escape(part)
        for part in segment
    )
    if any(isinstance(part, Parameter) and part.converter in {"", "path"} for part in segment):
        return expression
    # No part matches a slash, so a segment never has to be matched in another way because of the next segments. Without
    # the atomic group, {a}.{b}.{c} would take minutes on a path with thousands of dots.
    return f"(?>{expression}(?=/|\\Z))"


class Match(NamedTuple):
    """The result of routing: a route with its parameters, or None with the methods that have a route."""

    route: Route | None
    parameters: Mapping[str, Any]
    allowed: frozenset[str]


class AddRoute(Protocol):
    """`add_post` and so on: `add_route` for one method."""

    def __call__(
        self, path: str, handler: Handler, *, name: str | None = None, client_max_size: int | None = None
    ) -> Route: ...


class RouteDecorator(Protocol):
    """`post` and so on: `route` for one method."""

    def __call__(
        self, path: str, *, name: str | None = None, client_max_size: int | None = None
    ) -> Callable[[H], H]: ...


class UrlDispatcher:
    """The routes of an application. They are frozen when it starts."""

    def __init__(self) -> None:
        self._literal: dict[str, Resource] = {}
        self._patterns: dict[str, list[Resource]] = {}
        self._longest_prefix = 0  # of the patterns
        self._named: dict[str, Resource] = {}
        self.get = self._decorating("GET")
        self.add_head, self.head = self._adding("HEAD"), self._decorating("HEAD")
        self.add_post, self.post = self._adding("POST"), self._decorating("POST")
        self.add_put, self.put = self._adding("PUT"), self._decorating("PUT")
        self.add_patch, self.patch = self._adding("PATCH"), self._decorating("PATCH")
        self.add_delete, self.delete = self._adding("DELETE"), self._decorating("DELETE")
        self.add_options, self.options = self._adding("OPTIONS"), self._decorating("OPTIONS")
        self.prefix = ""  # where the application is mounted
        self.frozen = False

    def __getitem__(self, name: str) -> Resource:
        return self._named[name]

    def __iter__(self) -> Iterator[Route]:
        for resource in chain(self._literal.values(), *self._patterns.values()):
            yield from resource.routes.values()

    def add_route(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        name: str | None = None,
        client_max_size: int | None = None,
    ) -> Route:
        """Add a route. Raises ValueError for an invalid path, a duplicate, or a route that is hidden by another."""
        if self.frozen:
            raise RuntimeError("the application has started; add routes before")
        if method not in METHODS.values():
            raise ValueError(f"{method!r} is not a supported method; use {', '.join(METHODS.values())}")
        resource = self._resource(path)
        if method in resource.routes:
            raise ValueError(f"{method} {path} already exists as {resource.template}")
        if name is not None and self._named.setdefault(name, resource) is not resource:
            raise ValueError(f"the name {name!r} is already used by {self._named[name].template}")
        route = Route(method, resource, handler, name, client_max_size)
        first = None
        for other in self._patterns.get(resource.literal_prefix, ()):
            if other is resource:
                first = other
            elif method not in other.routes:
                continue
            elif first is None and _covers_all(other, resource):
                raise ValueError(f"{method} {resource.template} is unreachable because of {other.template}")
            elif first is not None and _covers_all(first, other):
                raise ValueError(
                    f"{method} {other.template} would be unreachable because of {first.template}"
                )
        resource.routes[method] = route
        resource.matches[method] = Match(route, Request.match_info, frozenset())
        return route

    def _adding(self, method: str) -> AddRoute:
        return cast(AddRoute, partial(self.add_route, method))

    def _decorating(self, method: str) -> RouteDecorator:
        return cast(RouteDecorator, partial(self.route, method))

    def _resource(self, path: str) -> Resource:
        parts = parse_template(path)
        new = Resource(path, parts, self)
        if new.is_literal:
            return self._literal.setdefault("".join(map(str, parts)), new)
        resources = self._patterns.setdefault(new.literal_prefix, [])
        self._longest_prefix = max(self._longest_prefix, len(new.literal_prefix))
        for resource in resources:
            if resource.parts == parts:
                return resource
        resources.append(new)
        return new

    def resolve(self, method: str, path: str) -> Match:
        """Find the route of a path, percent-encoded and without the query; head.py has checked its encoding."""
        resource = self._literal.get(path)
        if resource is None:
            path = canonical_path(path)
            resource = self._literal.get(path)
        allowed: set[str] = set()
        if resource is not None:
            known = resource.matches.get(method)
            if known is not None:
                return known
            allowed.update(resource.routes)
        prefix = path[: path.rfind("/", 0, self._longest_prefix) + 1]
        while prefix:
            for candidate in self._patterns.get(prefix, ()):
                match = candidate.match(path)
                if not match:
                    continue
                route = candidate.routes.get(method)
                if route is not None:
                    return Match(
                        route,
                        {
                            part.name: CONVERTERS[part.converter or "str"].convert(unquote(match[part.name]))
                            for part in candidate.parts
                            if isinstance(part, Parameter)
                        },
                        frozenset(),
                    )
                allowed.update(candidate.routes)
            prefix = prefix[: prefix.rfind("/", 0, -1) + 1]
        return Match(None, Request.match_info, frozenset(allowed))

    def add_get(
        self,
        path: str,
        handler: Handler,
        *,
        name: str | None = None,
        allow_head: bool = True,
        client_max_size: int | None = None,
    ) -> Route:
        route = self.add_route("GET", path, handler, name=name, client_max_size=client_max_size)
        if allow_head and "HEAD" not in route.resource.routes:
            self.add_route("HEAD", path, handler, client_max_size=client_max_size)
        return route

    def route(
        self, method: str, path: str, *, name: str | None = None, client_max_size: int | None = None
    ) -> Callable[[H], H]:
        """Decorate a handler with a route. GET also adds HEAD."""

        def add(handler: H) -> H:
            adding: AddRoute = self.add_get if method == "GET" else self._adding(method)
            adding(path, handler, name=name, client_max_size=client_max_size)
            return handler

        return add


def _covers_all(wide: Resource, narrow: Resource) -> bool:
    return len(wide.parts) == len(narrow.parts) and all(
        part == other or (isinstance(part, Parameter) and isinstance(other, Parameter) and part.covers(other))
        for part, other in zip(wide.parts, narrow.parts, strict=True)
    )
