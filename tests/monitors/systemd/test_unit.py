"""The type `unit`: its options as written in a file, and its results for the units of a systemd on a real bus."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.services import OnCrash
from monitord.monitors.systemd.unit import MAX_QUERIED, ExpectedState, UnitMonitor, UnitOptions
from monitord.monitors.systemd.unit_usage import RESOURCE_FIELDS
from tests.buses import FakeUnit, service, until
from tests.configurations import options_of
from tests.systemds import Bench, MovedClock, Started, StoppedClock, a_host

ROOT = Path(__file__).parents[2].parent

NGINX = "nginx.service"
ONE = f'type = "unit"\nunit = "{NGINX}"'
MANY = 'type = "unit"\nunits = "*.service"'
BAD: dict[str, Any] = {"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 1}
WELL: dict[str, Any] = {"Result": "success", "ExecMainCode": 0, "ExecMainStatus": 0}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_host(tmp_path) as bench:
        bench.systemd.units[NGINX] = service(StateChangeTimestamp=ago(300))
        yield bench


def without_time(detail: str) -> str:
    """Return the detail without its time, which is absolute, as a detail is stored."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", detail)


def ago(seconds: float) -> int:
    """Return a past time in the form of systemd."""
    return int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp() * 1e6)


def set_unit_state(
    host: Bench, active_state: str, sub_state: str, *, since: float = 300, **properties: Any
) -> None:
    """Set the state of a unit without a signal."""
    unit = host.systemd.units[NGINX]
    unit.active_state, unit.sub_state = active_state, sub_state
    unit.properties |= {"StateChangeTimestamp": ago(since), **properties}


async def crash_and_restart(host: Bench, name: str, number: int, **ended: Any) -> None:
    """Send the signals of systemd: the run has ended and waits for its restart, then the next run begins."""
    ended = ended or BAD
    await host.systemd.change(
        name, "activating", "auto-restart", ExecMainStartTimestampMonotonic=10 + number, **ended
    )
    await host.systemd.change(
        name, "active", "running", NRestarts=number, ExecMainStartTimestampMonotonic=10 + number + 1, **WELL
    )


async def one_check(host: Bench, keys: str, *up_when: str) -> Observation:
    return await host.monitor(keys, *up_when).check()


# States


@pytest.mark.parametrize(
    ("keys", "active_state", "sub_state", "properties", "reason", "said"),
    [
        pytest.param("", "active", "running", {}, Reason.OK, "active (running) since TIME", id="active"),
        pytest.param("", "reloading", "reload", {}, Reason.OK, "reloading (reload) since TIME", id="reloading"),
        pytest.param("", "failed", "failed", BAD, Reason.UNIT_FAILED,
                     "failed (exit-code, status 1) since TIME", id="failed"),
        pytest.param("", "failed", "failed", {"Result": "signal", "ExecMainCode": 2, "ExecMainStatus": 9},
                     Reason.UNIT_FAILED, "failed (signal, signal 9) since TIME", id="killed"),
        pytest.param("", "failed", "failed", {"Result": "start-limit-hit"}, Reason.UNIT_FAILED,
                     "failed (start-limit-hit) since TIME", id="started_too_often"),
        pytest.param("", "inactive", "dead", {}, Reason.UNIT_INACTIVE, "inactive (dead) since TIME", id="stopped"),
        pytest.param("", "activating", "start", {}, Reason.UNIT_INACTIVE,
                     "activating (start) since TIME", id="does_not_get_up"),
        pytest.param("", "inactive", "dead", {"Type": "oneshot"}, Reason.OK,
                     "inactive (dead) since TIME", id="oneshot_between_two_runs"),
        pytest.param("", "activating", "start", {"Type": "oneshot"}, Reason.OK,
                     "activating (start) since TIME", id="oneshot_at_work"),
        pytest.param("", "failed", "failed", {"Type": "oneshot", **BAD}, Reason.UNIT_FAILED,
                     "failed (exit-code, status 1) since TIME", id="oneshot_failed"),
        pytest.param('expect = "not_failed"', "inactive", "dead", {}, Reason.OK,
                     "inactive (dead) since TIME", id="only_not_failed"),
        pytest.param('expect = "not_failed"', "failed", "failed", BAD, Reason.UNIT_FAILED,
                     "failed (exit-code, status 1) since TIME", id="only_not_failed_but_failed"),
        pytest.param('expect = "inactive"', "inactive", "dead", {}, Reason.OK,
                     "inactive (dead) since TIME", id="is_to_be_inactive"),
        pytest.param('expect = "inactive"', "active", "running", {}, Reason.CONDITION_FAILED,
                     "active (running) since TIME", id="is_to_be_inactive_but_runs"),
        pytest.param('expect = "inactive"', "failed", "failed", BAD, Reason.UNIT_FAILED,
                     "failed (exit-code, status 1) since TIME", id="is_to_be_inactive_but_failed"),
    ],
)  # fmt: skip
async def test_state_of_a_unit_has_its_result(
    host: Bench,
    keys: str,
    active_state: str,
    sub_state: str,
    properties: dict[str, Any],
    reason: Reason,
    said: str,
) -> None:
    set_unit_state(host, active_state, sub_state, **properties)
    seen = await one_check(host, f"{ONE}\n{keys}")
    assert (seen.reason, without_time(seen.detail)) == (reason, f"{NGINX} {said}")
    assert (seen.subject, without_time(seen.outcome)) == (NGINX, said)


