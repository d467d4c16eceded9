"""The votes that a node queues for its next heartbeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from monitord.cluster.model import Vote
from monitord.cluster.parts import ClusterParts
from monitord.cluster.settings import ClusterSettings
from monitord.config import Secret
from monitord.health import HealthPolicy
from monitord.model import Reason, State, Verdict
from monitord.settings import Settings
from tests.cluster.worlds import until
from tests.fakes import FakeClock, run_in_fake_time
from tests.worlds import World

CLUSTER = ClusterSettings(Secret(""), location="fra", node="fra1")


@asynccontextmanager
async def running() -> AsyncIterator[tuple[World, ClusterParts]]:
    """A node whose votes the test takes."""
    world = World(clock=FakeClock(), settings=Settings(cluster=CLUSTER))
    assert world.cluster_parts is not None
    try:
        world.start()
        yield world, world.cluster_parts
    finally:
        await world.close()


def test_first_vote_waits_for_a_check_that_agrees_with_the_state() -> None:
    async def main() -> None:
        async with running() as (world, parts):
            world.bad["web"] = Reason.REFUSED
            world.monitor("web", policy=HealthPolicy(fail_after=2))
            entry = world.dispatcher.entries["web"]
            # As after a start, from the history or from the vote of another node.
            world.pipeline.set_local_state(entry, State.UP, world.clock.now())
            await until(lambda: len(world.results) == 1)
            assert entry.state.local_state is State.UP
            assert parts.votes.take() == []
            await until(lambda: len(world.results) == 2)
            assert [vote.state for vote in parts.votes.take()] == [State.DOWN]
            world.bad.clear()
            await until(lambda: world.results[-1][1] is Verdict.PASS)
            assert [vote.state for vote in parts.votes.take()] == [State.UP]

    run_in_fake_time(main)


def test_unconfirmed_failure_after_an_isolation_does_not_vote_for_the_state_before() -> None:
    async def main() -> None:
        async with running() as (world, parts):
            world.monitor("web", policy=HealthPolicy(fail_after=2))
            await until(lambda: [vote.state for vote in parts.votes.take()] == [State.UP])
            world.bad["web"] = Reason.PROBER_ISOLATED
            await until(lambda: [vote.state for vote in parts.votes.take()] == [State.UNKNOWN])
            world.bad["web"] = Reason.REFUSED
            count = len(world.results)
            await until(lambda: len(world.results) > count)
            assert world.dispatcher.entries["web"].state.local_state is State.UP
            assert parts.votes.take() == []
            await until(lambda: [vote.state for vote in parts.votes.take()] == [State.DOWN])

    run_in_fake_time(main)


def test_newer_vote_of_another_node_counts_until_the_next_check_of_this_node() -> None:
    """Both have checked the monitor, and the failure that this node has found is over."""

    async def main() -> None:
        async with running() as (world, parts):
            world.bad["web"] = Reason.REFUSED
            world.monitor("web", policy=HealthPolicy(fail_after=1))
            votes: list[Vote] = []
            while not votes:
                await asyncio.sleep(1)
                votes += parts.votes.take()
            for _ in range(2):
                await asyncio.sleep(1)  # the checks are ten seconds apart
                newer = replace(votes[-1], node="fra2", state=State.UP, checked_at=world.clock.now())
                parts.votes.correct(newer)
                parts.votes.repeat(lambda _, newer=newer: newer)  # type: ignore[misc]
                assert parts.votes.take() == []
                # This node still finds the failure.
                count = len(world.results)
                await until(lambda count=count: len(world.results) > count)  # type: ignore[misc]
                assert [(vote.node, vote.state) for vote in parts.votes.take()] == [("fra1", State.DOWN)]
            await asyncio.sleep(1)
            parts.votes.correct(replace(votes[-1], node="fra2", state=State.UP, checked_at=world.clock.now()))
            world.bad.clear()
            await until(lambda: world.results[-1][1] is Verdict.PASS)
            assert [vote.state for vote in parts.votes.take()] == [State.UP]

    run_in_fake_time(main)


def test_vote_that_another_node_has_replaced_is_reported_again() -> None:
    async def main() -> None:
        async with running() as (world, parts):
            world.bad["web"] = Reason.REFUSED
            world.monitor("web", policy=HealthPolicy(fail_after=1))
            votes: list[Vote] = []
            while not votes:
                await asyncio.sleep(1)
                votes += parts.votes.take()
            assert [(vote.monitor, vote.state) for vote in votes] == [("web", State.DOWN)]
            other = replace(votes[0], node="fra2")
            parts.votes.correct(other)
            assert parts.votes.take() == []
            parts.votes.correct(replace(other, state=State.UP))
            assert parts.votes.take() == votes
            parts.votes.forget_all()  # as after SIGSTOP and SIGCONT
            parts.votes.repeat(lambda _: None)
            assert parts.votes.take() == []
            await until(
                lambda: bool(votes_again := parts.votes.take()) and votes_again[0].state is State.DOWN
            )
            world.bad["web"] = Reason.PROBER_ISOLATED
            await until(lambda: bool(withdrawn := parts.votes.take()) and withdrawn[0].state is State.UNKNOWN)
            parts.votes.forget(["web"])  # fra2 checks it now
            parts.votes.correct(replace(other, state=State.UP))
            assert parts.votes.take() == []

    run_in_fake_time(main)
