"""The type `websocket`: with a server of the library websockets, and with scripted peers."""

import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import websockets

from monitord.conditions import parse_condition
from monitord.config import Secret
from monitord.dispatch.judging import judge
from monitord.model import Reason, Result, Verdict
from monitord.monitors.websocket import WebSocketMonitor
from monitord.net import IpFamily, TlsVersion
from monitord.options.dialogue import ExpectStep, SendStep
from tests.certificates import Authority
from tests.configurations import options_of
from tests.fakes import monitor_settings, resolver_without_queue
from tests.servers import Peer, Script, serve
from tests.time_limits import within_growing_limit
from tests.worlds import real_tools

Make = Callable[..., WebSocketMonitor]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools(resolver_without_queue(lambda name, family: ["127.0.0.1"])) as tools:

        def make(keys: str, *, timeout_s: float = 10.0, up_when: str | None = None) -> WebSocketMonitor:
            options = options_of(WebSocketMonitor, tmp_path, keys)
            settings = monitor_settings(type_name="websocket", timeout_s=timeout_s, options=options)
            if up_when is not None:
                condition = parse_condition(up_when, WebSocketMonitor.vocabulary)
                settings = replace(settings, up_when=(condition,))
            return WebSocketMonitor(settings, tools)

        yield make


async def judged(monitor: WebSocketMonitor) -> Result:
    return judge(await monitor.check(), monitor.settings, None)


@asynccontextmanager
async def real_server(handler: Callable[[Any], Any], **options: Any) -> AsyncIterator[int]:
    start: Any = websockets.serve  # type: ignore[attr-defined]  # loaded at first use
    async with start(handler, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


async def echo(socket: Any) -> None:
    async for message in socket:
        await socket.send(message)


def headers_of(socket: Any) -> dict[str, str]:
    """Return the headers of the handshake, of the version of the library before or after 14."""
    headers = socket.request_headers if hasattr(socket, "request_headers") else socket.request.headers
    return {name.lower(): value for name, value in headers.raw_items()}


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """Return a short unmasked frame (RFC 6455, section 5.2)."""
    assert len(payload) < 126
    return bytes([(0x80 if is_last else 0) | opcode, len(payload)]) + payload


def accepting(*pieces: bytes, headers: str = "") -> Script:
    """Return a script that accepts the handshake, sends the pieces, and reads until the client closes."""

    async def answer(peer: Peer) -> None:
        request = await peer.request()
        key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        token = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {token}\r\n{headers}\r\n"
        )
        await peer.send(head.encode(), *pieces)
        await peer.reader.read()

    return answer


def responding(response: bytes) -> Script:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.send(response)

    return answer


# With a real server


async def test_open_websocket_passes(make: Make) -> None:
    async with real_server(echo) as port:
        monitor = make(f'url = "ws://shop.test:{port}/live?room=1"')
        seen = await monitor.check()
    assert (seen.reason, seen.address, monitor.pool) == (Reason.OK, "127.0.0.1", "shop.test")
    assert (seen.subject, seen.outcome) == (f"ws://shop.test:{port}/live?room=1", "WebSocket opened")
    assert (seen.fields["status"], seen.fields["messages"], seen.fields["websocket.close_code"]) == (
        101,
        0,
        1000,
    )


async def test_dialogue_of_messages_is_completed(make: Make) -> None:
    async with real_server(echo) as port:
        steps = """[{ send = '{"type": "ping"}' }, { expect = '"p.ng"' }, { send = "bye" }, { expect = "^bye$" }]"""
        seen = await make(f'url = "ws://127.0.0.1:{port}/"\ndialogue = {steps}').check()
    assert (seen.reason, seen.outcome) == (Reason.OK, "WebSocket opened, 4 steps completed")
    assert (seen.fields["messages"], seen.fields["message"]) == (2, "bye")


async def test_subprotocol_and_headers_reach_the_server(make: Make) -> None:
    seen_headers: dict[str, str] = {}

    async def handler(socket: Any) -> None:
        seen_headers.update(headers_of(socket))
        await socket.wait_closed()

    async with real_server(handler, subprotocols=["mqtt"]) as port:
        keys = f"""url = "ws://127.0.0.1:{port}/"
            subprotocols = ["stomp", "mqtt"]
            headers = {{ Origin = "https://shop.test" }}
            basic_auth = {{ username = "ann", password = "tulip-42" }}"""
        seen = await make(keys).check()
    assert (seen.reason, seen.fields["websocket.subprotocol"]) == (Reason.OK, "mqtt")
    assert seen_headers["origin"] == "https://shop.test"
    assert seen_headers["authorization"] == "Basic " + base64.b64encode(b"ann:tulip-42").decode()
    assert seen_headers["user-agent"].startswith("monitord/")


