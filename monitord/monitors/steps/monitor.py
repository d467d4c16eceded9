"""Monitor type `steps`: sequences of HTTP requests, such as log in, fetch, submit.

    [[monitors.shop.steps]]
    name = "login"
    url = "https://shop.example.org/login"
    form = { user = "monitor", password = { credential = "login-password" } }
    extract = { token = { json = "$.token" } }

    [[monitors.shop.steps]]
    name = "orders"
    url = "https://shop.example.org/orders"
    bearer_token = "{token}"

The first step that fails ends the check and decides its reason. Cookies and extracted values exist for one check.
Texts contain references, not values: the URL of a step is shown as it is configured.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import ClassVar

from monitord.conditions import (
    COUNT,
    LATENCY,
    Bounds,
    ConditionResult,
    FieldType,
    Unresolved,
    Vocabulary,
)
from monitord.conditions.pattern.matcher import MAX_SEARCHED_CHARACTERS, Capture
from monitord.config import Table
from monitord.errors import problem_and_hint
from monitord.model import EXCERPT, FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools, lookup_in
from monitord.monitors.http.response import (
    BODY_FIELDS,
    COMPLETE_BODY_FIELDS,
    UNMET_DEFAULT,
    HttpResponseData,
    absent_fields_of,
    described,
    fields_of,
    reason_of,
    shows_connectivity,
    stays_on_this_host,
    unread_body_hint,
)
from monitord.monitors.http.response import (
    VOCABULARY as RESPONSE,
)
from monitord.monitors.steps.options import (
    MAX_STEPS,
    Extraction,
    StepOptions,
    StepsOptions,
    ValueSource,
    read_steps,
)
from monitord.monitors.steps.references import REFERENCE, expanded
from monitord.net import CookieStore, HttpExchange, HttpOutcome, HttpRequest, Phase
from monitord.options.http import HttpOptions, named_secrets, secrets_of, shown_url
from monitord.options.masking import Masking
from monitord.options.tls import ONLY_WITH_TLS, PHASE_FIELDS, TLS_BOUNDS, TLS_FIELDS
from monitord.text import counted, shortened

MAX_VALUE_CHARACTERS = 8192
"""The limit of an extracted value. A URL has the same limit."""
MAX_SHOWN_VALUE_CHARACTERS = 100
MAX_DETAIL_CHARACTERS = 500
MAX_MASKED_COOKIES = 32
SHORTEST_COOKIE = 8
"""Shorter values of cookies are words such as `de`, which are not secret."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_OUTCOMES = ("passed", "failed", "skipped")

_SHARED_FIELDS = {
    "response_time": FieldType.DURATION,
    "steps": FieldType.NUMBER,
    "steps.passed": FieldType.NUMBER,
    "failed_step": FieldType.TEXT,
    **dict.fromkeys(PHASE_FIELDS.values(), FieldType.DURATION),
    "redirects": FieldType.NUMBER,
    "status": FieldType.NUMBER,
    "address": FieldType.TEXT,
    "ip_version": FieldType.NUMBER,
    **TLS_FIELDS,
    "certificate.host": FieldType.TEXT,
}
_SHARED_BOUNDS = {
    "response_time": LATENCY,
    "steps": Bounds(least=1, most=MAX_STEPS, is_whole=True),
    "steps.passed": Bounds(least=0, most=MAX_STEPS, is_whole=True),
    **dict.fromkeys(PHASE_FIELDS.values(), LATENCY),
    "redirects": COUNT,
    **{name: RESPONSE.bounds[name] for name in ("status", "ip_version")},
    **TLS_BOUNDS,
}


