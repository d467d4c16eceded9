"""On an isolated host, the isolation is reported and no monitor goes down, for any number of monitors.

A single failure is not delayed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from monitord.dispatch import Pause
from monitord.health import (
    HealthPolicy,
    IsolationPolicy,
)
from monitord.health.isolation import ISOLATION_TEST_CHECKS
from monitord.model import Observation, Reason, State
from monitord.monitors import MonitorSettings, Tools
from tests.fakes import FakeMonitor, monitor_settings, run_in_fake_time
from tests.worlds import RunningWorld, World


class Network:
    """Monitors of one World. `broken`: names whose checks fail after `fails_after_s`; the others pass at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken: set[str] = set()
        self.fails_after_s = 0.0
        self.reason: Reason | None = None
        self.reasons: dict[str, Reason] = {}
        self.shows_connectivity: bool | None = None
        self.address: str | None = None
        self.isolated: list[bool] = []
        world.sink.isolations.append(self.isolated.append)

    def add(self, name: str, **settings: Any) -> FakeMonitor:
        async def act() -> Reason:
            if name not in self.broken:
                return Reason.OK
            await asyncio.sleep(min(self.fails_after_s, monitor.settings.timeout_s))
            usual = Reason.TIMEOUT_CONNECT if self.fails_after_s else Reason.REFUSED
            return self.reasons.get(name, self.reason or usual)

        monitor = NetworkMonitor(self, monitor_settings(name, **settings), self.world.tools, act)
        self.world.add(monitor)
        return monitor

    def add_many(self, count: int, **settings: Any) -> list[FakeMonitor]:
        return [self.add(f"m{number}", **settings) for number in range(count)]

    def set_canaries(self, *names: str) -> None:
        """Set the canaries. Call this before the first `add`."""
        dispatcher = self.world.dispatcher
        nothing = dispatcher.plan([], lambda settings: FakeMonitor(settings, self.world.tools))
        dispatcher.apply(nothing, IsolationPolicy(canaries=frozenset(names)))

    def isolate(self) -> None:
        self.broken = set(self.world.dispatcher.entries)

    @property
    def down(self) -> list[str]:
        return [transition.monitor for transition in self.world.transitions if transition.after is State.DOWN]


class NetworkMonitor(FakeMonitor):
    def __init__(
        self, network: Network, settings: MonitorSettings, tools: Tools, act: Callable[[], Awaitable[Reason]]
    ) -> None:
        super().__init__(settings, tools, act)
        self.network = network

    async def check(self) -> Observation:
        found = await super().check()
        network = self.network
        return replace(found, shows_connectivity=network.shows_connectivity, address=network.address)


def run(main: Callable[[Network], Coroutine[Any, Any, None]]) -> None:
    async def run_and_close() -> None:
        network = Network(RunningWorld())
        await main(network)
        await network.world.close()

    run_in_fake_time(run_and_close)


@pytest.mark.parametrize("fails_after_s", [0.0, 5.0], ids=["refused at once", "timeout"])
@pytest.mark.parametrize("fail_after", [1, 2, 3])
@pytest.mark.parametrize("count", [5, 6, 7, 8, 9, 10, 11, 12, 21, 40])
def test_isolated_host_reports_no_monitor_as_down(count: int, fail_after: int, fails_after_s: float) -> None:
    async def main(network: Network) -> None:
        network.add_many(
            count,
            check_every_s=60.0,
            retry_every_s=2.0,
            timeout_s=10.0,
            policy=HealthPolicy(fail_after=fail_after),
        )
        await asyncio.sleep(150)
        network.fails_after_s = fails_after_s
        network.isolate()
        await asyncio.sleep(600)
        assert (network.down, network.isolated) == ([], [True])
        network.broken = set()
        await asyncio.sleep(600)
        assert (network.down, network.isolated) == ([], [True, False])

    run(main)


