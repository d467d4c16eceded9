import itertools
import sys
from typing import Any
from uuid import UUID

import pytest

from monitord.web import Request, Response, UrlDispatcher
from monitord.web.routing import canonical_path, parse_template


async def handler(request: Request) -> Response:
    return Response()


async def other(request: Request) -> Response:
    return Response()


def found(router: UrlDispatcher, path: str, method: str = "GET") -> Any:
    """Return the template that matches a path, with its parameters, or the allowed methods."""
    match = router.resolve(method, path)
    if match.route is None:
        return set(match.allowed)
    return match.route.resource.template, match.parameters


def with_gets(*templates: str) -> UrlDispatcher:
    router = UrlDispatcher()
    for template in templates:
        router.add_get(template, handler)
    return router


@pytest.mark.parametrize(
    ("template", "path", "parameters"),
    [
        ("/a", "/a", {}),
        ("/a", "/a/", None),
        ("/a", "/ab", None),
        ("/a", "/a%0a", None),
        ("/a.b", "/axb", None),
        ("/a b", "/a%20b", {}),
        ("/a b", "/a b", {}),
        ("/\u043f", "/%d0%bf", {}),
        ("/a/b", "/a%2Fb", None),
        ("/(x)+", "/(x)+", {}),
        ("/{name}", "/john-doe", {"name": "john-doe"}),
        ("/{name}", "/a.b", {"name": "a.b"}),
        ("/{name}", "/%D0%BF", {"name": "\u043f"}),
        ("/{name}", "/a%2Fb", {"name": "a/b"}),
        ("/{name}", "/a%252Fb", {"name": "a%2Fb"}),
        ("/{name}", "/a+b", {"name": "a+b"}),
        ("/{name}", "/a|b", {"name": "a|b"}),
        ("/{name}", "/", None),
        ("/{name}", "/a/b", None),
        ("/{name}", "/a%0A", {"name": "a\n"}),
        ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
        ("/{a}-{b}.txt", "/x-y.txt", {"a": "x", "b": "y"}),
        ("/{id:int}", "/42", {"id": 42}),
        ("/{id:int}", "/-42", None),
        ("/{id:int}", "/4x", None),
        ("/{id:int}", "/" + "9" * 19, None),
        ("/{id:int}", "/\u0664", None),
        ("/{x:float}", "/1.5", {"x": 1.5}),
        ("/{x:float}", "/2", {"x": 2.0}),
        ("/{x:float}", "/nan", None),
        ("/{x:path}", "/a/b%2Fc/", {"x": "a/b/c/"}),
        ("/{x:path}", "/", {"x": ""}),
        ("/f/{x:path}", "/f/../g", {"x": "../g"}),
        ("/{x:[a-c]+}", "/abc", {"x": "abc"}),
        ("/{x:[a-c]+}", "/abd", None),
        ("/{x:[0-9]{2}}", "/12", {"x": "12"}),
        ("/{x:(?:a|b)}", "/b", {"x": "b"}),
        (
            "/{x:uuid}",
            "/12345678-1234-5678-1234-567812345678",
            {"x": UUID("12345678-1234-5678-1234-567812345678")},
        ),
        ("/{x:uuid}", "/12345678", None),
    ],
)
def test_path_matches_completely_and_is_decoded_once(
    template: str, path: str, parameters: dict[str, Any] | None
) -> None:
    expected = set() if parameters is None else (template, parameters)
    assert found(with_gets(template), path) == expected


def test_literal_path_takes_precedence_over_a_pattern() -> None:
    for router in (with_gets("/{name}", "/me"), with_gets("/me", "/{name}")):
        assert found(router, "/me") == ("/me", {})
        assert found(router, "/you") == ("/{name}", {"name": "you"})


def test_longer_literal_prefix_takes_precedence() -> None:
    router = with_gets("/{tail:path}", "/a/{tail:path}", "/a/b/{name}")
    assert found(router, "/a/b/c")[0] == "/a/b/{name}"
    assert found(router, "/a/c/d")[0] == "/a/{tail:path}"
    assert found(router, "/c")[0] == "/{tail:path}"


