"""A generated history: the same for the same names, with outages, slow hours, gaps and slow reads."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.dispatch import result_to_record
from monitord.errors import HistoryError
from monitord.history import (
    Bucket,
    DaySummary,
    Histogram,
    HistoryStats,
    IncidentTime,
    StoredResult,
    Uptime,
)
from monitord.model import FieldValue, Incident, Observation, Reason, Result, State, Verdict

POINTS = 120
PHASES = {"resolve": 0.004, "connect": 0.018, "tls": 0.031, "processing": 0.12, "transfer": 0.009}
VERDICTS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE)


class FakePast:
    """`slow_s`: duration of each read. `now`: the end of the history. `is_broken`: every read fails."""

    def __init__(
        self, now: datetime, *, slow_s: float = 0.0, is_active: bool = True, is_broken: bool = False
    ) -> None:
        self.now = now
        self.slow_s = slow_s
        self.is_active = is_active
        self.is_broken = is_broken
        self.reads: list[str] = []

    def stats(self) -> HistoryStats:
        return HistoryStats(
            queued=3,
            dropped=12,
            written=480_211,
            error=None,
            failing_since=None,
            size_bytes=92_112_896,
            last_commit_at=self.now,
            max_commit_s=0.18,
        )

    async def wait_until_stored(self, within_s: float, *, durable: bool = False) -> bool:
        return not self.is_broken

    async def results(
        self, monitor: str, *, limit: int = 20, before: datetime | None = None, failed: bool = False
    ) -> list[StoredResult]:
        await self._read("results")
        return (
            []
            if not self.is_active
            else [self._result(monitor, place, failed=failed) for place in range(limit)]
        )

    async def records(
        self, monitor: str, *, failed: bool = False, limit: int = 20
    ) -> list[Mapping[str, Any]]:
        await self._read("last")
        if not self.is_active:
            return []
        return [self._record(self._result(monitor, place, failed=failed)) for place in range(limit)]

    async def buckets(
        self, monitor: str, start: datetime, end: datetime, step_s: float | None = None
    ) -> list[Bucket]:
        await self._read("buckets")
        if not self.is_active:
            return []
        step = (end - start) / POINTS
        return [self._bucket(monitor, start + step * place, step.total_seconds()) for place in range(POINTS)]

    async def uptimes(
        self, monitors: Sequence[str], windows: Sequence[tuple[datetime, datetime]]
    ) -> dict[str, tuple[Uptime, ...]]:
        await self._read("uptimes")
        if not self.is_active:
            return {name: tuple(Uptime({}) for _ in windows) for name in monitors}
        return {
            name: tuple(self._uptime(name, (end - start).total_seconds()) for start, end in windows)
            for name in monitors
        }

    async def incidents(
        self,
        *,
        monitor: str | None = None,
        is_open: bool | None = None,
        limit: int = 50,
        before: datetime | None = None,
    ) -> list[Incident]:
        await self._read("incidents")
        if not self.is_active:
            return []
        names = [monitor] if monitor is not None else ["bad", "shop", "<b>gone</b>"]
        incidents = [self._incident(names[place % len(names)], place) for place in range(120)]
        return [incident for incident in incidents if before is None or incident.opened_at < before][:limit]

    async def uptimes_between(
        self, monitors: Sequence[str], bounds: Sequence[datetime]
    ) -> dict[str, tuple[Uptime, ...]]:
        await self._read("uptimes_between")
        return {
            name: tuple(self._day(name, start, (self.now - start).days).uptime for start in bounds[:-1])
            for name in monitors
        }

    async def incident_times(self, start: datetime, end: datetime) -> list[IncidentTime]:
        found = await self.incidents(limit=120)
        times = [
            IncidentTime(incident.id, incident.monitor, incident.opened_at, incident.closed_at)
            for incident in reversed(found)
        ]
        return [time for time in times if start <= time.opened_at < end]

    async def incidents_by_id(self, ids: Sequence[str]) -> list[Incident]:
        return [incident for incident in await self.incidents(limit=120) if incident.id in ids]

    async def days(self, monitor: str, count: int = 90) -> list[DaySummary]:
        await self._read("days")
        if not self.is_active:
            return []
        today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return [self._day(monitor, today - timedelta(days=back), back) for back in range(count - 1, -1, -1)]

    async def _read(self, what: str) -> None:
        self.reads.append(what)
        await asyncio.sleep(self.slow_s)
        if self.is_broken:
            raise HistoryError("the history cannot be read: disk I/O error")

    def _uptime(self, name: str, window_s: float) -> Uptime:
        dice = random.Random(f"{name} {window_s:.0f}")
        down_s = window_s * dice.choice([0, 0, 0.0004, 0.003, 0.02])
        return Uptime({State.UP: window_s - down_s, State.DOWN: down_s}, maintenance_s=dice.choice([0, 3600]))

    def _bucket(self, name: str, start: datetime, step_s: float) -> Bucket:
        dice = random.Random(f"{name} {start.timestamp() // step_s}")
        checks = 0 if dice.random() < 0.04 else max(int(step_s // 30), 1)
        slow, failed = dice.choice([1, 1, 1, 1.2, 2.2]), dice.choice([0, 0, 0, 1]) if checks > 1 else 0
        timed = checks - failed
        phases = {phase: timed * mean_s * slow * dice.uniform(0.8, 1.3) for phase, mean_s in PHASES.items()}
        mean_s = sum(phases.values()) / timed if timed else None
        histogram = Histogram()
        for _ in range(min(timed, 60)):
            histogram.add(int(1e6 * (mean_s or 1) * dice.uniform(0.7, 2.5)))
        down_s = step_s * 0.3 * failed
        return Bucket(
            start=start,
            step_s=step_s,
            counts=dict(zip(VERDICTS, (timed, 0, failed, 0), strict=True)),
            seconds={State.UP: step_s - down_s, State.DOWN: down_s} if checks else {},
            maintenance_s=0.0,
            timed=timed,
            min_s=None if mean_s is None else mean_s * 0.7,
            mean_s=mean_s,
            max_s=None if mean_s is None else mean_s * 2.5,
            histogram=histogram,
            phased=timed,
            phases_s=phases,
        )

    def _day(self, name: str, start: datetime, back: int) -> DaySummary:
        dice = random.Random(f"{name} {start:%Y-%m-%d}")
        if back > 80:
            return DaySummary(start, Uptime({}), 0)
        down_s = dice.choice([0] * 12 + [40, 400, 6000, 30000])
        return DaySummary(start, Uptime({State.UP: 86400 - down_s, State.DOWN: down_s}), int(down_s > 0))

    def _incident(self, name: str, place: int) -> Incident:
        opened_at = self.now - timedelta(minutes=14 + 190 * place)
        return Incident(
            id=f"{name}-{place}",
            monitor=name,
            opened_at=opened_at,
            reason=Reason.TIMEOUT_CONNECT if place % 2 else Reason.CONDITION_FAILED,
            detail="GET https://shop.example.org/health 503, 31 bytes, 0.082 s",
            closed_at=None if place == 0 else opened_at + timedelta(minutes=7, seconds=place),
            acknowledged_by="kim" if place == 0 else None,
            comment="the provider knows" if place == 0 else None,
        )

    def _record(self, stored: StoredResult) -> Mapping[str, Any]:
        fields: dict[str, FieldValue] = {
            "status": 503,
            "phase.connect": 0.018,
            "response_time": stored.duration_s,
        }
        seen = Observation(
            stored.at,
            stored.duration_s,
            stored.reason,
            stored.detail or "",
            fields,
            excerpt="HTTP/1.1 503 Service Unavailable",
        )
        return result_to_record(Result(seen, stored.verdict, ("status < 500 (actual: 503)",)))

    def _result(self, name: str, place: int, *, failed: bool) -> StoredResult:
        dice = random.Random(f"{name} {place}")
        verdict = Verdict.FAIL if failed else dice.choices(VERDICTS, [90, 5, 4, 1])[0]
        is_well = verdict is Verdict.PASS
        return StoredResult(
            at=self.now - timedelta(seconds=30 * (place + 1)),
            verdict=verdict,
            state=State.UP,
            reason=Reason.OK if is_well else Reason.CONDITION_FAILED,
            duration_s=dice.uniform(0.08, 0.3),
            detail=None if is_well else f"GET https://{name}.example.org/ 503, 648 bytes, 0.082 s",
        )
