"""Queries and signals of the service manager: a real bus with a service that behaves like systemd."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

from monitord.net.dbus.bus import BusError, BusFailure
from monitord.net.dbus.unit_state import UnitChange, UnitState
from monitord.net.dbus.units import MAX_QUERIES, Units
from tests.buses import (
    PROPERTIES,
    SYSTEMD,
    Daemon,
    FakeSystemd,
    FakeUnit,
    hang_up,
    path_of,
    service,
    timer,
    until,
)

NGINX = "nginx.service"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    started = Daemon(tmp_path)
    yield started
    started.stop()


@pytest.fixture
async def systemd(daemon: Daemon) -> AsyncIterator[FakeSystemd]:
    started = FakeSystemd(daemon.address)
    started.units[NGINX] = service()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def units(daemon: Daemon) -> AsyncIterator[Units]:
    made = Units(daemon.address)
    yield made
    await made.close()
    await made.close()


def soon() -> float:
    return time.monotonic() + 20


def last(changes: list[UnitChange | None]) -> UnitChange:
    present = [change for change in changes if change is not None]
    return present[-1]


# Queries


async def test_all_fields_of_a_service_are_read(systemd: FakeSystemd, units: Units) -> None:
    systemd.units[NGINX] = service(
        Result="exit-code", NRestarts=3, ExecMainCode=1, ExecMainStatus=7, ExecMainStartTimestampMonotonic=7
    )
    systemd.units[NGINX].active_state, systemd.units[NGINX].sub_state = "failed", "failed"
    assert await units.state(NGINX, deadline=soon()) == UnitState(
        NGINX,
        active_state="failed",
        sub_state="failed",
        changed_at=datetime(2026, 1, 1, tzinfo=UTC),
        run="7",
        result="exit-code",
        service_type="simple",
        restarts=3,
        exit_code="exited",
        exit_status=7,
    )


async def test_query_is_repeated_if_the_unit_changes(systemd: FakeSystemd, units: Units) -> None:
    """It fails after it was listed and asked for its result, and before it was asked for the rest."""
    asked: list[str] = []

    def answer(message: Message) -> Message | None:
        if message.member == "Get":
            asked.append(message.body[1])
            if asked[-1] == "Type" and len(asked) < 10:
                systemd.units[NGINX] = service(
                    Result="signal",
                    ExecMainCode=2,
                    ExecMainStatus=9,
                    StateChangeTimestamp=1_767_225_700_000_000,
                )
                systemd.units[NGINX].active_state = "failed"
        return None

    systemd.answer = answer
    state = await units.state(NGINX, deadline=soon())
    assert (state.active_state, state.result, state.exit_code) == ("failed", "signal", "killed")
    assert asked.count("Type") == 2


async def test_queries_of_a_unit_that_changes_constantly_are_limited(
    systemd: FakeSystemd, units: Units
) -> None:
    def answer(message: Message) -> Message | None:
        systemd.units[NGINX].properties["StateChangeTimestamp"] += 1
        return None

    systemd.answer = answer
    assert (await units.state(NGINX, deadline=soon())).active_state == "active"
    assert systemd.calls.count("ListUnitsByNames") == 1
    assert systemd.calls.count("Get") % MAX_QUERIES == 0
    assert systemd.calls.count("Get") < 2 * MAX_QUERIES * len(service().properties)


async def test_times_of_a_timer_are_read(systemd: FakeSystemd, units: Units) -> None:
    systemd.units["b.timer"] = timer(
        "b.service",
        LastTriggerUSec=1_767_225_600_000_000,
        NextElapseUSecRealtime=1_767_312_000_000_000,
        NextElapseUSecMonotonic=90_500_000,
    )
    state = await units.state("b.timer", deadline=soon())
    assert (state.triggers, state.last_trigger_at) == ("b.service", datetime(2026, 1, 1, tzinfo=UTC))
    assert (state.next_realtime, state.next_monotonic_s) == (datetime(2026, 1, 2, tzinfo=UTC), 90.5)


async def test_timer_that_never_elapsed_and_never_will_has_no_times(
    systemd: FakeSystemd, units: Units
) -> None:
    never = 2**64 - 1
    systemd.units["b.timer"] = timer("b.service", NextElapseUSecRealtime=never, NextElapseUSecMonotonic=never)
    state = await units.state("b.timer", deadline=soon())
    assert (state.last_trigger_at, state.next_realtime, state.next_monotonic_s) == (None, None, None)


async def test_result_is_not_queried_for_unit_types_without_it(systemd: FakeSystemd, units: Units) -> None:
    properties = {"StateChangeTimestamp": 0}
    systemd.units["multi-user.target"] = FakeUnit(sub_state="active", properties=properties)
    state = await units.state("multi-user.target", deadline=soon())
    assert (state.active_state, state.result, state.changed_at) == ("active", "", None)


async def test_missing_unit_has_the_load_state_not_found(systemd: FakeSystemd, units: Units) -> None:
    state = await units.state("nothing.service", deadline=soon())
    assert (state.is_there, state.active_state) == (False, "inactive")
    assert "Get" not in systemd.calls


async def test_alias_returns_the_name_of_the_unit(systemd: FakeSystemd, units: Units) -> None:
    systemd.aliases["www.service"] = NGINX
    assert (await units.state("www.service", deadline=soon())).name == NGINX


async def test_units_are_listed_by_patterns_in_one_call(systemd: FakeSystemd, units: Units) -> None:
    systemd.units |= {f"worker@{number}.service": service() for number in range(2000)}
    systemd.units["worker@7.service"].active_state = "failed"
    listed = await units.matching(["worker@*.service", "no*"], deadline=soon())
    assert len(listed) == 2000
    assert [state.name for state in listed if state.active_state == "failed"] == ["worker@7.service"]
    assert [state.name for state in await units.list_failed(deadline=soon())] == ["worker@7.service"]
    assert systemd.calls == ["Subscribe", "ListUnitsByPatterns", "ListUnitsFiltered"]


async def test_query_of_an_unresponsive_manager_ends_at_the_deadline(
    systemd: FakeSystemd, units: Units
) -> None:
    await units.state(NGINX, deadline=soon())
    systemd.is_hanging = True
    with pytest.raises(BusError) as raised:
        await units.state(NGINX, deadline=time.monotonic() + 0.05)
    assert raised.value.failure is BusFailure.SILENT
    systemd.is_hanging = False
    assert (await units.state(NGINX, deadline=soon())).active_state == "active"


async def test_query_waits_for_the_first_connection_until_the_deadline(
    systemd: FakeSystemd, units: Units
) -> None:
    systemd.is_hanging = True
    with pytest.raises(BusError, match="no connection to the system bus yet"):
        await units.state(NGINX, deadline=time.monotonic() + 0.1)


@pytest.mark.parametrize(
    ("signature", "body"),
    [("s", ["nonsense"]), ("a(ssssssouso)", [[]]), ("u", [7])],
    ids=["another_type", "nothing_listed", "a_number"],
)
async def test_reply_with_a_wrong_signature_is_rejected(
    systemd: FakeSystemd, units: Units, signature: str, body: list[object]
) -> None:
    def answer(message: Message) -> Message | None:
        is_listing = message.member == "ListUnitsByNames"
        return Message.new_method_return(message, signature, body) if is_listing else None

    systemd.answer = answer
    with pytest.raises(BusError) as raised:
        await units.state(NGINX, deadline=soon())
    assert raised.value.failure is BusFailure.REFUSED


async def test_property_of_an_unexpected_type_is_treated_as_missing(
    systemd: FakeSystemd, units: Units
) -> None:
    def answer(message: Message) -> Message | None:
        odd = {
            "NRestarts": Variant("s", "many"),
            "StateChangeTimestamp": Variant("t", 2**63),
            "Type": Variant("u", 1),
        }
        if message.member == "Get" and message.body[1] in odd:
            return Message.new_method_return(message, "v", [odd[message.body[1]]])
        return None

    systemd.answer = answer
    state = await units.state(NGINX, deadline=soon())
    assert (state.restarts, state.changed_at, state.service_type) == (0, None, "")


# Signals


async def test_change_is_reported_once_when_complete(systemd: FakeSystemd, units: Units) -> None:
    changes: list[UnitChange | None] = []
    following = units.follow(NGINX, changes.append)
    await until(lambda: changes)
    assert changes == [None]
    await systemd.change(
        NGINX, "failed", "failed", Result="exit-code", NRestarts=2, ExecMainStartTimestampMonotonic=8
    )
    await until(lambda: len(changes) == 2)
    assert last(changes) == UnitChange(NGINX, "failed", "failed", "exit-code", 2, "8")
    # The status text of a service may change all the time.
    await systemd.change(NGINX, StatusText="1 request")
    await systemd.change(NGINX, StatusText="2 requests")
    await systemd.change(NGINX, "active", "running", Result="success")
    await until(lambda: last(changes).active_state == "active")
    assert len(changes) == 3
    units.unfollow(following)


async def test_only_followed_units_are_reported(systemd: FakeSystemd, units: Units) -> None:
    systemd.units |= {"a@1.service": service(), "dev-x\\x2dy.mount": service(), "other.service": service()}
    named: list[UnitChange | None] = []
    matching: list[UnitChange | None] = []
    first = units.follow("dev-x\\x2dy.mount", named.append)
    second = units.follow_all(lambda name: name.startswith("a@"), matching.append)
    await until(lambda: named and matching)
    for name in ("other.service", "a@1.service", "dev-x\\x2dy.mount"):
        await systemd.change(name, "failed", "failed")
    await until(lambda: len(named) == 2)
    assert last(named).name == "dev-x\\x2dy.mount"
    assert [state.name for state in matching if state] == ["a@1.service"]
    units.unfollow(first)
    units.unfollow(second)
    await systemd.change("a@1.service", "active", "running")
    await units.state(NGINX, deadline=soon())
    assert len(matching) == 2


async def test_reload_of_systemd_reports_possibly_missed_changes(systemd: FakeSystemd, units: Units) -> None:
    changes: list[UnitChange | None] = []
    following = units.follow(NGINX, changes.append)
    await until(lambda: changes)
    await systemd.reload()
    await until(lambda: len(changes) == 2)
    assert changes == [None, None]
    units.unfollow(following)


@pytest.mark.parametrize("keeps_subscribers", [False, True], ids=["systemd 252", "systemd 257"])
async def test_reexecuted_systemd_is_subscribed_again(
    systemd: FakeSystemd, units: Units, caplog: pytest.LogCaptureFixture, keeps_subscribers: bool
) -> None:
    caplog.set_level("INFO")
    changes: list[UnitChange | None] = []
    following = units.follow(NGINX, changes.append)
    await until(lambda: changes)
    await systemd.execute_again(keeps_subscribers=keeps_subscribers)
    await until(lambda: len(changes) == 2)
    await systemd.change(NGINX, "failed", "failed")
    await until(lambda: len(changes) == 3)
    assert last(changes).active_state == "failed"
    assert (await units.state(NGINX, deadline=soon())).active_state == "failed"
    assert caplog.records == []
    units.unfollow(following)


async def test_connection_is_reopened_when_the_bus_returns(
    daemon: Daemon, systemd: FakeSystemd, units: Units, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changes: list[UnitChange | None] = []
    following = units.follow(NGINX, changes.append)
    await until(lambda: changes)
    daemon.stop()
    await systemd.stop()
    with pytest.raises(BusError) as raised:
        await units.state(NGINX, deadline=soon())
    assert raised.value.failure is BusFailure.AWAY
    daemon.start()
    await systemd.start()
    await until(lambda: len(changes) == 2)
    await systemd.change(NGINX, "failed", "failed")
    await until(lambda: len(changes) == 3)
    assert [record.getMessage() for record in caplog.records] == [
        "the connection to the service manager is lost: the bus closed the connection",
        "the service manager can be queried again",
    ]
    units.unfollow(following)


async def test_lasting_loss_of_the_connection_is_a_warning(
    daemon: Daemon, systemd: FakeSystemd, caplog: pytest.LogCaptureFixture
) -> None:
    units = Units(daemon.address, warn_after_s=0.01)
    await units.state(NGINX, deadline=soon())
    daemon.stop()
    await systemd.stop()
    # Whether the loss itself is logged first depends on how long it has lasted by then.
    await until(lambda: any(record.levelname == "WARNING" for record in caplog.records))
    await units.close()
    *earlier, last = caplog.records
    assert last.getMessage().startswith("the service manager cannot be queried: ")
    assert [record.levelname for record in earlier] in ([], ["INFO"])


async def test_bus_that_was_never_available_is_a_warning(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.stop()
    units = Units(daemon.address)
    with pytest.raises(BusError):
        await units.state(NGINX, deadline=soon())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    await units.close()


async def test_query_without_a_bus_fails_immediately(daemon: Daemon) -> None:
    daemon.stop()
    units = Units(daemon.address)
    for _ in range(20):
        with pytest.raises(BusError) as raised:
            await units.state(NGINX, deadline=soon())
        assert raised.value.failure is BusFailure.AWAY
    await units.close()


async def test_signal_from_another_sender_is_ignored(
    daemon: Daemon, systemd: FakeSystemd, units: Units
) -> None:
    changes: list[UnitChange | None] = []
    following = units.follow(NGINX, changes.append)
    await until(lambda: changes)
    stranger = await MessageBus(bus_address=daemon.address).connect()
    ours = units._connection
    assert ours is not None
    await stranger.send(
        Message(
            message_type=MessageType.SIGNAL,
            destination=ours.name,
            path=path_of(NGINX),
            interface=PROPERTIES,
            member="PropertiesChanged",
            signature="sa{sv}as",
            body=[f"{SYSTEMD}.Unit", {"ActiveState": Variant("s", "failed")}, []],
        )
    )
    await systemd.change(NGINX, "active", "reload", NRestarts=1)
    await until(lambda: len(changes) == 2)
    assert last(changes).active_state == "active"
    await hang_up(stranger)
    units.unfollow(following)


async def test_stored_signals_are_limited(systemd: FakeSystemd, daemon: Daemon) -> None:
    units = Units(daemon.address, max_kept=3)
    changes: list[UnitChange | None] = []
    following = units.follow_all(lambda _: True, changes.append)
    await until(lambda: changes)
    systemd.units |= {f"{number}.scope": service() for number in range(10)}
    for number in range(10):
        await systemd.change(f"{number}.scope")
    await until(lambda: len(changes) == 11)
    assert len(units._properties) <= 3
    units.unfollow(following)
    await units.close()


async def test_close_cancels_an_attempt_to_connect(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), tmp_path / "silent")
    units = Units(f"unix:path={tmp_path}/silent")
    with pytest.raises(BusError):
        await units.state(NGINX, deadline=soon())
    await units.close()
    server.close()
    await server.wait_closed()
