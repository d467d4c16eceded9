"""The explanation of a monitor in each situation: its data and its sentences."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitord.alerts import AlertSettings
from monitord.cli.output.wording import LocalTimes
from monitord.conditions import parse_condition
from monitord.dispatch import Matcher, Pause
from monitord.dispatch.judging import judge
from monitord.explanation import sentences as explanation_sentences
from monitord.health import HealthPolicy
from monitord.interventions import Interventions
from monitord.model import Observation, Reason
from monitord.monitors.exec.monitor import ExecMonitor
from monitord.notifiers import NotifierSettings
from tests.alerts.fakes import fake_type
from tests.dispatch.test_states import window_in
from tests.fakes import monitor_settings, run_in_fake_time
from tests.worlds import RunningWorld

Situation = Callable[[RunningWorld, Interventions], Coroutine[Any, Any, None]]


def explained(situation: Situation, name: str = "web") -> tuple[dict[str, Any], str]:
    async def main() -> dict[str, Any]:
        world = RunningWorld()
        await situation(world, world.interventions)
        with fake_type():
            world.alerts.apply(AlertSettings((NotifierSettings("ops", "fake", None),)))
            try:
                return world.explanations.explain(name)
            finally:
                await world.close()

    fields = run_in_fake_time(main)
    return fields, "\n".join(fields["sentences"])


async def not_checked(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")


async def soft(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web", retry_every_s=5.0)
    await asyncio.sleep(30)
    world.bad = {"web": Reason.REFUSED}
    failed = asyncio.Event()
    world.sink.results.append(lambda *_: failed.set())
    await failed.wait()


async def down(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    world.bad = {"web": Reason.REFUSED}
    await asyncio.sleep(60)


async def failing_without_conditions(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    world.bad = {"web": Reason.CONDITION_FAILED}
    await asyncio.sleep(60)


async def acknowledged(world: RunningWorld, interventions: Interventions) -> None:
    await down(world, interventions)
    interventions.acknowledge("web", "kim (uid 1000)", "on it")


async def behind_a_parent(world: RunningWorld, _: Interventions) -> None:
    world.monitor("gateway")
    world.monitor("web", depends_on=("gateway",))
    world.bad = dict.fromkeys(("gateway", "web"), Reason.TIMEOUT_CONNECT)
    await asyncio.sleep(60)


async def behind_alternatives(world: RunningWorld, _: Interventions) -> None:
    for name in ("line1", "line2"):
        world.monitor(name)
    world.monitor("web", depends_on_any=("line1", "line2"))
    world.bad = dict.fromkeys(("line1", "line2", "web"), Reason.TIMEOUT_CONNECT)
    await asyncio.sleep(60)


async def failed_once(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web", retry_every_s=5.0)
    world.bad = {"web": Reason.REFUSED}
    failed = asyncio.Event()
    world.sink.results.append(lambda *_: failed.set())
    await failed.wait()


async def failing_with_all_others(world: RunningWorld, _: Interventions) -> None:
    names = ["web", *(f"m{number}" for number in range(9))]
    for name in names:
        world.monitor(name, retry_every_s=0.5, policy=HealthPolicy(fail_after=1))
    world.bad = dict.fromkeys(names, Reason.TIMEOUT_RESOLVE)
    failed = asyncio.Event()
    world.sink.results.append(lambda entry, _: failed.set() if entry.name == "web" else None)
    await failed.wait()


async def inconclusive_from_the_start(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    world.bad = {"web": Reason.PROBER_FORBIDDEN}
    await asyncio.sleep(15)


async def unknown(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    await asyncio.sleep(15)
    world.bad = {"web": Reason.PROBER_FORBIDDEN}
    await asyncio.sleep(60)


async def maintained(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    world.pipeline.configure(windows=[window_in(world, 0, 3600)])
    await asyncio.sleep(5)


async def silenced(world: RunningWorld, interventions: Interventions) -> None:
    world.monitor("web")
    until = world.clock.now() + timedelta(hours=1)
    interventions.silence(Matcher(names=("web",)), until, "upgrade", "root (uid 0)")


async def paused(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    world.dispatcher.pause("web", Pause("root (uid 0)", world.clock.now(), "disk swap"))


async def flapping(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web", policy=HealthPolicy(fail_after=1))
    for _turn in range(10):
        world.bad = {} if world.bad else {"web": Reason.REFUSED}
        await asyncio.sleep(10)


async def isolated(world: RunningWorld, _: Interventions) -> None:
    names = ["web", *(f"m{number}" for number in range(9))]
    for name in names:
        world.monitor(name)
    await asyncio.sleep(30)
    world.bad = dict.fromkeys(names, Reason.TIMEOUT_RESOLVE)
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("situation", "sentences"),
    [
        pytest.param(
            not_checked,
            ["web is pending.", "It has not been checked yet.", "Next check in"],
            id="not checked yet",
        ),
        pytest.param(
            soft,
            [
                "web has been up since",
                f"Reason: {Reason.REFUSED.meaning} (refused).",
                "1 consecutive failure since",
                "it goes down after 2.",
                "(retry_every is 5s)",
            ],
            id="a soft failure",
        ),
        pytest.param(
            failing_without_conditions,
            [
                "failed: ",
                "Reason: the default condition of type fake is not met; up_when replaces it (condition_failed).",
            ],
            id="without conditions",
        ),
        pytest.param(down, ["web has been down since", "Incident "], id="down"),
        pytest.param(acknowledged, ["Acknowledged by kim (uid 1000): on it."], id="acknowledged"),
        pytest.param(
            behind_a_parent,
            [
                "web has been unreachable",
                "It depends on gateway, which is down.",
            ],
            id="behind a parent",
        ),
        pytest.param(
            behind_a_parent,
            [
                "It is unreachable because its parent gateway is down. "
                "After the parent recovers, the failures of web are counted from zero.",
                "ops: no notification is sent: the monitor is unreachable because gateway is down.",
            ],
            id="unreachable",
        ),
        pytest.param(
            behind_alternatives,
            ["It is unreachable because all of its alternative parents, line1 and line2, are down."],
            id="behind alternatives",
        ),
        pytest.param(
            not_checked,
            [
                "It is pending until the next check, at 20",
                "no check has ended yet.",
                "ops: no notification yet: the monitor is p",
            ],
            id="pending",
        ),
        pytest.param(
            failed_once,
            [
                "It is pending until the next check, at 20",
                "1 of 2 consecutive failures, and no check has passed.",
            ],
            id="pending after a failure",
        ),
        pytest.param(
            failing_with_all_others,
            [
                "It is pending until the next check, at 20",
                "its check failed, and monitord is testing whether this host is isolated.",
            ],
            id="pending while an isolation is suspected",
        ),
        pytest.param(
            inconclusive_from_the_start,
            [
                "It is pending at least until the next check, at 20",
                "no check has been conclusive yet (prober_forbidden).",
            ],
            id="pending without a conclusive check",
        ),
        pytest.param(
            unknown,
            [
                "It is unknown because no check has been conclusive since 20",
                "ops: no notification is sent: the monitor is unknown, and no route includes this state.",
            ],
            id="unknown",
        ),
        pytest.param(
            paused,
            [
                "web has been paused",
                "Paused by root (uid 0): disk swap. To resume checks: monitorctl resume web\n",
                "ops: no notification is sent: the monitor is paused.",
            ],
            id="paused until resumed",
        ),
        pytest.param(soft, ["ops: no notification yet: the failure is not confirmed."], id="not confirmed"),
        pytest.param(maintained, ["The maintenance window upgrade is open until 20"], id="in a window"),
        pytest.param(silenced, ["Silenced until", "by root (uid 0): upgrade."], id="silenced"),
        pytest.param(flapping, ["It is flapping"], id="flapping"),
        pytest.param(isolated, ["this host is assumed to be isolated"], id="isolated"),
    ],
)
def test_each_situation_has_its_sentences(situation: Situation, sentences: list[str]) -> None:
    _, text = explained(situation)
    for sentence in sentences:
        assert sentence in text


def test_first_time_names_the_zone() -> None:
    explanation, _ = explained(unknown)
    text = " ".join(explanation_sentences(explanation, LocalTimes()))
    first, *others = re.findall(r"\d\d:\d\d:\d\d( [A-Z+-])?", text)
    assert (bool(first), set(others)) == (True, {""})


def test_pause_is_explained_by_one_sentence() -> None:
    fields, _ = explained(paused)
    assert sum("disk swap" in sentence or "To resume" in sentence for sentence in fields["sentences"]) == 1


def test_soft_failure_has_its_data() -> None:
    fields, _ = explained(soft)
    assert fields["streak"] == {
        "verdict": "fail",
        "length": 1,
        "since": fields["last_result"]["started_at"],
        "needed": 2,
        "leads_to": "down",
    }
    assert fields["decided_by"] == {
        "kind": "reason",
        "conditions": [],
        "detail": Reason.REFUSED.meaning,
    }
    assert 0 < fields["next"]["in_s"] <= 5


@pytest.mark.parametrize(
    ("conditions", "decided_by"),
    [
        pytest.param(
            {"up_when": ["message contains 'left; right'"]},
            "not met: message contains 'left; right' (actual: 'OK - disks; all fine')",
            id="semicolon",
        ),
        pytest.param(
            {"up_when": ["exit_status == 0", "message contains 'bad'"], "degraded_when": ["exit_status < 1"]},
            "not met: message contains 'bad' (actual: 'OK - disks; all fine')",
            id="only deciding conditions",
        ),
        pytest.param(
            {
                "up_when": ["exit_status == 0"],
                "degraded_when": ["message contains 'not met: '", "exit_status < 1"],
            },
            "degraded: exit_status < 1 (actual: 0)",
            id="degraded",
        ),
        pytest.param(
            {"degraded_when": ["exit_status < 1"], "invert": True},
            "passed, but is expected to fail (invert)",
            id="inverted",
        ),
    ],
)
def test_decided_by_names_the_conditions_that_decided(conditions: dict[str, Any], decided_by: str) -> None:
    async def failing(world: RunningWorld, _: Interventions) -> None:
        world.monitor("web")
        parsed: dict[str, Any] = {
            key: value
            if isinstance(value, bool)
            else tuple(parse_condition(text, ExecMonitor.vocabulary) for text in value)
            for key, value in conditions.items()
        }
        seen = Observation(
            world.clock.now(),
            0.1,
            Reason.OK,
            "/check: OK - disks; all fine",
            {"exit_status": 0, "message": "OK - disks; all fine"},
        )
        judged = judge(seen, replace(monitor_settings(), **parsed), None)
        entry = world.dispatcher.entries["web"]
        entry.state = replace(entry.state, last=judged)

    fields, text = explained(failing)
    assert fields["decided_by"]["detail"] == decided_by
    is_in_the_detail = fields["decided_by"]["kind"] == "conditions"
    assert ("Reason: condition_failed." in text) is is_in_the_detail
    assert (f"Reason: {decided_by} (condition_failed)." in text) is not is_in_the_detail


def test_sentences_mention_only_what_applies() -> None:
    fields, text = explained(down)
    for word in ("flapping", "Silenced", "Paused", "depends", "maintenance", "isolated"):
        assert word not in text
    assert [fields[key] for key in ("silence", "pause", "maintenance_window", "parents")] == [
        None,
        None,
        None,
        [],
    ]


@pytest.mark.parametrize(
    "situation",
    [not_checked, soft, down, behind_a_parent, unknown, paused, failed_once, inconclusive_from_the_start],
)
def test_no_problem_is_stated_only_of_a_monitor_that_is_up(situation: Situation) -> None:
    assert "no problem" not in explained(situation)[1]


async def up(world: RunningWorld, _: Interventions) -> None:
    world.monitor("web")
    await asyncio.sleep(15)


def test_monitor_that_is_up_has_no_problem() -> None:
    fields, text = explained(up)
    assert "ops: no notification is sent: there is no problem." in text
    assert fields["cause"] is None


def test_unknown_name_raises_key_error() -> None:
    with pytest.raises(KeyError):
        explained(down, "nobody")
