"""The fields of an http check as conditions see them: headers, body and JSON of a real answer, judged."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Reason, Result, Verdict
from monitord.monitors import Tools
from monitord.monitors.http.monitor import HttpMonitor
from monitord.net import Resolver
from monitord.settings import read_settings
from tests.certificates import Authority
from tests.servers import Peer, Script, free_port, respond, serve
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with real_tools() as tools:
        yield tools


async def checked_and_judged(tmp_path: Path, tools: Tools, keys: str) -> Result:
    config = tmp_path / "monitord.toml"
    config.write_text(f"[monitors.a]\n{keys}")
    (settings,) = read_settings(config).monitors
    monitor = HttpMonitor(settings, tools)
    try:
        return judge(await monitor.check(), settings, None)
    finally:
        await monitor.close()


async def timed_out_in_body(tmp_path: Path, tools: Tools, keys: str) -> Result:
    return await within_growing_limit(
        lambda limit_s: checked_and_judged(tmp_path, tools, f'{keys}\ntimeout = "{limit_s}s"'),
        lambda result: result.observation.reason is Reason.TIMEOUT_BODY,
    )


async def judged(
    tmp_path: Path,
    tools: Tools,
    conditions: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    keys: str = "",
) -> Result:
    async with serve(respond(body=body, headers=headers or {})) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\n{keys}\n{conditions}\n'
        return await checked_and_judged(tmp_path, tools, keys)


def send(head: str) -> Script:
    """Answers each request with this head and no body."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 {head}Content-Length: 0\r\n\r\n".encode())

    return script


DOCUMENT = b'{"status": "ok", "queues": [{"length": 3}], "none": null}'


@pytest.mark.parametrize(
    ("condition", "seen"),
    [
        ("status == 200", "status == 200 (actual: 200)"),
        ("header('X-Version') == '7'", "(actual: '7')"),
        ("header('x-version') matches '^[0-9]+$'", "(actual: '7')"),
        ("body contains 'queues'", "body contains 'queues'"),
        ("body.length == 57", "(actual: 57B)"),
        ("json('$.status') == 'ok'", "(actual: 'ok')"),
        ("json('$.queues[0].length') < 5", "(actual: 3)"),
        ("response_time < 5s and phase.connect < 1s", "phase.connect < 1s"),
        ("ip_version == 4 and address == '127.0.0.1'", "(actual: '127.0.0.1')"),
        ("redirects == 0 and http_version == '1.1'", "(actual: '1.1')"),
    ],
)
async def test_condition_that_is_met_passes(tmp_path: Path, tools: Tools, condition: str, seen: str) -> None:
    result = await judged(
        tmp_path, tools, f'up_when = ["{condition}"]', body=DOCUMENT, headers={"X-Version": "7"}
    )
    assert result.verdict is Verdict.PASS, result.observation.detail
    assert seen in result.conditions[0]
    assert result.observation.response_data is None


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("status == 201", Reason.CONDITION_FAILED),
        ("body contains 'error'", Reason.CONDITION_FAILED),
        ("json('$.status') == 'down'", Reason.CONDITION_FAILED),
        ("json('$.missing') == 1", Reason.CONDITION_UNRESOLVED),
        ("not json('$.missing') == 1", Reason.CONDITION_UNRESOLVED),
        ("json('$.none') == 1", Reason.CONDITION_UNRESOLVED),
        ("header('X-None') == 'a'", Reason.CONDITION_UNRESOLVED),
        ("certificate.expires_in > 14d", Reason.CONDITION_UNRESOLVED),
    ],
)
async def test_condition_that_is_not_met_fails(
    tmp_path: Path, tools: Tools, condition: str, reason: Reason
) -> None:
    result = await judged(tmp_path, tools, f'up_when = ["{condition}"]', body=DOCUMENT)
    assert (result.verdict, result.observation.reason) == (Verdict.FAIL, reason)
    assert "; not met: " in result.observation.detail


