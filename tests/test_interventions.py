"""Pause, acknowledge, silence: their effects, their log messages with the user, and their storage."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from monitord.dispatch import Matcher, Silence, Silences
from monitord.errors import ControlError
from monitord.interventions import MAX_SILENCES, Interventions
from monitord.model import Incident, Reason, State
from tests.fakes import run_in_fake_time
from tests.worlds import RunningWorld, answers

KIM = "kim (uid 1000)"


def run(main: Callable[[RunningWorld, Interventions], Coroutine[Any, Any, None]]) -> None:
    async def run_and_close() -> None:
        world = RunningWorld()
        await main(world, world.interventions)
        await world.close()

    run_in_fake_time(run_and_close)


def test_pause_and_resume_are_logged_with_user_and_comment(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld, interventions: Interventions) -> None:
        world.monitor("web")
        interventions.pause("web", KIM, "disk swap")
        assert world.dispatcher.state_counts() == {State.PAUSED: 1}
        interventions.resume("web", KIM)
        assert world.dispatcher.state_counts() == {State.PENDING: 1}
        with pytest.raises(KeyError):
            interventions.pause("nobody", KIM, None)

    run(main)
    assert "web is paused (was pending) by kim (uid 1000): disk swap" in caplog.text
    assert "web: resumed by kim (uid 1000)" in caplog.text


def test_acknowledgement_belongs_to_the_open_incident_and_ends_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld, interventions: Interventions) -> None:
        world.monitor("web", answers(Reason.REFUSED, Reason.REFUSED, Reason.OK))
        with pytest.raises(ValueError, match=r"no open incident \(state: pending\)"):
            interventions.acknowledge("web", KIM, None)
        entry = world.dispatcher.entries["web"]
        opened = asyncio.Event()
        world.sink.incidents.append(lambda _: opened.set())
        await opened.wait()
        interventions.acknowledge("web", KIM, "on it")
        assert entry.state.incident is not None
        assert (entry.state.incident.acknowledged_by, entry.state.incident.comment) == (KIM, "on it")
        await asyncio.sleep(30)
        assert entry.state.incident is None

    run(main)
    assert "web: incident acknowledged by kim (uid 1000): on it" in caplog.text


def test_acknowledgement_can_be_removed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld, interventions: Interventions) -> None:
        world.monitor("web", answers(*[Reason.REFUSED] * 30))
        with pytest.raises(KeyError):
            interventions.unacknowledge("nobody", KIM)
        opened = asyncio.Event()
        world.sink.incidents.append(lambda _: opened.set())
        await opened.wait()
        with pytest.raises(ValueError, match=r"no acknowledged incident \(state: down\)"):
            interventions.unacknowledge("web", KIM)
        interventions.acknowledge("web", KIM, "on it")
        incidents: list[Incident] = []
        world.sink.incidents.append(incidents.append)
        interventions.unacknowledge("web", "bo (uid 1001)")
        incident = world.dispatcher.entries["web"].state.incident
        assert incidents == [incident]
        assert incident is not None
        assert (incident.acknowledged_by, incident.acknowledged_at, incident.comment) == (None, None, None)

    run(main)
    assert "web: acknowledgement by kim (uid 1000) removed by bo (uid 1001)" in caplog.text


def test_silences_are_stored_as_json_and_end_at_their_time() -> None:
    async def main(world: RunningWorld, interventions: Interventions) -> None:
        world.monitor("web")
        until = world.clock.now() + timedelta(hours=1)
        first = interventions.silence(Matcher(patterns=("w*",)), until, "upgrade", KIM)
        interventions.silence(Matcher(tags=("prod",)), until + timedelta(hours=1), None, KIM)
        before = interventions.silences
        later = RunningWorld(kept=json.loads(json.dumps(world.history.kept)))
        again = later.interventions
        assert again.silences == before
        again.unsilence(first, KIM)
        with pytest.raises(KeyError):
            again.unsilence(first, KIM)
        await asyncio.sleep(3 * 3600)
        assert again.silences == []
        await later.close()

    run(main)


def test_stored_silences_that_cannot_be_read_are_discarded_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    silences = Silences(stored={"silences": {"silences": [{"id": "x"}]}})
    assert silences.current(datetime(2026, 1, 1, tzinfo=UTC)) == []
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("matcher", "matched"),
    [
        pytest.param(Matcher(), True, id="everything"),
        pytest.param(Matcher(names=("web",)), True, id="its name"),
        pytest.param(Matcher(names=("w*",)), False, id="a name is not a pattern"),
        pytest.param(Matcher(patterns=("w*",)), True, id="a pattern"),
        pytest.param(Matcher(tags=("prod",)), True, id="a tag"),
        pytest.param(Matcher(tags=("prod", "eu")), True, id="all tags"),
        pytest.param(Matcher(tags=("prod", "us")), False, id="one of two tags"),
        pytest.param(Matcher(names=("web", "other"), tags=("prod",)), True, id="a name and a tag"),
        pytest.param(Matcher(names=("web",), tags=("test",)), False, id="a name without the tag"),
        pytest.param(Matcher(names=("other",), tags=("prod",)), False, id="a tag without the name"),
        pytest.param(Matcher(names=("other",), tags=("test",)), False, id="neither"),
    ],
)
def test_matcher_matches_a_monitor(matcher: Matcher, matched: bool) -> None:
    assert matcher.matches("web", ("prod", "eu")) is matched


def test_silences_are_limited_in_number_and_size() -> None:
    async def main(world: RunningWorld, interventions: Interventions) -> None:
        world.monitor("web")
        now = world.clock.now()
        until = now + timedelta(hours=1)
        many = [Silence(str(number), Matcher(("web",)), now, until, KIM) for number in range(MAX_SILENCES)]
        world.registry.silences.replace_all(many)
        with pytest.raises(ControlError, match="there are 1000 silences already, which is the limit"):
            interventions.silence(Matcher(("web",)), until, None, KIM)
        interventions.unsilence("7", KIM)
        interventions.silence(Matcher(("web",)), until, None, KIM)
        large = [
            Silence(
                str(number), Matcher(tuple(f"{number:04}" * 64 for number in range(1000))), now, until, KIM
            )
            for number in range(4)
        ]
        world.registry.silences.replace_all(large)
        error = "would exceed 1048576 characters, which is the limit; end some of them, or select by tags"
        with pytest.raises(ControlError, match=error):
            interventions.silence(large[0].matcher, until, None, KIM)
        assert len(interventions.silences) == 4

    run(main)


def test_patterns_of_silences_are_compiled_once() -> None:
    """Each result is compared with each silence."""
    matchers = [Matcher(patterns=(f"web-{number}-*",)) for number in range(MAX_SILENCES)]
    calls = 0
    for _ in range(2):
        calls = 0

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal calls
            calls += event == "call" and frame.f_code.co_name == "_compiled"

        sys.setprofile(count)
        try:
            assert not any(matcher.matches("shop", ()) for matcher in matchers)
        finally:
            sys.setprofile(None)
    assert calls == 0
