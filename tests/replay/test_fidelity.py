"""A replay with the configuration of the daemon has the incidents and notifications that the daemon had."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from monitord.application import ApplicationContainer
from monitord.health import IsolationPolicy
from monitord.history.recorded import RecordedHistory
from monitord.model import Reason
from monitord.monitors import MonitorSettings
from monitord.replay import Outcome, plan_of, replay
from monitord.replay.outcome import recorder_of
from monitord.settings import Settings, read_settings
from tests.fakes import FakeMonitor, run_in_fake_time
from tests.replay.replays import NOTIFIER, tcp
from tests.worlds import Act, World

HOURS = 2
TOLERANCE_S = 3.0
CLOSE_TIMEOUT_S = 300.0
"""All results must be written, even on a busy machine."""

Outages = Mapping[str, Sequence[tuple[float, float]]]
"""Beginning and end of each outage, in seconds since the start, by monitor."""


def daemon(settings: Settings, path: Path, outages: Outages) -> tuple[Outcome, datetime, datetime]:
    """Run a daemon with faked checks, and return the notifications of its alerts, its start and its end."""
    outcome = Outcome()

    async def run() -> tuple[datetime, datetime]:
        world = World(settings=settings, history_path=path)
        world.override(ApplicationContainer.new_notifier, recorder_of(outcome))
        world.open_history()
        start = world.clock.now()

        def act_of(name: str) -> Act:
            async def act() -> Reason:
                await asyncio.sleep(0.02)
                elapsed_s = (world.clock.now() - start).total_seconds()
                is_out = any(first <= elapsed_s < last for first, last in outages.get(name, ()))
                return Reason.TIMEOUT_CONNECT if is_out else Reason.OK

            return act

        def build(monitor: MonitorSettings) -> FakeMonitor:
            return FakeMonitor(monitor, world.tools, act_of(monitor.name))

        world.start()
        world.alerts.apply(settings.alerts)
        plan = world.dispatcher.plan(settings.monitors, build)
        world.dispatcher.apply(plan, IsolationPolicy(), settings.maintenance)
        alerts = asyncio.ensure_future(world.alerts.run())
        await asyncio.sleep(HOURS * 3600)
        alerts.cancel()
        await asyncio.wait([alerts])
        end = world.clock.now()
        outcome.incidents.update({incident.id: incident for incident in world.incidents})
        # First the checks: the time of the loop jumps while it waits for the thread of the history.
        await world.dispatcher.close(0.0)
        await world.alerts.close()
        await world.history.close(CLOSE_TIMEOUT_S)
        await world.close()
        return start, end

    start, end = run_in_fake_time(run)
    return outcome, start, end


def replayed(settings: Settings, path: Path, start: datetime, end: datetime) -> Outcome:
    history = RecordedHistory(path)
    plan = plan_of(settings, settings, history.periods(start, end))
    outcome = replay(plan, history.results(start, end), start, end)
    history.close()
    return outcome


def random_outages(seed: int, names: Sequence[str]) -> Outages:
    """Short and long outages of single monitors, and of all of them together."""
    source = random.Random(seed)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names:
        for _ in range(3):
            first = source.uniform(60, HOURS * 3600 - 1200)
            found[name].append((first, first + source.choice((8, 25, 90, 600))))
    first = source.uniform(600, HOURS * 3600 - 1200)
    for name in names:
        found[name].append((first, first + 300))
    return found


ROUTE = '[[alerts.routes]]\nnotify = "ops"\nrepeat_every = "5m"\n'
WINDOW = '[maintenance.update]\nmonitors = ["m1"]\nschedule = "01:00 UTC"\nduration = "1h"\n'
PARENT = 'depends_on = ["m0"]'


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("count", "keys", "others", "kind"),
    [
        (3, (), ROUTE + WINDOW, "reminder"),
        (4, (PARENT,), "", "recovery"),
        (8, (PARENT,), ROUTE, "isolated"),
    ],
    ids=["independent", "with a parent", "with a parent and isolation"],
)
def test_replay_has_the_incidents_and_notifications_of_the_daemon(
    tmp_path: Path, count: int, keys: tuple[str, ...], others: str, kind: str, seed: int
) -> None:
    names = [f"m{number}" for number in range(count)]
    config = tmp_path / "monitord.toml"
    sections = [tcp(name, *(keys if number else ())) for number, name in enumerate(names)]
    config.write_text(
        "\n".join([NOTIFIER.replace('"0s"', '"10s"'), *sections, others]).replace("127.0.0.1", "192.0.2.1")
    )
    settings = read_settings(config)
    path = tmp_path / "history.sqlite3"
    real, start, end = daemon(settings, path, random_outages(seed, names))
    found = replayed(settings, path, start, end)
    assert len(real.incidents) > count
    assert kind in {sent.kind.value for sent in real.notifications}
    assert_same(
        [
            (incident.monitor, incident.opened_at, incident.reason.value)
            for incident in found.incidents.values()
        ],
        [
            (incident.monitor, incident.opened_at, incident.reason.value)
            for incident in real.incidents.values()
        ],
    )
    assert_same(
        [(sent.monitor, sent.at, sent.kind.value) for sent in found.notifications],
        [(sent.monitor, sent.at, sent.kind.value) for sent in real.notifications],
    )


def assert_same(found: list[tuple[str, datetime, str]], real: list[tuple[str, datetime, str]]) -> None:
    """Compare monitors and kinds, in the order of time, and times with a tolerance."""
    now, then = sorted(found), sorted(real)
    assert [(monitor, kind) for monitor, _, kind in now] == [(monitor, kind) for monitor, _, kind in then]
    for (_, at, _), (_, real_at, _) in zip(now, then, strict=True):
        assert abs((at - real_at).total_seconds()) <= TOLERANCE_S