async def test_default_condition_is_shown_unless_up_when_replaces_it(tmp_path: Path, tools: Tools) -> None:
    async with serve(send("503 Busy\r\n")) as server:
        url = f'url = "http://127.0.0.1:{server.port}/"\n'
        by_default = await checked_and_judged(tmp_path, tools, url)
        replaced = await checked_and_judged(tmp_path, tools, url + 'up_when = ["status == 200"]\n')
    assert by_default.observation.outcome_with_note == "HTTP 503; not met: status < 400 (default)"
    assert replaced.observation.outcome_with_note == "HTTP 503; not met: status == 200 (actual: 503)"


async def test_json_condition_on_a_body_that_is_not_json_is_unresolved(tmp_path: Path, tools: Tools) -> None:
    for body in (b"<html>", b"", b'{"a": NaN'):
        result = await judged(tmp_path, tools, "up_when = [\"json('$.a') == 1\"]", body=body)
        assert result.observation.reason is Reason.CONDITION_UNRESOLVED
        assert "not JSON" in result.observation.detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(
            b"[" * 100_000 + b"]" * 100_000, "the JSON of the body is nested too deeply", id="depth"
        ),
        pytest.param(
            b"[" + b"9" * 5000 + b"]", "the JSON of the body has a number with too many digits", id="digits"
        ),
    ],
)
async def test_json_beyond_a_limit_is_reported(
    tmp_path: Path, tools: Tools, body: bytes, detail: str
) -> None:
    result = await judged(tmp_path, tools, "up_when = [\"exists(json('$[0]'))\"]", body=body)
    assert result.observation.reason is Reason.CONDITION_UNRESOLVED
    assert detail in result.observation.detail


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        pytest.param("text/html; charset=ISO-8859-1", b"it\x92s", "it’s", id="windows-1252 as Latin-1"),  # noqa: RUF001
        pytest.param("text/html; charset=us-ascii", b"gr\xfcn", "grün", id="Latin-1 as ASCII"),
        pytest.param("text/html; charset=gb2312", "镕".encode("gbk"), "镕", id="GBK as GB 2312"),
        pytest.param("text/html; charset=ks_c_5601-1987", "똠".encode("cp949"), "똠", id="windows-949"),
        pytest.param("text/plain; charset = latin1", b"gr\xfcn", "grün", id="spaces"),
        pytest.param("text/plain; xcharset=latin1", "grün".encode(), "grün", id="other parameter"),
        pytest.param("text/html", b"<meta charset=latin1>gr\xfcn", "grün", id="meta charset"),
        pytest.param(
            "text/html",
            b'<meta http-equiv="Content-Type" content="text/html; charset=latin1">gr\xfcn',
            "grün",
            id="meta http-equiv",
        ),
        pytest.param("text/html", '<meta charset="utf-16">grün'.encode(), "grün", id="impossible meta"),
        pytest.param(
            "text/html; charset=utf-8", "<meta charset=latin1>grün".encode(), "grün", id="header first"
        ),
        pytest.param(
            "application/xml", b'<?xml version="1.0" encoding="ISO-8859-1"?>gr\xfcn', "grün", id="XML"
        ),
        pytest.param("text/plain", "<meta charset=latin1>grün".encode(), "grün", id="no markup"),
    ],
)
async def test_body_is_decoded_as_by_browsers(
    tmp_path: Path, tools: Tools, content_type: str, body: bytes, text: str
) -> None:
    condition = f"up_when = [\"body contains '{text}'\"]"
    result = await judged(tmp_path, tools, condition, body=body, headers={"Content-Type": content_type})
    assert result.verdict is Verdict.PASS, result.observation.detail


async def test_charset_of_the_last_content_type_is_used(tmp_path: Path, tools: Tools) -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
            b'Content-Type: application/json; charset=latin1\r\n\r\n{"a": "gr\xfcn"}'
        )

    async with serve(answer) as server:
        keys = f"url = \"http://127.0.0.1:{server.port}/\"\nup_when = [\"json('$.a') == 'grün'\"]"
        result = await checked_and_judged(tmp_path, tools, keys)
    assert result.verdict is Verdict.PASS, result.observation.detail


