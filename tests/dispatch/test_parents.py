"""A dependent that is checked before its parent does not go down because of it; its failure is not held for long."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch import Pause
from monitord.health import HealthPolicy
from monitord.model import Reason, State
from monitord.monitors.group import GroupMonitor, GroupOptions
from tests.fakes import FakeMonitor, monitor_settings, run_in_fake_time
from tests.lifetimes import NOTIFIER, Scripted, lifetime
from tests.lifetimes import run as run_lifetimes
from tests.worlds import RunningWorld, World

ONCE = HealthPolicy(fail_after=1)
HOUR_S = 3600.0


class Topology:
    """Monitors that fail while they, or what they depend on, are broken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken: set[str] = set()
        self.takes_s: dict[str, float] = {}

    def add(self, name: str, *behind: str, **settings: Any) -> FakeMonitor:
        """`behind`: the names whose failure makes this one fail as well."""

        async def act() -> Reason:
            await asyncio.sleep(self.takes_s.get(name, 0.0))
            return Reason.TIMEOUT_CONNECT if self.broken & {name, *behind} else Reason.OK

        settings = {"check_every_s": HOUR_S, "policy": ONCE, "timeout_s": 10.0, **settings}
        monitor = FakeMonitor(monitor_settings(name, **settings), self.world.tools, act)
        self.world.add(monitor)
        return monitor

    def add_group(self, name: str, *members: str, at_least: int | None = None) -> None:
        tools = self.world.tools
        options = GroupOptions(members=members, at_least=at_least)
        settings = monitor_settings(
            name, check_every_s=HOUR_S, policy=ONCE, type_name="group", options=options
        )
        self.world.add(GroupMonitor(settings, tools))

    async def check(self, name: str) -> None:
        await self.world.dispatcher.check_now(name)

    def states(self) -> Mapping[str, str]:
        return {name: entry.state.effective.value for name, entry in self.world.dispatcher.entries.items()}

    def went_down(self) -> list[str]:
        return [transition.monitor for transition in self.world.transitions if transition.after is State.DOWN]


def run(main: Callable[[Topology], Coroutine[Any, Any, None]]) -> None:
    async def run_and_close() -> None:
        topology = Topology(RunningWorld())
        await main(topology)
        await topology.world.close()

    run_in_fake_time(run_and_close)


@pytest.mark.parametrize("takes_s", [0.0, 1.0, 9.0], ids=["at once", "slow", "timeout"])
@pytest.mark.parametrize("parent_fails_after", [1, 3])
@pytest.mark.parametrize("child_fails_after", [1, 2])
@pytest.mark.parametrize("kind", ["depends_on", "depends_on_any"])
def test_child_checked_before_its_parent_becomes_unreachable(
    kind: str, child_fails_after: int, parent_fails_after: int, takes_s: float
) -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway", policy=HealthPolicy(fail_after=parent_fails_after), retry_every_s=5.0)
        policy = HealthPolicy(fail_after=child_fails_after)
        topology.add("web", "gateway", policy=policy, retry_every_s=0.5, **{kind: ("gateway",)})
        await asyncio.sleep(20)
        topology.takes_s["gateway"] = takes_s
        topology.broken = {"gateway"}
        await topology.check("web")
        await asyncio.sleep(120)
        assert topology.states() == {"gateway": "down", "web": "unreachable"}
        assert topology.went_down() == ["gateway"]

    run(main)


def test_child_whose_parent_passes_after_the_failure_goes_down_at_once() -> None:
    async def main(topology: Topology) -> None:
        gateway = topology.add("gateway")
        topology.add("web", depends_on=("gateway",), retry_every_s=60.0)
        await asyncio.sleep(20)
        checks = len(gateway.began)
        topology.takes_s["gateway"] = 0.3
        topology.broken = {"web"}
        await topology.check("web")
        assert topology.went_down() == []
        await asyncio.sleep(0.4)
        assert topology.went_down() == ["web"]
        assert len(gateway.began) == checks + 1

    run(main)