async def test_tls_is_verified_and_reported(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("shop.test", directory=tmp_path).server_context()
    async with real_server(echo, ssl=context) as port:
        keys = f'url = "wss://shop.test:{port}/"\nca_file = "{ca_file}"'
        seen = await make(keys).check()
        other = await make(f'{keys}\nserver_name = "other.test"').check()
    assert seen.reason is Reason.OK
    assert seen.subject == f"wss://shop.test:{port}/"
    assert seen.fields["certificate.names"] == ("shop.test",)
    assert other.reason is Reason.TLS_NAME_MISMATCH


async def test_token_and_certificate_reach_the_server(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    context = authority.issue("shop.test", directory=tmp_path).server_context()
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue("me", directory=tmp_path)
    seen_headers: dict[str, str] = {}

    async def handler(socket: Any) -> None:
        seen_headers.update(headers_of(socket))
        await socket.wait_closed()

    async with real_server(handler, ssl=context) as port:
        keys = f"""url = "wss://shop.test:{port}/"
            ca_file = "{ca_file}"
            client_certificate_file = "{own.chain_file}"
            client_key_file = "{own.key_file}"
            bearer_token = "tulip-tulip-tulip\""""
        seen = await make(keys).check()
    assert seen.reason is Reason.OK, seen.detail
    assert seen_headers["authorization"] == "Bearer tulip-tulip-tulip"


async def test_condition_on_an_unrequested_message_is_evaluated(make: Make) -> None:
    async def greet(socket: Any) -> None:
        await socket.send("ready")
        await socket.wait_closed()

    async with real_server(greet) as port:
        url = f'url = "ws://127.0.0.1:{port}/"'
        assert (await judged(make(url, up_when='message == "ready"'))).verdict is Verdict.PASS
        assert (await judged(make(url, up_when='message == "other"'))).verdict is Verdict.FAIL


async def test_close_before_the_expected_message_fails(make: Make) -> None:
    async def reject(socket: Any) -> None:
        await socket.send("hello")
        await socket.close(1008, "no session")

    async with real_server(reject) as port:
        monitor = make(f'url = "ws://127.0.0.1:{port}/"\ndialogue = [{{ expect = "welcome" }}]')
        seen = await monitor.check()
    assert (seen.reason, seen.is_usable) == (Reason.CONDITION_FAILED, False)
    assert seen.outcome == (
        'step 1 expects "welcome", received "hello" and the peer closed the WebSocket with code 1008: no session'
    )
    assert seen.fields["websocket.close_code"] == 1008


# With scripted peers


async def test_reason_of_the_peer_for_the_end_is_printable(make: Make) -> None:
    closing = frame(0x1, b"hello") + frame(0x8, b"\x03\xf0\x1b[2Jno session")
    async with serve(accepting(closing)) as server:
        monitor = make(
            f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "hello" }}, {{ send = "x" }}]'
        )
        seen = await monitor.check()
    closed = "the peer closed the WebSocket with code 1008: \N{REPLACEMENT CHARACTER}[2Jno session"
    assert (seen.reason, seen.outcome) == (Reason.RESET, closed)