async def test_body_is_decoded_in_its_charset(tmp_path: Path, tools: Tools) -> None:
    said = {"Content-Type": 'text/plain; charset="iso-8859-1"'}
    result = await judged(
        tmp_path, tools, "up_when = [\"body contains 'grün'\"]", body="grün".encode("latin-1"), headers=said
    )
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param('{"a": "grün"}'.encode(), "application/json", id="UTF-8"),
        pytest.param('{"a": "grün"}'.encode("utf-8-sig"), "application/json", id="UTF-8 with BOM"),
        pytest.param('{"a": "grün"}'.encode("latin-1"), "application/json; charset=latin1", id="Latin-1"),
        pytest.param('{"a": "grün"}'.encode("utf-16"), "application/json", id="UTF-16 with BOM"),
        pytest.param('{"a": "grün"}'.encode("utf-16-le"), "application/json", id="UTF-16LE"),
        pytest.param('{"a": "grün"}'.encode("utf-32-be"), "application/json", id="UTF-32BE"),
        pytest.param('{"a": "grün"}'.encode("utf-32"), "application/json", id="UTF-32 with BOM"),
        pytest.param(
            '{"a": "grün"}'.encode("utf-16-be"), "application/json; charset=utf-16be", id="UTF-16BE, named"
        ),
        pytest.param('{"a": "grün"}'.encode("utf-8-sig"), "text/plain; charset=latin1", id="BOM wins"),
        pytest.param('{"a": "grün"}'.encode(), "application/json; charset=hex", id="no charset"),
        pytest.param('{"a": "grün"}'.encode(), "application/json; charset=undefined", id="Python's own"),
        pytest.param(
            b'{"a": "gr\xfcn", "b": "\x81"}',
            "application/json; charset=latin1",
            id="undefined in windows-1252",
        ),
    ],
)
async def test_json_is_decoded_in_its_charset(
    tmp_path: Path, tools: Tools, body: bytes, content_type: str
) -> None:
    result = await judged(
        tmp_path,
        tools,
        "up_when = [\"json('$.a') == 'grün'\"]",
        body=body,
        headers={"Content-Type": content_type},
    )
    assert result.verdict is Verdict.PASS, result.observation.detail


async def test_garbage_collection_continues_after_invalid_json(tmp_path: Path, tools: Tools) -> None:
    collections: list[str] = []
    gc.callbacks.append(lambda phase, _info: collections.append(phase))
    try:
        body = b"[" + b"[]," * 300_000
        result = await judged(tmp_path, tools, "up_when = [\"json('$.a') == 1\"]", body=body)
    finally:
        gc.callbacks.pop()
    assert result.observation.reason is Reason.CONDITION_UNRESOLVED
    assert gc.isenabled()
    assert len(collections) < 100  # hundreds, were it not suspended while the lists are made


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_body_with_nan_or_infinity_is_not_json(tmp_path: Path, tools: Tools, number: str) -> None:
    body = f'{{"a": 1, "b": {number}}}'.encode()
    result = await judged(tmp_path, tools, "up_when = [\"json('$.a') == 1\"]", body=body)
    assert result.observation.reason is Reason.CONDITION_UNRESOLVED
    assert "not JSON" in result.observation.detail


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b'{"a": ["\\udfff"]}', b'{"a": {"\\ud800": 1}}'])
async def test_lone_surrogates_are_not_in_any_output(tmp_path: Path, tools: Tools, body: bytes) -> None:
    result = await judged(tmp_path, tools, "up_when = [\"json('$.a') == 'x'\"]", body=body)
    for text in (result.observation.detail, result.observation.excerpt or "", *result.conditions):
        text.encode()


