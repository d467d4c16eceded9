"""A state directory of the version before the terms were renamed is read, and nothing of it is lost."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from monitord.model import State, Verdict
from monitord.notifiers import NotificationKind
from monitord.settings import read_settings
from tests.history.world import SetClock, spoil_table
from tests.worlds import World

DUMP = Path(__file__).with_name("history") / "names_of_version_2.sql"
STOPPED_AT = datetime(2026, 11, 29, 19, 26, 43, tzinfo=UTC)

CONFIGURATION = """
[defaults]
check_every = "1s"
timeout = "900ms"
[monitors.gone]
type = "tcp"
address = "127.0.0.1:1"
fail_after = 2
[monitors.lost]
type = "tcp"
address = "127.0.0.1:2"
fail_after = 1
[monitors.open]
url = "http://127.0.0.1:18999/"
up_when = ["status == 200", "response_time < 500ms"]
degraded_when = ["body.length > 1"]
[monitors.plugin]
command = ["/bin/sh", "-c", "echo UNKNOWN; exit 3"]
[monitors.quiet]
command = ["/bin/true"]
[monitors.job]
type = "heartbeat"
every = "1h"
[monitors.unit]
command = ["/bin/sh", "-c", "exit 1"]
[notifiers.ops]
url = "http://127.0.0.1:1/hook"
fallback = "pager"
[notifiers.pager]
command = ["/bin/sh", "-c", "echo paged"]
"""


@contextmanager
def continued(tmp_path: Path) -> Iterator[World]:
    """The parts of a daemon that continues from the dump, before its first check."""
    path = tmp_path / "history.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(DUMP.read_text())
    (tmp_path / "monitord.toml").write_text(CONFIGURATION)
    settings = read_settings(tmp_path / "monitord.toml", environment={})
    yield World(clock=SetClock(STOPPED_AT), settings=settings, history_path=path)


async def test_states_alerts_and_interventions_continue(tmp_path: Path) -> None:
    with continued(tmp_path) as world:
        world.open_history()
        world.control.apply_first()
        entries = world.dispatcher.entries
        assert {name: world.state(name) for name in entries} == {
            "gone": State.DOWN,
            "lost": State.DOWN,
            "open": State.DEGRADED,
            "plugin": State.UNKNOWN,
            "quiet": State.UP,
            "job": State.UP,
            "unit": State.PAUSED,
        }
        last = entries["plugin"].state.last
        assert last is not None
        assert (last.verdict, last.observation.fields["exit_code"]) == (Verdict.INCONCLUSIVE, 3)
        last = entries["open"].state.last
        assert last is not None
        assert (last.holds, last.expected) == ((True, True, False), (True, True, True))
        assert last.observation.fields["status"] == 200
        incident = entries["gone"].state.incident
        assert incident is not None
        assert (incident.acknowledged_by, incident.comment) == ("root (uid 0), pid 9710", "kim looks")
        assert [silence.comment for silence in world.silences.current(STOPPED_AT)] == ["moving"]
        alerts = {name: world.alerts.alert_of(name) for name in ("gone", "lost", "open", "unit")}
        assert {
            name: [(notifier, record.state) for notifier, record in alert.notifiers.items()]
            for name, alert in alerts.items()
            if alert is not None
        } == {
            name: [("ops", state), ("pager", state)]
            for name, state in (
                ("gone", State.DOWN),
                ("lost", State.DOWN),
                ("open", State.DEGRADED),
                ("unit", State.DEGRADED),
            )
        }
        assert alerts["unit"] is not None
        assert alerts["unit"].notifiers["ops"].dropped_kind is NotificationKind.UPDATE
        assert sorted(
            (delivery.notification.monitor, delivery.notification.notifier, delivery.status.value)
            for delivery in world.alerts.deliveries()
        ) == sorted(
            (monitor, notifier, status)
            for monitor in ("gone", "lost", "open", "unit")
            for notifier, status in (("ops", "queued"), ("pager", "sent"))
        )
        await world.close()


async def test_alerts_and_silences_of_a_damaged_database_continue(tmp_path: Path) -> None:
    with continued(tmp_path) as world:
        spoil_table(tmp_path / "history.sqlite3", "records")
        world.open_history()
        world.control.apply_first()
        assert "damaged" in (world.history.stats().reset_reason or "")
        assert_interventions_and_alerts(world)
        await world.close()


async def test_alerts_and_silences_of_a_locked_database_continue(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with continued(tmp_path) as world, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        world.open_history()
        other.execute("ROLLBACK")
        world.control.apply_first()
        assert_interventions_and_alerts(world)
        await world.close()


def assert_interventions_and_alerts(world: World) -> None:
    assert world.state("unit") is State.PAUSED
    incident = world.dispatcher.entries["gone"].state.incident
    assert incident is not None
    assert incident.comment == "kim looks"
    assert [silence.comment for silence in world.silences.current(STOPPED_AT)] == ["moving"]
    assert [name for name in ("gone", "lost", "open", "unit") if world.alerts.alert_of(name) is None] == []
    assert len(world.alerts.deliveries()) == 8


async def test_records_of_results_are_read(tmp_path: Path) -> None:
    with continued(tmp_path) as world:
        world.open_history()
        (record,) = await world.history.records("open", limit=1)
        assert record["fields"]["status"] == 200
        (record,) = await world.history.records("plugin", limit=1)
        assert record["verdict"] == "inconclusive"
        await world.history.close(5.0)