def test_first_pattern_of_equal_prefixes_takes_precedence() -> None:
    router = with_gets("/{id:int}", "/{name}")
    assert found(router, "/1") == ("/{id:int}", {"id": 1})
    assert found(router, "/x") == ("/{name}", {"name": "x"})


@pytest.mark.parametrize("template", ["/{a}.{b}.{c}", "/{a}.{b}.{c}/{d:int}"])
def test_matching_time_is_proportional_to_the_path(template: str) -> None:
    """Backtracking over the dots would take minutes."""
    router = with_gets(template)
    assert found(router, "/" + "." * 8000 + "/x") == set()


def test_parameters_of_one_segment_take_as_much_as_they_can() -> None:
    router = with_gets("/{a}.{b}/{c}-{d:int}", "/x{a}", "/{p:path}/end/{a}")
    assert found(router, "/1.2.3/a-b-4") == (
        "/{a}.{b}/{c}-{d:int}",
        {"a": "1.2", "b": "3", "c": "a-b", "d": 4},
    )
    assert found(router, "/xy") == ("/x{a}", {"a": "y"})
    assert found(router, "/q/end/r/end/s") == ("/{p:path}/end/{a}", {"p": "q/end/r", "a": "s"})
    assert found(router, "/1.2/a-b") == set()


def test_path_has_several_methods() -> None:
    router = with_gets("/x", "/y/{a}")
    router.add_post("/x", other)
    router.add_put("/y/{a}", other)
    assert router.resolve("GET", "/x").route is not router.resolve("POST", "/x").route
    assert found(router, "/x", "DELETE") == {"GET", "HEAD", "POST"}
    assert found(router, "/y/1", "DELETE") == {"GET", "HEAD", "PUT"}


def test_method_without_a_literal_route_is_matched_by_patterns() -> None:
    router = with_gets("/me")
    router.add_post("/{name}", other)
    assert found(router, "/me", "POST") == ("/{name}", {"name": "me"})
    assert found(router, "/me", "PUT") == {"GET", "HEAD", "POST"}


def test_get_handles_head_by_default() -> None:
    router = UrlDispatcher()
    router.add_get("/a", handler)
    router.add_get("/b", handler, allow_head=False)
    assert found(router, "/a", "HEAD") == ("/a", {})
    assert found(router, "/b", "HEAD") == {"GET"}
    router.add_head("/b", other)
    assert found(router, "/b", "HEAD") == ("/b", {})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/a"),
        ("/a b", "/a%20b"),
        ("/{a}", "/{b}"),
        ("/{a}", "/{a:str}"),
        ("/{a}", "/{b:int}"),
        ("/{a:path}", "/{b}"),
        ("/{a:float}", "/{b:int}"),
        ("/{a:[0-9]+}", "/{b:[0-9]+}"),
        ("/x/{a}/y/{b}", "/x/{c:int}/y/{d:uuid}"),
    ],
)
def test_route_that_is_never_reached_is_an_error_when_added(first: str, second: str) -> None:
    router = with_gets(first)
    with pytest.raises(ValueError, match=r"already exists|unreachable"):
        router.add_get(second, other)


def test_unreachable_method_is_rejected_when_added_later() -> None:
    router = with_gets("/{name}")
    router.add_post("/{id:int}", other)
    with pytest.raises(ValueError, match="would be unreachable"):
        router.add_post("/{name}", other)