@pytest.mark.parametrize("condition", ["body contains 'x'", "not body contains 'x'", "json('$.a') == 1"])
@pytest.mark.parametrize("coding", ["compress", "gzip, unknown"])
async def test_condition_on_a_body_in_an_unknown_coding_is_unresolved(
    tmp_path: Path, tools: Tools, condition: str, coding: str
) -> None:
    result = await judged(
        tmp_path, tools, f'up_when = ["{condition}"]', body=b"x", headers={"Content-Encoding": coding}
    )
    assert result.observation.reason is Reason.CONDITION_UNRESOLVED
    assert "is not supported" in result.observation.detail


def endless(media_type: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\ndata: 1\n\n".encode())
        await peer.hang()

    return script


_endless = endless("text/event-stream; charset=utf-8")


@pytest.mark.parametrize(
    "media_type",
    [
        "text/event-stream; charset=utf-8",
        "Multipart/X-Mixed-Replace;boundary=x",
        "audio/mpeg",
        "video/mp2t",
    ],
)
async def test_stream_is_evaluated_by_its_headers(tmp_path: Path, tools: Tools, media_type: str) -> None:
    async with serve(endless(media_type)) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\nup_when = ["status == 200"]'
        result = await checked_and_judged(tmp_path, tools, keys)
    assert (result.verdict, result.observation.fields["status"]) == (Verdict.PASS, 200)


@pytest.mark.parametrize("condition", ["body contains 'data'", "body.length > 1"])
async def test_event_stream_is_read_for_a_condition_on_its_body(
    tmp_path: Path, tools: Tools, condition: str
) -> None:
    async with serve(_endless) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\nup_when = ["{condition}"]'
        result = await timed_out_in_body(tmp_path, tools, keys)
    assert result.observation.reason is Reason.TIMEOUT_BODY
    assert result.observation.fields["status"] == 200
    assert "the body was not complete within the timeout (status 200)" in result.observation.detail


@pytest.mark.parametrize(
    ("condition", "advice"),
    [
        ("status == 200", "(status 200; read_body = false ignores the body)"),
        ("body contains 'x'", "(status 200)"),
    ],
)
async def test_timeout_of_an_unused_body_has_a_hint_to_ignore_it(
    tmp_path: Path, tools: Tools, condition: str, advice: str
) -> None:
    async with serve(endless("application/octet-stream")) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\nup_when = ["{condition}"]'
        result = await timed_out_in_body(tmp_path, tools, keys)
    assert result.observation.reason is Reason.TIMEOUT_BODY
    assert advice in result.observation.detail


async def test_truncated_audio_of_a_known_length_fails(tmp_path: Path, tools: Tools) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 9\r\n\r\nab")

    async with serve(cut) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\nup_when = ["status == 200"]'
        result = await checked_and_judged(tmp_path, tools, keys)
    assert result.observation.reason is Reason.RESET


async def test_absence_of_deviations_is_an_empty_text(tmp_path: Path, tools: Tools) -> None:
    result = await judged(tmp_path, tools, "degraded_when = [\"deviations != ''\"]")
    assert (result.verdict, result.conditions) == (Verdict.PASS, ("deviations != '' (actual: '')",))


@pytest.mark.parametrize("charset", ["punycode", "IDNA", "unicode_escape", "Raw-Unicode-Escape"])
async def test_codec_that_is_not_a_charset_is_ignored(tmp_path: Path, tools: Tools, charset: str) -> None:
    """A megabyte that is declared as punycode would take half a minute of the event loop."""
    said = {"Content-Type": f"text/plain; charset={charset}"}
    result = await judged(
        tmp_path, tools, "up_when = [\"body contains 'x62c-'\"]", body=rb"\x62c-", headers=said
    )
    assert result.verdict is Verdict.PASS


async def test_body_in_a_condition_is_limited(tmp_path: Path, tools: Tools) -> None:
    body = b"x" * (2 << 20)
    with_condition = await judged(tmp_path, tools, "up_when = [\"body contains 'x'\"]", body=body)
    assert with_condition.observation.reason is Reason.TOO_LARGE
    with_length_only = await judged(tmp_path, tools, 'up_when = ["body.length == 2MiB"]', body=body)
    assert with_length_only.verdict is Verdict.PASS
    larger = await judged(
        tmp_path, tools, "up_when = [\"body contains 'x'\"]", body=body, keys='max_body_size = "3MiB"'
    )
    assert larger.verdict is Verdict.PASS


async def test_slow_response_degrades(tmp_path: Path, tools: Tools) -> None:
    result = await judged(tmp_path, tools, 'degraded_when = ["response_time > 0ms"]')
    assert result.verdict is Verdict.WARN
    assert "; degraded: response_time > 0s" in result.observation.detail


HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
async def with_names() -> AsyncIterator[Tools]:
    def addresses(_: str, __: int) -> Sequence[str]:
        return HOSTS

    async with real_tools(Resolver(addresses)) as tools:
        yield tools


async def judged_of_all(tmp_path: Path, tools: Tools, keys: str, scripts: Sequence[Script]) -> Result:
    """Serve the scripts of the first of three addresses."""
    async with AsyncExitStack() as stack:
        port = free_port()
        for host, script in zip(HOSTS, scripts, strict=False):
            await stack.enter_async_context(serve(script, host=host, port=port))
        keys = f'url = "http://three.test:{port}/"\nall_addresses = true\n{keys}\n'
        return await checked_and_judged(tmp_path, tools, keys)


async def slowly(peer: Peer) -> None:
    await peer.request()
    await asyncio.sleep(0.2)
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")


@pytest.mark.parametrize(
    ("keys", "fast_script", "verdict", "note"),
    [
        (
            "up_when = [\"body contains 'well'\"]",
            respond(body=b"ill"),
            Verdict.FAIL,
            "1 of 3 addresses failed",
        ),
        ('up_when = ["status == 404"]', respond("404 Gone"), Verdict.FAIL, "2 of 3 addresses failed"),
        ('up_when = ["status < 600"]', respond("404 Gone"), Verdict.PASS, "3 addresses"),
        ("degraded_when = [\"body contains 'ill'\"]", respond(body=b"ill"), Verdict.WARN, "3 addresses"),
    ],
    ids=["the-body", "the-status", "any-status", "degraded"],
)
async def test_address_that_fails_a_condition_is_the_worst_even_if_it_responds_first(
    tmp_path: Path, with_names: Tools, keys: str, fast_script: Script, verdict: Verdict, note: str
) -> None:
    result = await judged_of_all(tmp_path, with_names, keys, [slowly, fast_script, slowly])
    assert result.verdict is verdict, result.observation.detail
    assert note in result.observation.detail


async def test_one_responding_address_fails_an_inverted_check(tmp_path: Path, with_names: Tools) -> None:
    result = await judged_of_all(tmp_path, with_names, "invert = true", [respond()])
    assert result.verdict is Verdict.FAIL
    closed = await judged_of_all(tmp_path, with_names, "invert = true", [])
    assert closed.verdict is Verdict.PASS


async def test_charset_that_is_slow_to_decode_is_ignored(tmp_path: Path, tools: Tools) -> None:
    """The punycode of Python takes time by the square of the length: minutes for a mebibyte."""
    began_s = time.process_time()
    result = await judged(
        tmp_path, tools, "up_when = [\"body contains 'b'\"]", body=b"-" + b"b" * 200_000,
        headers={"Content-Type": "text/plain; charset=punycode"},
    )  # fmt: skip
    assert result.verdict is Verdict.PASS
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("not header('X-State') contains 'bad'", Verdict.FAIL),
        ("header('X-State') contains 'bad'", Verdict.PASS),
        ("header('x-state') == 'good, bad, '", Verdict.PASS),
        ("header('Set-Cookie') == 'a=1; Path=/\\nb=2, 3'", Verdict.PASS),
        ("not header('Set-Cookie') contains 'b='", Verdict.FAIL),
        ("header('Set-Cookie') matches '\\nb='", Verdict.PASS),
    ],
)
async def test_all_values_of_a_repeated_header_are_compared(
    tmp_path: Path, tools: Tools, condition: str, verdict: Verdict
) -> None:
    head = (
        "200 OK\r\nX-State: good\r\nSet-Cookie: a=1; Path=/\r\n"
        "x-state: bad\r\nX-State:\r\nSet-Cookie: b=2, 3\r\n"
    )
    async with serve(send(head)) as server:
        keys = f'url = "http://127.0.0.1:{server.port}/"\nup_when = ["""{condition}"""]\n'
        result = await checked_and_judged(tmp_path, tools, keys)
    assert result.verdict is verdict, result.observation.detail


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize("last", ["https", "http"])
async def test_earliest_expiry_of_all_hops_is_evaluated(
    tmp_path: Path, tools: Tools, authority: Authority, last: str
) -> None:
    """A redirect whose certificate has expired is as much an outage as an expired certificate at its end."""
    ca_file = authority.write(tmp_path / "ca.pem")
    soon = authority.issue("127.0.0.1", directory=tmp_path, file="soon", valid_until=timedelta(days=3))
    late = authority.issue("127.0.0.1", directory=tmp_path, file="late", valid_until=timedelta(days=60))
    context = late.server_context() if last == "https" else None
    async with (
        serve(respond("500 Oops"), tls=context) as end,
        serve(
            send(f"302 F\r\nLocation: {last}://127.0.0.1:{end.port}/?token=x\r\n"), tls=soon.server_context()
        ) as start,
    ):
        url = f'url = "https://127.0.0.1:{start.port}/s3cret"\nca_file = "{ca_file}"\n'
        result = await checked_and_judged(
            tmp_path, tools, url + 'degraded_when = ["certificate.expires_in < 14d"]'
        )
        well = 'up_when = ["status == 500"]\n'
        warned = await checked_and_judged(
            tmp_path, tools, url + well + 'degraded_when = ["certificate.expires_in < 14d"]'
        )
    fields = warned.observation.fields
    assert warned.verdict is Verdict.WARN
    assert fields["certificate.host"] == f"127.0.0.1:{start.port}"
    assert isinstance(left_s := fields["certificate.expires_in"], float)
    assert left_s < timedelta(days=4).total_seconds()
    assert ("tls.version" in fields) == (last == "https")
    excerpt = result.observation.excerpt or ""
    assert excerpt.splitlines()[:2] == [
        f"Redirect: 302 from https://127.0.0.1:{start.port}, certificate expires at {fields['certificate.expires_at']}",
        "HTTP/1.1 500 Oops",
    ]