async def test_missing_unit_is_inactive(host: Bench) -> None:
    del host.systemd.units[NGINX]
    seen = await one_check(host, ONE)
    assert (seen.reason, seen.detail) == (Reason.UNIT_INACTIVE, f"{NGINX} not found")
    assert (seen.fields["unit.load_state"], seen.fields["unit.count"]) == ("not-found", 0)


async def test_masked_unit_is_reported_as_masked(host: Bench) -> None:
    set_unit_state(host, "inactive", "dead")
    host.systemd.units[NGINX].load_state = "masked"
    seen = await one_check(host, ONE)
    assert without_time(seen.detail) == f"{NGINX} inactive (dead, masked) since TIME"


@pytest.mark.parametrize("microsecond", [100_000, 600_000])
async def test_time_of_a_failure_is_the_same_in_each_check(host: Bench, microsecond: int) -> None:
    clock = StoppedClock(datetime(2026, 1, 5, 3, 0, 0, microsecond, UTC))
    failed_at = datetime(2026, 1, 5, 2, 59, 59, 900_000, UTC)
    set_unit_state(host, "failed", "failed", **BAD)
    host.systemd.units[NGINX].properties["StateChangeTimestamp"] = int(failed_at.timestamp() * 1e6)
    seen = await host.monitor(ONE, clock=clock).check()
    assert seen.detail.endswith(" since 2026-01-05 02:59:59 UTC")


async def test_unit_unchanged_since_the_boot_has_no_grace_period(host: Bench) -> None:
    set_unit_state(host, "inactive", "dead")
    host.systemd.units[NGINX].properties["StateChangeTimestamp"] = 0
    seen = await one_check(host, ONE)
    assert (seen.reason, seen.detail) == (Reason.UNIT_INACTIVE, f"{NGINX} inactive (dead)")
    assert "unit.since" not in seen.fields


@pytest.mark.parametrize(
    "state", [("inactive", "dead"), ("activating", "start"), ("deactivating", "stop-sigterm")]
)
async def test_restarting_unit_has_the_grace_period(host: Bench, state: tuple[str, str]) -> None:
    set_unit_state(host, *state, since=5)
    seen = await one_check(host, ONE)
    assert seen.reason is Reason.OK
    assert seen.detail.endswith("accepted for 30s (grace)")
    assert (await one_check(host, f"{ONE}\ngrace = 4")).reason is Reason.UNIT_INACTIVE


