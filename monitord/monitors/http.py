"""The type `http`: one request, as a browser or another program would make it, and what came back.

    url = "https://shop.example.org/health"

Without conditions a status below 400 is well. What is asked and received is told in one line; passwords,
tokens and the parts of a URL that may be one are told nowhere.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlencode

from monitord.conditions import FactFunction, FactType, JsonPath, Unresolved, Vocabulary, parse_json_path
from monitord.config import Secret, Table
from monitord.model import Evidence, Fact, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.secured import TLS_FACTS, facts_of_tls, read_tls
from monitord.net import (
    MAX_DRAINED_BYTES,
    Endpoint,
    HttpExchange,
    HttpFault,
    HttpOutcome,
    HttpRequest,
    IpFamily,
    Phase,
    Target,
    TlsOptions,
    check_headers,
    parse_endpoint,
    parse_target,
)

FIRST_BAD_STATUS = 400
MAX_SHOWN_URL_CHARACTERS = 300
MAX_BODY_BYTES = 1 << 20
"""`max_body` where a condition looks at the body; one that nobody looks at may be as long as `MAX_DRAINED_BYTES`."""

_SECRET_PARAMETER = re.compile(r"token|key|secret|pass|auth|sig|credential|session|code", re.IGNORECASE)
_CHARSET = re.compile(r'charset="?([A-Za-z0-9_.:-]{1,40})', re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"

VOCABULARY = Vocabulary(
    {
        "status": FactType.NUMBER,
        "response_time": FactType.DURATION,
        **{f"phase.{phase.value}": FactType.DURATION for phase in Phase},
        "redirects": FactType.NUMBER,
        "address": FactType.TEXT,
        "ip_version": FactType.NUMBER,
        "http_version": FactType.TEXT,
        "header": FactFunction(FactType.TEXT),
        "body": FactType.TEXT,
        "body.length": FactType.SIZE,
        "json": FactFunction(FactType.ANY, parse_json_path),
        **TLS_FACTS,
    }
)
_OF_THE_BODY = frozenset({"body", "json"})


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`url` came as plain text unless `is_url_secret`; headers may hold secrets, whatever their name."""

    url: Secret
    is_url_secret: bool = False
    method: str = "GET"
    headers: tuple[tuple[str, Secret], ...] = ()
    body: Secret | None = None
    content_type: str | None = None
    username: str | None = None
    password: Secret | None = None
    bearer: Secret | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None
    follow_redirects: bool = True
    proxy: Secret | None = None
    connect_to: Endpoint | None = None
    ip_family: IpFamily = IpFamily.ANY
    all_addresses: bool = False
    reuse_connection: bool = False
    max_body_bytes: int | None = None

    def request(self, *, read_body: bool = False) -> HttpRequest:
        """`read_body`: somebody wants to see it. Raises ValueError("problem; hint") when the parts do not fit."""
        headers = [(name, value.reveal()) for name, value in self.headers]
        if self.content_type is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", self.content_type))
        password = self.password.reveal() if self.password is not None else ""
        return HttpRequest(
            url=self.url.reveal(),
            method=self.method,
            headers=tuple(headers),
            body=None if self.body is None else self.body.reveal().encode(),
            basic_auth=None if self.username is None else (self.username, password),
            bearer=None if self.bearer is None else self.bearer.reveal(),
            tls=self.tls,
            server_name=self.server_name,
            follow_redirects=self.follow_redirects,
            proxy=self.proxy.reveal() if self.proxy else None,
            connect_to=self.connect_to,
            ip_family=self.ip_family,
            reuse_connection=self.reuse_connection,
            read_body=read_body,
            max_body_bytes=self.max_body_bytes or (MAX_BODY_BYTES if read_body else MAX_DRAINED_BYTES),
            want_certificate=True,
        )


