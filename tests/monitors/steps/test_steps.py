"""The type `steps`: sequences of requests, values from one to the next, and what its results show and never show."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from monitord.clock import SystemClock
from monitord.conditions import parse_condition
from monitord.conditions.pattern.matcher import MAX_SEARCHED_CHARACTERS
from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Result, Verdict, VerdictRule
from monitord.monitors import Tools
from monitord.monitors.steps.monitor import MAX_VALUE_CHARACTERS, StepsMonitor
from monitord.net import HttpClient, TlsContexts
from tests.certificates import DAY, Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import Peer, Request, Script, respond, serve
from tests.time_limits import within_growing_limit

Make = Callable[..., StepsMonitor]
Answer = Callable[[Request], bytes]


def addresses_of_tests(name: str, family: int) -> list[str]:
    del family
    return ["127.0.0.1"] if name.endswith(".test") else []


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    resolver, contexts = resolver_without_queue(addresses_of_tests), TlsContexts()
    client = HttpClient(user_agent="monitord/1.2.3", resolver=resolver, tls_contexts=contexts)
    tools = Tools(SystemClock(), client, resolver, contexts)
    made: list[StepsMonitor] = []

    def make(keys: str, *, timeout_s: float = 10.0, up_when: str = "", invert: bool = False) -> StepsMonitor:
        options = options_of(StepsMonitor, tmp_path, keys)
        settings = monitor_settings(type_name="steps", timeout_s=timeout_s, options=options)
        if up_when:
            object.__setattr__(
                settings, "up_when", (parse_condition(up_when, StepsMonitor.vocabulary_of(options)),)
            )
        object.__setattr__(settings, "invert", invert)
        made.append(StepsMonitor(settings, tools))
        return made[-1]

    yield make
    for monitor in made:
        await monitor.close()
    await client.close()


def response(body: bytes | str, *headers: str, status: str = "200 OK") -> bytes:
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def pages(**answers: bytes) -> Script:
    """Send the response of the first part of the path: `login` for /login/x."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        name = request.target.strip("/").partition("/")[0].partition("?")[0]
        await peer.send(answers.get(name, response("not found", status="404 Not Found")))

    return script


def judged(monitor: StepsMonitor, seen: Observation) -> Result:
    return judge(seen, monitor.settings, None, monitor.masking)


LOGIN = response('{"token": "t0k/en \\"é", "id": 17, "none": null, "all": [], "sub": {"ok": true}}')


async def sent(
    make: Make, extract: str, second: str, login: bytes = LOGIN
) -> tuple[Observation, list[Request]]:
    """Return what the second step has sent, after the first has extracted."""
    async with serve(pages(login=login, next=response("fine"))) as server:
        base = f"http://127.0.0.1:{server.port}"
        monitor = make(
            f'steps = [{{ name = "login", url = "{base}/login", extract = {extract} }},'
            f'{{ name = "next", {second.replace("BASE", base)} }}]'
        )
        return await monitor.check(), server.requests


TOKEN = '{ token = { json = "$.token" } }'


# Values from one step to the next


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ('url = "BASE/next/{token}/x?q={token}"', "/next/t0k%2Fen%20%22%C3%A9/x?q=t0k%2Fen%20%22%C3%A9"),
        ('url = "BASE/next/{{token}}"', "/next/{token}"),
        ('url = "BASE/next/{ token }"', "/next/{%20token%20}"),
    ],
    ids=["encoded", "written twice", "other braces"],
)
async def test_value_in_a_url_is_percent_encoded(make: Make, second: str, expected: str) -> None:
    seen, requests = await sent(make, TOKEN, second)
    assert seen.reason is Reason.OK, seen.detail
    assert requests[1].target == expected


@pytest.mark.parametrize("value", [".", ".."])
async def test_value_cannot_remove_a_segment_of_the_path(make: Make, value: str) -> None:
    login = response(json.dumps({"token": value}))
    _, requests = await sent(make, TOKEN, 'url = "BASE/next/a/{token}/b"', login)
    assert requests[1].target == f"/next/a/{value.replace('.', '%2E')}/b"


async def test_value_is_inserted_in_headers_and_bearer(make: Make) -> None:
    login = response('{"token": "abc.def"}')
    _, requests = await sent(make, TOKEN, 'url = "BASE/next", bearer_token = "{token}"', login)
    assert requests[1].headers["authorization"] == "Bearer abc.def"
    _, requests = await sent(make, TOKEN, 'url = "BASE/next", headers = { X-A = "a {token} b" }', login)
    assert requests[1].headers["x-a"] == "a abc.def b"


