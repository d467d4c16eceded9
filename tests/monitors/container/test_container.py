"""The type `container`: its options as written in a file, and its results for containers of both engines."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import EXCERPT, Observation, Reason, Verdict
from monitord.monitors import MonitorSettings
from monitord.monitors.container.monitor import (
    MAX_QUERIED,
    ContainerExpectation,
    ContainerMonitor,
    ContainerOptions,
    permission_hint,
)
from monitord.monitors.services import OnCrash
from monitord.net.containers import Containers
from tests.buses import until
from tests.configurations import options_of
from tests.containers import ENGINES, FakeEngine, RecordedClock, ago, fake_engine, recorded
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.systemds import Started

ALWAYS = {"Name": "always", "MaximumRetryCount": 0}
ON_FAILURE = {"Name": "on-failure", "MaximumRetryCount": 5}


class Host:
    """A host with a container engine."""

    def __init__(self, folder: Path, engine: FakeEngine) -> None:
        self.folder = folder
        self.engine = engine
        self.containers = Containers(retry_first_s=0.01)
        self.clock = RecordedClock()

    def settings(self, keys: str, *up_when: str) -> MonitorSettings:
        text = f'type = "container"\nsocket = "{self.engine.socket}"\n{keys}'
        options = options_of(ContainerMonitor, self.folder, text)
        settings = monitor_settings("one", type_name="container", options=options, timeout_s=20.0)
        vocabulary = ContainerMonitor.vocabulary
        return replace(settings, up_when=tuple(parse_condition(text, vocabulary) for text in up_when))

    def monitor(self, keys: str = 'container = "web"', *up_when: str) -> ContainerMonitor:
        tools = replace(fake_tools(FakeClock()), clock=self.clock, containers=self.containers)
        return ContainerMonitor(self.settings(keys, *up_when), tools)


@pytest.fixture(params=ENGINES)
async def host(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    async with fake_engine(tmp_path / "engine.sock", recorded(request.param)) as engine:
        host = Host(tmp_path, engine)
        yield host
        await host.containers.close()


def without_time(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)


def verdict_of(monitor: ContainerMonitor, seen: Observation) -> Verdict:
    return judge(seen, monitor.settings, None).verdict


# Options


def test_options_are_read(tmp_path: Path) -> None:
    single = 'container = "/web"\nsocket = "unix:///run/x.sock"\nexpect = "running"\non_crash = "warn"\ngrace = "1m"'
    assert options_of(ContainerMonitor, tmp_path, single) == ContainerOptions(
        "web", (), (), "/run/x.sock", ContainerExpectation.RUNNING, OnCrash.WARN, 60.0
    )
    many = 'containers = ["shop-*", "web"]\nlabels = ["app=shop", "team", "empty="]'
    options = options_of(ContainerMonitor, tmp_path, many)
    assert options == ContainerOptions(
        patterns=("shop-*", "web"), labels=(("app", "shop"), ("team", None), ("empty", ""))
    )
    assert options.subject == "shop-* web app=shop team empty="


# A single container


@pytest.mark.parametrize(
    ("state", "keys", "reason", "text"),
    [
        ("plain", "", Reason.OK, "running since TIME"),
        ("web-healthy", "", Reason.OK, "running (healthy) since TIME"),
        ("web-unhealthy", "", Reason.CONTAINER_UNHEALTHY, "running (unhealthy) since TIME"),
        ("web-starting", "", Reason.CONTAINER_STARTING, "running (starting) since TIME"),
        ("job", "", Reason.OK, "exited (status 0) since TIME, finished"),
        ("job", 'expect = "running"', Reason.CONTAINER_STOPPED, "exited (status 0) since TIME"),
        ("broken", "", Reason.CONTAINER_FAILED, "exited (status 3) since TIME"),
        ("loop", "", Reason.CONTAINER_FAILED, "exited (status 4) since TIME"),
        ("created", "", Reason.CONTAINER_STOPPED, "created (never started) since TIME"),
    ],
)
async def test_recorded_states_have_the_expected_result(
    host: Host, state: str, keys: str, reason: Reason, text: str
) -> None:
    host.engine.run("web", state)
    seen = await host.monitor(f'container = "web"\n{keys}').check()
    assert (seen.reason, without_time(seen.detail)) == (reason, f"web {text}")
    assert (seen.subject, without_time(seen.outcome)) == ("web", text)


async def test_memory_exhaustion_is_named(tmp_path: Path) -> None:
    async with fake_engine(tmp_path / "engine.sock", recorded("docker-20.10.24")) as engine:
        host = Host(tmp_path, engine)
        engine.run("web", "oom")
        seen = await host.monitor().check()
        assert seen.reason is Reason.CONTAINER_FAILED
        assert "exited (signal 9, out of memory) since" in seen.detail
        assert seen.fields["container.oom_killed"] is True
        engine.run("held", "paused")
        seen = await host.monitor('container = "held"').check()
        assert (seen.reason, seen.detail) == (Reason.CONTAINER_STOPPED, "held paused")
        await host.containers.close()


async def test_finished_job_passes_and_starting_container_is_inconclusive(host: Host) -> None:
    monitor = host.monitor()
    host.engine.run("web", "job")
    assert verdict_of(monitor, await monitor.check()) is Verdict.PASS
    host.engine.run("web", "web-starting")
    assert verdict_of(monitor, await monitor.check()) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("policy", [ALWAYS, {"Name": "unless-stopped", "MaximumRetryCount": 0}])
async def test_ended_container_that_its_policy_would_restart_is_stopped(
    host: Host, policy: dict[str, Any]
) -> None:
    host.engine.run("web")
    host.engine.end("web", 0, RestartPolicy=policy)
    assert (await host.monitor().check()).reason is Reason.CONTAINER_STOPPED


async def test_job_with_the_policy_on_failure_is_finished_by_success_only(host: Host) -> None:
    host.engine.run("web")
    host.engine.end("web", 0, RestartPolicy=ON_FAILURE)
    assert (await host.monitor().check()).reason is Reason.OK
    host.engine.end("web", 1)
    assert (await host.monitor().check()).reason is Reason.CONTAINER_FAILED


async def test_missing_container_is_stopped(host: Host) -> None:
    seen = await host.monitor().check()
    assert (seen.reason, seen.detail) == (Reason.CONTAINER_STOPPED, "web not found")
    assert seen.fields["container.status"] == "missing"


async def test_name_is_not_taken_for_the_beginning_of_an_id(host: Host) -> None:
    host.engine.run("other", container_id="beef" + "0" * 60)
    seen = await host.monitor('container = "beef"').check()
    assert (seen.reason, seen.detail) == (Reason.CONTAINER_STOPPED, "beef not found")


async def test_output_of_the_health_check_is_the_excerpt(host: Host) -> None:
    container = host.engine.run("web", "web-unhealthy")
    container["State"]["Health"]["Log"][-1]["Output"] = "no database\n"
    seen = await host.monitor().check()
    assert seen.response_data is not None
    assert (seen.response_data(EXCERPT, None), seen.response_data("body", None)) == ("no database\n", None)


async def test_container_has_every_field(host: Host) -> None:
    host.engine.run("web", "web-unhealthy")
    host.engine.end("web", 5, ago_s=60, RestartCount=2)
    seen = await host.monitor().check()
    assert set(seen.fields) == set(ContainerMonitor.vocabulary.fields)
    assert isinstance(seen.fields["container.image"], str)
    expected: Mapping[str, Any] = {
        "container.status": "exited",
        "container.health": "unhealthy",
        "container.exit_code": 5,
        "container.oom_killed": False,
        "container.restarts": 2,
        "container.crashes": 0,
        "container.age": pytest.approx(3600, abs=1),
        "container.since": pytest.approx(60, abs=1),
        "container.count": 1,
        "container.running": 0,
        "container.failed": 1,
        "container.failed_containers": ("web",),
    }
    assert {name: seen.fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("condition", "state", "verdict"),
    [
        ("container.status in ['running', 'exited']", "broken", Verdict.PASS),
        ("container.health == 'healthy'", "web-starting", Verdict.FAIL),
        ("container.health == 'healthy'", "web-healthy", Verdict.PASS),
        ("container.status != 'missing'", "", Verdict.FAIL),
        ("container.age < 90d", "plain", Verdict.PASS),
    ],
)
async def test_conditions_replace_the_expected_state(
    host: Host, condition: str, state: str, verdict: Verdict
) -> None:
    if state:
        host.engine.run("web", state)
    monitor = host.monitor('container = "web"', condition)
    assert verdict_of(monitor, await monitor.check()) is verdict


# Grace


@pytest.mark.parametrize(
    ("exit_code", "policy"), [(0, ALWAYS), (143, {"Name": "no"}), (137, {"Name": "no"}), (1, ALWAYS)]
)
async def test_stopped_container_has_the_grace_to_be_started_again(
    host: Host, exit_code: int, policy: dict[str, Any]
) -> None:
    host.engine.run("web")
    host.engine.end("web", exit_code, ago_s=5, RestartPolicy=policy)
    seen = await host.monitor().check()
    assert seen.reason is Reason.OK
    assert seen.detail.endswith("accepted for 30s (grace)")
    assert (await host.monitor('container = "web"\ngrace = 4').check()).reason is not Reason.OK


async def test_failed_container_is_reported_after_a_moment(host: Host) -> None:
    host.engine.run("web")
    host.engine.end("web", 1, ago_s=1)
    assert (await host.monitor().check()).reason is Reason.OK
    host.engine.end("web", 1, ago_s=3)
    assert (await host.monitor().check()).reason is Reason.CONTAINER_FAILED


async def test_container_that_is_replaced_has_the_grace(host: Host) -> None:
    monitor = host.monitor()
    host.engine.run("web")
    assert (await monitor.check()).reason is Reason.OK
    del host.engine.containers["web"]
    for ahead_s, reason in ((0, Reason.OK), (20, Reason.OK), (31, Reason.CONTAINER_STOPPED)):
        host.clock.ahead_s = ahead_s
        assert (await monitor.check()).reason is reason
        # A restart of the daemon continues with it.
        again, state = host.monitor(), monitor.dump_state()
        assert state is not None
        again.restore_state(json.loads(json.dumps(state)))
        assert (await again.check()).reason is reason
    host.engine.run("web")
    assert (await monitor.check()).reason is Reason.OK
    del host.engine.containers["web"]
    assert (await monitor.check()).reason is Reason.OK


async def test_container_that_was_not_started_yet_after_a_boot_has_the_grace(host: Host) -> None:
    monitor = host.monitor()
    host.engine.run("web")
    assert (await monitor.check()).reason is Reason.OK
    host.engine.end("web", 0, ago_s=50_000, RestartPolicy=ALWAYS)
    assert (await monitor.check()).reason is Reason.OK
    host.clock.ahead_s = 31
    assert (await monitor.check()).reason is Reason.CONTAINER_STOPPED


async def test_container_that_a_user_stopped_has_the_grace_whatever_its_exit_code(host: Host) -> None:
    started = Started(host.monitor())
    host.engine.run("web")
    await host.engine.followed()
    await started.monitor.check()
    await host.engine.emit("web", "kill", signal="15")
    await host.engine.emit("web", "die", exitCode="1")
    host.engine.end("web", 1, ago_s=10)
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.OK
    await started.monitor.close()


async def test_end_of_the_grace_requests_a_check(host: Host) -> None:
    started = Started(host.monitor('container = "web"\ngrace = "1s"'))
    host.engine.run("web")
    await host.engine.followed()
    host.engine.end("web", 143, ago_s=0)
    assert (await started.monitor.check()).reason is Reason.OK
    host.clock.ahead_s = 2
    await started.wait_for_change()
    assert (await started.monitor.check()).reason is Reason.CONTAINER_STOPPED
    await started.monitor.close()


# Crashes


@pytest.mark.parametrize(
    ("crash", "reason"),
    [("fail", Reason.CONTAINER_FAILED), ("warn", Reason.CONTAINER_RESTARTED), ("ignore", Reason.OK)],
)
async def test_crash_between_two_checks_is_reported_once(host: Host, crash: str, reason: Reason) -> None:
    monitor = host.monitor(f'container = "web"\non_crash = "{crash}"')
    host.engine.run("web")
    assert (await monitor.check()).reason is Reason.OK
    host.engine.change("web", RestartCount=2, RestartPolicy=ALWAYS)
    seen = await monitor.check()
    assert seen.reason is reason
    assert without_time(seen.detail) == (
        "web running since TIME, crashed and was restarted 2 times since TIME"
    )
    assert seen.fields["container.crashes"] == 2
    assert (await monitor.check()).reason is Reason.OK


async def test_conditions_do_not_replace_the_effect_of_a_crash(host: Host) -> None:
    monitor = host.monitor('container = "web"', "container.status == 'running'")
    host.engine.run("web")
    await monitor.check()
    host.engine.change("web", RestartCount=1)
    assert verdict_of(monitor, await monitor.check()) is Verdict.FAIL
    assert verdict_of(monitor, await monitor.check()) is Verdict.PASS


@pytest.mark.parametrize(
    ("crash", "reason"),
    [("fail", Reason.CONTAINER_FAILED), ("warn", Reason.CONTAINER_RESTARTED), ("ignore", Reason.OK)],
)
async def test_container_that_waits_for_its_restart_has_crashed(
    host: Host, crash: str, reason: Reason
) -> None:
    host.engine.run("web")
    host.engine.end("web", 5, ago_s=3, RestartPolicy=ALWAYS)
    host.engine.change("web", Status="restarting")
    seen = await host.monitor(f'container = "web"\non_crash = "{crash}"').check()
    assert seen.reason is reason
    assert without_time(seen.detail).startswith("web restarting (status 5) since TIME")


async def test_restart_after_success_is_not_a_crash(host: Host) -> None:
    started = Started(host.monitor())
    host.engine.run("web")
    await host.engine.followed()
    await started.monitor.check()
    for count in range(1, 4):
        await host.engine.emit("web", "die", exitCode="0")
        host.engine.change("web", RestartCount=count, RestartPolicy=ALWAYS)
        await host.engine.emit("web", "start")
        await started.wait_for_change()
        seen = await started.monitor.check()
        assert (seen.reason, seen.fields["container.crashes"]) == (Reason.OK, 0)
    await started.monitor.close()


async def test_crashes_while_the_daemon_did_not_run_are_reported(host: Host) -> None:
    first, second = host.monitor(), host.monitor()
    host.engine.run("web")
    await first.check()
    state = first.dump_state()
    assert state is not None
    host.engine.change("web", RestartCount=1)
    second.restore_state(json.loads(json.dumps(state)))
    assert (await second.check()).fields["container.crashes"] == 1


async def test_crashes_of_a_new_container_are_reported_at_its_first_check(host: Host) -> None:
    monitor = host.monitor()
    host.engine.run("web", container_id="a" * 64)
    host.engine.change("web", RestartCount=7)
    assert (await monitor.check()).fields["container.crashes"] == 0, "they may be old"
    host.engine.run("web", container_id="b" * 64)
    host.engine.change("web", RestartCount=2, Created=ago(-1))
    assert (await monitor.check()).fields["container.crashes"] == 2


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"checked_at": "yesterday", "containers": {}},
        {"checked_at": 5, "containers": []},
        {"checked_at": "2026-01-01T00:00:00+00:00", "containers": {"x": 5, "y": {"restarts": "a"}}},
    ],
)
async def test_stored_state_of_another_version_is_ignored(host: Host, state: dict[str, Any]) -> None:
    monitor = host.monitor()
    monitor.restore_state(state)
    host.engine.run("web")
    assert (await monitor.check()).reason is Reason.OK


# Events


@pytest.mark.parametrize("action", ["die", "start", "oom", "health_status: unhealthy", "destroy", "pause"])
async def test_event_of_the_container_requests_a_check(host: Host, action: str) -> None:
    started = Started(host.monitor())
    host.engine.run("web")
    await host.engine.followed()
    await host.engine.emit("web", action)
    await started.wait_for_change()
    await started.monitor.close()


async def test_events_of_other_containers_request_no_check(host: Host) -> None:
    started = Started(host.monitor())
    host.engine.run("web")
    host.engine.run("webber")
    await host.engine.followed()
    await host.engine.emit("webber", "die", exitCode="1")
    await host.engine.emit("web", "die", exitCode="1")
    await started.wait_for_change()
    assert started.woken == 1
    await started.monitor.close()


async def test_pattern_is_checked_for_failures_only(host: Host) -> None:
    started = Started(host.monitor('containers = "job-*"'))
    for name in ("job-1", "job-2"):
        host.engine.run(name)
    await host.engine.followed()
    await started.monitor.check()
    await host.engine.emit("job-1", "start", "health_status: healthy", "kill")
    await host.engine.emit("job-1", "die", exitCode="0")
    await host.engine.emit("job-2", "die", exitCode="1")
    await started.wait_for_change()
    assert started.woken == 1
    await started.monitor.close()


async def test_checks_request_nothing_when_the_stream_of_an_unchecked_monitor_ends(host: Host) -> None:
    host.engine.denies_events = True
    started = Started(host.monitor())
    await until(lambda: host.engine.opened >= 2)
    assert started.woken == 0
    await started.monitor.close()


# Several containers


async def test_pattern_names_the_failed_containers(host: Host) -> None:
    for name, state in (("shop-web", "web-healthy"), ("shop-db", "web-unhealthy"), ("shop-job", "broken")):
        host.engine.run(name, state)
    host.engine.run("other", "broken")
    seen = await host.monitor('containers = "shop-*"').check()
    assert seen.reason is Reason.CONTAINER_FAILED
    assert without_time(seen.detail) == (
        "shop-* 2 of 3 containers with problems: shop-job exited (status 3) since TIME, "
        "shop-db running (unhealthy) since TIME"
    )
    expected = {
        "container.count": 3,
        "container.running": 2,
        "container.failed": 2,
        "container.failed_containers": ("shop-job", "shop-db"),
    }
    assert {name: seen.fields[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ('containers = "*"', 3),
        ('containers = ["a", "b"]', 2),
        ('labels = "app=shop"', 2),
        ('labels = "team"', 1),
        ('labels = ["app=shop", "team=x"]', 1),
        ('containers = "a"\nlabels = "app"', 1),
        ('labels = "app=other"', 0),
    ],
)
async def test_containers_are_selected_by_patterns_and_labels(host: Host, keys: str, count: int) -> None:
    host.engine.run("a", labels={"app": "shop", "team": "x"})
    host.engine.run("b", labels={"app": "shop"})
    host.engine.run("c")
    seen = await host.monitor(keys).check()
    assert seen.fields["container.count"] == count
    assert seen.reason is (Reason.OK if count else Reason.CONTAINER_STOPPED)
    subject = host.monitor(keys).options.subject
    assert seen.detail == f"{subject} " + (
        f"{count} container{'s' if count > 1 else ''}, {count} running" if count else "no container matches"
    )


async def test_pattern_counts_crashes_of_each_container(host: Host) -> None:
    monitor = host.monitor('containers = "*"')
    for name in ("a", "b", "c"):
        host.engine.run(name)
    assert (await monitor.check()).reason is Reason.OK
    host.engine.change("b", RestartCount=3)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["container.crashes"]) == (Reason.CONTAINER_FAILED, 3)
    assert seen.detail == "* 3 containers, 3 running; crashed and restarted: b"
    assert (await monitor.check()).reason is Reason.OK


async def test_starting_container_is_inconclusive_unless_another_has_failed(host: Host) -> None:
    host.engine.run("a", "web-starting")
    host.engine.run("b")
    assert (await host.monitor('containers = "*"').check()).reason is Reason.CONTAINER_STARTING
    host.engine.run("b", "broken")
    assert (await host.monitor('containers = "*"').check()).reason is Reason.CONTAINER_FAILED


async def test_containers_beyond_the_limit_are_not_queried_running_ones_last(host: Host) -> None:
    for number in range(MAX_QUERIED + 10):
        host.engine.run(f"a{number}")
    host.engine.run("z", "broken")
    seen = await host.monitor('containers = "*"').check()
    assert seen.fields["container.failed_containers"] == ("z",)
    assert seen.fields["container.count"] == MAX_QUERIED + 11
    assert len(host.engine.targets) == MAX_QUERIED + 1


# The engine


async def test_engine_without_permission_names_the_drop_in(host: Host) -> None:
    host.engine.status = 403
    monitor = host.monitor()
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.PROBER_FORBIDDEN, Verdict.INCONCLUSIVE)
    assert "SupplementaryGroups=docker in a drop-in (systemctl edit monitord)" in seen.detail


def test_group_of_the_service_is_not_sufficient_for_the_socket_of_podman() -> None:
    assert "containers.md" in permission_hint("/run/podman/podman.sock")
    assert "SupplementaryGroups" not in permission_hint("/run/podman/podman.sock")


async def test_error_of_the_engine_is_inconclusive(host: Host) -> None:
    host.engine.status = 500
    monitor = host.monitor()
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.ENGINE_UNAVAILABLE, Verdict.INCONCLUSIVE)
    assert seen.detail == (
        f"web: the container engine cannot be queried: {host.engine.socket}: status 500: no, not now"
    )


async def test_engine_that_is_not_running_fails_after_the_grace(tmp_path: Path) -> None:
    async with fake_engine(tmp_path / "engine.sock", recorded(ENGINES[0])) as engine:
        host = Host(tmp_path, engine)
        monitor = host.monitor()
        engine.run("web")
        assert (await monitor.check()).reason is Reason.OK
    assert (await monitor.check()).reason is Reason.ENGINE_UNAVAILABLE
    host.clock.ahead_s = 31
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.REFUSED, Verdict.FAIL)
    assert seen.detail.endswith("No such file or directory")
    assert (await host.monitor().check()).reason is Reason.REFUSED, "it was never there"
    await host.containers.close()