class HttpMonitor(Monitor[HttpOptions]):
    """Makes one request each time; with `all_addresses` one to each address, and the worst of them counts."""

    type_name: ClassVar[str] = "http"
    implied_by: ClassVar[str | None] = "url"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._request = self.options.request(read_body=bool(settings.needs & _OF_THE_BODY))
        self._shown_url = shown_url(self._request.target, is_secret=self.options.is_url_secret)

    @property
    def host(self) -> str | None:
        target = self._request.target
        return None if target.socket_path is not None else target.host

    @classmethod
    def read_options(cls, table: Table) -> HttpOptions:
        return _read_options(table)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        deadline = watch.began_s + self.settings.timeout_s
        if not self.options.all_addresses:
            outcome = await self.tools.http.fetch(self._request, deadline=deadline)
            return self._observation(watch, outcome, "")
        outcomes = await self.tools.http.fetch_each(self._request, deadline=deadline)
        worst = max(outcomes, key=_badness)
        bad = sum(_reason(outcome) is not Reason.OK for outcome in outcomes)
        count = f"{bad} of {len(outcomes)} addresses failed" if bad else f"{len(outcomes)} addresses"
        return self._observation(watch, worst, f", {count}")

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        fields = {"MONITOR_URL": self._shown_url}
        for fact, name in (("status", "HTTP_STATUS"), ("body.length", "RESPONSE_BYTES")):
            if fact in observation.facts:
                fields[name] = str(observation.facts[fact])
        return fields

    async def close(self) -> None:
        await self.tools.http.forget(self._request)

    def _observation(self, watch: Stopwatch, outcome: HttpOutcome, note: str) -> Observation:
        asked = f"{self._request.method} {self._shown_url}"
        reason = _reason(outcome)
        facts: dict[str, Fact] = {"response_time": outcome.duration_s}
        facts.update((f"phase.{phase.value}", seconds) for phase, seconds in outcome.phases.items())
        facts["redirects"] = outcome.redirects
        if outcome.address is not None:
            facts["address"] = outcome.address
        if outcome.ip_version is not None:
            facts["ip_version"] = outcome.ip_version
        if isinstance(outcome, HttpExchange):
            facts["status"] = outcome.status
            facts["http_version"] = outcome.http_version
            facts["body.length"] = outcome.body_bytes
            if outcome.tls is not None:
                facts.update(facts_of_tls(outcome.tls, self.tools.clock.now()))
            said = f"{outcome.status}, {_bytes(outcome.body_bytes)}"
        else:
            # The reason, in words: "refused: connect to 127.0.0.1:1 refused".
            said = f"{reason.value.replace('_', ' ')}: {outcome.detail}"
        return Observation(
            started_at=watch.started_at,
            duration_s=outcome.duration_s,
            reason=reason,
            detail=f"{asked} {said}, {outcome.duration_s:.3f} s{note}",
            facts=facts,
            address=outcome.address,
            evidence=_evidence(outcome) if isinstance(outcome, HttpExchange) else None,
        )


def _evidence(exchange: HttpExchange) -> Evidence:
    """What conditions may ask of a response beyond its facts. The body is parsed at most once."""
    documents: list[object] = []

    def document() -> object:
        if not documents:
            try:
                documents.append(json.loads(exchange.body or b""))
            except (ValueError, RecursionError):
                documents.append(Unresolved("the body is not JSON"))
        return documents[0]

    def look_up(name: str, argument: object) -> object:
        if name == "header":
            return exchange.headers.get(str(argument))
        if name == "body":
            return _text(exchange)
        if name == "json" and isinstance(argument, JsonPath):
            found = document()
            return found if isinstance(found, Unresolved) else argument.find(found)
        return None

    return look_up


