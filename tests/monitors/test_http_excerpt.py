"""The excerpt of a response that did not pass: sufficient to find the cause, limited in size, and without secrets."""

import base64
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Result, Verdict
from monitord.monitors import Tools
from monitord.monitors.http.monitor import HttpMonitor
from monitord.options.masking import MAX_EXCERPT_BYTES
from monitord.settings import read_settings
from tests.servers import Peer, Script, respond, serve
from tests.worlds import real_tools


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with real_tools() as tools:
        yield tools


async def judged(tmp_path: Path, tools: Tools, script: Script, keys: str = "", path: str = "/") -> Result:
    """A check of a configured monitor against a peer, judged as the daemon does."""
    async with serve(script) as server:
        config = tmp_path / "monitord.toml"
        url = "" if "url =" in keys else f'url = "http://127.0.0.1:{server.port}{path}"'
        config.write_text(f"[monitors.one]\n{url}\n{keys}\n".replace("PORT", str(server.port)))
        (settings,) = read_settings(config).monitors
        monitor = HttpMonitor(settings, tools)
        try:
            return judge(await monitor.check(), settings, None, monitor.masking)
        finally:
            await monitor.close()


def echo(status: str = "500 Oops") -> Script:
    """Repeats what it was sent, as debug pages do."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        lines = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        body = f"{request.target}\n{lines}\n{request.body.decode()}".encode()
        await peer.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body)

    return script


async def test_excerpt_has_status_line_headers_and_beginning_of_the_body(
    tmp_path: Path, tools: Tools
) -> None:
    headers = {
        "Content-Type": "text/plain; charset=iso-8859-1", "Server": "nginx", "Retry-After": "30",
        "Set-Cookie": "session=abc", "X-Trace": "abc",
    }  # fmt: skip
    script = respond("503 Out For Lunch", "back for tea, Jürgen".encode("latin-1"), headers)
    result = await judged(tmp_path, tools, script)
    assert result.observation.excerpt == (
        "HTTP/1.1 503 Out For Lunch\nContent-Type: text/plain; charset=iso-8859-1\nServer: nginx\n"
        "Retry-After: 30\n\nback for tea, Jürgen"
    )


@pytest.mark.parametrize("up_when", ["status == 201", "body contains 'x'"], ids=["drained", "read"])
async def test_excerpt_of_a_long_body_is_limited(tmp_path: Path, tools: Tools, up_when: str) -> None:
    script = respond(body="ä".encode() * 100_000)
    result = await judged(tmp_path, tools, script, f'up_when = ["{up_when}"]')
    excerpt = result.observation.excerpt
    assert excerpt is not None
    assert MAX_EXCERPT_BYTES - 3 <= len(excerpt.encode()) <= MAX_EXCERPT_BYTES
    assert excerpt.startswith("HTTP/1.1 200 OK\n\nää")
    assert excerpt.endswith("ä…")


async def test_passed_check_has_no_excerpt(tmp_path: Path, tools: Tools) -> None:
    result = await judged(tmp_path, tools, respond())
    assert (result.verdict, result.observation.excerpt) == (Verdict.PASS, None)
    assert result.observation.response_data is None


async def test_only_the_beginning_of_a_compressed_body_is_decoded(tmp_path: Path, tools: Tools) -> None:
    said = {"Content-Encoding": "gzip"}
    packed = gzip.compress(b"all went wrong " * 10_000)
    excerpt = (await judged(tmp_path, tools, respond("500 Oops", packed, said))).observation.excerpt
    assert excerpt is not None
    assert "\n\nall went wrong all" in excerpt
    broken = await judged(tmp_path, tools, respond("500 Oops", b"no gzip", said))
    assert broken.observation.excerpt == "HTTP/1.1 500 Oops\nContent-Encoding: gzip"


async def test_binary_body_is_only_described(tmp_path: Path, tools: Tools) -> None:
    result = await judged(tmp_path, tools, respond("500 Oops", bytes(range(256)) * 4))
    assert result.observation.excerpt == "HTTP/1.1 500 Oops\n\n(1024 bytes that are not text)"


@pytest.mark.parametrize("charset", ["idna", "undefined", "hex", "utf-16", "nonsense"])
async def test_wrong_charset_is_tolerated(tmp_path: Path, tools: Tools, charset: str) -> None:
    script = respond("500 Oops", b"out xn--\xff", {"Content-Type": f"text/plain; charset={charset}"})
    for keys in ("", "up_when = [\"body contains 'x' and status == 200\"]"):
        excerpt = (await judged(tmp_path, tools, script, keys)).observation.excerpt
        assert excerpt is not None
        assert excerpt.startswith("HTTP/1.1 500 Oops")


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/login?token=abcdefgh&next=1", "/login?token=***&next=1"),
        ("https://joe:s3cret@a.test/x@y?a=1", "https://***@a.test/x@y?a=1"),
        ("//joe@a.test", "//***@a.test"),
        ("/a//b@c", "/a//b@c"),
        ("https://a.test/cb#access_token=abc&state=1", "https://a.test/cb#access_token=***&state=1"),
    ],
)
async def test_excerpt_shows_the_location_of_an_unfollowed_redirect(
    tmp_path: Path, tools: Tools, location: str, shown: str
) -> None:
    script = respond("302 Found", b"", {"Location": location})
    result = await judged(tmp_path, tools, script, 'follow_redirects = false\nup_when = ["status == 200"]')
    assert result.observation.excerpt == f"HTTP/1.1 302 Found\nLocation: {shown}"


def _basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "keys",
    [
        'headers = { X-Plain = "abc", X-Own = { file = "SECRET" } }',
        'headers = { Authorization = "Bearer s3cret-word" }',
        'headers = { Cookie = "a=b; id=s3cret-word" }',
        'bearer_token = "s3cret-word"',
        'basic_auth = { username = "joe", password = "s3cret-word" }',
        'body = { file = "SECRET" }',
        'form = { user = "joe", password = "s3cret-word" }',
        'form = { user = { file = "SECRET" } }',
        'url = "http://joe:s3cret-word@127.0.0.1:PORT/"',
        'url = "http://127.0.0.1:PORT/?page=7&token=s3cret-word"',
        'url = { file = "URL" }',
    ],
)
async def test_secret_that_the_peer_repeats_is_masked(tmp_path: Path, tools: Tools, keys: str) -> None:
    (tmp_path / "secret").write_text("s3cret-word\n")
    async with serve(echo()) as server:
        (tmp_path / "url").write_text(f"http://127.0.0.1:{server.port}/hooks/s3cret-word?q=s3cret-word")
        config = tmp_path / "monitord.toml"
        url = "" if "url =" in keys else 'url = "http://127.0.0.1:PORT/"'
        named = keys.replace("SECRET", f"{tmp_path}/secret").replace("URL", f"{tmp_path}/url")
        wants = 'up_when = ["body contains \'elsewhere\'", "status == 200"]'
        config.write_text(f"[monitors.one]\n{url}\n{named}\n{wants}\n".replace("PORT", str(server.port)))
        (settings,) = read_settings(config).monitors
        monitor = HttpMonitor(settings, tools)
        result = judge(await monitor.check(), settings, None, monitor.masking)
        await monitor.close()
    assert result.observation.excerpt is not None
    assert "***" in result.observation.excerpt
    text = repr(result)
    assert "s3cret" not in text
    assert _basic("joe:s3cret-word") not in text
    assert "status == 200 (actual: 500)" in text


async def test_short_value_with_a_secret_name_does_not_mask_the_status(tmp_path: Path, tools: Tools) -> None:
    result = await judged(tmp_path, tools, respond("503 Busy"), path="/?code=503")
    assert "code=*** 503, 2 bytes" in result.observation.detail
