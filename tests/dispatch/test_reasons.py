"""Reasons that depend on several monitors."""

import asyncio

from monitord.health import HealthPolicy
from monitord.model import Reason, State
from monitord.monitors.group import GroupOptions
from tests.dispatch.test_states import group, run
from tests.worlds import RunningWorld


def reasons_of(world: RunningWorld, name: str) -> set[Reason]:
    return {reason for monitor, _, reason in world.results if monitor == name}


def test_reason_is_prober_isolated_when_nearly_all_begin_to_fail() -> None:
    async def main(world: RunningWorld) -> None:
        names = [f"m{number}" for number in range(10)]
        for name in names:
            world.monitor(name, check_every_s=10.0)
        await asyncio.sleep(60)
        world.bad = dict.fromkeys(names, Reason.TIMEOUT_CONNECT)
        await asyncio.sleep(60)
        assert all(Reason.PROBER_ISOLATED in reasons_of(world, name) for name in names)

    run(main)


def test_reason_of_a_group_states_whether_a_member_is_down_or_degraded() -> None:
    async def main(world: RunningWorld) -> None:
        for name in ("web", "database"):
            world.monitor(name, policy=HealthPolicy(fail_after=1, degrade_after=1))
        group(world, "shop", GroupOptions(members=("web", "database")))
        await asyncio.sleep(30)
        assert reasons_of(world, "shop") <= {Reason.OK, Reason.MEMBERS_UNKNOWN}
        world.bad = {"web": Reason.PLUGIN_WARNING}
        await asyncio.sleep(60)
        assert world.state("web") is State.DEGRADED
        assert Reason.MEMBER_DEGRADED in reasons_of(world, "shop")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        assert Reason.MEMBER_DOWN in reasons_of(world, "shop")

    run(main)