async def test_stopped_unit_that_was_unloaded_has_the_grace_period(host: Bench) -> None:
    """A unit that nothing refers to is unloaded as soon as it is stopped, with the time of its last change."""
    clock = MovedClock()
    monitor = host.monitor(ONE, clock=clock)
    assert (await monitor.check()).reason is Reason.OK
    set_unit_state(host, "inactive", "dead", NRestarts=0, ExecMainStartTimestampMonotonic=0)
    host.systemd.units[NGINX].properties["StateChangeTimestamp"] = 0
    for after_s, reason in ((0, Reason.OK), (20, Reason.OK), (40, Reason.UNIT_INACTIVE)):
        clock.ahead_s = after_s
        assert (await monitor.check()).reason is reason
        # A restart of monitord continues with it: otherwise a unit that is down would be up for that time.
        again, memory = host.monitor(ONE, clock=clock), monitor.dump_state()
        assert memory is not None
        again.restore_state(json.loads(json.dumps(memory)))
        assert (await again.check()).reason is reason


async def test_end_of_the_grace_requests_a_check(host: Bench) -> None:
    started = Started(host.monitor(f'{ONE}\ngrace = "2s"'))
    set_unit_state(host, "inactive", "dead", since=1.9)
    assert (await started.monitor.check()).reason is Reason.OK
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.UNIT_INACTIVE
    await started.monitor.close()


async def test_unit_has_every_field(host: Bench) -> None:
    set_unit_state(host, "failed", "failed", NRestarts=4, **BAD)
    seen = await one_check(host, ONE)
    assert set(seen.fields) == UnitMonitor.vocabulary.fields.keys() - RESOURCE_FIELDS.keys()
    wanted = {
        "unit.active_state": "failed",
        "unit.sub_state": "failed",
        "unit.load_state": "loaded",
        "unit.result": "exit-code",
        "unit.exit_code": "exited",
        "unit.exit_status": 1,
        "unit.restarts": 4,
        "unit.crashes": 0,
        "unit.count": 1,
        "unit.failed": 1,
        "unit.failed_units": (NGINX,),
    }
    assert {name: seen.fields[name] for name in wanted} == wanted
    assert isinstance(seen.fields["unit.since"], float)
    assert 299 < seen.fields["unit.since"] < 400


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("unit.active_state in ['active', 'inactive']", Verdict.PASS),
        ("unit.active_state == 'active'", Verdict.FAIL),
        ("unit.since < 1h and unit.restarts == 0", Verdict.PASS),
    ],
)
async def test_conditions_replace_the_expected_state(host: Bench, condition: str, verdict: Verdict) -> None:
    set_unit_state(host, "inactive", "dead")
    monitor = host.monitor(ONE, condition)
    assert judge(await monitor.check(), monitor.settings, None).verdict is verdict


# Crashes


async def test_crash_between_two_checks_fails_the_next_check(host: Bench) -> None:
    started = Started(host.monitor(ONE))
    assert (await started.monitor.check()).reason is Reason.OK
    await crash_and_restart(host, NGINX, 1)
    await started.wait_for_change()
    seen = await started.monitor.check()
    assert seen.reason is Reason.UNIT_FAILED
    assert f"{NGINX} active (running)" in seen.detail
    assert "crashed (exit-code) and was restarted once since " in seen.detail
    assert (seen.fields["unit.active_state"], seen.fields["unit.crashes"]) == ("active", 1)
    seen = await started.monitor.check()
    assert (seen.reason, seen.fields["unit.crashes"]) == (Reason.OK, 0)
    await started.monitor.close()


async def test_unobserved_crash_is_counted_by_systemd(host: Bench) -> None:
    monitor = host.monitor(ONE)
    await monitor.check()
    set_unit_state(host, "active", "running", NRestarts=3, ExecMainStartTimestampMonotonic=10 + 9)
    seen = await monitor.check()
    assert seen.reason is Reason.UNIT_FAILED
    assert "crashed and was restarted 3 times since " in seen.detail