def test_pass_of_a_check_that_began_before_the_failure_does_not_count() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway")
        topology.add("web", "gateway", depends_on=("gateway",), retry_every_s=60.0)
        await asyncio.sleep(20)
        passing = asyncio.ensure_future(slow_pass(topology))
        await asyncio.sleep(0.5)
        topology.broken = {"gateway"}
        await topology.check("web")
        await passing
        await asyncio.sleep(10)
        assert topology.states() == {"gateway": "down", "web": "unreachable"}
        assert topology.went_down() == ["gateway"]

    async def slow_pass(topology: Topology) -> None:
        """A check of the gateway that passes, although the gateway breaks while its answer is on its way."""
        entry = topology.world.dispatcher.entries["gateway"]
        assert isinstance(entry.monitor, FakeMonitor)
        usual = entry.monitor.act

        async def act() -> Reason:
            await asyncio.sleep(2.0)
            return Reason.OK

        entry.monitor.act = act
        check = asyncio.ensure_future(topology.check("gateway"))
        await asyncio.sleep(0.1)
        entry.monitor.act = usual
        await check

    run(main)


@pytest.mark.parametrize("order", [("web", "switch", "gateway"), ("web", "gateway", "switch")])
def test_only_the_first_parent_of_a_chain_goes_down_if_children_are_checked_first(
    order: tuple[str, ...],
) -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway")
        topology.add("switch", "gateway", depends_on=("gateway",))
        topology.add("web", "gateway", depends_on=("switch",))
        await asyncio.sleep(20)
        topology.takes_s = dict.fromkeys(topology.states(), 0.5)
        topology.broken = {"gateway"}
        for name in order:
            await topology.check(name)
        await asyncio.sleep(60)
        assert topology.states() == {"gateway": "down", "switch": "unreachable", "web": "unreachable"}
        assert topology.went_down() == ["gateway"]

    run(main)


def test_parents_of_a_paused_parent_apply() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway")
        topology.add("switch", "gateway", depends_on=("gateway",))
        topology.add("web", "gateway", depends_on=("switch",))
        await asyncio.sleep(20)
        topology.world.dispatcher.pause("switch", Pause("kim", topology.world.clock.now()))
        topology.broken = {"gateway"}
        await topology.check("web")
        await asyncio.sleep(60)
        assert topology.states() == {"gateway": "down", "switch": "paused", "web": "unreachable"}

    run(main)


def test_paused_parent_without_parents_holds_no_failure() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway")
        topology.add("web", depends_on=("gateway", "removed"))
        await asyncio.sleep(20)
        topology.world.dispatcher.pause("gateway", Pause("kim", topology.world.clock.now()))
        topology.broken = {"web"}
        await topology.check("web")
        assert topology.went_down() == ["web"]

    run(main)


@pytest.mark.parametrize("is_gateway_broken", [True, False])
def test_parent_that_is_pending_is_checked_first(*, is_gateway_broken: bool) -> None:
    async def main(topology: Topology) -> None:
        topology.broken = {"gateway" if is_gateway_broken else "web"}
        topology.takes_s = {"gateway": 1.0}
        topology.add("gateway")
        topology.add("web", "gateway", depends_on=("gateway",))
        await topology.check("web")
        assert topology.states()["gateway"] == "pending"
        await asyncio.sleep(20)
        assert topology.went_down() == (["gateway"] if is_gateway_broken else ["web"])

    run(main)


def test_parent_that_cannot_be_checked_holds_a_failure_for_a_bounded_time() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway", timeout_s=5.0)
        topology.add("web", depends_on=("gateway",), retry_every_s=60.0)
        await asyncio.sleep(20)
        # The check of the parent gets no slot.
        occupied = topology.add("occupied", timeout_s=500.0)
        topology.world.dispatcher.resize(1, 8)
        topology.takes_s["occupied"] = 400.0
        topology.broken = {"web"}
        await topology.check("web")
        held = asyncio.ensure_future(topology.check("occupied"))
        await asyncio.sleep(30)
        assert topology.went_down() == ["web"]
        held.cancel()
        await asyncio.wait([held])
        assert occupied.began

    run(main)


def test_child_of_a_parent_that_hangs_goes_down_after_it() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway", policy=HealthPolicy(fail_after=2), retry_every_s=5.0)
        topology.add("web", depends_on=("gateway",), retry_every_s=300.0)
        await asyncio.sleep(20)
        topology.takes_s["gateway"] = 10_000.0
        topology.broken = {"web"}
        await topology.check("web")
        await asyncio.sleep(60)
        assert topology.states() == {"gateway": "down", "web": "unreachable"}

    run(main)