@pytest.mark.parametrize(
    "template",
    [
        "a", "", "/{", "/}", "/{}", "/{1a}", "/{a b}", "/{a}/{a}", "/{a:nope}", "/{a:[}", "/{a:(x)}", "/{a:(?i)x}",
        "/{a:x}}", "/a?b", "/a#b", "/a\0",
    ],
)  # fmt: skip
def test_bad_template_is_an_error_when_added(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        UrlDispatcher().add_get(template, handler)


def test_bad_method_is_an_error_when_added() -> None:
    for method in ("get", "", "G T", "*", "BREW", "CONNECT"):
        with pytest.raises(ValueError, match="not a supported method"):
            UrlDispatcher().add_route(method, "/", handler)


def test_url_for_builds_the_path_of_a_named_route() -> None:
    router = UrlDispatcher()
    router.add_get("/", handler, name="root")
    router.add_get("/u/{name}/{id:int}", handler, name="user")
    router.add_get("/f/{path:path}", handler, name="file")
    assert str(router["root"].url_for()) == "/"
    assert str(router["user"].url_for(name="a/b \u043f?", id=3)) == "/u/a%2Fb%20%D0%BF%3F/3"
    assert str(router["file"].url_for(path="a/b c")) == "/f/a/b%20c"
    assert str(router["user"].url_for(name="x", id=3).with_query(q="1")) == "/u/x/3?q=1"


@pytest.mark.parametrize("values", [{}, {"name": "x"}, {"name": "x", "id": 1, "more": 2}])
def test_url_for_takes_exactly_its_parameters(values: dict[str, object]) -> None:
    router = UrlDispatcher()
    router.add_get("/u/{name}/{id:int}", handler, name="user")
    with pytest.raises(TypeError, match="requires name, id"):
        router["user"].url_for(**values)


def test_url_for_makes_no_path_that_would_not_match() -> None:
    router = UrlDispatcher()
    router.add_get("/u/{id:int}", handler, name="user")
    with pytest.raises(ValueError, match="does not match"):
        router["user"].url_for(id="x")


def test_name_belongs_to_one_path() -> None:
    router = UrlDispatcher()
    router.add_get("/a", handler, name="x")
    router.add_post("/a", handler, name="x")
    with pytest.raises(ValueError, match="already used"):
        router.add_get("/b", handler, name="x")
    assert found(router, "/b") == set()


def test_decorators_add_routes() -> None:
    router = UrlDispatcher()

    @router.get("/x", name="x")
    @router.post("/x")
    @router.put("/x")
    @router.patch("/x")
    @router.delete("/x")
    @router.options("/x")
    @router.head("/y")
    async def view(request: Request) -> Response:
        return Response()

    assert {route.method for route in router} == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert all(route.handler is view for route in router)
    assert router["x"].template == "/x"
    assert ("HEAD", "/y") in [(route.method, route.resource.template) for route in router]


def test_routes_are_fixed_once_frozen() -> None:
    router = UrlDispatcher()
    router.frozen = True
    with pytest.raises(RuntimeError, match="has started"):
        router.add_get("/", handler)


def test_canonical_path_is_idempotent() -> None:
    for path in ("/", "/a%2Fb", "/%D0%BF", "//x//", "/a%25b", "/~a!$&'()*+,;=:@"):
        assert canonical_path(canonical_path(path)) == canonical_path(path)
    assert canonical_path("/%41%2f") == "/A%2F"


def test_template_is_split_into_its_parts() -> None:
    literal, parameter, rest = parse_template("/a/{b:int}/c")
    assert (literal, rest) == ("/a/", "/c")
    assert not isinstance(parameter, str)
    assert (parameter.name, parameter.converter) == ("b", "int")


def test_many_literal_routes_are_one_look_up() -> None:
    """Counted instead of timed: routing compares as many paths with ten thousand routes as with ten."""

    class Counted(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    router = UrlDispatcher()
    for number in range(10_000):
        router.add_get(f"/route/{number}", handler)
    assert router.resolve("GET", Counted("/route/9999")).route is not None
    assert Counted.compared < 10


def test_path_of_slashes_is_matched_quickly() -> None:
    router = UrlDispatcher()
    router.add_get("/a/b/{name}/c", handler)
    router.add_get("/{first}/x", handler)
    router.resolve("GET", "/a/b/c/d")  # compiles the patterns
    calls: list[int] = []
    for slashes in (10, 8_000):
        path, count = "/a/b/c" + "/" * slashes, itertools.count()
        sys.setprofile(lambda *_, count=count: next(count))
        try:
            found = router.resolve("GET", path)
        finally:
            sys.setprofile(None)
        assert found.route is None
        calls.append(next(count))
    assert calls[0] == calls[1]