async def test_crash_while_monitord_was_stopped_is_reported_after_its_start(host: Bench) -> None:
    before = host.monitor(ONE)
    assert before.dump_state() is None
    await before.check()
    set_unit_state(host, "active", "running", NRestarts=1, ExecMainStartTimestampMonotonic=10 + 9)
    after = host.monitor(ONE)
    memory = before.dump_state()
    assert memory is not None
    after.restore_state(memory)
    assert (await after.check()).reason is Reason.UNIT_FAILED
    unrelated = host.monitor(ONE)
    unrelated.restore_state({"checked_at": "yesterday", "ends": {"restarts": 0, "run": ""}})
    assert (await unrelated.check()).reason is Reason.OK


async def test_other_unit_of_the_same_monitor_begins_without_the_stored_restarts(host: Bench) -> None:
    """A reload that changes only `unit` passes on the state of the previous unit."""
    before = host.monitor('type = "unit"\nunit = "other.service"')
    await before.check()
    memory = before.dump_state()
    assert memory is not None
    set_unit_state(host, "active", "running", NRestarts=7, ExecMainStartTimestampMonotonic=10 + 9)
    after = host.monitor(ONE)
    after.restore_state(memory)
    assert (await after.check()).reason is Reason.OK


@pytest.mark.parametrize(
    ("crash", "reason", "verdict"),
    [
        ("fail", Reason.UNIT_FAILED, Verdict.FAIL),
        ("warn", Reason.UNIT_RESTARTED, Verdict.WARN),
        ("ignore", Reason.OK, Verdict.PASS),
    ],
)
async def test_effect_of_a_crash_is_configurable(
    host: Bench, crash: str, reason: Reason, verdict: Verdict
) -> None:
    started = Started(host.monitor(f'{ONE}\non_crash = "{crash}"'))
    await started.monitor.check()
    await crash_and_restart(host, NGINX, 1)
    await started.wait_for_change()
    seen = await started.monitor.check()
    assert (seen.reason, seen.fields["unit.crashes"]) == (reason, 1)
    assert judge(seen, started.monitor.settings, None).verdict is verdict
    await started.monitor.close()


async def test_successful_program_that_is_restarted_has_not_crashed(host: Bench) -> None:
    started = Started(host.monitor(ONE))
    await started.monitor.check()
    await crash_and_restart(host, NGINX, 1, **WELL)
    await started.wait_for_change()
    seen = await started.monitor.check()
    assert (seen.reason, seen.fields["unit.crashes"]) == (Reason.OK, 0)
    await started.monitor.close()


async def test_unit_that_waits_for_its_restart_has_failed(host: Bench) -> None:
    set_unit_state(host, "activating", "auto-restart", since=1, **BAD)
    seen = await one_check(host, ONE)
    assert (seen.reason, without_time(seen.detail)) == (
        Reason.UNIT_FAILED,
        f"{NGINX} activating (auto-restart, exit-code, status 1) since TIME",
    )
    assert (await one_check(host, f'{ONE}\non_crash = "ignore"')).reason is Reason.OK


async def test_crash_counts_in_addition_to_conditions(host: Bench) -> None:
    monitor = host.monitor(ONE, "unit.active_state == 'active'")
    await monitor.check()
    set_unit_state(host, "active", "running", NRestarts=1, ExecMainStartTimestampMonotonic=10 + 9)
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.FAIL


# Signals


async def test_changes_wake_the_monitor_at_a_limited_rate(host: Bench) -> None:
    started = Started(host.monitor(ONE))
    await started.monitor.check()
    for number in range(1, 50):
        await crash_and_restart(host, NGINX, number)
    await started.wait_for_change()
    assert started.woken <= 3
    await until(lambda: started.woken >= 2)
    await started.monitor.close()


async def test_monitor_that_was_never_checked_is_not_woken_by_the_connection(host: Bench) -> None:
    started = Started(host.monitor(ONE))
    await host.units.state(NGINX, deadline=asyncio.get_running_loop().time() + 20)
    assert started.woken == 0
    await started.monitor.check()
    await host.systemd.reload()
    await started.wait_for_change()
    await started.monitor.close()


