"""The versioned API over socket pairs; each response is validated with the OpenAPI document."""

import asyncio
import os
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from monitord.dispatch import Matcher, ReloadPlan
from monitord.model import Reason
from monitord.public_pages.settings import PageSettings
from monitord.status.api.openapi import PREFIX
from monitord.status.api.schemas import SCHEMAS
from monitord.web.testing import ClientResponse, TestClient
from tests.endpoint import REFUSED, StatusWorld, asked, make_world
from tests.fakes import FakeMonitor, monitor_settings

PROBLEM = "application/problem+json"


def strict(schema: Any) -> Any:
    """The schema with `additionalProperties` false: every property of a response is documented."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in made and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def check_answer(document: dict[str, Any], method: str, path: str, response: ClientResponse) -> None:
    """Raise an error if the response does not conform to the document."""
    answer = document["paths"][path][method.lower()]["responses"][str(response.status)]
    content = answer.get("content", {})
    if not content:
        assert response.body == b""
        return
    ((kind, described),) = content.items()
    assert response.headers["Content-Type"] == kind
    schema = {**described["schema"], "components": {"schemas": strict(document["components"]["schemas"])}}
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(response.json() if "json" in kind else response.text)


class ValidatingClient:
    """A client that validates every response."""

    def __init__(self, client: TestClient, document: dict[str, Any]) -> None:
        self.client = client
        self.document = document
        self.seen: set[tuple[str, str]] = set()

    async def __call__(
        self, method: str, target: str, json: Any = None, headers: list[tuple[str, str]] | None = None
    ) -> ClientResponse:
        response = await self.client.request(method, PREFIX + target, json=json, headers=headers or [])
        path = self._template(PREFIX + target.partition("?")[0])
        check_answer(self.document, method, path, response)
        self.seen.add((method, path))
        return response

    def _template(self, target: str) -> str:
        fitting = [
            path for path in self.document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), target)
        ]
        return str(min(fitting, key=lambda path: path.count("{")))


async def described(client: TestClient) -> ValidatingClient:
    document = (await client.get(f"{PREFIX}/openapi.json")).json()
    return ValidatingClient(client, document)


async def test_comments_are_sanitized_for_terminals() -> None:
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        comment = "\x1b[2Jmoved\u202e \u200b to\x9b\nberlin"
        body = {"names": ["good"], "duration_s": 3600, "comment": comment}
        kept = (await ask("POST", "/silences", body)).json()["comment"]
        tagged = {"tags": ["pr\u202eod"], "duration_s": 3600}
        assert (await ask("POST", "/silences", tagged)).json()["tags"] == ["pr\ufffdod"]
        assert kept == "\ufffd[2Jmoved\ufffd \ufffd to\ufffd berlin"


async def _read_pages(ask: ValidatingClient, world: StatusWorld) -> None:
    world.public_pages.apply((PageSettings("main", "Main", matcher=Matcher(patterns=("*",))),), ())
    assert [page["name"] for page in (await ask("GET", "/pages")).json()["pages"]] == ["main"]
    files = (await ask("GET", "/pages/main/files")).json()["files"]
    assert files[-1]["path"] == "index.html"
    unknown = await ask("GET", "/pages/other/files")
    assert unknown.status == 404
    assert unknown.json()["detail"] == (
        "no public page has the name 'other'; GET /api/v1/pages lists the pages"
    )


async def _change_posts(ask: ValidatingClient, world: StatusWorld) -> None:
    world.posts.apply(["main"])
    post = await ask("POST", "/posts", {"page": "main", "title": "Slow", "text": "a"})
    assert (post.status, post.headers["Location"]) == (201, f"{PREFIX}/posts/{post.json()['id']}")
    place = post.headers["Location"].removeprefix(PREFIX)
    assert (await ask("GET", place)).json() == post.json()
    assert (await ask("GET", "/posts")).json() == {"posts": [post.json()], "pages": ["main"]}
    assert (await ask("POST", f"{place}/updates", {"text": "b"})).status == 200
    assert (await ask("PATCH", f"{place}/updates/2", {"text": "c"})).status == 200
    assert (await ask("DELETE", place)).status == 204
    assert (await ask("DELETE", place)).status == 404


async def _send_heartbeats(ask: ValidatingClient) -> None:
    recorded = await ask("POST", "/heartbeats/good?signal=start", {"run": 7, "message": "backup"})
    assert recorded.json() == {"name": "good", "signal": "start"}
    assert (await ask("POST", "/heartbeats/good", {"signal": "sing"})).status == 400
    assert (await ask("POST", "/heartbeats/bad")).status == 409
    assert (await ask("POST", "/heartbeats/nobody")).status == 404


async def test_paused_monitor_has_no_next_check() -> None:
    async with asked(make_world()) as client:
        ask = await described(client)
        await ask("POST", "/monitors/good/pause", {"comment": "moving house"})
        paused = (await ask("GET", "/monitors/good")).json()
        await ask("POST", "/monitors/good/resume")
        resumed = (await ask("GET", "/monitors/good")).json()
    assert (paused["next_check_in_s"], paused["next_check_at"]) == (None, None)
    assert resumed["next_check_in_s"] is not None


async def test_every_response_conforms_to_the_document() -> None:
    """Except for events, which never end, and the history and reports, which have tests of their own."""
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        assert (await ask("GET", "/monitors/good/results")).json()["results"] == []
        assert (await ask("GET", "/monitors/good/recent-results")).json()["results"] == []
        assert (await ask("GET", "/monitors/good/series")).json()["buckets"] == []
        assert (await ask("GET", "/monitors/good/uptime")).json()["ratio"] is None
        assert (await ask("GET", "/monitors/good/incidents")).json()["incidents"] == []
        assert (await ask("GET", "/incidents")).json()["next_before"] is None
        assert (await ask("POST", "/monitors/bad/check")).json()["result"]["verdict"] == "fail"
        assert (await ask("POST", "/monitors/bad/check")).json()["monitor"]["state"] == "down"
        assert (await ask("POST", "/monitors/good/check")).json()["by"].endswith(f"pid {os.getpid()}")
        assert (await ask("GET", "/status")).json()["monitors"]["down"] == 1
        listed = (await ask("GET", "/monitors")).json()
        assert [monitor["name"] for monitor in listed["monitors"]] == ["a.b-c_d", "bad", "good"]
        monitor = (await ask("GET", "/monitors/bad")).json()
        assert (monitor["state"], monitor["last_result"]["reason"]) == ("down", "refused")
        assert (await ask("GET", "/monitors/nobody")).status == 404
        assert (await ask("GET", "/monitors/bad/explain")).json()["name"] == "bad"
        paused = await ask("POST", "/monitors/good/pause", {"comment": "moving  house\n"})
        assert (paused.json()["monitor"]["state"], paused.json()["monitor"]["paused_by"]) == (
            "paused",
            paused.json()["by"],
        )
        assert world.interventions.asked[-1][3] == "moving house"
        assert (await ask("POST", "/monitors/good/resume")).json()["monitor"]["paused_by"] is None
        assert (await ask("POST", "/monitors/bad/acknowledge", {"comment": "on it"})).status == 200
        assert (await ask("POST", "/monitors/good/acknowledge")).status == 409
        assert (await ask("DELETE", "/monitors/bad/acknowledge")).json()["monitor"]["acknowledged_by"] is None
        assert (await ask("DELETE", "/monitors/bad/acknowledge")).status == 409
        for act in ("pause", "resume", "acknowledge", "unacknowledge", "check"):
            assert (await ask("POST", f"/{act}", {"patterns": ["b*"]})).status == 200
        silence = await ask("POST", "/silences", {"tags": ["prod"], "duration_s": 7200})
        assert silence.status == 201
        silenced_until = {
            monitor["name"]: monitor["silenced_until"]
            for monitor in (await ask("GET", "/monitors")).json()["monitors"]
        }
        assert silenced_until == {"good": silence.json()["until"], "bad": None, "a.b-c_d": None}
        assert (await ask("GET", "/monitors/good")).json()["silenced_until"] == silence.json()["until"]
        place = silence.headers["Location"].removeprefix(PREFIX)
        assert (await ask("GET", "/silences")).json()["silences"] == [silence.json()]
        assert (await ask("DELETE", place)).status == 204
        assert (await ask("DELETE", place)).status == 404
        await _change_posts(ask, world)
        await _read_pages(ask, world)
        await _send_heartbeats(ask)
        assert [(await ask("GET", f"/cluster{path}")).status for path in ("", "/host-monitors")] == [404, 404]
        assert (await ask("POST", "/reports")).status == 404
        assert (await ask("GET", "/notifiers")).json()["notifiers"] == []
        assert (await ask("GET", "/notifications")).json() == {"notifications": [], "total": 0}
        assert (await ask("POST", "/notifiers/nobody/test")).status == 404
        assert (await ask("POST", "/reload")).json()["status"] == "applied"
        await ask("GET", "/openapi.json")
        unseen = {
            (method.upper(), path)
            for path, operations in ask.document["paths"].items()
            for method in operations
            if (method.upper(), path) not in ask.seen
        }
        assert unseen == {
            ("GET", PREFIX + path)
            for path in (
                "/events",
                "/monitors/{name}/export",
                "/report",
                "/report.html",
                "/report.txt",
                "/reports",
            )
        }


async def test_rejected_reload_is_422_with_its_errors() -> None:
    world = make_world(outcome=REFUSED)
    async with asked(world) as client:
        ask = await described(client)
        refused = await ask("POST", "/reload")
        assert refused.status == 422
        assert refused.json()["error"] == "monitord.toml:1: bad"
        assert (await ask("GET", "/status")).json()["reload"]["status"] == "rejected"


async def test_routes_and_documented_paths_are_the_same() -> None:
    world = make_world()
    async with asked(world) as client:
        document = (await client.get(f"{PREFIX}/openapi.json")).json()
        routed = {
            (route.method, route.resource.template)
            for route in world.status_application.router
            if route.resource.template.startswith("/api/") and route.method != "HEAD"
        }
    documented = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
    }
    assert routed == documented


def test_schemas_are_valid_and_references_resolve() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    used = set(re.findall(r"#/components/schemas/(\w+)", str(SCHEMAS)))
    assert used <= set(SCHEMAS)


def undescribed(schema: Any, path: str) -> Iterator[str]:
    """The paths of properties without a description."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from undescribed(item, f"{path}[{number}]")
    elif isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties" and "type" in schema:
                yield from (f"{path}.{key}" for key, each in value.items() if not each.get("description"))
            yield from undescribed(value, f"{path}.{name}")


