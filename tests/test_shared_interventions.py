"""Actions of users on a node of a cluster: what is published, and its effect on another node."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.cluster.model import Intervention, InterventionKind
from monitord.dispatch import ClusterState, Matcher
from monitord.interventions import Interventions
from monitord.model import Incident, Reason, State
from monitord.monitors import Monitor
from tests.fakes import FakeClock, run_in_fake_time
from tests.worlds import World

KIM = "kim (uid 1000)"


class Shared:
    """The placement of a node that shares all monitors but those of the host."""

    def is_shared(self, monitor: Monitor[Any]) -> bool:
        return not monitor.name.startswith("host-")

    def is_checked_here(self, name: str) -> bool:
        del name
        return True


class Node(World):
    """A node with a shared monitor and one of its host. `published`: the actions that the other nodes do not know."""

    clock: FakeClock

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Intervention] = []
        self.events: list[str] = []
        self.override(ApplicationContainer.placement, Shared())
        self.override(
            ApplicationContainer.interventions,
            Interventions(self.dispatcher, self.pipeline, self.silences, self.clock, self.published.append),
        )
        self.sink.transitions.append(lambda transition: self.events.append(transition.after.value))
        self.sink.incidents.append(
            lambda incident: self.events.append(f"acked by {incident.acknowledged_by}")
        )
        self.start()
        self.monitor("web")
        self.monitor("host-disk")

    def down(self, minute: int = 0) -> None:
        since = FakeClock.START + timedelta(minutes=minute)
        decided = ClusterState(State.DOWN, since, Reason.REFUSED, "by vote", minute + 1)
        self.pipeline.set_cluster_state(self.dispatcher.entries["web"], decided)
        self.events.clear()

    def up(self, minute: int) -> None:
        since = FakeClock.START + timedelta(minutes=minute)
        decided = ClusterState(State.UP, since, Reason.OK, "", minute + 1)
        self.pipeline.set_cluster_state(self.dispatcher.entries["web"], decided)

    @property
    def incident(self) -> Incident:
        incident = self.dispatcher.entries["web"].state.incident
        assert incident is not None
        return incident

    def receive(self, *published: Intervention) -> None:
        """Apply actions through JSON, each twice, as after a lost connection to the database."""
        for intervention in published:
            record = json.loads(json.dumps(intervention.record))
            for _ in range(2):
                self.interventions.apply(replace(intervention, record=record))


def run(main: Callable[[Node, Node], Coroutine[Any, Any, None]]) -> None:
    async def run_and_close() -> None:
        nodes = Node(), Node()
        await main(*nodes)
        for node in nodes:
            await node.close()

    run_in_fake_time(run_and_close)


def test_pause_applies_to_all_nodes_and_is_published_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(here: Node, there: Node) -> None:
        here.interventions.pause("web", KIM, "disk swap")
        there.receive(*here.published)
        assert (there.events, there.published) == (["paused"], [])
        assert there.dispatcher.entries["web"].state.pause == here.dispatcher.entries["web"].state.pause
        here.published.clear()
        here.interventions.resume("web", KIM)
        assert here.published == [Intervention(InterventionKind.PAUSE, "web", None)]
        there.receive(*here.published)
        assert (there.events, there.published) == (["paused", "pending"], [])
        await asyncio.sleep(1)

    run(main)
    assert caplog.text.count("web: resumed on another node") == 1


def test_acknowledgement_applies_to_all_nodes_and_is_published_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main(here: Node, there: Node) -> None:
        for node in (here, there):
            node.down()
        here.interventions.acknowledge("web", KIM, "on it")
        there.receive(*here.published)
        assert (there.events, there.published) == ([f"acked by {KIM}"], [])
        assert there.incident == here.incident
        here.published.clear()
        here.interventions.unacknowledge("web", KIM)
        there.receive(*here.published)
        assert (there.events, there.published) == ([f"acked by {KIM}", "acked by None"], [])
        assert there.incident == here.incident

    run(main)
    assert caplog.text.count("web: incident acknowledged by kim (uid 1000): on it") == 2
    assert caplog.text.count("web: acknowledgement by kim (uid 1000) removed by another node") == 1


def test_acknowledgement_is_not_that_of_a_later_incident() -> None:
    async def main(here: Node, there: Node) -> None:
        here.down()
        here.interventions.acknowledge("web", KIM, None)
        (published,) = here.published
        there.receive(published)  # there is no incident yet
        there.down(minute=120)
        there.receive(published)
        assert there.incident.acknowledged_by is None
        there.up(minute=130)
        # This node has learned later that the monitor is down, so its incident has another id.
        there.down(minute=10)
        there.receive(published)
        assert there.incident.acknowledged_by == KIM

    run(main)


def test_silence_keeps_its_id_and_its_end_on_other_nodes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(here: Node, there: Node) -> None:
        until = here.clock.now() + timedelta(hours=1)
        silence_id = here.interventions.silence(Matcher(patterns=("w*",), tags=()), until, "upgrade", KIM)
        published = list(here.published)
        there.receive(*published)
        assert there.interventions.silences == here.interventions.silences
        assert [silence.id for silence in there.interventions.silences] == [silence_id]
        here.published.clear()
        here.interventions.unsilence(silence_id, KIM)
        there.receive(*here.published)
        assert (there.interventions.silences, there.published) == ([], [])
        await asyncio.sleep(3600)
        there.receive(*published)  # it has ended
        assert there.interventions.silences == []

    run(main)
    assert caplog.text.count("created by kim") == 2
    assert caplog.text.count("ended on another node") == 1


def test_actions_on_monitors_of_the_host_are_not_published() -> None:
    async def main(here: Node, there: Node) -> None:
        del there
        here.monitor("host-memory")
        here.bad["host-memory"] = Reason.REFUSED
        here.interventions.pause("host-disk", KIM, None)
        here.interventions.resume("host-disk", KIM)
        await asyncio.sleep(60)
        assert here.state("host-memory") is State.DOWN
        here.interventions.acknowledge("host-memory", KIM, None)
        here.interventions.unacknowledge("host-memory", KIM)
        assert here.published == []

    run(main)


def test_action_on_a_monitor_that_this_node_does_not_have_is_ignored() -> None:
    async def main(here: Node, there: Node) -> None:
        for kind in (InterventionKind.PAUSE, InterventionKind.ACKNOWLEDGEMENT):
            there.receive(Intervention(kind, "other", None))
        assert there.events == []
        del here

    run(main)