def _text(exchange: HttpExchange) -> str:
    """The body in its charset; what cannot be decoded shows as U+FFFD."""
    charset = _CHARSET.search(exchange.headers.get("Content-Type", ""))
    body = exchange.body or b""
    try:
        return body.decode(charset[1] if charset else "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _reason(outcome: HttpOutcome) -> Reason:
    if isinstance(outcome, HttpFault):
        return Reason(outcome.kind.value)
    return Reason.OK if outcome.status < FIRST_BAD_STATUS else Reason.CONDITION_FAILED


def _badness(outcome: HttpOutcome) -> tuple[int, float]:
    """The order of what can come of several addresses: our own lack tells least about the peer, a fault most."""
    reason = _reason(outcome)
    if reason is Reason.OK:
        kind = 0
    elif reason.is_ours:
        kind = 1
    else:
        kind = 3 if isinstance(outcome, HttpFault) else 2
    return kind, outcome.duration_s


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def shown_url(target: Target, *, is_secret: bool) -> str:
    """The URL for people: no password, no value of a parameter that may be one; of a secret URL only the host."""
    if target.socket_path is not None:
        origin = f"http+unix:{target.socket_path}:"
    else:
        origin = f"{target.url.scheme}://{target.host_header}"
    if is_secret:
        return f"{origin}/***"
    shown = origin + target.url.raw_path
    if target.url.raw_query_string:
        shown += "?" + "&".join(_shown_parameter(part) for part in target.url.raw_query_string.split("&"))
    return shown if len(shown) <= MAX_SHOWN_URL_CHARACTERS else shown[: MAX_SHOWN_URL_CHARACTERS - 1] + "…"


def _shown_parameter(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}=***" if equals and _SECRET_PARAMETER.search(name) else part


# Reading


def _read_options(table: Table) -> HttpOptions:
    url, is_url_secret = _read_url(table)
    body, content_type = _read_body(table)
    username, password = _read_basic_auth(table)
    options = HttpOptions(
        url=url,
        is_url_secret=is_url_secret,
        method=table.value("method", _method, default="GET" if body is None else "POST"),
        headers=_read_headers(table),
        body=body,
        content_type=content_type,
        username=username,
        password=password,
        bearer=table.secret("bearer", default=None),
        tls=read_tls(table),
        server_name=table.text("server_name", default=None),
        follow_redirects=table.flag("follow_redirects", default=True),
        proxy=table.secret("proxy", default=None),
        connect_to=table.value("connect_to", parse_endpoint, default=None),
        ip_family=table.choice("ip_family", IpFamily, default=IpFamily.ANY),
        all_addresses=table.flag("all_addresses", default=False),
        reuse_connection=table.flag("reuse_connection", default=False),
        max_body_bytes=table.size("max_body", default=None),
    )
    _check_together(table, options)
    return options


def _read_url(table: Table) -> tuple[Secret, bool]:
    found = table.look_up("url")
    if found is not None and isinstance(found[1], dict):
        secret = table.secret("url")
        if secret:
            _check(table, "url", secret.reveal())
        return secret, True
    return Secret(table.value("url", _url, default="", required=True)), False


def _url(text: str) -> str:
    parse_target(text)
    return text


def _check(table: Table, key: str, url: str) -> None:
    try:
        parse_target(url)
    except ValueError as error:
        _fault(table, key, error)


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]+", text, re.ASCII):
        raise ValueError('is not a method; write a word such as "GET"')
    return text.upper()


def _read_headers(table: Table) -> tuple[tuple[str, Secret], ...]:
    headers = table.secrets("headers", default={})
    try:
        check_headers((name, value.reveal()) for name, value in headers.items())
    except ValueError as error:
        _fault(table, "headers", error)
        return ()
    return tuple(headers.items())


def _fault(table: Table, key: str, error: Exception) -> None:
    problem, _, hint = str(error).partition("; ")
    table.fault(key, problem, hint)


def _read_body(table: Table) -> tuple[Secret | None, str | None]:
    """The body as it is sent, and its type. One of three keys says it."""
    body = table.secret("body", default=None)
    form = table.secrets("form", default={}) if table.look_up("form") is not None else None
    document = table.look_up("json")
    if sum(part is not None for part in (body, form, document)) > 1:
        table.fault("", "has more than one body", "keep one of body, form and json")
    if form is not None:
        return Secret(urlencode({name: value.reveal() for name, value in form.items()})), _FORM
    if document is not None:
        try:
            return Secret(json.dumps(document[1], allow_nan=False)), "application/json"
        except (TypeError, ValueError, RecursionError):
            table.fault("json", "holds what JSON cannot say, such as a date", "write it as text")
            return None, None
    return body, None


def _read_basic_auth(table: Table) -> tuple[str | None, Secret | None]:
    if table.look_up("basic_auth") is None:
        return None, None
    given = table.table("basic_auth")
    username = given.text("username")
    if ":" in username:
        given.fault("username", "holds a colon, which basic authentication cannot send", "")
    return username, given.secret("password", default=None)


def _check_together(table: Table, options: HttpOptions) -> None:
    """What only shows in the whole. Secrets that were not looked up are empty, and nothing can be said of them."""
    if options.url:
        try:
            request = options.request()
        except ValueError as error:
            _fault(table, "", error)
            return
        if options.all_addresses and request.proxy_target is not None:
            table.fault("all_addresses", "has no use with a proxy, which chooses the address", "keep one")
