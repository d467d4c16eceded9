"""The OpenAPI document and the handlers accept the same parameters, bodies and combinations of keys."""

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.model import PostStatus
from monitord.status.api.events import LAST_ID, MONITOR
from monitord.status.api.history import BEFORE, FROM, STEP, TO
from monitord.status.api.openapi import PREFIX
from monitord.status.model.listing import CURSOR, NAME, STATE, TAG, TYPE
from monitord.status.model.query import MAX_VALUES, QueryParameter, duration, moment
from tests.endpoint import asked, make_world
from tests.status.api.test_api import described

TEXTS = [
    *(
        "",
        "0",
        "-",
        "x",
        "-24h",
        "-1h30m",
        "-30m1h",
        "-1h1h",
        "-0.5h",
        "-90000s",
        "-86400.000",
        "-5y",
        "--1h",
        "- 1h",
    ),
    *(
        "-1000w",
        "-99999999d",
        "5m",
        "1h30m",
        "1.5h",
        "3600",
        "0.5",
        "1e3",
        "Infinity",
        "NaN",
        "5 m",
        "5M",
        "\u0665m",
    ),
    *(
        "2026-01-31T12:00:00Z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00.123456789Z",
        "2026-01-31T12:00:00+02:00",
    ),
    *(
        "2026-01-31T12:00:00",
        "2026-01-31",
        "2026-02-29T00:00:00Z",
        "2024-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
    ),
    *("2000-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z", "now"),
    *(
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00-23:59",
    ),
    *("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "9899-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"),
    *(
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31t12:00:00z",
        "Z29vZA==",
        "676f6f64",
        "676F6F64",
        "67 6f",
    ),
    *("ff", "up", "down", "UP", "tcp", "n" * 256, "n" * 257),
]
PARAMETERS: list[QueryParameter[Any]] = [BEFORE, FROM, TO, STEP, CURSOR, NAME, LAST_ID]
REPEATED: list[QueryParameter[Any]] = [TAG, STATE, TYPE, MONITOR]


def is_read(parameter: QueryParameter[Any], texts: list[str]) -> bool:
    try:
        parameter.read(texts)
    except ValueError:
        return False
    return True


def is_valid(schema: Any, value: object) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda case: case.name)
def test_parameter_is_read_exactly_if_its_schema_accepts_it(parameter: QueryParameter[Any]) -> None:
    for text in TEXTS:
        assert is_read(parameter, [text]) == is_valid(parameter.schema, text), text


@pytest.mark.parametrize("parameter", REPEATED, ids=lambda case: case.name)
def test_repeated_parameter_is_read_exactly_if_its_schema_accepts_it(parameter: QueryParameter[Any]) -> None:
    for text in TEXTS:
        assert is_read(parameter, [text]) == is_valid(parameter.schema, [text]), text
    for count in (MAX_VALUES, MAX_VALUES + 1):
        assert is_read(parameter, ["up"] * count) == is_valid(parameter.schema, ["up"] * count)


@pytest.mark.parametrize("parameter", [BEFORE, FROM, TO, STEP, CURSOR], ids=lambda case: case.name)
@given(data=st.data())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_every_text_that_the_pattern_accepts_is_read(
    parameter: QueryParameter[Any], data: st.DataObject
) -> None:
    text = data.draw(st.from_regex(parameter.schema["pattern"].strip("^$"), fullmatch=True))
    parameter.read([text])