@pytest.mark.parametrize("second", ['headers = { X-A = "a{token}" }', 'bearer_token = "{token}"'])
async def test_value_with_a_line_break_is_not_sent_in_a_header(make: Make, second: str) -> None:
    login = response(json.dumps({"token": "a\r\nX-Injected: yes"}))
    seen, requests = await sent(make, TOKEN, f'url = "BASE/next", {second}', login)
    assert seen.reason is Reason.EXTRACT_FAILED
    assert "the request cannot be sent: {token} contains a line break or another control" in seen.detail
    assert len(requests) == 1


async def test_value_with_a_line_break_is_encoded_in_a_url_and_a_body(make: Make) -> None:
    login = response(json.dumps({"token": "a\r\nb"}))
    _, requests = await sent(make, TOKEN, 'url = "BASE/next?q={token}", json = { x = "{token}" }', login)
    assert requests[1].target == "/next?q=a%0D%0Ab"
    assert json.loads(requests[1].body) == {"x": "a\r\nb"}


@pytest.mark.parametrize(
    ("second", "body"),
    [
        (
            'json = { a = ["{token}", 1], b = { "{x" = "}" } }',
            '{"a": ["t0k/en \\"\\u00e9", 1], "b": {"{x": "}"}}',
        ),
        (
            'headers = { Content-Type = "application/json; charset=utf-8" }, body = \'{"a": {"b": "{token}"}}\'',
            '{"a": {"b": "t0k/en \\"\\u00e9"}}',
        ),
        (
            'headers = { Content-Type = "application/x-www-form-urlencoded" }, body = "a={token}&b=1"',
            "a=t0k%2Fen+%22%C3%A9&b=1",
        ),
        ('headers = { Content-Type = "text/xml" }, body = "<a>{token}</a>"', "<a>t0k/en &quot;é</a>"),
        ('body = "plain {token}"', 'plain t0k/en "é'),
    ],
    ids=["json", "JSON text", "form text", "XML", "plain"],
)
async def test_value_in_a_body_is_encoded_as_its_content_type(make: Make, second: str, body: str) -> None:
    seen, requests = await sent(make, TOKEN, f'url = "BASE/next", {second}')
    assert seen.reason is Reason.OK, seen.detail
    assert requests[1].method == "POST"
    assert requests[1].body.decode() == body


async def test_value_is_inserted_in_a_form(make: Make) -> None:
    _, requests = await sent(make, TOKEN, 'url = "BASE/next", form = { csrf = "{token}", a = "x&{token}=" }')
    assert parse_qsl(requests[1].body.decode()) == [("csrf", 't0k/en "é'), ("a", 'x&t0k/en "é=')]


