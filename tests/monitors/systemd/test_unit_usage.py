"""Resources of a unit: fields of each check, their rates, and restarts in an hour."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors import Monitor
from monitord.monitors.systemd.unit_usage import RESOURCE_FIELDS, ResourceRates, RestartHistory
from monitord.net.dbus.unit_resources import UnitResources, resources_of
from tests.buses import NOT_SET, resources, service
from tests.systemds import Bench, MovedClock, a_host

NGINX = "nginx.service"
KEYS = f'type = "unit"\nunit = "{NGINX}"'
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GB = 1 << 30

FULL: dict[str, Any] = {
    "MemoryCurrent": GB,
    "MemoryHigh": 2 * GB,
    "MemoryMax": 4 * GB,
    "TasksCurrent": 30,
    "TasksMax": 120,
    "CPUUsageNSec": 5_000_000_000,
    "IPIngressBytes": 1000,
    "IPEgressBytes": 2000,
}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_host(tmp_path) as bench:
        bench.systemd.units[NGINX] = service(**resources(**FULL))
        yield bench


def verdict_of(monitor: Monitor[Any], observation: Observation) -> Verdict:
    return judge(observation, monitor.settings, None).verdict


# Fields of one check


def test_counters_and_limits_that_are_not_set_are_unknown() -> None:
    assert resources_of(resources()) == UnitResources(
        run="00" * 16,
        control_group="/system.slice/nginx.service",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert resources_of({"MemoryCurrent": "much", "TasksCurrent": -1, "InvocationID": 5}) == UnitResources()


def test_unit_with_limits_has_all_fields() -> None:
    used = ResourceRates().use(resources_of(resources(**FULL)), 0.0)
    assert used.fields == {
        "unit.memory": GB,
        "unit.memory_high": 2 * GB,
        "unit.memory_max": 4 * GB,
        "unit.memory_high_percent": 50.0,
        "unit.memory_max_percent": 25.0,
        "unit.tasks": 30,
        "unit.tasks_max": 120,
        "unit.tasks_percent": 25.0,
        "unit.received": 1000,
        "unit.sent": 2000,
    }
    assert used.pending == {"unit.cpu_percent", "unit.received_rate", "unit.sent_rate"}
    assert used.fields.keys() | used.missing.keys() == RESOURCE_FIELDS.keys()


def test_each_missing_field_has_its_reason() -> None:
    used = ResourceRates().use(UnitResources(memory_bytes=5), 0.0)
    assert used.fields == {"unit.memory": 5}
    assert used.missing["unit.memory_max_percent"] == "the unit has no MemoryMax="
    assert used.missing["unit.tasks_percent"] == "the tasks of the unit are not counted"
    assert used.missing["unit.sent_rate"].startswith("the unit has no IPAccounting=yes")
    assert not used.pending
    assert used.missing.keys() == RESOURCE_FIELDS.keys() - {"unit.memory"}


# Rates


def test_rates_are_those_since_the_previous_check() -> None:
    rates = ResourceRates()
    rates.use(UnitResources("a", cpu_s=5.0, received_bytes=1000, sent_bytes=0), 100.0)
    used = rates.use(UnitResources("a", cpu_s=20.0, received_bytes=4000, sent_bytes=0), 110.0)
    assert used.fields["unit.cpu_percent"] == 150.0
    assert used.fields["unit.received_rate"] == 300.0
    assert used.fields["unit.sent_rate"] == 0.0


@pytest.mark.parametrize(
    ("after", "after_s", "why"),
    [
        pytest.param(
            UnitResources("b", cpu_s=9.0),
            110.0,
            "the unit has been started since the previous check",
            id="start",
        ),
        pytest.param(UnitResources("a", cpu_s=1.0), 110.0, "the counter of the unit was reset", id="smaller"),
        pytest.param(UnitResources("a", cpu_s=9.0), 100.0, "it is measured from this check on", id="no time"),
    ],
)
def test_rate_is_not_known_after_a_reset(after: UnitResources, after_s: float, why: str) -> None:
    rates = ResourceRates()
    rates.use(UnitResources("a", cpu_s=5.0), 100.0)
    used = rates.use(after, after_s)
    assert "unit.cpu_percent" not in used.fields
    assert used.missing["unit.cpu_percent"] == why
    assert "unit.cpu_percent" in used.pending


# Restarts


def test_restarts_of_the_last_hour_are_counted() -> None:
    history = RestartHistory()
    assert history.record(7, NOON) == 0
    assert history.record(9, NOON + timedelta(minutes=5)) == 2
    assert history.record(10, NOON + timedelta(minutes=50)) == 3
    assert history.record(10, NOON + timedelta(minutes=66)) == 1
    assert history.record(10, NOON + timedelta(hours=3)) == 0


def test_manual_start_resets_the_counter_of_systemd() -> None:
    history = RestartHistory()
    history.record(7, NOON)
    assert history.record(2, NOON + timedelta(minutes=1)) == 2


def test_clock_that_is_set_back_discards_later_restarts() -> None:
    history = RestartHistory()
    history.record(0, NOON)
    assert history.record(5, NOON + timedelta(minutes=30)) == 5
    assert history.record(5, NOON) == 0


def test_restarts_are_counted_across_a_restart_of_the_daemon() -> None:
    before, after = RestartHistory(), RestartHistory()
    assert before.dump_state() is None
    before.record(0, NOON)
    before.record(2, NOON + timedelta(minutes=1))
    state = before.dump_state()
    assert state is not None
    after.restore_state(state)
    assert after.record(3, NOON + timedelta(minutes=10)) == 3


@pytest.mark.parametrize(
    "state", [{}, {"counter": "x", "minutes": []}, {"counter": 1, "minutes": [[1], ["a", 2], [3, -1], 4]}]
)
def test_invalid_state_is_ignored(state: dict[str, Any]) -> None:
    history = RestartHistory()
    history.restore_state(state)
    assert history.record(1, NOON) == 0


# Checks


async def test_resources_are_queried_only_if_they_are_needed(host: Bench) -> None:
    plain = await host.monitor(KEYS).check()
    assert not RESOURCE_FIELDS.keys() & plain.fields.keys()
    assert plain.fields["unit.restarts_per_hour"] == 0
    with_option = await host.monitor(f"{KEYS}\nresources = true").check()
    assert with_option.fields["unit.memory_max_percent"] == 25.0
    assert with_option.reason is Reason.OK
    with_condition = await host.monitor(KEYS, "unit.tasks_percent < 50").check()
    assert with_condition.fields["unit.tasks"] == 30


async def test_condition_on_a_rate_is_inconclusive_until_it_is_known(host: Bench) -> None:
    clock, properties = MovedClock(), host.systemd.units[NGINX].properties
    monitor = host.monitor(KEYS, "unit.cpu_percent < 50", clock=clock)
    first = await monitor.check()
    assert (first.reason, verdict_of(monitor, first)) == (Reason.PROBER_MEASURING, Verdict.INCONCLUSIVE)
    assert first.detail.endswith("; unit.cpu_percent is not known: it is measured from this check on")
    clock.ahead_s += 1_000_000.0
    assert verdict_of(monitor, await monitor.check()) is Verdict.PASS
    properties |= {"InvocationID": bytes(15) + b"1", "CPUUsageNSec": 1}
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE


async def test_condition_on_a_limit_that_is_not_set_is_inconclusive(host: Bench) -> None:
    host.systemd.units[NGINX].properties["MemoryMax"] = NOT_SET
    monitor = host.monitor(KEYS, "unit.memory_max_percent < 90")
    observation = await monitor.check()
    assert (observation.reason, verdict_of(monitor, observation)) == (
        Reason.PROBER_FORBIDDEN,
        Verdict.INCONCLUSIVE,
    )
    assert observation.detail.endswith("; unit.memory_max_percent is not known: the unit has no MemoryMax=")


async def test_unit_that_is_not_active_fails_whatever_its_resources_are(host: Bench) -> None:
    unit = host.systemd.units[NGINX]
    unit.active_state, unit.sub_state = "failed", "failed"
    unit.properties |= {"Result": "exit-code", **resources()}
    monitor = host.monitor(KEYS, "unit.cpu_percent < 50")
    assert verdict_of(monitor, await monitor.check()) is Verdict.FAIL


async def test_unit_that_does_not_exist_has_no_resources(host: Bench) -> None:
    host.systemd.units.clear()
    observation = await host.monitor(f"{KEYS}\nresources = true").check()
    assert observation.reason is Reason.UNIT_INACTIVE
    assert not RESOURCE_FIELDS.keys() & observation.fields.keys()