def test_child_is_checked_again_when_its_parent_recovers_by_retry() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway", policy=HealthPolicy(fail_after=3), retry_every_s=5.0)
        web = topology.add("web", "gateway", depends_on=("gateway",), retry_every_s=300.0)
        await asyncio.sleep(20)
        topology.broken = {"gateway"}
        await topology.check("web")
        await asyncio.sleep(1)
        checks = len(web.began)
        topology.broken = set()
        await asyncio.sleep(10)
        assert topology.states() == {"gateway": "up", "web": "up"}
        assert len(web.began) == checks + 1
        assert topology.went_down() == []

    run(main)


def test_child_that_still_fails_after_its_parent_has_recovered_goes_down() -> None:
    async def main(topology: Topology) -> None:
        topology.add("gateway", check_every_s=60.0)
        topology.add("web", "gateway", depends_on=("gateway",), check_every_s=60.0)
        await asyncio.sleep(90)
        topology.broken = {"gateway", "web"}
        await topology.check("web")
        await asyncio.sleep(90)
        assert topology.states() == {"gateway": "down", "web": "unreachable"}
        topology.broken = {"web"}
        await asyncio.sleep(150)
        assert topology.states() == {"gateway": "up", "web": "down"}
        assert topology.went_down() == ["gateway", "web"]

    run(main)


def test_child_goes_down_if_an_alternative_parent_passes() -> None:
    async def main(topology: Topology) -> None:
        topology.add("line-a")
        topology.add("line-b")
        topology.add("web", depends_on_any=("line-a", "line-b"))
        await asyncio.sleep(20)
        topology.takes_s = {"line-b": 9.0}
        topology.broken = {"web", "line-b"}
        await topology.check("web")
        await asyncio.sleep(1)
        assert topology.went_down() == ["web"]

    run(main)


@pytest.mark.parametrize("takes_s", [0.0, 1.0], ids=["at once", "slow"])
@pytest.mark.parametrize("at_least", [None, 1])
@pytest.mark.parametrize("fail_after", [1, 2])
def test_members_of_a_group_that_is_a_parent_are_checked(
    fail_after: int, at_least: int | None, takes_s: float
) -> None:
    async def main(topology: Topology) -> None:
        for name in ("line-a", "line-b"):
            topology.add(name, policy=HealthPolicy(fail_after=fail_after))
        topology.add_group("lines", "line-a", "line-b", at_least=at_least)
        topology.add("web", "line-a", depends_on=("lines",))
        await asyncio.sleep(20)
        topology.takes_s = {"line-a": takes_s, "line-b": takes_s}
        topology.broken = {"line-a", "line-b"}
        await topology.check("web")
        await asyncio.sleep(60)
        assert topology.states() == dict.fromkeys(("line-a", "line-b", "lines"), "down") | {
            "web": "unreachable"
        }
        assert "web" not in topology.went_down()

    run(main)


def test_child_of_a_group_whose_members_pass_goes_down() -> None:
    async def main(topology: Topology) -> None:
        topology.add("line-a")
        topology.add("line-b")
        topology.add_group("lines", "line-a", "line-b")
        topology.add("web", depends_on=("lines",))
        await asyncio.sleep(20)
        topology.takes_s = {"line-b": 1.0}
        topology.broken = {"web"}
        await topology.check("web")
        await asyncio.sleep(2)
        assert topology.went_down() == ["web"]

    run(main)


FAILING_ONCE = """
[monitors.gateway]
type = "fake"
check_every = "10m"
retry_every = "3s"
timeout = "2s"
fail_after = 1
[monitors.web]
type = "fake"
check_every = "10s"
retry_every = "3s"
timeout = "2s"
fail_after = 10
depends_on = ["gateway"]
"""


def test_restart_between_failures_of_a_dependent_sends_only_the_notification_about_the_parent(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with lifetime(tmp_path, NOTIFIER + FAILING_ONCE) as first:
            await asyncio.sleep(60)
            Scripted.bad["web"] = Reason.TIMEOUT_CONNECT
            await asyncio.sleep(15)
            assert first.container.dispatcher.entries["web"].state.health.is_soft
        Scripted.bad["gateway"] = Reason.TIMEOUT_CONNECT
        async with lifetime(tmp_path, NOTIFIER + FAILING_ONCE) as second:
            await asyncio.sleep(240)
            assert second.sent == ["DOWN: gateway"]

    run_lifetimes(main)