SELECTED = {"names": ["good"]}
LASTS: list[object] = [
    *("2h", "", "0", "3600", "x"),
    *(3600, 0.5, 0, -1, 366 * 86400, 366 * 86400 + 1, True, None, []),
]
SILENCES: list[Any] = [
    *({**SELECTED, "duration_s": lasts} for lasts in LASTS),
    {"duration_s": 7200},
    {"names": [], "duration_s": 7200},
    {"names": [], "patterns": [], "tags": [], "duration_s": 7200},
    {"names": [""], "duration_s": 7200},
    {"names": "good", "duration_s": 7200},
    {"names": [1], "duration_s": 7200},
    {"names": ["x"] * 1001, "duration_s": 7200},
    {"tags": ["prod"], "duration_s": 7200},
    {"patterns": ["x"] * 50, "duration_s": 7200},
    {"patterns": ["x"] * 51, "duration_s": 7200},
    {"names": ["x" * 256], "duration_s": 7200},
    {"names": ["x" * 257], "duration_s": 7200},
    {"tags": ["\x1b[31mprod"], "duration_s": 7200},
    {"tags": ["prod\u202e"], "duration_s": 7200},
    {"names": ["go\u200bod"], "duration_s": 7200},
    {"patterns": ["\x9b2J"], "duration_s": 7200},
    {"tags": ["Büro 2", "本番"], "duration_s": 7200},
    {"patterns": ["g*"], "duration_s": 7200, "comment": None},
    {**SELECTED, "duration_s": 7200, "comment": "x" * 1001},
    {**SELECTED, "duration_s": 7200, "comment": 1},
    {**SELECTED, "duration_s": 7200, "more": 1},
    SELECTED,
    {**SELECTED, "duration_s": 7200, "until": "2026-01-02T00:00:00Z"},
    {**SELECTED, "until": "2026-02-30T00:00:00Z"},
    {**SELECTED, "until": "2026-01-02"},
    {**SELECTED, "until": "-1h"},
    {**SELECTED, "until": 1},
    {**SELECTED, "until": "1999-01-01T00:00:00Z"},
    {**SELECTED, "until": "9000-01-01T00:00:00Z"},
    [],
    "x",
    None,
]
POST: dict[str, Any] = {"page": "main", "title": "Slow", "text": "a"}
POST_STATUSES: list[Any] = ["investigating", "resolved", "Resolved", "", "open", 1, None, []]
POST_TITLES: list[Any] = ["", " \n", "x" * 200, "x" * 201, " " * 201, "\x00", "\u200b", "日", 1]
POST_TEXTS: list[Any] = ["", "\n \u2028", "x" * 5000, "x" * 5001, "a\nb", "\x1b", None, ["a"]]
POST_PAGES: list[Any] = ["", "other", "x" * 256, "x" * 257, 1, None]
POSTS: list[Any] = [
    POST,
    *({**POST, "status": status} for status in POST_STATUSES),
    *({**POST, "title": title} for title in POST_TITLES),
    *({**POST, "text": text} for text in POST_TEXTS),
    *({**POST, "page": page} for page in POST_PAGES),
    *({key: value for key, value in POST.items() if key != missing} for missing in POST),
    {**POST, "author": "kim"},
    [],
    "x",
]
POST_UPDATES: list[Any] = [
    {"text": "a"},
    {"text": "a", "status": "monitoring"},
    {"text": "a", "status": None},
    {"text": ""},
    {"text": "x" * 5001},
    {"status": "monitoring"},
    {"text": "a", "title": "b"},
    {},
    [],
]
BEATS: list[Any] = [
    {},
    {"signal": "start"},
    {"signal": "x"},
    {"signal": None},
    {"signal": 1},
    {"exit_status": 0},
    {"exit_status": 255},
    {"exit_status": 256},
    {"exit_status": -1},
    {"exit_status": "1"},
    {"exit_status": "007"},
    {"exit_status": ""},
    {"exit_status": True},
    {"exit_status": 1.5},
    {"exit_status": 1.0},
    {"run": 10367729.0},
    {"message": -2.0},
    {"exit_status": None},
    {"run": "a"},
    {"run": ""},
    {"run": 17},
    {"run": "x" * 101},
    {"run": None},
    {"message": "done"},
    {"message": 7},
    {"message": []},
    {"more": 1},
    {"signal": "log", "exit_status": 0},
    {"signal": "fail", "exit_status": 0},
    [],
]


@pytest.mark.parametrize(
    ("path", "schema", "bodies"),
    [("/silences", "NewSilence", SILENCES), ("/heartbeats/good", "NewHeartbeat", BEATS)],
    ids=["silences", "heartbeats"],
)
async def test_body_is_accepted_exactly_if_its_schema_accepts_it(
    path: str, schema: str, bodies: list[Any]
) -> None:
    """409: a value is valid at another time only, or with other values."""
    world = make_world()
    async with asked(world) as client:
        document = (await described(client)).document
        rules = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
        for body in bodies:
            response = await client.post(PREFIX + path, json=body) if body is not None else None
            if response is None:
                continue
            assert (response.status != 400) == is_valid(rules, body), (body, response.text)
            assert response.status in {200, 201, 400, 409}