async def test_every_operation_parameter_and_property_has_a_description() -> None:
    async with asked(make_world()) as client:
        document = (await client.get(f"{PREFIX}/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert {tag for operation in operations for tag in operation["tags"]} == {
        tag["name"] for tag in document["tags"]
    }
    for operation in operations:
        assert operation["description"].endswith(".")
        assert not operation["summary"].endswith(".")
        for parameter in operation["parameters"]:
            assert parameter["description"], (operation["operationId"], parameter["name"])
    assert list(undescribed(document["components"]["schemas"], "")) == []


MANY = [
    monitor_settings(f"web{number:02}", tags=("prod", "eu") if number % 2 else ("eu",), type_name="fake")
    for number in range(7)
]

FILTERS = [
    pytest.param("name=web", 7, id="a_part_of_the_name"),
    pytest.param("name=WEB0", 7, id="whatever_the_case"),
    pytest.param("name=web0%5B1-3%5D", 3, id="a_pattern"),
    pytest.param("name=eb*", 0, id="a_pattern_fits_the_whole_name"),
    pytest.param("tag=prod", 4, id="a_tag"),
    pytest.param("tag=prod&tag=eu", 3, id="both_tags"),
    pytest.param("tag=prod&name=web05", 1, id="tag_and_name"),
    pytest.param("state=pending", 10, id="a_state"),
    pytest.param("state=down&state=up", 0, id="one_of_two_states"),
    pytest.param("type=fake", 10, id="a_type"),
    pytest.param("type=http", 0, id="another_type"),
]


@pytest.mark.parametrize(("query", "count"), FILTERS)
async def test_monitors_are_filtered(query: str, count: int) -> None:
    async with asked(make_world(more=MANY)) as client:
        found = (await client.get(f"{PREFIX}/monitors?{query}")).json()
    assert found["total"] == len(found["monitors"]) == count


async def test_pages_continue_although_monitors_are_added_and_removed() -> None:
    world = make_world(more=MANY)
    names: list[str] = []
    async with asked(world) as client:
        cursor = ""
        for _ in range(10):
            page = (await client.get(f"{PREFIX}/monitors?limit=3{cursor}")).json()
            names += [monitor["name"] for monitor in page["monitors"]]
            world.dispatcher.apply(without(world, names[0]))
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
    assert names == sorted(["good", "bad", "a.b-c_d", *(monitor.name for monitor in MANY)])


def without(world: StatusWorld, name: str) -> ReloadPlan:
    left = [entry.monitor.settings for entry in world.dispatcher.entries.values() if entry.name != name]
    return world.dispatcher.plan(left, lambda settings: world.dispatcher.entries[settings.name].monitor)


WRONG = [
    pytest.param(
        "/monitors?limit=many",
        "limit",
        '"many" is not a number from 1 to 1000',
        "write it in digits",
        id="no_number",
    ),
    pytest.param("/monitors?limit=0", "limit", '"0" is not a number from 1 to 1000', "write it in digits", id="zero"),
    pytest.param("/monitors?limit=1&limit=2", "limit", '"2" is given more than once', "write it once", id="twice"),
    pytest.param(
        "/monitors?sate=up", "sate", "unknown parameter", "did you mean state?", id="a_slip"
    ),
    pytest.param(
        "/monitors?state=on",
        "state",
        '"on" is not a known value',
        "write one of: pending, up, degraded, down, unreachable, unknown, paused",
        id="no_such_state",
    ),
    pytest.param(
        "/monitors?cursor=%C3%A9",
        "cursor",
        '"é" is not a cursor',
        "write the next_cursor of the previous page",
        id="no_cursor",
    ),
    pytest.param("/status?x=1", "x", "unknown parameter", "allowed are: none", id="nothing_is_known"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "where", "problem", "fix"), WRONG)
async def test_invalid_query_is_rejected_with_a_hint(target: str, where: str, problem: str, fix: str) -> None:
    async with asked(make_world()) as client:
        ask = await described(client)
        response = await ask("GET", target)
    assert response.status == 400
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": f"{where}: {problem}; {fix}",
        "errors": [{"parameter": where, "problem": problem, "hint": fix}],
    }