async def test_text_of_a_file_is_sent_as_it_is(make: Make, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pass{token}word")
    file = f'{{ file = "{tmp_path / "secret"}" }}'
    _, requests = await sent(make, TOKEN, f'url = "BASE/next", form = {{ a = {file}, b = "{{token}}" }}')
    assert parse_qsl(requests[1].body.decode()) == [("a", "pass{token}word"), ("b", 't0k/en "é')]
    _, requests = await sent(make, TOKEN, f'url = "BASE/next", bearer_token = {file}')
    assert requests[1].headers["authorization"] == "Bearer pass{token}word"


# Sources


@pytest.mark.parametrize(
    ("source", "login", "value"),
    [
        ('json = "$.id"', LOGIN, "17"),
        ('json = "$.sub.ok"', LOGIN, "true"),
        ('pattern = \'name="csrf" value="([^"]*)"\'', response('<input name="csrf" value="x1">'), "x1"),
        ("pattern = '[0-9]+'", response("order 42"), "42"),
        ('header = "x-id"', response("", "X-Id: 5"), "5"),
        ('cookie = "sid"', response("", "Set-Cookie: sid=c00kie; Path=/elsewhere; HttpOnly"), "c00kie"),
    ],
    ids=["number", "boolean", "pattern", "pattern without a group", "header", "cookie"],
)
async def test_value_is_extracted_from_each_source(make: Make, source: str, login: bytes, value: str) -> None:
    seen, requests = await sent(make, f"{{ x = {{ {source} }} }}", 'url = "BASE/next/{x}"', login)
    assert seen.reason is Reason.OK, seen.detail
    assert requests[1].target == f"/next/{value}"


@pytest.mark.parametrize(
    ("source", "login", "why"),
    [
        ('json = "$.gone"', LOGIN, "no value at $.gone"),
        ('json = "$.none"', LOGIN, "$.none is null"),
        ('json = "$.all"', LOGIN, "$.all is a list, not text or a number"),
        ('json = "$.sub"', LOGIN, "$.sub is an object, not text or a number"),
        ('json = "$.x"', response("<html>"), "the body is not JSON"),
        ('json = "$.x"', response('{"x": ""}'), "the value is empty"),
        ('json = "$.x"', response('{"x": "\\ud800"}'), "the value contains bytes or characters that are not valid"),
        ("pattern = 'a(b)'", response("ac"), "the pattern matches nothing in the body"),
        ("pattern = 'b'", response("a" * (MAX_SEARCHED_CHARACTERS + 1)), "the pattern takes too long, or the value is"),
        ("pattern = '(?s)a(.*)'", response("a" * 100_000), "the pattern takes too long"),
        ('header = "X-Id"', LOGIN, "there is no header X-Id"),
        ('cookie = "sid"', response("", "Set-Cookie: sid=1; Domain=other.example"), "no cookie sid is set"),
        ('cookie = "sid"', response("", "Set-Cookie: sid=1; Max-Age=0"), "no cookie sid is set"),
        (
            'json = "$.x"',
            response(json.dumps({"x": "a" * (MAX_VALUE_CHARACTERS + 1)})),
            "the value is longer than 8192 characters",
        ),
    ],
)  # fmt: skip
async def test_value_that_is_missing_fails_with_its_reason(
    make: Make, source: str, login: bytes, why: str
) -> None:
    seen, requests = await sent(make, f"{{ word = {{ {source} }} }}", 'url = "BASE/next/{word}"', login)
    assert seen.reason is Reason.EXTRACT_FAILED
    assert f"; cannot extract word: {why}" in seen.detail
    assert seen.detail.startswith('step 1 of 2, "login": GET http://127.0.0.1:')
    assert seen.fields["failed_step"] == "login"
    assert len(requests) == 1


async def test_large_token_is_too_large(make: Make) -> None:
    login = response(b'{"token": "' + b"a" * 10_000_000 + b'"}')
    seen, _ = await sent(make, TOKEN, 'url = "BASE/next/{token}"', login)
    assert seen.reason is Reason.TOO_LARGE


async def test_url_that_becomes_too_long_is_not_sent(make: Make) -> None:
    login = response(json.dumps({"token": "/" * MAX_VALUE_CHARACTERS}))
    seen, requests = await sent(make, TOKEN, 'url = "BASE/next/{token}"', login)
    assert seen.reason is Reason.EXTRACT_FAILED
    assert "the request cannot be sent: is longer than 8192 characters" in seen.detail
    assert len(requests) == 1


# Cookies


async def test_cookies_are_kept_between_the_steps_of_one_check(make: Make) -> None:
    answers = pages(
        login=response(
            "", "Set-Cookie: sid=1; Path=/", "Set-Cookie: far=1; Domain=other.example", status="303 See Other"
        ),
        next=response("", "Set-Cookie: more=2; Path=/"),
        last=response(""),
    )
    async with serve(answers) as server:
        base = f"http://one.test:{server.port}"
        other = f"http://two.test:{server.port}"
        monitor = make(
            f'steps = [{{ name = "a", url = "{base}/login" }}, {{ name = "b", url = "{base}/next" }},'
            f'{{ name = "c", url = "{base}/last" }}, {{ name = "d", url = "{other}/last" }}]'
        )
        assert (await monitor.check()).reason is Reason.OK
        assert (await monitor.check()).reason is Reason.OK
    assert [request.headers.get("cookie") for request in server.requests] == [
        *(None, "sid=1", "sid=1; more=2", None),
        *(None, "sid=1", "sid=1; more=2", None),
    ]


# Verdicts


async def test_status_of_each_step_is_below_400_by_default(make: Make) -> None:
    async with serve(pages(a=response("x"), b=response("y", status="503 No"))) as server:
        base = f"http://127.0.0.1:{server.port}"
        steps = ", ".join(f'{{ name = "{name}", url = "{base}/{name}" }}' for name in "abc")
        monitor = make(f"steps = [{steps}]", up_when="steps == 3")
        seen = await monitor.check()
        assert len(server.requests) == 2
    result = judged(monitor, seen)
    assert (result.verdict, result.observation.reason) == (Verdict.FAIL, Reason.CONDITION_FAILED)
    assert seen.detail.startswith(f'step 2 of 3, "b": GET {base}/b 503, 1 byte, ')
    assert seen.detail.endswith(" s; not met: status < 400 (default)")
    assert (seen.subject, seen.outcome, seen.note) == (
        f"step b: GET {base}/b",
        "HTTP 503",
        "not met: status < 400 (default)",
    )
    assert result.observation.excerpt is not None
    assert result.observation.excerpt.startswith("Step b\nHTTP/1.1 503 No")
    expected = {
        "steps": 3, "steps.passed": 1, "failed_step": "b", "status": 503, "step.a.outcome": "passed",
        "step.b.outcome": "failed", "step.c.outcome": "skipped", "step.a.status": 200, "step.b.status": 503,
    }  # fmt: skip
    assert {name: seen.fields.get(name) for name in expected} == expected
    assert monitor.journal_fields(seen) == {
        "MONITOR_URL": f"{base}/b",
        "MONITOR_STEP": "b",
        "HTTP_STATUS": "503",
    }


async def test_conditions_of_a_step_replace_its_default(make: Make) -> None:
    async with serve(pages(a=response("x", status="401 No"))) as server:
        base = f"http://127.0.0.1:{server.port}/a"
        for condition, reason in (
            ("status == 401", Reason.OK),
            ("status == 200", Reason.CONDITION_FAILED),
            ("json('$.x') == 1", Reason.CONDITION_UNRESOLVED),
        ):
            monitor = make(f'steps = [{{ name = "a", url = "{base}", up_when = ["{condition}"] }}]')
            seen = await monitor.check()
            assert seen.reason is reason
            assert (f"not met: {condition}" in seen.detail) is (reason is not Reason.OK)


async def test_passed_check_shows_the_time_of_each_step(make: Make) -> None:
    async with serve(pages(a=response("x"), b=response("y"))) as server:
        base = f"http://one.test:{server.port}"
        monitor = make(
            f'steps = [{{ name = "a", url = "{base}/a" }}, {{ name = "b", url = "{base}/b" }}]',
            up_when="step.a.response_time < 10s and step.b.outcome == 'passed' and failed_step == ''",
        )
        seen = await monitor.check()
    result = judged(monitor, seen)
    assert result.verdict is Verdict.PASS, result
    times = [seen.fields[f"step.{name}.response_time"] for name in "ab"]
    total = seen.fields["response_time"]
    assert isinstance(total, float)
    assert all(isinstance(time, float) and 0 < time < total for time in times)
    assert seen.detail == f"2 steps passed, {total:.3f} s: a {times[0]:.3f} s, b {times[1]:.3f} s"
    assert (seen.subject, seen.outcome) == ("2 steps", "all steps passed")
    sums = [seen.fields[f"step.{name}.phase.processing"] for name in "ab"]
    assert seen.fields["phase.processing"] == pytest.approx(sum(sums))
    assert "failed_step" not in seen.fields


async def test_timeout_applies_to_all_steps_together(make: Make) -> None:
    async def hang(peer: Peer) -> None:
        request = await peer.request()
        if request.target == "/a":
            await peer.send(response("x"))
        await peer.hang()

    async with serve(hang) as server:
        base = f"http://127.0.0.1:{server.port}"
        steps = ", ".join(f'{{ name = "{name}", url = "{base}/{name}" }}' for name in "abc")
        seen = await within_growing_limit(
            lambda limit_s: make(f"steps = [{steps}]", timeout_s=limit_s).check(),
            lambda seen: seen.fields["failed_step"] == "b" and seen.reason is Reason.TIMEOUT_RESPONSE,
        )
        assert "/c" not in {request.target for request in server.requests}
    assert seen.reason is Reason.TIMEOUT_RESPONSE
    assert seen.fields["failed_step"] == "b"
    assert seen.shows_connectivity is True


async def test_server_that_never_ends_its_body_ends_the_check(make: Make) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"a" * 65536)

    async with serve(endless) as server:
        url = f"http://127.0.0.1:{server.port}/"
        seen = await make(f'steps = [{{ name = "a", url = "{url}", extract = {TOKEN} }}]').check()
        assert seen.reason is Reason.TOO_LARGE
        assert "read_body = false" not in seen.detail


