"""The type `objective`: what it reads, its verdicts and its texts; and the key `slo`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.errors import HistoryError
from monitord.health import CoveredTime, Objective
from monitord.model import MonitorContext, Reason, Verdict
from monitord.monitors.objective import (
    ObjectiveMonitor,
    ObjectiveOptions,
    objective_of,
)
from tests.configurations import errors_of, options_of, settings_of
from tests.fakes import monitor_settings
from tests.history.world import START, SetClock
from tests.worlds import real_tools

DAY_S = 86_400.0
USUAL = Objective(99.9, 30 * DAY_S)
SHOP = '[monitors.shop]\nurl = "http://a.test/"\ntags = ["web"]\n'


@dataclass
class Outages:
    """Monitors that are always covered, with outages: start and end. `problem`: the history cannot be read."""

    names: Sequence[str] = ("shop",)
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)
    covered_since: datetime = START - timedelta(days=365)
    problem: str = ""
    reads: list[list[tuple[datetime, datetime]]] = field(default_factory=list)

    def select(self, patterns: tuple[str, ...], tags: tuple[str, ...]) -> Sequence[str]:
        del patterns, tags
        return self.names

    async def covered(
        self, monitors: Sequence[str], ranges: Sequence[tuple[datetime, datetime]]
    ) -> Sequence[CoveredTime]:
        if self.problem:
            raise HistoryError(self.problem)
        self.reads.append(list(ranges))
        return [
            CoveredTime(
                len(monitors) * overlap_s((self.covered_since, end), (start, end)),
                sum(overlap_s(outage, (start, end)) for outage in self.outages),
            )
            for start, end in ranges
        ]


def overlap_s(first: tuple[datetime, datetime], second: tuple[datetime, datetime]) -> float:
    start, end = max(first[0], second[0]), min(first[1], second[1])
    return max(0.0, (end - start).total_seconds())


@dataclass
class Checked:
    """An objective whose clock is set by hand."""

    monitor: ObjectiveMonitor
    clock: SetClock
    history: Outages

    def down(self, minutes_ago: float, for_minutes: float) -> None:
        start = self.clock.now() - timedelta(minutes=minutes_ago)
        self.history.outages.append((start, start + timedelta(minutes=for_minutes)))

    async def detail(self) -> tuple[Reason, str]:
        seen = await self.monitor.check()
        return seen.reason, seen.detail


@pytest.fixture
async def checked() -> Checked:
    return await make()


async def make(objective: Objective = USUAL, degraded_when: str | None = None) -> Checked:
    clock, history = SetClock(), Outages()
    options = ObjectiveOptions(objective, monitors=("shop",))
    settings = monitor_settings("objective", type_name="objective", options=options)
    if degraded_when is not None:
        condition = parse_condition(degraded_when, ObjectiveMonitor.vocabulary)
        settings = replace(settings, degraded_when=(condition,))
    async with real_tools() as tools:
        monitor = ObjectiveMonitor(settings, replace(tools, clock=clock, state_times=history))
    return Checked(monitor, clock, history)


async def test_objective_without_failures_passes_with_the_whole_budget(checked: Checked) -> None:
    seen = await checked.monitor.check()
    assert seen.reason is Reason.OK
    assert seen.detail == (
        "100.000 % in 30d, target 99.9 %, 100 % (43m) of the error budget left; burn rate 0 over 1h and 0 over 6h"
    )
    assert seen.fields == {
        "objective.monitors": 1,
        "objective.achieved_percent": 100.0,
        "objective.target_percent": 99.9,
        "error_budget.left_percent": 100.0,
        "error_budget.left_time": pytest.approx(2592),
        "error_budget.used_time": 0.0,
        "burn_rate.fast": 0.0,
        "burn_rate.fast_short": 0.0,
        "burn_rate.slow": 0.0,
        "burn_rate.slow_short": 0.0,
    }
    assert seen.fields.keys() == ObjectiveMonitor.vocabulary.fields.keys()


async def test_fast_burn_is_a_failure_and_names_the_end_of_the_budget(checked: Checked) -> None:
    checked.down(minutes_ago=6, for_minutes=6)
    seen = await checked.monitor.check()
    assert judge(seen, checked.monitor.settings, None).verdict is Verdict.FAIL
    assert (seen.reason, seen.detail) == (
        Reason.FAST_BURN,
        "burn rate 100 over 1h and 1000 over 5m (limit 14.4); at this rate, the error budget is used up in 6h11m; "
        "99.986 % in 30d, target 99.9 %, 86 % (37m) of the error budget left",
    )


async def test_slow_burn_is_a_warning(checked: Checked) -> None:
    # 30 seconds of each 20 minutes are 1.5 minutes of an hour: a rate of 25, but not in the last 5 minutes.
    for minutes_ago in range(10, 360, 20):
        checked.down(minutes_ago=minutes_ago, for_minutes=0.5)
    seen = await checked.monitor.check()
    assert judge(seen, checked.monitor.settings, None).verdict is Verdict.WARN
    assert (seen.reason, seen.detail.partition(";")[0]) == (
        Reason.SLOW_BURN,
        "burn rate 25 over 6h and 33.3 over 30m (limit 6)",
    )


async def test_alert_ends_soon_after_the_failure(checked: Checked) -> None:
    checked.down(minutes_ago=5, for_minutes=5)
    assert (await checked.detail())[0] is Reason.FAST_BURN
    checked.clock.at += timedelta(seconds=301)
    assert (await checked.detail())[0] is Reason.SLOW_BURN
    checked.clock.at += timedelta(seconds=1800)
    assert (await checked.detail())[0] is Reason.OK


async def test_used_up_budget_is_stated_in_both_texts(checked: Checked) -> None:
    checked.down(minutes_ago=60, for_minutes=60)
    assert (await checked.detail())[1] == (
        "burn rate 1000 over 1h and 1000 over 5m (limit 14.4); the error budget is used up; "
        "99.861 % in 30d, target 99.9 %, error budget exceeded by 16m"
    )
    checked.clock.at += timedelta(seconds=DAY_S)
    assert await checked.detail() == (
        Reason.OK,
        "99.861 % in 30d, target 99.9 %, error budget exceeded by 16m; burn rate 0 over 1h and 0 over 6h",
    )


async def test_without_burn_alerts_conditions_decide() -> None:
    objective = replace(USUAL, burn_alerts=False)
    for condition, verdict in (
        (None, Verdict.PASS),
        ("error_budget.left_percent < 90", Verdict.WARN),
        ("burn_rate.fast > 14.4 and burn_rate.fast_short > 14.4", Verdict.WARN),
        ("error_budget.left_time < 1m", Verdict.PASS),
    ):
        checked = await make(objective, condition)
        checked.down(minutes_ago=6, for_minutes=6)
        seen = await checked.monitor.check()
        assert seen.reason is Reason.OK
        assert judge(seen, checked.monitor.settings, None).verdict is verdict


async def test_objective_without_data_is_inconclusive(checked: Checked) -> None:
    checked.history.covered_since = checked.clock.now()
    assert await checked.detail() == (Reason.OBJECTIVE_NO_DATA, "no data for 1 monitor")
    checked.history.names = ()
    assert await checked.detail() == (Reason.OBJECTIVE_NO_DATA, "no monitor matches")
    assert Reason.OBJECTIVE_NO_DATA.is_inconclusive


async def test_unreadable_history_is_inconclusive(checked: Checked) -> None:
    checked.history.problem = "the history is disabled"
    assert await checked.detail() == (Reason.HISTORY_UNAVAILABLE, "the history is disabled")
    assert Reason.HISTORY_UNAVAILABLE.is_inconclusive


async def test_new_monitor_has_the_budget_of_its_covered_time(checked: Checked) -> None:
    checked.history.covered_since = checked.clock.now() - timedelta(days=1)
    seen = await checked.monitor.check()
    assert seen.fields["error_budget.left_time"] == pytest.approx(86.4)


async def test_check_reads_the_whole_window_only_once_in_a_while(checked: Checked) -> None:
    """The other checks read the last hours only, however long the window is."""
    for _ in range(43):
        await checked.monitor.check()
        checked.clock.at += timedelta(seconds=60)
    longest_s = [max((end - start).total_seconds() for start, end in read) for read in checked.history.reads]
    assert [seconds for seconds in longest_s if seconds > DAY_S / 2] == [30 * DAY_S - 6 * 3600]
    checked.clock.at += timedelta(seconds=60)
    await checked.monitor.check()
    assert len(checked.history.reads) == 43 + 1 + 2


async def test_time_between_two_reads_of_the_window_counts(checked: Checked) -> None:
    await checked.monitor.check()
    checked.clock.at += timedelta(seconds=1800)
    checked.down(minutes_ago=20, for_minutes=10)
    seen = await checked.monitor.check()
    assert seen.fields["error_budget.used_time"] == pytest.approx(600)


async def test_other_monitors_are_read_at_once(checked: Checked) -> None:
    await checked.monitor.check()
    checked.history.names = ("shop", "api")
    seen = await checked.monitor.check()
    assert seen.fields["objective.monitors"] == 2
    assert seen.fields["error_budget.left_time"] == pytest.approx(2 * 2592)


def test_options_are_read(tmp_path: Path) -> None:
    text = 'monitors = ["shop-*", "api"]\nmonitor_tags = ["prod"]\ntarget = 99.95\nwindow = "90d"\nburn_alerts = false'
    assert options_of(ObjectiveMonitor, tmp_path, text) == ObjectiveOptions(
        Objective(99.95, 90 * DAY_S, burn_alerts=False), ("shop-*", "api"), ("prod",)
    )
    assert options_of(ObjectiveMonitor, tmp_path, 'monitors = "shop"\ntarget = 99') == ObjectiveOptions(
        Objective(99.0, 30 * DAY_S), ("shop",)
    )


def test_slo_adds_a_monitor_with_the_tags_and_the_context_of_its_monitor(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        f'{SHOP}title = "Web shop"\nrunbook = "http://wiki.test/"\nslo = {{ target = 99.5, window = "7d" }}\n',
    )
    shop, objective = settings.monitors
    assert shop.objective == Objective(99.5, 7 * DAY_S)
    assert objective == objective_of(shop)
    assert (objective.name, objective.type_name, objective.tags) == ("objective:shop", "objective", ("web",))
    assert objective.options == ObjectiveOptions(Objective(99.5, 7 * DAY_S), ("shop",))
    assert objective.context == MonitorContext(title="Objective of Web shop", runbook="http://wiki.test/")


def test_slo_of_defaults_applies_unless_a_monitor_switches_it_off(tmp_path: Path) -> None:
    text = (
        '[defaults]\nslo = { target = 99, window = "14d" }\n'
        '[monitors.a]\nurl = "http://a.test/"\n'
        '[monitors.b]\nurl = "http://a.test/"\nslo = { target = 99.9 }\n'
        '[monitors.c]\nurl = "http://a.test/"\nslo = false\n'
        '[monitors.d]\ntype = "objective"\nmonitors = "*"\ntarget = 98\n'
    )
    found = {monitor.name: monitor for monitor in settings_of(tmp_path, text).monitors}
    assert sorted(found) == ["a", "b", "c", "d", "objective:a", "objective:b"]
    assert found["objective:a"].options.objective == Objective(99.0, 14 * DAY_S)
    assert found["objective:b"].options.objective == Objective(99.9, 14 * DAY_S)


def test_renamed_monitor_keeps_its_objective(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f'{SHOP}renamed_from = "web"\nslo = {{ target = 99.5 }}\n')
    assert settings.monitors[1].renamed_from == "objective:web"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            f"{SHOP}slo = {{ target = 0.999 }}\n",
            "slo.target: 0.999 is not a percentage of at least 1 and less than 100; write a number such as 99.9",
        ),
        (
            f"{SHOP}slo = {{ target = 100 }}\n",
            "slo.target: 100 is not a percentage of at least 1 and less than 100; write a number such as 99.9",
        ),
        (f'{SHOP}slo = {{ window = "30d" }}\n', "slo.target: missing; add target = 99.9"),
        (
            f'{SHOP}slo = {{ target = 99, window = "1d" }}\n',
            'slo.window: "1d" is too small; write at least 7d',
        ),
        (f"{SHOP}slo = {{ target = 99, burn = 1 }}\n", "slo.burn: unknown key"),
        (f"{SHOP}slo = 99.9\n", "slo: 99.9 is not a table; write it as [monitors.shop.slo]"),
        (
            f'[history]\nday_retention = "60d"\n{SHOP}slo = {{ target = 99, window = "90d" }}\n',
            'slo.window: "90d" is longer than day_retention in [history], which is "60d"; '
            'write at most "60d", or increase day_retention',
        ),
        (
            f"[history]\nenabled = false\n{SHOP}slo = {{ target = 99 }}\n",
            "slo.target: needs the history, which is disabled; write enabled = true in [history], or remove it",
        ),
    ],
)
def test_wrong_objective_of_a_monitor_is_rejected(tmp_path: Path, text: str, error: str) -> None:
    (found,) = errors_of(tmp_path, text)
    assert f": monitors.shop.{error}" in found


@pytest.mark.parametrize(
    ("slo", "warnings"),
    [
        (
            "target = 80",
            [
                "80 is too low for alerts: the burn rate of a total outage is 5, and slow burn begins at 6; "
                "write a higher target, or burn_alerts = false"
            ],
        ),
        ("target = 80, burn_alerts = false", []),
        ("target = 84", []),
    ],
)
def test_target_that_is_too_low_for_alerts_is_a_warning(
    tmp_path: Path, slo: str, warnings: list[str]
) -> None:
    text = f"[defaults]\nslo = {{ {slo} }}\n{SHOP}[monitors.mail]\nurl = 'http://b.test/'\n"
    found = settings_of(tmp_path, text).warnings
    assert [f"{warning.problem}; {warning.hint}" for warning in found] == warnings
    assert all(warning.key == "defaults.slo.target" for warning in found)


def test_error_in_defaults_is_reported_once(tmp_path: Path) -> None:
    text = '[history]\nday_retention = "60d"\n[defaults]\nslo = { target = 99, window = "90d" }\n'
    monitors = "".join(f'[monitors.{name}]\nurl = "http://a.test/"\n' for name in "abc")
    (error,) = errors_of(tmp_path, text + monitors)
    assert ': defaults.slo.window: "90d" is longer than day_retention in [history]' in error