@pytest.mark.parametrize(
    "status", ["200 OK", "301 Moved Permanently", "403 Forbidden", "426 Upgrade Required", "503 Unavailable"]
)
async def test_other_http_status_is_a_failed_default_condition(make: Make, status: str) -> None:
    response = f"HTTP/1.1 {status}\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nno".encode()
    code = status.partition(" ")[0]
    async with serve(responding(response)) as server:
        url = f'url = "ws://127.0.0.1:{server.port}/"'
        seen = await make(url).check()
        accepted = await judged(make(url, up_when=f"status == {code}"))
        with_dialogue = await make(f'{url}\ndialogue = [{{ expect = "x" }}]').check()
    assert (seen.reason, seen.outcome) == (
        Reason.CONDITION_FAILED,
        f"HTTP {code} instead of an open WebSocket",
    )
    assert accepted.verdict is Verdict.PASS
    assert with_dialogue.outcome == seen.outcome


ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "script",
    [
        responding(ACCEPTED + b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"),
        responding(ACCEPTED + b"\r\n"),
        responding(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"),
        responding(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        responding(b"\xff\xfe\r\n\r\n"),
        accepting(headers="Sec-WebSocket-Protocol: never-offered\r\n"),
        accepting(headers="Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        accepting(b"\x81\x02\xc3\x28"),  # not UTF-8
        accepting(b"\xf1\x00"),  # reserved bits
        accepting(b"\x83\x00"),  # an unknown opcode
        accepting(frame(0x0, b"continued")),  # continues nothing
        accepting(frame(0x9, b"ping", is_last=False)),  # a fragmented ping
        accepting(frame(0x8, b"\x00")),  # half a close code
        accepting(b"\x81\x85\x00\x00\x00\x00hello"),  # a masked frame of a server
    ],
    ids=[
        *("wrong accept", "no accept", "no upgrade", "ssh", "bytes", "subprotocol", "extension", "not utf-8"),
        *("reserved bits", "opcode", "continuation", "fragmented ping", "close code", "masked"),
    ],
)
async def test_violation_of_the_protocol_fails(make: Make, script: Script) -> None:
    async with serve(script) as server:
        monitor = make(f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "x" }}]')
        seen = await monitor.check()
    assert seen.reason is Reason.PROTOCOL_ERROR, seen.detail


async def test_fragments_binary_messages_and_pings_are_handled(make: Make) -> None:
    pieces = (
        frame(0x9, b"are you there"),
        frame(0x1, b"wel", is_last=False),
        frame(0xA, b"pong"),
        frame(0x0, b"come"),
        frame(0x2, b"\x00\xff"),
    )
    async with serve(accepting(b"".join(pieces))) as server:
        keys = f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "^welcome$" }}]'
        seen = await make(keys).check()
    assert (seen.reason, seen.fields["messages"]) == (Reason.OK, 2)


async def test_missing_close_frame_is_not_a_failure(make: Make) -> None:
    async with serve(accepting()) as server:
        seen = await make(f'url = "ws://127.0.0.1:{server.port}/"').check()
    assert seen.reason is Reason.OK
    assert "websocket.close_code" not in seen.fields


async def test_endless_messages_are_limited(make: Make) -> None:
    async with serve(responding(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000)) as server:
        seen = await make(f'url = "ws://127.0.0.1:{server.port}/"').check()
    assert seen.reason in {Reason.TOO_LARGE, Reason.PROTOCOL_ERROR}

    async with serve(accepting(frame(0x1, b"x" * 100) * 2_000)) as server:
        keys = f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "never" }}]'
        seen = await make(keys).check()
    assert seen.reason is Reason.TOO_LARGE

    async with serve(accepting(frame(0x9, b"") * 20_000)) as server:
        keys = f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "never" }}]'
        seen = await make(keys).check()
    assert seen.reason is Reason.TOO_LARGE


async def test_silence_after_the_handshake_is_a_timeout(make: Make) -> None:
    async with serve(accepting()) as server:
        keys = f'url = "ws://127.0.0.1:{server.port}/"\ndialogue = [{{ expect = "x" }}]'
        seen = await within_growing_limit(
            lambda limit_s: make(keys, timeout_s=limit_s).check(),
            lambda seen: seen.reason is Reason.CONDITION_FAILED,
        )
    assert seen.reason is Reason.CONDITION_FAILED
    assert seen.outcome == 'step 1 expects "x", received nothing: no more before the timeout'


async def test_secrets_are_masked(make: Make) -> None:
    async def repeat(socket: Any) -> None:
        async for message in socket:
            await socket.send(f"bad token {message}")

    async with real_server(repeat) as port:
        keys = f"""url = "ws://127.0.0.1:{port}/?access_token=hyacinth-77"
            dialogue = [{{ send = '{{"password": "hunter2-hunter2"}}' }}, {{ expect = "welcome" }}]"""
        seen = await within_growing_limit(
            lambda limit_s: make(keys, timeout_s=limit_s).check(), lambda seen: "message" in seen.fields
        )
    assert seen.reason is Reason.CONDITION_FAILED
    for text in (seen.detail, seen.outcome, str(seen.fields["message"])):
        assert "hunter2" not in text
        assert "hyacinth" not in text


# Options


def test_every_option_is_read(tmp_path: Path) -> None:
    keys = """url = "wss://[::1]/socket"
        ip_family = 6
        min_tls_version = "1.3"
        verify = false
        subprotocols = ["a", "b", "a"]
        dialogue = [{ expect = "x" }, { send = "y" }]"""
    options = options_of(WebSocketMonitor, tmp_path, keys)
    target = options.stream
    assert (target.host, target.port, target.begins_with_tls) == ("::1", 443, True)
    assert (target.ip_family, target.tls.min_version, target.tls.verify) == (
        IpFamily.IPV6,
        TlsVersion.TLS_1_3,
        False,
    )
    assert options.subprotocols == ("a", "b")
    assert options.dialogue == (ExpectStep("x"), SendStep(Secret("y")))