async def test_redirect_loop_in_a_step_fails(make: Make) -> None:
    loop = response("", "Location: /a", "Set-Cookie: n=1", status="302 Found")
    async with serve(pages(a=loop)) as server:
        seen = await make(f'steps = [{{ name = "a", url = "http://127.0.0.1:{server.port}/a" }}]').check()
    assert seen.reason is Reason.TOO_MANY_REDIRECTS
    assert seen.fields["redirects"] == 10


async def test_tls_of_all_steps_is_verified_and_reported(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    """The certificate that expires first is shown, and each connection is verified."""
    later, sooner = (
        authority.issue(
            "one.test", directory=tmp_path, file=f"{days}", valid_until=days * DAY
        ).server_context()
        for days in (30, 10)
    )
    async with serve(respond(), tls=later) as first, serve(respond(), tls=sooner) as second:
        keys = f'ca_file = "{ca_file}"'
        steps = ", ".join(
            f'{{ name = "{name}", url = "https://one.test:{server.port}/", {keys} }}'
            for name, server in (("a", second), ("b", first))
        )
        seen = await make(f"steps = [{steps}]").check()
        assert seen.reason is Reason.OK, seen.detail
        expires_in = seen.fields["certificate.expires_in"]
        assert isinstance(expires_in, float | int)
        assert 9 * 86400 < expires_in < 11 * 86400
        unverified = await make(f'steps = [{{ name = "a", url = "https://one.test:{first.port}/" }}]').check()
        assert unverified.reason is Reason.TLS_UNTRUSTED


async def test_extraction_failure_does_not_pass_with_invert(make: Make) -> None:
    async with serve(pages(a=response("x"))) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        monitor = make(f'steps = [{{ name = "a", url = "{url}", extract = {TOKEN} }}]', invert=True)
        assert judged(monitor, await monitor.check()).verdict is Verdict.FAIL


# Secrets


SECRETS = response(
    '{"token": "s3cret-token", "shown": "visible-value", "odd": "s3cret-odd"}',
    "Set-Cookie: sid=s3cret-cookie; Path=/",
)
ECHO = response(
    '{"a": "s3cret-token", "b": "visible-value", "c": "s3cret-odd", "d": "s3cret-cookie", "auth_token": "s3cret-new"}',
    status="500 No",
)


async def test_secret_values_are_masked_in_every_text(make: Make) -> None:
    extract = '{ token = { json = "$.token" }, shown = { json = "$.shown" }, odd = { json = "$.odd", secret = true } }'
    async with serve(pages(login=SECRETS, next=ECHO)) as server:
        base = f"http://127.0.0.1:{server.port}"
        monitor = make(
            f'steps = [{{ name = "login", url = "{base}/login", extract = {extract} }},'
            f'{{ name = "next", url = "{base}/next/{{odd}}?t={{token}}", '
            "up_when = [\"json('$.a') == 'x' and json('$.c') == 'x' and json('$.b') == 'x'\"] }]"
        )
        result = judged(monitor, await monitor.check())
    assert "s3cret" not in repr(result)
    assert "json('$.b') == 'x' (actual: 'visible-value')" in result.observation.detail
    assert result.observation.fields["step.login.value.shown"] == "visible-value"
    assert "step.login.value.token" not in result.observation.fields
    assert "/next/{odd}?t={token}" in result.observation.subject
    assert result.observation.excerpt is not None
    assert '"a": "***", "b": "visible-value"' in result.observation.excerpt


async def test_secret_that_a_failed_step_would_extract_is_masked(make: Make) -> None:
    login = response('{"value": "s3cret-token"}', status="500 No")
    async with serve(pages(login=login)) as server:
        url = f"http://127.0.0.1:{server.port}/login"
        monitor = make(
            f'steps = [{{ name = "a", url = "{url}", extract = {{ token = {{ json = "$.value" }} }} }}]'
        )
        result = judged(monitor, await monitor.check())
    assert result.verdict is Verdict.FAIL
    assert "s3cret" not in repr(result)


async def test_secret_flag_overrides_the_guess(make: Make) -> None:
    login = response('{"token": "public-token", "id": "s3cret-id"}')
    seen, _ = await sent(
        make,
        '{ token = { json = "$.token", secret = false }, id = { json = "$.id", secret = true } }',
        'url = "BASE/next"',
        login,
    )
    assert seen.fields["step.login.value.token"] == "public-token"
    assert "s3cret" not in repr(seen)


async def test_condition_of_a_step_is_not_a_default_that_up_when_replaces(make: Make) -> None:
    async with serve(pages(a=response("x"))) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        monitor = make(f'steps = [{{ name = "a", url = "{url}", up_when = ["status == 204"] }}]')
        result = judged(monitor, await monitor.check())
    assert (result.verdict, result.decided_by) == (Verdict.FAIL, VerdictRule.REASON)