async def test_host_of_the_certificate_is_the_last_one_if_all_expire_together(
    tmp_path: Path, tools: Tools, authority: Authority
) -> None:
    ca_file = authority.write(tmp_path / "ca.pem")
    context = authority.issue("127.0.0.1", directory=tmp_path).server_context()
    async with (
        serve(respond(), tls=context) as end,
        serve(send(f"302 F\r\nLocation: https://127.0.0.1:{end.port}/\r\n"), tls=context) as start,
    ):
        keys = f'url = "https://127.0.0.1:{start.port}/"\nca_file = "{ca_file}"\n'
        result = await checked_and_judged(tmp_path, tools, keys)
    assert result.observation.fields["certificate.host"] == f"127.0.0.1:{end.port}"


async def test_body_is_decoded_once_for_all_conditions(tmp_path: Path, tools: Tools) -> None:
    config = tmp_path / "monitord.toml"
    async with serve(respond(body=b"x" * 1000)) as server:
        config.write_text(
            f'[monitors.a]\nurl = "http://127.0.0.1:{server.port}/"\nup_when = ["body contains \'x\'"]\n'
        )
        (settings,) = read_settings(config).monitors
        monitor = HttpMonitor(settings, tools)
        try:
            response_data = (await monitor.check()).response_data
        finally:
            await monitor.close()
    assert response_data is not None
    assert response_data("body", None) is response_data("body", None)
