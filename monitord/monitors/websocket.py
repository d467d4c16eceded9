"""Monitor type `websocket`: an opening handshake (RFC 6455), optionally a dialogue of messages, and the end.

    type = "websocket"
    url = "wss://chat.example.org/socket"
    dialogue = [{ send = '{"type": "ping"}' }, { expect = '"pong"' }]

Without conditions, a check passes if the server accepts the handshake and the dialogue is completed. The close code of
the peer is a field. Redirects are not followed, as in browsers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from monitord import __version__
from monitord.conditions import COUNT, Bounds, FieldType, Vocabulary
from monitord.config import Secret, Table
from monitord.errors import InvalidValueError, problem_and_hint
from monitord.model import EXCERPT, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import FailureKind, parse_target
from monitord.net.stream.client import Stream, StreamClient, StreamOutcome, StreamTarget
from monitord.net.stream.dialogue import Dialogue, Expect
from monitord.net.stream.websocket import SWITCHING_PROTOCOLS, WebSocket, WebSocketRequest, library_problem
from monitord.options.dialogue import (
    DialogueStep,
    ExpectStep,
    read_dialogue,
    secrets_of_dialogue,
    steps_of,
)
from monitord.options.http import (
    HttpOptions,
    hidden_values,
    read_headers,
    read_user,
    secrets_of,
    shown_url,
)
from monitord.options.stream import read_stream_target
from monitord.options.tls import (
    ONLY_WITH_TLS,
    STREAM_BOUNDS,
    STREAM_FIELDS,
    check_tls_keys,
    fields_of_stream,
)
from monitord.text import counted, printable, shortened

MAX_SUBPROTOCOLS = 20
MAX_MESSAGE_CHARACTERS = 1024
MAX_SHOWN_CHARACTERS = 100

VOCABULARY = Vocabulary(
    {
        **STREAM_FIELDS,
        "status": FieldType.NUMBER,
        "websocket.subprotocol": FieldType.TEXT,
        "message": FieldType.TEXT,
        "messages": FieldType.NUMBER,
        "websocket.close_code": FieldType.NUMBER,
    },
    {
        **STREAM_BOUNDS,
        "status": Bounds(least=100, most=999, is_whole=True),
        "messages": COUNT,
        "websocket.close_code": Bounds(least=1000, most=4999, is_whole=True),
    },
)
_ANYTHING = Expect(bool)
_HANDSHAKE_HEADERS = frozenset({"host", "accept", "connection", "upgrade"})
_HANDSHAKE_PREFIX = "sec-websocket-"
_SCHEME = re.compile(r"(?i)ws(s?)(?=:)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PLACEHOLDER = Secret("http://localhost/")
"""The URL of options that have errors."""


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """`http`: the opening handshake, whose URL has the scheme http or https for ws or wss (RFC 6455, section 3)."""

    http: HttpOptions
    stream: StreamTarget
    subprotocols: tuple[str, ...] = ()
    dialogue: tuple[DialogueStep, ...] = ()


class WebSocketMonitor(Monitor[WebSocketOptions]):
    type_name: ClassVar[str] = "websocket"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        options = self.options
        self._client = StreamClient(tools.resolver, tools.tls_contexts)
        self.uses_network = options.stream.crosses_network
        self._steps = steps_of(options.dialogue)
        if "message" in settings.needs and not any(isinstance(step, Expect) for step in self._steps):
            self._steps.append(_ANYTHING)  # without a step that expects something no message is awaited
        request = options.http.request()
        target = request.target
        self._shown = "ws" + shown_url(target, is_secret=options.http.is_url_secret).removeprefix("http")
        headers = request.headers_for(target, user_agent=f"monitord/{__version__}", with_body=False)
        self._request = WebSocketRequest(
            host=headers["Host"],
            target=target.request_target,
            headers=tuple(
                (name, value) for name, value in headers.items() if name.lower() not in _HANDSHAKE_HEADERS
            ),
            subprotocols=options.subprotocols,
        )

    @property
    def pool(self) -> str | None:
        return self.options.stream.host

    @classmethod
    def belongs_to_host(cls, options: WebSocketOptions) -> bool:
        return not options.stream.crosses_network

    @classmethod
    def read_options(cls, table: Table) -> WebSocketOptions:
        if problem := library_problem():
            table.ignore_others()
            table.error(
                "type", f'"websocket" needs wsproto: {problem}', "install the package python3-wsproto"
            )
            return WebSocketOptions(HttpOptions(_PLACEHOLDER), StreamTarget("localhost", 80))
        url, is_url_secret = _read_url(table)
        username, password, _ = read_user(table, ["basic_auth"])
        http = HttpOptions(
            url=url,
            is_url_secret=is_url_secret,
            headers=read_headers(table),
            hidden=hidden_values(table, ["headers"]),
            username=username,
            password=password,
            bearer_token=table.secret("bearer_token", default=None),
        )
        for name, _ in http.headers:
            if name.lower() in _HANDSHAKE_HEADERS - {"host"} or name.lower().startswith(_HANDSHAKE_PREFIX):
                hint = "write it as subprotocols" if name.lower().endswith("protocol") else "remove it"
                table.error("headers", f"the header {name} is set by the handshake", hint)
        try:
            http.request()
        except ValueError as error:
            table.error("", *problem_and_hint(error))
            http = HttpOptions(url)
        target = parse_target(url.reveal())[0]
        stream = read_stream_target(
            table, target.host, target.port, begins_with_tls=target.is_tls, alpn=("http/1.1",)
        )
        if not target.is_tls and url is not _PLACEHOLDER:
            check_tls_keys(table, hint='write url = "wss://…", or remove it')
        subprotocols = table.values("subprotocols", _subprotocol, default=())
        if len(subprotocols) > MAX_SUBPROTOCOLS:
            table.error("subprotocols", f"has more than {MAX_SUBPROTOCOLS} entries", "remove some")
        return WebSocketOptions(
            http, stream, tuple(dict.fromkeys(subprotocols)), read_dialogue(table, allows_starttls=False)
        )

    @classmethod
    def absent_fields(cls, options: WebSocketOptions) -> Mapping[str, str]:
        absent = {} if options.stream.begins_with_tls else dict(ONLY_WITH_TLS)
        return (
            absent
            if options.subprotocols
            else absent | {"websocket.subprotocol": "needs the key subprotocols"}
        )

    def secrets(self) -> Iterable[str]:
        yield from secrets_of(self.options.http)
        yield from secrets_of_dialogue(self.options.dialogue)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        run = _WebSocketRun(self._request, Dialogue(self._steps))
        deadline = watch.began_s + self.settings.timeout_s
        outcome = await self._client.run(self.options.stream, run.communicate, deadline=deadline)
        reason, result = self._evaluate(outcome, run)
        socket = run.socket
        fields = fields_of_stream(outcome, self.tools.clock.now())
        if socket is not None:
            fields["messages"] = socket.message_count
            if socket.status is not None:
                fields["status"] = socket.status
            if socket.subprotocol is not None:
                fields["websocket.subprotocol"] = socket.subprotocol
            if socket.close_code is not None:
                fields["websocket.close_code"] = socket.close_code
            if socket.last_message is not None:
                fields["message"] = shortened(
                    self.masking.printable_lines(socket.last_message), MAX_MESSAGE_CHARACTERS
                )
        observation = watch.observation(
            reason,
            f"{self._shown}: {result}, {outcome.duration_s:.3f} s",
            fields,
            outcome.address,
            lambda name, _: (
                bytes(socket.received).decode(errors="replace") if name == EXCERPT and socket else None
            ),
            subject=self._shown,
            outcome=result,
            shows_connectivity=True if outcome.received else None,
        )
        # `up_when` can accept another HTTP status, but not an incomplete dialogue.
        is_rejected = socket is not None and socket.status not in {None, SWITCHING_PROTOCOLS}
        return replace(observation, is_usable=is_rejected or reason is not Reason.CONDITION_FAILED)

    def _evaluate(self, outcome: StreamOutcome, run: "_WebSocketRun") -> tuple[Reason, str]:
        """Return the reason, and the result in words."""
        steps = self.options.dialogue
        socket, index = run.socket, run.dialogue.index
        step = steps[index] if index < len(steps) else None
        if outcome.failure is None and socket is not None:
            if socket.status != SWITCHING_PROTOCOLS:
                return Reason.CONDITION_FAILED, f"HTTP {socket.status} instead of an open WebSocket"
            done = f", {counted(len(steps), 'step')} completed" if steps else ""
            return Reason.OK, f"WebSocket opened{done}"
        is_unmet = outcome.failure in {FailureKind.TIMEOUT_RESPONSE, FailureKind.RESET}
        if socket is not None and is_unmet and isinstance(step, ExpectStep) and run.is_open:
            received = self.masking.printable_lines(run.dialogue.received_in_step(bytes(socket.received)))
            shown = shortened(received.replace("\n", " "), MAX_SHOWN_CHARACTERS)
            end = "no more before the timeout"
            if outcome.failure is FailureKind.RESET:
                end = self.masking.mask(printable(outcome.detail))
            seen = f'received "{shown}" and {end}' if received else f"received nothing: {end}"
            return Reason.CONDITION_FAILED, f'step {index + 1} expects "{step.pattern}", {seen}'
        return Reason(outcome.failure.value if outcome.failure else "ok"), printable(outcome.detail)


class _WebSocketRun:
    """One check. `socket` is None until the connection is established, `is_open` is whether the handshake succeeded."""

    def __init__(self, request: WebSocketRequest, dialogue: Dialogue) -> None:
        self._request = request
        self.dialogue = dialogue
        self.socket: WebSocket | None = None
        self.is_open = False

    async def communicate(self, stream: Stream) -> None:
        socket = self.socket = WebSocket(stream)
        self.is_open = await socket.open(self._request)
        if self.is_open:
            await self.dialogue.run(socket)
            await socket.close()


# Reading


def _read_url(table: Table) -> tuple[Secret, bool]:
    if not isinstance(table.raw("url"), dict):
        url = table.value("url", _http_url, default=None, required=True)
        return (_PLACEHOLDER if url is None else Secret(url)), False
    secret = table.secret("url")
    if not secret:  # it cannot be read, and an error is recorded
        return _PLACEHOLDER, True
    try:
        return Secret(_http_url(secret.reveal())), True
    except ValueError as error:
        table.error("url", *problem_and_hint(error))
        return _PLACEHOLDER, True


def _http_url(text: str) -> str:
    """Return the URL with the scheme http or https, by which `parse_target` knows the default ports."""
    url, count = _SCHEME.subn(r"http\1", text.strip(), count=1)
    if not count:
        raise InvalidValueError("is not a WebSocket URL", 'write "wss://host/path" or "ws://host/path"')
    try:
        parse_target(url)
    except InvalidValueError as error:
        problem = error.problem.replace("an HTTP URL", "a WebSocket URL")
        raise InvalidValueError(problem, 'write "wss://host/path"') from None
    return url


def _subprotocol(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise InvalidValueError("is not the name of a subprotocol", 'write a name such as "mqtt"')
    return text