async def test_all_errors_of_a_query_are_reported_together() -> None:
    async with asked(make_world()) as client:
        response = await client.get(f"{PREFIX}/monitors?limit=x&state=y&z=1")
    assert [failure["parameter"] for failure in response.json()["errors"]] == ["z", "state", "limit"]


BODIES = [
    pytest.param({"names": ["good"]}, "until", id="no_end"),
    pytest.param(
        {"names": ["good"], "duration_s": 7200, "until": "2026-01-02T00:00:00Z"}, "until", id="two_ends"
    ),
    pytest.param({"duration_s": 7200}, "names", id="nobody"),
    pytest.param({"names": "good", "duration_s": 7200}, "names", id="no_list"),
    pytest.param({"names": ["good"], "duration_s": "2h"}, "duration_s", id="no_number"),
    pytest.param({"names": ["good"], "duration_s": 0}, "duration_s", id="over_at_once"),
    pytest.param({"names": ["good"], "duration_s": 367 * 86400}, "duration_s", id="over_a_year"),
    pytest.param({"names": ["good"], "until": "2026-02-01T00:00:00"}, "until", id="no_zone"),
    pytest.param({"names": ["good"], "duration_s": 7200, "coment": "x"}, "coment", id="a_slip"),
    pytest.param({"names": ["good"], "duration_s": 7200, "comment": "x" * 1001}, "comment", id="too_long"),
    pytest.param({"names": ["half \ud800"], "duration_s": 7200}, "names", id="half_a_character_in_a_name"),
    pytest.param(
        {"names": ["good"], "duration_s": 7200, "comment": "\ud800"}, "comment", id="and_in_a_comment"
    ),
    pytest.param([1], "body", id="no_object"),
]