@lru_cache(maxsize=256)
def _vocabulary(steps: tuple[tuple[str, tuple[str, ...]], ...]) -> Vocabulary:
    """Return the vocabulary for the names of steps and of the values that each extracts."""
    fields: dict[str, FieldType] = dict(_SHARED_FIELDS)
    bounds: dict[str, Bounds] = dict(_SHARED_BOUNDS)
    for step, values in steps:
        step_fields: dict[str, tuple[FieldType, Bounds | None]] = {
            "outcome": (FieldType.TEXT, Bounds(values=_OUTCOMES)),
            "status": (FieldType.NUMBER, RESPONSE.bounds["status"]),
            "response_time": (FieldType.DURATION, LATENCY),
            **dict.fromkeys(PHASE_FIELDS.values(), (FieldType.DURATION, LATENCY)),
            **{f"value.{name}": (FieldType.TEXT, None) for name in values},
        }
        for name, (kind, bound) in step_fields.items():
            fields[f"step.{step}.{name}"] = kind
            if bound is not None:
                bounds[f"step.{step}.{name}"] = bound
    return Vocabulary(fields, bounds)


class _PreparedStep:
    """A step, prepared once for all checks."""

    def __init__(self, options: StepOptions) -> None:
        self.options = options
        self.name = options.name
        self.has_references = options.has_references
        self.captures = {
            value.name: Capture(str(value.argument))
            for value in options.extract
            if value.source is ValueSource.PATTERN
        }
        self._read_body = bool(options.needs & BODY_FIELDS)
        self.needs_complete_body = bool(options.needs & COMPLETE_BODY_FIELDS)
        request = self.request_of(options.http)
        self.request = request
        self.shown = f"{request.method} {shown_url(request.target, is_secret=options.http.is_url_secret)}"

    def request_of(self, http: HttpOptions) -> HttpRequest:
        """Return the request with these options. Raises InvalidValueError or ValueError."""
        return http.request(read_body=self._read_body, receive_streams=self.needs_complete_body)


@dataclass(slots=True)
class _StepResult:
    """`request` is None if the step was not sent."""

    step: _PreparedStep
    reason: Reason = Reason.OK
    outcome: HttpOutcome | None = None
    request: HttpRequest | None = None
    response_data: HttpResponseData | None = None
    problems: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def drop_body(self) -> None:
        """Release the body and its parsed document, which may take 30 MB, before the next step."""
        self.response_data = None
        if isinstance(self.outcome, HttpExchange):
            self.outcome = replace(self.outcome, body=None, beginning=b"")

    @property
    def duration_s(self) -> float:
        return 0.0 if self.outcome is None else self.outcome.duration_s


@dataclass(slots=True)
class _Run:
    """The state of one check."""

    cookies: CookieStore = field(default_factory=CookieStore)
    values: dict[str, str] = field(default_factory=dict)
    results: list[_StepResult] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def masking(self, configured: Iterable[str], text: str = "") -> Masking:
        """Return the masking of all secrets of this check, and of secrets that the text names."""
        cookies = (value for value in self.cookies.values() if len(value) >= SHORTEST_COOKIE)
        return Masking(
            [*configured, *self.secrets, *islice(cookies, MAX_MASKED_COOKIES), *named_secrets(text)]
        )