@pytest.mark.parametrize("seed", range(20))
def test_isolated_host_with_mixed_monitors_reports_none_as_down(seed: int) -> None:
    async def main(network: Network) -> None:
        chance = random.Random(seed)
        for number in range(chance.randint(5, 25)):
            every_s = chance.choice([10.0, 30.0, 60.0, 300.0])
            network.add(
                f"m{number}",
                check_every_s=every_s,
                retry_every_s=chance.choice([1.0, 5.0, every_s]),
                timeout_s=chance.choice([2.0, 8.0]),
                policy=HealthPolicy(fail_after=chance.randint(1, 3)),
            )
        await asyncio.sleep(600 + chance.random() * 300)
        network.fails_after_s = chance.choice([0.0, 1.0, 8.0])
        network.isolate()
        await asyncio.sleep(1200)
        assert (network.down, network.isolated) == ([], [True])

    run(main)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_isolation_is_detected_with_few_monitors_and_a_canary(count: int) -> None:
    async def main(network: Network) -> None:
        network.set_canaries("m0")
        network.add_many(count, check_every_s=60.0, retry_every_s=2.0, policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(150)
        network.isolate()
        await asyncio.sleep(600)
        assert (network.down, network.isolated) == ([], [True])
        network.broken = set()
        await asyncio.sleep(120)
        assert network.isolated == [True, False]
        # The canary passes, so the targets have failed.
        network.broken = {f"m{number}" for number in range(1, count)}
        await asyncio.sleep(120)
        assert sorted(network.down) == sorted(network.broken)

    run(main)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_fewer_than_five_monitors_without_a_canary_go_down_at_once(count: int) -> None:
    async def main(network: Network) -> None:
        monitors = network.add_many(count, check_every_s=60.0, policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(150)
        checks = sum(len(monitor.began) for monitor in monitors)
        network.isolate()
        await asyncio.sleep(60)
        assert (len(network.down), network.isolated) == (count, [])
        assert sum(len(monitor.began) for monitor in monitors) == checks + count

    run(main)


@pytest.mark.parametrize("fails_after_s", [0.0, 5.0], ids=["refused at once", "timeout"])
@pytest.mark.parametrize("count", [5, 6, 10, 30])
@pytest.mark.parametrize("fail_after", [1, 2])
def test_single_failure_among_passing_monitors_is_not_delayed(
    count: int, fail_after: int, fails_after_s: float
) -> None:
    async def main(network: Network) -> None:
        first, *_ = network.add_many(
            count,
            check_every_s=60.0,
            retry_every_s=20.0,
            timeout_s=10.0,
            policy=HealthPolicy(fail_after=fail_after),
        )
        await asyncio.sleep(150)
        network.fails_after_s = fails_after_s
        network.broken = {"m0"}
        checks = len(first.began)
        await asyncio.sleep(120)
        assert (network.down, network.isolated) == (["m0"], [])
        (fall,) = (transition for transition in network.world.transitions if transition.after is State.DOWN)
        confirmed_s = first.began[checks + fail_after - 1] + fails_after_s
        went_down_s = (network.world.clock.now() - fall.at).total_seconds()
        began_s = network.world.clock.monotonic_s() - went_down_s
        assert began_s - confirmed_s < 0.01

    run(main)


def test_isolation_test_takes_a_sample_of_many_monitors() -> None:
    async def main(network: Network) -> None:
        monitors = network.add_many(500, check_every_s=3600.0, policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(20)
        checks = sum(len(monitor.began) for monitor in monitors)
        assert checks == 500
        network.broken = {"m0"}
        await network.world.dispatcher.check_now("m0")
        await asyncio.sleep(0.1)
        assert network.down == ["m0"]
        assert sum(len(monitor.began) for monitor in monitors) == checks + 1 + ISOLATION_TEST_CHECKS

    run(main)


def test_isolation_test_ends_when_its_checks_hang() -> None:
    async def main(network: Network) -> None:
        network.add_many(5, check_every_s=60.0, timeout_s=5.0, policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(150)
        # All but one are queued for a slot that they do not get.
        network.world.dispatcher.resize(1, 8)
        network.fails_after_s = 5.0
        network.broken = {"m0"}
        await network.world.dispatcher.check_now("m0")
        network.broken |= {"m1"}
        await asyncio.sleep(60)
        assert "m0" in network.down
        assert network.isolated == []

    run(main)


def test_monitors_that_have_been_down_for_long_do_not_hide_isolation() -> None:
    """Three of ten monitors are down.

    The other seven are fewer than 80 % of all monitors, but all of the counted monitors.
    """

    async def main(network: Network) -> None:
        network.add_many(10, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.broken = {"m0", "m1", "m2"}
        await asyncio.sleep(300)
        assert sorted(network.down) == ["m0", "m1", "m2"]
        network.isolate()
        await asyncio.sleep(600)
        assert (len(network.down), network.isolated) == (3, [True])
        network.broken = {"m0", "m1", "m2"}
        await asyncio.sleep(120)
        assert (set(network.down), network.isolated) == ({"m0", "m1", "m2"}, [True, False])

    run(main)


def test_isolation_ends_when_too_few_monitors_are_left() -> None:
    async def main(network: Network) -> None:
        monitors = network.add_many(6, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.isolate()
        await asyncio.sleep(300)
        dispatcher = network.world.dispatcher
        for number in range(6):
            dispatcher.pause(f"m{number}", Pause("kim", network.world.clock.now()))
        built: dict[str, FakeMonitor] = {monitor.name: monitor for monitor in monitors}

        def build(settings: MonitorSettings) -> FakeMonitor:
            return built[settings.name]

        dispatcher.apply(dispatcher.plan([monitor.settings for monitor in monitors[:2]], build))
        await asyncio.sleep(10)
        assert network.isolated == [True, False]

    run(main)


def test_first_failures_after_a_start_are_not_treated_as_isolation() -> None:
    """Six of thirty are really down, and happen to be checked first."""

    async def main(network: Network) -> None:
        network.broken = {f"m{number}" for number in range(6)}
        for number in range(6):
            network.add(f"m{number}", check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(0)
        for number in range(6, 30):
            network.add(f"m{number}", check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(120)
        assert network.isolated == []
        assert sorted(network.down) == sorted(network.broken)

    run(main)


RESPONSES = [
    Reason.CONDITION_FAILED,
    Reason.CONDITION_UNRESOLVED,
    Reason.PROTOCOL_ERROR,
    Reason.TIMEOUT_BODY,
    Reason.TLS_EXPIRED,
    Reason.TLS_FAILED,
    Reason.TLS_NAME_MISMATCH,
    Reason.TLS_NOT_YET_VALID,
    Reason.TLS_UNTRUSTED,
    Reason.TOO_LARGE,
    Reason.TOO_MANY_REDIRECTS,
]
NO_RESPONSES = [
    Reason.REFUSED,
    Reason.RESET,
    Reason.RESOLVE_FAILED,
    Reason.TIMEOUT_CONNECT,
    Reason.HOST_UNREACHABLE,
]


@pytest.mark.parametrize("fail_after", [1, 2])
@pytest.mark.parametrize("count", [5, 12, 30])
@pytest.mark.parametrize("reason", RESPONSES)
def test_failures_after_a_response_are_not_treated_as_isolation(
    reason: Reason, count: int, fail_after: int
) -> None:
    async def main(network: Network) -> None:
        network.add_many(
            count, check_every_s=60.0, retry_every_s=2.0, policy=HealthPolicy(fail_after=fail_after)
        )
        await asyncio.sleep(150)
        network.reason = reason
        network.isolate()
        await asyncio.sleep(70)
        assert (len(network.down), network.isolated) == (count, [])

    run(main)


@pytest.mark.parametrize("reason", NO_RESPONSES)
def test_failures_without_a_response_are_treated_as_isolation(reason: Reason) -> None:
    async def main(network: Network) -> None:
        network.add_many(6, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.reason = reason
        network.isolate()
        await asyncio.sleep(300)
        assert (network.down, network.isolated) == ([], [True])

    run(main)


@pytest.mark.parametrize(
    ("shows_connectivity", "address"),
    [
        pytest.param(False, "192.0.2.1", id="by a proxy"),
        pytest.param(None, "127.0.0.53", id="from a loopback address"),
        pytest.param(True, "::1", id="from ::1"),
    ],
)
def test_response_in_place_of_the_target_does_not_show_connectivity(
    shows_connectivity: bool | None, address: str
) -> None:
    async def main(network: Network) -> None:
        network.shows_connectivity, network.address = shows_connectivity, address
        network.add_many(6, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.reason = Reason.CONDITION_FAILED
        network.isolate()
        await asyncio.sleep(300)
        assert (network.down, network.isolated) == ([], [True])

    run(main)


def test_one_response_in_a_failure_shows_connectivity() -> None:
    """A connection that is reset in the body, after a redirect, or after the banner."""

    async def main(network: Network) -> None:
        network.shows_connectivity = True
        network.add_many(6, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.reason = Reason.RESET
        network.isolate()
        await asyncio.sleep(300)
        assert (len(network.down), network.isolated) == (6, [])

    run(main)


def test_wrong_response_of_a_canary_counts_as_its_failure() -> None:
    async def main(network: Network) -> None:
        network.set_canaries("m0")
        network.add_many(4, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.reasons["m0"] = Reason.CONDITION_FAILED
        network.reason = Reason.TIMEOUT_CONNECT
        network.isolate()
        await asyncio.sleep(300)
        assert (network.down, network.isolated) == ([], [True])

    run(main)


def test_response_ends_the_isolation_although_it_is_a_failure() -> None:
    async def main(network: Network) -> None:
        network.add_many(6, check_every_s=60.0, retry_every_s=2.0)
        await asyncio.sleep(150)
        network.isolate()
        await asyncio.sleep(300)
        assert network.isolated == [True]
        network.reason = Reason.CONDITION_FAILED
        await asyncio.sleep(300)
        assert (len(network.down), network.isolated) == (6, [True, False])

    run(main)


def test_check_of_a_paused_monitor_does_not_count() -> None:
    """Five of eleven are paused and fail, and somebody checks them."""

    async def main(network: Network) -> None:
        network.add_many(11, check_every_s=600.0, retry_every_s=2.0, policy=HealthPolicy(fail_after=1))
        await asyncio.sleep(700)
        dispatcher = network.world.dispatcher
        paused = [f"m{number}" for number in range(5)]
        for name in paused:
            dispatcher.pause(name, Pause("kim", network.world.clock.now()))
        network.broken = set(paused)
        for name in paused:
            await dispatcher.check_now(name)
        network.broken = {*paused, "m5"}
        await dispatcher.check_now("m5")
        await asyncio.sleep(1)
        assert (network.down, network.isolated) == (["m5"], [])
        network.isolate()
        await asyncio.sleep(1200)
        assert (network.down, network.isolated) == (["m5"], [True])

    run(main)


def test_failures_of_paused_monitors_alone_are_not_isolation() -> None:
    async def main(network: Network) -> None:
        network.add_many(6, check_every_s=600.0, retry_every_s=2.0)
        await asyncio.sleep(700)
        dispatcher = network.world.dispatcher
        for name in list(dispatcher.entries):
            dispatcher.pause(name, Pause("kim", network.world.clock.now()))
        network.isolate()
        for name in list(dispatcher.entries):
            await dispatcher.check_now(name)
        await asyncio.sleep(10)
        assert (network.down, network.isolated) == ([], [])

    run(main)