@pytest.mark.parametrize(("body", "where"), BODIES)
async def test_invalid_body_is_rejected_with_a_hint(body: Any, where: str) -> None:
    async with asked(make_world()) as client:
        ask = await described(client)
        response = await ask("POST", "/silences", body)
    assert response.status == 400
    assert [failure["parameter"] for failure in response.json()["errors"]] == [where]


async def test_unpaired_surrogate_in_a_key_is_reported_escaped() -> None:
    async with asked(make_world()) as client:
        response = await client.post(f"{PREFIX}/silences", json={"\ud800": 1})
    assert response.status == 400


async def test_errors_of_the_framework_are_problem_documents() -> None:
    async with asked(make_world()) as client:
        missing = await client.get(f"{PREFIX}/nothing")
        wrong_method = await client.request("DELETE", f"{PREFIX}/status")
        too_large = await client.post(
            f"{PREFIX}/silences", body=b"x" * 2_000_000, headers=[("Content-Type", "application/json")]
        )
        no_json = await client.post(f"{PREFIX}/silences", body=b"names=good")
        broken = await client.post(
            f"{PREFIX}/silences", body=b"{", headers=[("Content-Type", "application/json")]
        )
    answers = [missing, wrong_method, too_large, no_json, broken]
    assert [answer.status for answer in answers] == [404, 405, 413, 415, 400]
    assert {answer.headers["Content-Type"] for answer in answers} == {PROBLEM}
    assert [answer.json()["status"] for answer in answers] == [404, 405, 413, 415, 400]
    assert wrong_method.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_bug_is_a_problem_document_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    world = make_world()
    world.control.outcome = None  # type: ignore[assignment]  # what no control would do
    world.control.last_reload = object()  # type: ignore[assignment]
    async with asked(world) as client:
        response = await client.get(f"{PREFIX}/status")
    assert response.status == 500
    assert response.headers["Content-Type"] == PROBLEM
    assert "AttributeError" not in response.text
    assert "AttributeError" in caplog.text