class StepsMonitor(Monitor[StepsOptions]):
    type_name: ClassVar[str] = "steps"
    vocabulary: ClassVar[Vocabulary] = Vocabulary(_SHARED_FIELDS, _SHARED_BOUNDS)

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._steps = [_PreparedStep(options) for options in self.options.steps]
        self.uses_network = not all(stays_on_this_host(step.request) for step in self._steps)

    @property
    def pool(self) -> str | None:
        target = self._steps[0].request.target
        return None if target.socket_path is not None else target.host

    @classmethod
    def belongs_to_host(cls, options: StepsOptions) -> bool:
        return all(stays_on_this_host(step.http.request()) for step in options.steps)

    @classmethod
    def read_options(cls, table: Table) -> StepsOptions:
        return read_steps(table)

    @classmethod
    def vocabulary_of(cls, options: StepsOptions) -> Vocabulary:
        return _vocabulary(
            tuple(
                (step.name, tuple(value.name for value in step.extract))
                for step in options.steps
                if step.name
            )
        )

    @classmethod
    def absent_fields(cls, options: StepsOptions) -> Mapping[str, str]:
        absent = {
            f"step.{step.name}.value.{value.name}": "is secret"
            for step in options.steps
            for value in step.extract
            if value.is_secret
        }
        if all(absent_fields_of(step.http).keys() >= TLS_FIELDS.keys() for step in options.steps):
            absent |= ONLY_WITH_TLS
        return absent

    def secrets(self) -> Iterator[str]:
        for step in self.options.steps:
            # A text with a reference is not secret. The expanded text is, see `_take`.
            yield from (secret for secret in secrets_of(step.http) if not REFERENCE.search(secret))

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        deadline = watch.began_s + self.settings.timeout_s
        run = _Run()
        for step in self._steps:
            result = _StepResult(step)
            run.results.append(result)
            await self._take(result, run, deadline)
            if result.reason is not Reason.OK:
                break
            if step is not self._steps[-1]:
                result.drop_body()
        return self._observation(watch, run)

    async def _take(self, result: _StepResult, run: _Run, deadline: float) -> None:
        """Send the request of a step, and evaluate the response."""
        step = result.step
        if self.tools.clock.monotonic_s() >= deadline:
            result.reason = Reason.TIMEOUT_RESPONSE
            result.problems.append("the timeout expired before this step")
            return
        try:
            request = step.request
            if step.has_references:
                http = expanded(step.options.http, step.options.verbatim, run.values)
                request = step.request_of(http)
                run.secrets.extend(secrets_of(http))
        except ValueError as error:
            result.reason = Reason.EXTRACT_FAILED
            result.problems.append(f"the request cannot be sent: {problem_and_hint(error)[0]}")
            return
        result.request = request
        try:
            result.outcome = await self.tools.http.fetch(request, deadline=deadline, cookies=run.cookies)
        finally:
            if request is not step.request:
                await self.tools.http.forget(request)
        result.reason = reason_of(result.outcome)
        if isinstance(result.outcome, HttpExchange):
            result.response_data = HttpResponseData(result.outcome)
            await self._evaluate(result, result.outcome, run)

    async def _evaluate(self, result: _StepResult, exchange: HttpExchange, run: _Run) -> None:
        """Evaluate the conditions, and extract the values."""
        conditions = result.step.options.up_when
        lookup = lookup_in(fields_of(exchange, self.tools.clock.now()), result.response_data)
        unmet: list[int] = []
        is_unresolved = True
        for index, condition in enumerate(conditions):
            outcome = condition.evaluate(lookup)
            if not outcome.holds:
                unmet.append(index)
                is_unresolved = is_unresolved and outcome.unresolved
            await asyncio.sleep(0)  # the pattern of a condition may take long
        problems: list[str] = []
        # Even after a failure: a secret that was extracted is masked in the excerpt.
        for value in result.step.options.extract:
            extracted = _extract(value, result, run.cookies)
            if isinstance(extracted, Unresolved):
                problems.append(f"cannot extract {value.name}: {extracted.why}")
            else:
                result.values[value.name] = run.values[value.name] = extracted
                if value.is_secret:
                    run.secrets.append(extracted)
            await asyncio.sleep(0)
        if unmet:
            result.reason = Reason.CONDITION_UNRESOLVED if is_unresolved else Reason.CONDITION_FAILED
            shown = run.masking(self.secrets()).mask_value
            outcomes: list[ConditionResult] = [conditions[index].evaluate(lookup, shown) for index in unmet]
            result.problems.append("not met: " + ", ".join(outcome.text for outcome in outcomes))
        elif result.reason is Reason.CONDITION_FAILED and not conditions:
            result.problems.append(UNMET_DEFAULT)
        elif conditions or result.reason is Reason.OK:
            result.reason = Reason.EXTRACT_FAILED if problems else Reason.OK
            result.problems += problems

    def _observation(self, watch: Stopwatch, run: _Run) -> Observation:
        last = run.results[-1]
        duration_s = sum(result.duration_s for result in run.results)
        has_failed = last.reason is not Reason.OK
        count = len(self._steps)
        if has_failed:
            masking = run.masking(self.secrets())
            subject, outcome, note, detail = map(masking.mask, self._described(last, len(run.results)))
        else:
            subject, outcome, note = counted(count, "step"), "all steps passed", ""
            durations = ", ".join(f"{result.step.name} {result.duration_s:.3f} s" for result in run.results)
            detail = f"{counted(count, 'step')} passed, {duration_s:.3f} s: {durations}"
        fields: dict[str, FieldValue] = {
            "response_time": duration_s,
            "steps": count,
            "steps.passed": len(run.results) - has_failed,
        }
        if has_failed:
            fields["failed_step"] = last.step.name
        fields |= self._shared_fields(run.results)
        fields |= self._fields_of_steps(run)
        connectivity = [
            shows_connectivity(result.request, result.outcome)
            for result in run.results
            if result.request is not None and result.outcome is not None
        ]

        def response_data(name: str, _: object) -> object:
            if name == "failed_step":
                return ""
            return self._excerpt(run) if name == EXCERPT else None

        return Observation(
            started_at=watch.started_at,
            duration_s=duration_s,
            reason=last.reason,
            detail=shortened(detail, MAX_DETAIL_CHARACTERS),
            fields=fields,
            address=None if last.outcome is None else last.outcome.address,
            response_data=response_data,
            # `up_when` replaces the default condition of a type, but the steps must be passed in any case.
            is_usable=last.reason is not Reason.CONDITION_FAILED,
            subject=subject,
            outcome=outcome,
            note=note,
            shows_connectivity=True if True in connectivity else connectivity[-1] if connectivity else None,
        )

    def _described(self, result: _StepResult, number: int) -> tuple[str, str, str, str]:
        """Return subject, outcome, note and detail of the step that failed."""
        step, outcome = result.step, result.outcome
        place = f'step {number} of {len(self._steps)}, "{step.name}"'
        text, detail = "", step.shown
        if outcome is not None:
            text, detail = described(
                outcome, step.shown, unread_body_hint(outcome, reads_body=step.needs_complete_body)
            )
            detail += f", {outcome.duration_s:.3f} s"
        problems = "; ".join(result.problems)
        return (
            f"step {step.name}: {step.shown}",
            text or problems,
            problems if text else "",
            "; ".join(filter(None, (f"{place}: {detail}", problems))),
        )

    def _shared_fields(self, results: Sequence[_StepResult]) -> dict[str, FieldValue]:
        """Return the totals, the fields of the last response, and the certificate that expires first."""
        now = self.tools.clock.now()
        outcomes = [result.outcome for result in results if result.outcome is not None]
        phases = {
            PHASE_FIELDS[phase]: sum(outcome.phases.get(phase, 0.0) for outcome in outcomes)
            for phase in Phase
            if any(phase in outcome.phases for outcome in outcomes)
        }
        fields: dict[str, FieldValue] = {
            **phases,
            "redirects": sum(outcome.redirects for outcome in outcomes),
        }
        by_step = [fields_of(outcome, now) for outcome in outcomes]
        if by_step:
            last = by_step[-1]
            fields |= {name: last[name] for name in ("status", "address", "ip_version") if name in last}
        with_certificate = [
            of_step for of_step in by_step if isinstance(of_step.get("certificate.expires_in"), float | int)
        ]
        if with_certificate:
            first = min(with_certificate, key=lambda of_step: float(str(of_step["certificate.expires_in"])))
            fields |= {
                name: value for name, value in first.items() if name.startswith(("certificate.", "tls."))
            }
        return fields

    def _fields_of_steps(self, run: _Run) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {}
        masking: Masking | None = None
        for result in run.results:
            step_fields: dict[str, FieldValue] = {
                "outcome": "passed" if result.reason is Reason.OK else "failed"
            }
            if result.outcome is not None:
                if result.outcome.status is not None:
                    step_fields["status"] = result.outcome.status
                step_fields["response_time"] = result.duration_s
                step_fields |= {
                    PHASE_FIELDS[phase]: seconds
                    for phase, seconds in result.outcome.phases.items()
                    if seconds
                }
            for value in result.step.options.extract:
                if value.name in result.values and not value.is_secret:
                    # Another part of the same response may be secret, and contained in this value.
                    masking = masking or run.masking(self.secrets())
                    step_fields[f"value.{value.name}"] = shortened(
                        masking.mask(result.values[value.name]), MAX_SHOWN_VALUE_CHARACTERS
                    )
            fields |= {f"step.{result.step.name}.{name}": value for name, value in step_fields.items()}
        for step in self._steps[len(run.results) :]:
            fields[f"step.{step.name}.outcome"] = "skipped"
        return fields

    def _excerpt(self, run: _Run) -> str | None:
        """Return the excerpt of the step that failed, or of the last step."""
        last = run.results[-1]
        text = None if last.response_data is None else last.response_data(EXCERPT, None)
        if not isinstance(text, str):
            return None
        excerpt = run.masking(self.secrets(), text).excerpt(text)
        return None if excerpt is None else f"Step {last.step.name}\n{excerpt}"

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        name = observation.fields.get("failed_step")
        step = next((step for step in self._steps if step.name == name), self._steps[-1])
        fields = {"MONITOR_URL": step.shown.partition(" ")[2]}
        if name:
            fields["MONITOR_STEP"] = str(name)
        if "status" in observation.fields:
            fields["HTTP_STATUS"] = str(observation.fields["status"])
        return fields

    async def close(self) -> None:
        for step in self._steps:
            await self.tools.http.forget(step.request)