async def test_changes_of_a_unit_named_by_an_alias_are_received(host: Bench) -> None:
    host.systemd.aliases["www.service"] = NGINX
    started = Started(host.monitor('type = "unit"\nunit = "www.service"'))
    await started.monitor.check()
    await crash_and_restart(host, NGINX, 1)
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.UNIT_FAILED
    await started.monitor.close()


async def test_closed_monitor_receives_no_changes(host: Bench) -> None:
    started = Started(host.monitor(ONE))
    await started.monitor.check()
    await started.monitor.close()
    await crash_and_restart(host, NGINX, 1)
    await host.units.state(NGINX, deadline=asyncio.get_running_loop().time() + 20)
    assert started.woken == 0


# Without a service manager


async def test_unit_on_a_host_without_a_bus_is_inconclusive(host: Bench) -> None:
    monitor = host.monitor(ONE)
    await monitor.check()
    host.daemon.stop()
    await until(lambda: host.units._connection is None)
    seen = await monitor.check()
    assert seen.reason is Reason.MANAGER_TIMEOUT
    assert seen.detail == f"{NGINX}: the service manager cannot be queried: the bus closed the connection"
    assert judge(seen, monitor.settings, None).verdict is Verdict.INCONCLUSIVE


async def test_hanging_service_manager_is_inconclusive(host: Bench) -> None:
    await host.monitor(ONE).check()
    host.systemd.is_hanging = True
    seen = await host.monitor(ONE, timeout_s=0.05).check()
    assert seen.reason is Reason.MANAGER_TIMEOUT
    assert "does not reply to ListUnitsByNames" in seen.detail


async def test_bus_that_denies_access_is_a_probe_error(tmp_path: Path) -> None:
    async with a_host(tmp_path) as host:
        host.systemd.answer = host.systemd.denied
        seen = await host.monitor(ONE).check()
    assert seen.reason is Reason.PROBER_FORBIDDEN


# Patterns


async def test_pattern_that_matches_one_unit_is_described_in_the_singular(host: Bench) -> None:
    assert (await one_check(host, MANY)).detail == "*.service 1 unit, no problems"
    set_unit_state(host, "failed", "failed", **BAD)
    assert (await one_check(host, MANY)).detail.startswith("*.service 1 of 1 unit with problems: ")


async def test_one_failed_unit_fails_a_monitor_of_many(host: Bench) -> None:
    host.systemd.units["once.service"] = FakeUnit(active_state="inactive", sub_state="dead")
    host.systemd.units["other.timer"] = FakeUnit(active_state="failed")
    seen = await one_check(host, MANY)
    assert (seen.reason, seen.detail) == (Reason.OK, "*.service 2 units, no problems")
    set_unit_state(host, "failed", "failed", **BAD)
    seen = await one_check(host, MANY)
    assert (seen.reason, without_time(seen.detail)) == (
        Reason.UNIT_FAILED,
        f"*.service 1 of 2 units with problems: {NGINX} failed (exit-code, status 1) since TIME",
    )
    fields = {
        name: seen.fields[name] for name in ("unit.count", "unit.failed", "unit.failed_units", "unit.crashes")
    }
    assert list(fields.values()) == [2, 1, (NGINX,), 0]


async def test_one_inactive_unit_fails_a_monitor_that_expects_many_active(host: Bench) -> None:
    keys = 'type = "unit"\nunits = ["ng*", "once.service"]\nexpect = "active"'
    host.systemd.units["once.service"] = service(Type="oneshot")
    host.systemd.units["once.service"].active_state = "inactive"
    assert (await one_check(host, keys)).reason is Reason.OK
    set_unit_state(host, "inactive", "dead")
    seen = await one_check(host, keys)
    assert (seen.reason, seen.fields["unit.failed"]) == (Reason.UNIT_INACTIVE, 0)
    assert f"1 of 2 units with problems: {NGINX} inactive (dead)" in seen.detail