async def test_disconnection_during_a_body_is_not_logged_as_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with asked(make_world()) as client, await client.connect() as connection:
        await connection.send(
            f"POST {PREFIX}/silences HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        connection.writer.write_eof()
        assert (await connection.response()).status == 400
    assert caplog.text == ""


async def test_check_of_a_removed_monitor_is_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def wait() -> Reason:
        begun.set()
        await asyncio.Event().wait()
        return Reason.OK

    world = make_world()
    monitor = world.dispatcher.entries["good"].monitor
    assert isinstance(monitor, FakeMonitor)
    monitor.act = wait
    async with asked(world) as client:
        answer = asyncio.ensure_future(client.post(f"{PREFIX}/monitors/good/check"))
        await begun.wait()
        world.dispatcher.apply(without(world, "good"))
        response = await answer
    assert (response.status, response.headers["Content-Type"]) == (409, PROBLEM)
    assert "was removed" in response.json()["detail"]
    assert "Traceback" not in caplog.text


async def test_conditional_get_is_304_until_the_content_changes() -> None:
    world = make_world()
    async with asked(world) as client:
        for target in ("/monitors", f"{PREFIX}/monitors", f"{PREFIX}/openapi.json", f"{PREFIX}/silences"):
            first = await client.get(target)
            tag = first.headers["ETag"]
            again = await client.get(target, headers=[("If-None-Match", f'"x", W/{tag}')])
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
            assert (await client.get(target, headers=[("If-None-Match", '"x"')])).status == 200
            assert (await client.request("HEAD", target)).headers["ETag"] == tag
        before = (await client.get("/monitors")).headers["ETag"]
        await client.post(f"{PREFIX}/monitors/good/check")
        after = await client.get("/monitors", headers=[("If-None-Match", before)])
        assert after.status == 200
        assert after.json()["monitors"][-1]["last_result"] is not None


# Changes of several monitors


async def down(ask: ValidatingClient) -> None:
    """`bad` is down."""
    for _ in range(2):
        await ask("POST", "/monitors/bad/check")


SELECTIONS = [
    pytest.param({"names": ["good", "bad"]}, ["bad", "good"], id="names"),
    pytest.param({"patterns": ["g*", "b??"]}, ["bad", "good"], id="patterns"),
    pytest.param({"names": ["bad"], "patterns": ["*"]}, ["a.b-c_d", "bad", "good"], id="names_or_patterns"),
    pytest.param({"tags": ["prod"]}, ["good"], id="a_tag"),
    pytest.param({"patterns": ["*"], "tags": ["prod"]}, ["good"], id="patterns_with_the_tag"),
]


@pytest.mark.parametrize(("body", "names"), SELECTIONS)
async def test_change_applies_to_all_selected_monitors(body: Any, names: list[str]) -> None:
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        paused = (await ask("POST", "/pause", {**body, "comment": "moving house"})).json()
        assert sorted(monitor["name"] for monitor in paused["monitors"]) == names
        assert {monitor["paused_by"] for monitor in paused["monitors"]} == {paused["by"]}
        listed = (await ask("GET", "/monitors?state=paused")).json()["monitors"]
        assert [monitor["name"] for monitor in listed] == names
    assert {act[3] for act in world.interventions.asked} == {"moving house"}


UNKNOWN = [
    pytest.param({"names": ["good", "goood"]}, "names", "no monitor has the name 'goood'",
                 "did you mean good?", id="name"),
    pytest.param({"names": ["good"], "patterns": ["db-*"]}, "patterns", "no monitor matches 'db-*'",
                 "GET /api/v1/monitors lists the monitors", id="pattern"),
    pytest.param({"tags": ["prd"]}, "tags", "no monitor has the tag 'prd'", "did you mean prod?", id="tag"),
    pytest.param({"names": ["bad"], "tags": ["prod"]}, "tags", "no monitor matches the whole selection",
                 "GET /api/v1/monitors lists the monitors", id="nothing_has_both"),
]  # fmt: skip


@pytest.mark.parametrize("act", ["pause", "resume", "acknowledge", "unacknowledge", "check"])
@pytest.mark.parametrize(("body", "where", "problem", "fix"), UNKNOWN)
async def test_unknown_name_pattern_or_tag_changes_nothing(
    act: str, body: Any, where: str, problem: str, fix: str
) -> None:
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        response = await ask("POST", f"/{act}", body)
        assert response.status == 404
        assert response.json()["errors"] == [{"parameter": where, "problem": problem, "hint": fix}]
        assert (await ask("GET", "/status")).json()["checks"]["total"] == 0
    assert world.interventions.asked == []


async def test_change_without_a_selection_is_rejected() -> None:
    bodies: list[Any] = [None, {}, {"names": []}, {"patterns": [f"{number}*" for number in range(51)]}]
    async with asked(make_world()) as client:
        ask = await described(client)
        assert [(await ask("POST", "/pause", body)).status for body in bodies] == [400] * 4


async def test_impossible_change_is_a_conflict_by_name_and_skipped_by_pattern() -> None:
    world = make_world()
    async with asked(world) as client:
        ask = await described(client)
        await down(ask)
        refused = await ask("POST", "/acknowledge", {"names": ["bad", "good"]})
        assert (refused.status, refused.json()["detail"]) == (
            409,
            "good: no open incident (state: pending)",
        )
        assert world.interventions.asked == []
        done = (await ask("POST", "/acknowledge", {"patterns": ["*"]})).json()
        assert [monitor["name"] for monitor in done["monitors"]] == ["bad"]
        assert {monitor["name"] for monitor in done["skipped_monitors"]} == {"good", "a.b-c_d"}
        assert (await ask("POST", "/acknowledge", {"patterns": ["g*"]})).status == 409


async def test_resuming_a_monitor_that_is_not_paused_is_not_an_error() -> None:
    async with asked(make_world()) as client:
        ask = await described(client)
        await ask("POST", "/pause", {"names": ["bad"]})
        done = (await ask("POST", "/resume", {"names": ["bad", "good"]})).json()
        assert {monitor["name"]: monitor["paused_by"] for monitor in done["monitors"]} == {
            "bad": None,
            "good": None,
        }
        again = (await ask("POST", "/resume", {"patterns": ["*"]})).json()
        assert (again["monitors"], len(again["skipped_monitors"])) == ([], 3)


async def test_results_of_several_checks_are_returned_together() -> None:
    async with asked(make_world()) as client:
        ask = await described(client)
        done = (await ask("POST", "/check", {"names": ["bad", "good"]})).json()
    assert {result["name"]: result["result"]["verdict"] for result in done["results"]} == {
        "bad": "fail",
        "good": "pass",
    }
