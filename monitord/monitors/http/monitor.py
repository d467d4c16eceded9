"""Monitor type `http`: one request and its response.

    url = "https://shop.example.org/health"

Without conditions, a check passes if the status is below 400. Passwords, tokens and parts of a URL that may be secrets
are masked in all texts.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import ClassVar

from monitord.conditions import Vocabulary
from monitord.config import Table
from monitord.model import Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools, lookup_of
from monitord.monitors.http.response import (
    BODY_FIELDS,
    COMPLETE_BODY_FIELDS,
    UNMET_DEFAULT,
    VOCABULARY,
    HttpResponseData,
    absent_fields_of,
    described,
    fields_of,
    reason_of,
    shows_connectivity,
    stays_on_this_host,
    unread_body_hint,
)
from monitord.net import HttpExchange, HttpOutcome
from monitord.options.http import HttpOptions, read_options, secrets_of, shown_url
from monitord.text import counted

# Severities of the outcomes of several addresses. A probe error is lowest, as it proves nothing about the peer.
_PASS, _WARN, _PROBE_ERROR, _CONDITION_FAILED, _FAILURE = range(5)


class HttpMonitor(Monitor[HttpOptions]):
    """Monitor that sends one request; with `all_addresses` one to each address, of which the worst counts."""

    type_name: ClassVar[str] = "http"
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._request = self.options.request(
            read_body=bool(settings.needs & BODY_FIELDS),
            receive_streams=bool(settings.needs & COMPLETE_BODY_FIELDS),
        )
        self.uses_network = not stays_on_this_host(self._request)
        self._shown_url = shown_url(self._request.target, is_secret=self.options.is_url_secret)
        self._shown_request = f"{self._request.method} {self._shown_url}"

    @property
    def pool(self) -> str | None:
        target = self._request.target
        return None if target.socket_path is not None else target.host

    @classmethod
    def belongs_to_host(cls, options: HttpOptions) -> bool:
        return stays_on_this_host(options.request())

    @classmethod
    def read_options(cls, table: Table) -> HttpOptions:
        return read_options(table)

    @classmethod
    def absent_fields(cls, options: HttpOptions) -> Mapping[str, str]:
        return absent_fields_of(options)

    def secrets(self) -> Iterable[str]:
        return secrets_of(self.options)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        deadline = watch.began_s + self.settings.timeout_s
        if not self.options.all_addresses:
            outcome = await self.tools.http.fetch(self._request, deadline=deadline)
            return self._observation(watch, outcome, "")
        outcomes = await self.tools.http.fetch_each(self._request, deadline=deadline)
        severities: list[tuple[int, float]] = []
        for outcome in outcomes:
            severities.append((self._severity(self._observation(watch, outcome, "")), outcome.duration_s))
            # Let other tasks run: the patterns of conditions may take long for each response.
            await asyncio.sleep(0)
        # With `invert` an address that responds is the worst.
        worst = (min if self.settings.invert else max)(severities)
        failed = sum(severity > _WARN for severity, _ in severities)
        addresses = counted(len(outcomes), "address")
        count = f"{failed} of {addresses} failed" if failed else addresses
        return self._observation(watch, outcomes[severities.index(worst)], f", {count}")

    def _severity(self, observation: Observation) -> int:
        settings, lookup = self.settings, lookup_of(observation)
        if observation.reason.is_inconclusive:
            return _PROBE_ERROR
        if observation.response_data is None:
            return _FAILURE
        passes = observation.reason is Reason.OK
        if settings.up_when:
            passes = all(condition.evaluate(lookup).holds for condition in settings.up_when)
        if not passes:
            return _CONDITION_FAILED
        is_degraded = any(condition.evaluate(lookup).holds for condition in settings.degraded_when)
        return _WARN if is_degraded else _PASS

    def journal_fields(self, observation: Observation) -> Mapping[str, str]:
        fields = {"MONITOR_URL": self._shown_url}
        for field, name in (("status", "HTTP_STATUS"), ("body.length", "RESPONSE_BYTES")):
            if field in observation.fields:
                fields[name] = str(observation.fields[field])
        return fields

    async def close(self) -> None:
        await self.tools.http.forget(self._request)

    def _observation(self, watch: Stopwatch, outcome: HttpOutcome, note: str) -> Observation:
        hint = unread_body_hint(outcome, reads_body=bool(self.settings.needs & COMPLETE_BODY_FIELDS))
        result, detail = described(outcome, self._shown_request, hint)
        reason = reason_of(outcome)
        unmet = UNMET_DEFAULT if reason is Reason.CONDITION_FAILED and not self.settings.up_when else ""
        return Observation(
            started_at=watch.started_at,
            duration_s=outcome.duration_s,
            reason=reason,
            detail=f"{detail}, {outcome.duration_s:.3f} s{note}{unmet and f'; {unmet}'}",
            fields=fields_of(outcome, self.tools.clock.now()),
            address=outcome.address,
            response_data=HttpResponseData(outcome) if isinstance(outcome, HttpExchange) else None,
            subject=self._shown_request,
            outcome=f"{result}{note}",
            note=unmet,
            shows_connectivity=shows_connectivity(self._request, outcome),
        )