async def test_pattern_without_matches_passes_unless_active_units_are_expected(host: Bench) -> None:
    keys = 'type = "unit"\nunits = "no-*"'
    seen = await one_check(host, keys)
    assert (seen.reason, seen.detail) == (Reason.OK, "no-* no matching unit is loaded")
    assert (await one_check(host, f'{keys}\nexpect = "active"')).reason is Reason.UNIT_INACTIVE


async def test_many_failed_units_are_counted_and_some_are_named(host: Bench) -> None:
    for number in range(MAX_QUERIED * 2):
        unit = host.systemd.units[f"w@{number}.service"] = service(**BAD)
        unit.active_state = "failed"
    seen = await one_check(host, MANY)
    assert seen.fields["unit.failed"] == MAX_QUERIED * 2
    assert seen.detail.endswith(f"and {MAX_QUERIED * 2 - 5} more")
    assert host.systemd.calls.count("ListUnitsByNames") == MAX_QUERIED


async def test_crash_of_one_of_many_units_between_two_checks_is_reported(host: Bench) -> None:
    host.systemd.units["b.service"] = service()
    started = Started(host.monitor(MANY))
    await started.monitor.check()
    await crash_and_restart(host, "b.service", 1)
    await crash_and_restart(host, NGINX, 1, **WELL)
    await host.systemd.change("b.service", "active", "running", NRestarts=1)
    await started.wait_for_change()
    await until(lambda: started.woken >= 2)
    seen = await started.monitor.check()
    assert (seen.reason, seen.fields["unit.crashes"]) == (Reason.UNIT_FAILED, 1)
    assert seen.detail == "*.service 2 units, no problems; crashed and restarted: b.service"
    assert (await started.monitor.check()).reason is Reason.OK
    await started.monitor.close()


async def test_starts_and_stops_do_not_wake_a_monitor_of_failed_units(host: Bench) -> None:
    host.systemd.units |= {"cron@1.service": service(), "last.service": service()}
    started = Started(host.monitor(MANY))
    await started.monitor.check()
    other = Started(host.monitor('type = "unit"\nunit = "last.service"'))
    await other.monitor.check()
    for state in ("deactivating", "inactive", "activating", "active"):
        await host.systemd.change("cron@1.service", state, state)
    await host.systemd.change("last.service", "deactivating", "stop")
    await other.wait_for_change()
    assert started.woken == 0
    await host.systemd.change("cron@1.service", "failed", "failed", **BAD)
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.UNIT_FAILED
    await host.systemd.change("cron@1.service", "inactive", "dead", **WELL)
    await started.wait_for_change()
    await started.monitor.close()
    await other.monitor.close()


async def test_reported_failure_of_a_matching_unit_is_not_repeated_when_it_starts(host: Bench) -> None:
    started = Started(host.monitor(MANY))
    set_unit_state(host, "failed", "failed", **BAD)
    assert (await started.monitor.check()).reason is Reason.UNIT_FAILED
    await host.systemd.change(NGINX, "failed", "failed", StatusText="a job is there")
    await host.systemd.change(NGINX, "active", "running", **WELL)
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.OK
    await started.monitor.close()


# Options


def read(tmp_path: Path, keys: str) -> UnitOptions:
    return options_of(UnitMonitor, tmp_path, keys)


def test_every_option_is_read(tmp_path: Path) -> None:
    keys = 'unit = "a@b.service"\nexpect = "inactive"\non_crash = "warn"\ngrace = "2m"'
    assert read(tmp_path, keys) == UnitOptions("a@b.service", (), ExpectedState.INACTIVE, OnCrash.WARN, 120.0)
    assert read(tmp_path, 'units = ["a*", "b.service"]') == UnitOptions(
        "", ("a*", "b.service"), ExpectedState.NOT_FAILED
    )


def test_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, f'unit = "{NGINX}"') == UnitOptions(
        NGINX, (), ExpectedState.ACTIVE, OnCrash.FAIL, 30.0
    )
    assert read(tmp_path, 'units = "*.service"') == UnitOptions("", ("*.service",), ExpectedState.NOT_FAILED)