@pytest.mark.parametrize(
    ("method", "path", "schema", "bodies"),
    [
        ("POST", "/posts", "NewPost", POSTS),
        ("POST", "/posts/{id}/updates", "NewPostUpdate", POST_UPDATES),
        (
            "PATCH",
            "/posts/{id}/updates/1",
            "PostText",
            [*({"text": text} for text in POST_TEXTS), *POST_UPDATES],
        ),
    ],
    ids=["post", "update", "text"],
)
async def test_body_about_a_post_is_accepted_exactly_if_its_schema_accepts_it(
    method: str, path: str, schema: str, bodies: list[Any]
) -> None:
    """404: the page does not exist."""
    world = make_world()
    world.posts.apply(["main"])
    post = world.posts.create("main", "Slow", PostStatus.INVESTIGATING, "a", "kim")
    async with asked(world) as client:
        document = (await described(client)).document
        rules = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
        for body in bodies:
            response = await client.request(method, PREFIX + path.format(id=post.id), json=body)
            assert (response.status != 400) == is_valid(rules, body), (body, response.text)
            assert response.status in {200, 201, 400, 404}


async def test_silence_of_a_millisecond_is_created() -> None:
    world = make_world()
    async with asked(world) as client:
        for lasts in (5e-324, 0.001):
            response = await client.post(f"{PREFIX}/silences", json={**SELECTED, "duration_s": lasts})
            assert (response.status, response.json()["names"]) == (201, ["good"])


async def test_unsupported_method_is_405() -> None:
    """QUERY included, which some HTTP libraries send."""
    world = make_world()
    async with asked(world) as client:
        for method in ("PUT", "PATCH", "QUERY"):
            response = await client.request(method, f"{PREFIX}/status")
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_only_some_of_thousands_of_unknown_names_are_compared() -> None:
    """Each comparison with the known names takes time on the event loop."""
    world = make_world()
    async with asked(world) as client:
        query = "&".join(f"p{number}" for number in range(1000))
        refused = await client.get(f"{PREFIX}/monitors?{query}")
        assert (refused.status, len(refused.json()["errors"])) == (400, 20)
        refused = await client.post(f"{PREFIX}/silences", json={f"k{number}": 1 for number in range(10_000)})
        assert (refused.status, len(refused.json()["errors"])) == (400, 1)
        assert "has 10000 keys" in refused.json()["detail"]


async def test_contradictions_between_query_and_body_are_conflicts() -> None:
    world = make_world()
    async with asked(world) as client:
        for query, body, status in (
            ("exit_status=0", {"exit_status": 0}, 200),
            ("exit_status=0", {"exit_status": 1}, 409),
            ("signal=log", {"exit_status": 1}, 409),
            ("signal=fail", {"signal": "fail"}, 200),
        ):
            response = await client.post(f"{PREFIX}/heartbeats/good?{query}", json=body)
            assert response.status == status
        past = {**SELECTED, "until": "1999-01-01T00:00:00Z"}
        assert (await client.post(f"{PREFIX}/silences", json=past)).status == 409


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-01-31T12:00:00", 'has no time zone; write "2026-01-31T12:00:00Z" for UTC'),
        ("0001-01-01T00:00:00Z", "is out of range; write a year from 1970 to 9899"),
        ("yesterday", 'is not a time; write RFC 3339 such as "2026-01-31T12:00:00Z", or "-24h"'),
        ("-1y", 'is not a time; write "-24h" for a day ago, or RFC 3339'),
    ],
)
def test_rejected_time_is_answered_with_a_hint(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("(", r"\(")):
        moment(text)


def test_rejected_duration_is_answered_with_a_hint() -> None:
    with pytest.raises(ValueError, match='write "1h30m"'):
        duration("1 hour 30 min")
