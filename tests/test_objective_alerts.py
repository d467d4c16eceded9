"""Burn-rate alerts of a whole daemon, across restarts and reloads, in fake time. The history of `web` is made up."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from monitord.dispatch import Matcher
from monitord.health import CoveredTime
from monitord.model import Reason
from monitord.monitors import MONITOR_TYPES, MonitorSettings, Tools
from monitord.monitors.objective import ObjectiveMonitor
from tests.lifetimes import NOTIFIER, WEB, Scripted, lifetime, run

SLO = "slo = { target = 99 }\n"


class BadTimes:
    """`bad_ratio` of the time is bad, in all windows."""

    bad_ratio: ClassVar[float] = 0.0

    def select(self, patterns: tuple[str, ...], tags: tuple[str, ...]) -> Sequence[str]:
        del tags
        return patterns

    async def covered(
        self, monitors: Sequence[str], ranges: Sequence[tuple[datetime, datetime]]
    ) -> Sequence[CoveredTime]:
        assert monitors == ("web",)
        lengths_s = [(end - start).total_seconds() for start, end in ranges]
        return [CoveredTime(length_s, length_s * self.bad_ratio) for length_s in lengths_s]


class BurningObjective(ObjectiveMonitor):
    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, replace(tools, state_times=BadTimes()))


@pytest.fixture(autouse=True)
def with_made_up_history() -> Iterator[None]:
    before = MONITOR_TYPES["objective"]
    MONITOR_TYPES["objective"] = BurningObjective
    BadTimes.bad_ratio = 0.0
    try:
        yield
    finally:
        MONITOR_TYPES["objective"] = before


def test_fast_burn_and_its_end_cause_one_notification_each(tmp_path: Path) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB + SLO) as daemon:
            await asyncio.sleep(300)
            assert daemon.sent == []
            BadTimes.bad_ratio = 0.2
            await asyncio.sleep(1800)
            assert daemon.sent == ["DOWN: Objective of web (objective:web)"]
            (incident,) = (found for found in daemon.incidents if found.closed_at is None)
            assert incident.detail.startswith(
                "burn rate 20 over 1h and 20 over 5m (limit 14.4); at this rate, the error budget is used up in 1d"
            )
            BadTimes.bad_ratio = 0.0
            await asyncio.sleep(300)
            assert daemon.sent[1:] == ["UP: Objective of web (objective:web)"]

    run(main)


def test_slow_burn_is_notified_as_degraded(tmp_path: Path) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB + SLO) as daemon:
            BadTimes.bad_ratio = 0.1
            await asyncio.sleep(300)
            assert daemon.sent == ["DEGRADED: Objective of web (objective:web)"]

    run(main)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_restart_repeats_nothing_and_the_recovery_is_sent(tmp_path: Path, is_killed: bool) -> None:
    async def main() -> None:
        config = NOTIFIER + WEB + SLO
        BadTimes.bad_ratio = 0.2
        async with lifetime(tmp_path, config, is_killed=is_killed) as daemon:
            await asyncio.sleep(300)
            assert daemon.sent == ["DOWN: Objective of web (objective:web)"]
        async with lifetime(tmp_path, config) as daemon:
            await asyncio.sleep(300)
            assert daemon.sent == []
            BadTimes.bad_ratio = 0.0
            await asyncio.sleep(300)
            assert daemon.sent == ["UP: Objective of web (objective:web)"]

    run(main)


def test_reload_keeps_the_alert_changes_the_objective_and_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        BadTimes.bad_ratio = 0.2
        async with lifetime(tmp_path, NOTIFIER + WEB + SLO) as daemon:
            await asyncio.sleep(300)
            await daemon.reload(NOTIFIER + WEB + "slo = { target = 98.7 }\n")
            await asyncio.sleep(300)
            assert daemon.sent == ["DOWN: Objective of web (objective:web)"]
            # 20 % is 10 times of 2 %, which is only a slow burn.
            await daemon.reload(NOTIFIER + WEB + "slo = { target = 98 }\n")
            await asyncio.sleep(300)
            assert daemon.sent[1:] == ["DEGRADED: Objective of web (objective:web)"]
            await daemon.reload(NOTIFIER + WEB + "slo = { target = 98, burn_alerts = false }\n")
            await asyncio.sleep(300)
            assert daemon.sent[2:] == ["UP: Objective of web (objective:web)"]
            await daemon.reload(NOTIFIER + WEB + "slo = { target = 98 }\n")
            await asyncio.sleep(300)
            await daemon.reload(NOTIFIER + WEB)
            await asyncio.sleep(300)
            assert daemon.sent[3:] == [
                "DEGRADED: Objective of web (objective:web)",
                "CLOSED: Objective of web (objective:web), no longer monitored",
            ]

    run(main)


@pytest.mark.parametrize(
    ("matcher", "count"),
    [
        (Matcher(names=("web",)), "2 monitors"),
        (Matcher(patterns=("w*",)), "2 monitors"),
        (Matcher(names=("objective:web",)), "1 monitor"),
        (Matcher(names=("db",)), "0 monitors"),
        (Matcher(names=("web",), tags=("prod",)), "0 monitors"),
    ],
    ids=["name", "pattern", "objective", "other", "tag"],
)
def test_silence_of_a_monitor_silences_its_objective(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, matcher: Matcher, count: str
) -> None:
    is_silenced = count != "0 monitors"

    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + WEB + SLO) as daemon:
            interventions = daemon.container.interventions
            until = daemon.container.clock.now() + timedelta(hours=1)
            silence = interventions.silence(matcher, until, None, "kim")
            BadTimes.bad_ratio = 0.2
            await asyncio.sleep(300)
            notified = ["DOWN: Objective of web (objective:web)"]
            assert daemon.sent == ([] if is_silenced else notified)
            if is_silenced:
                assert daemon.why("objective:web").startswith("suppressed: silenced until ")
            interventions.unsilence(silence, "kim")
            await asyncio.sleep(60)
            assert daemon.sent == notified

    with caplog.at_level("INFO", "monitord"):
        run(main)
    assert f"created by kim: {count}, until" in caplog.text


def test_routes_by_name_apply_to_objectives(tmp_path: Path) -> None:
    routes = NOTIFIER + (
        '[[alerts.routes]]\nmonitors = ["objective:*"]\nnotify = ["ops"]\n[[alerts.routes]]\nnotify = []\n'
    )

    async def main() -> None:
        BadTimes.bad_ratio = 0.2
        Scripted.bad = {"web": Reason.REFUSED}
        async with lifetime(tmp_path, routes + WEB + SLO) as daemon:
            await asyncio.sleep(300)
            assert {found.monitor for found in daemon.incidents} == {"web", "objective:web"}
            assert daemon.sent == ["DOWN: Objective of web (objective:web)"]

    run(main)