def _extract(value: Extraction, result: _StepResult, cookies: CookieStore) -> str | Unresolved:
    """Return the value as text, or why there is none."""
    text = _read_value(value, result, cookies)
    if isinstance(text, Unresolved):
        return text
    if not text:
        return Unresolved("the value is empty")
    if len(text) > MAX_VALUE_CHARACTERS:
        return Unresolved(f"the value is longer than {MAX_VALUE_CHARACTERS} characters")
    if _SURROGATE.search(text):
        return Unresolved("the value contains bytes or characters that are not valid Unicode")
    return text


def _read_value(value: Extraction, result: _StepResult, cookies: CookieStore) -> str | Unresolved:
    response_data = result.response_data
    if response_data is None:
        return Unresolved("there is no response")
    match value.source:
        case ValueSource.JSON:
            return _text_of(response_data("json", value.argument), str(value.argument))
        case ValueSource.PATTERN:
            return _captured(response_data("body", None), result.step.captures[value.name])
        case ValueSource.HEADER:
            header = response_data("header", value.argument)
            return header if isinstance(header, str) else Unresolved(f"there is no header {value.argument}")
        case ValueSource.COOKIE:
            cookie = cookies.find(str(value.argument))
            return Unresolved(f"no cookie {value.argument} is set") if cookie is None else cookie.value


def _captured(body: object, capture: Capture) -> str | Unresolved:
    if not isinstance(body, str):
        return body if isinstance(body, Unresolved) else Unresolved("there is no body")
    match capture.find(body):
        case str() as captured:
            return captured
        case False:
            return Unresolved("the pattern matches nothing in the body")
    return Unresolved(
        f"the pattern takes too long, or the value is not in the first {MAX_SEARCHED_CHARACTERS // 1024} KiB"
    )


def _text_of(value: object, path: str) -> str | Unresolved:
    """Return a JSON value as text."""
    if isinstance(value, str | Unresolved):
        return value
    if value is None:
        return Unresolved(f"{path} is null")
    if isinstance(value, dict | list):
        kind = "an object" if isinstance(value, dict) else "a list"
        return Unresolved(f"{path} is {kind}, not text or a number")
    return json.dumps(value)
