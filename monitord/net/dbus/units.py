"""What the service manager (systemd) knows of its units, asked over the system's bus and heard of as it happens.

    units = Units()
    following = units.follow("nginx.service", hear)     # hear(UnitChange); hear(None): some may have been missed
    units.unfollow(following)
    state = await units.look("nginx.service", deadline=time.monotonic() + 5)
    states = await units.matching(["*.service"], deadline=…)
    await units.close()

One connection for all, opened when it is first needed and made anew, ever less often, as long as the bus is away.
Nothing is cached: who looks asks. What is kept of signals is only what tells a change from a repetition, as daemons
send a signal for each new line of status.

Two traps of systemd's interface:

- To ask for a unit that is not loaded loads it, and lets it go again, which is told to all by UnitNew and UnitRemoved:
  who asks on hearing these asks for ever. They are not listened for.
- While systemd executes itself anew it is not on the bus, and does not know afterwards who had subscribed.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.net.base.deadline import Deadline
from monitord.net.dbus.bus import (
    BUS,
    BusConnection,
    BusError,
    BusFailure,
    BusPeer,
    Signal,
    system_bus_address,
)
from monitord.net.dbus.unit_state import UnitChange, UnitState, change_of, detailed, name_of, state_of

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
RETRY_FIRST_S = 0.25
RETRY_LAST_S = 30.0
"""After a failure to connect the next attempt comes so much later, twice as late each time, with some jitter."""
LOOKS = 5
"""As often at most for one that changes all the time."""

MAX_KEPT = 20_000
"""Units whose last signal is kept. Beyond it, all are forgotten, and a repetition passes for a change."""

_SYSTEMD = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNIT = f"{_SYSTEMD}.Unit"
_MANAGER = BusPeer(_SYSTEMD, _ROOT, f"{_SYSTEMD}.Manager")
_ROWS = "a(ssssssouso)"

# Of the types of units, those with a Result.
_WITH_RESULT = frozenset({"automount", "mount", "path", "scope", "service", "socket", "swap", "timer"})

_CHANGED = (_UNIT, "StateChangeTimestamp")
"""Asked for first and last: a unit that changes while it is looked at is looked at again."""

_OF_EVERY_UNIT = ("ActiveState", "SubState")
_RUN = "ExecMainStartTimestampMonotonic"
_OF_SERVICES = ("Type", "NRestarts", "ExecMainCode", "ExecMainStatus", _RUN)
_OF_TIMERS = ("Unit", "LastTriggerUSec", "NextElapseUSecRealtime", "NextElapseUSecMonotonic")

_OF_ELAPSED_TIMERS = ("TimersCalendar", "TimersMonotonic")

# What makes a signal news.
_NEWS = frozenset(
    {
        "ActiveState",
        "SubState",
        _RUN,
        "Job",
        "Result",
        "NRestarts",
        "LastTriggerUSec",
        *_OF_TIMERS[2:],
    }
)

_SIGNALS = (
    f"type='signal',sender='{_SYSTEMD}',interface='{_PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='{_ROOT}/unit'",
    f"type='signal',sender='{_SYSTEMD}',interface='{_SYSTEMD}.Manager',member='Reloading',path='{_ROOT}'",
    f"type='signal',sender='{BUS.name}',interface='{BUS.interface}',member='NameOwnerChanged',arg0='{_SYSTEMD}'",
)


Matches = Callable[[str], bool]
"""Whether the unit of a name is meant."""
Hear = Callable[[UnitChange | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """`name`: only this unit; otherwise those that `matches`."""

    name: str | None
    matches: Matches
    hear: Hear


class Units:
    """Shared by all who ask. Needs a running event loop from the first call on."""

    def __init__(self, address: str | None = None, max_kept: int = MAX_KEPT) -> None:
        self._address = system_bus_address() if address is None else address
        self._max_kept = max_kept
        self._keeper: asyncio.Task[None] | None = None
        self._connection: BusConnection | None = None
        self._has_tried = asyncio.Event()
        self._owner_changed = asyncio.Event()
        self._owner = ""
        self._failure: BusError | None = None
        self._named: dict[str, list[Following]] = {}
        self._wide: list[Following] = []
        self._said: dict[str, dict[str, Any]] = {}
        self._told: dict[str, tuple[Any, ...]] = {}

    # -- following ----------------------------------------------------------------------------------------

    def follow(self, name: str, hear: Hear) -> Following:
        """`hear` gets each change of the unit, and None whenever changes may have been missed."""
        following = Following(name, name.__eq__, hear)
        self._named.setdefault(name, []).append(following)
        self._begin()
        return following

    def follow_all(self, matches: Matches, hear: Hear) -> Following:
        """As `follow`, for every unit whose name matches."""
        following = Following(None, matches, hear)
        self._wide.append(following)
        self._begin()
        return following

    def unfollow(self, following: Following) -> None:
        if following.name is None:
            self._wide.remove(following)
            return
        named = self._named[following.name]
        named.remove(following)
        if not named:
            del self._named[following.name]

    # -- asking -------------------------------------------------------------------------------------------

    async def look(self, name: str, *, deadline: float) -> UnitState:
        """How one unit stands; one that is not loaded is loaded to see. Raises BusError."""
        connection = await self._connected(deadline)
        rows = await self._ask(connection, "ListUnitsByNames", "as", ([name],), deadline)
        # An alias ("dbus.service") is answered by the name of the unit itself.
        row = next(iter(rows), None)
        if row is None:
            raise BusError(BusFailure.REFUSED, f"{_SYSTEMD} lists nothing for {name}")
        state = state_of(row)
        return await self._with_details(connection, state, row[6], deadline) if state.is_there else state

    async def matching(self, patterns: Sequence[str], *, deadline: float) -> list[UnitState]:
        """Those that are loaded and match one of the patterns, as systemctl(1) has them. Raises BusError.

        Without what only `look` tells of a single one.
        """
        connection = await self._connected(deadline)
        anyhow: list[str] = []
        rows = await self._ask(connection, "ListUnitsByPatterns", "asas", (anyhow, list(patterns)), deadline)
        return [state_of(row) for row in rows]

    async def list_failed(self, *, deadline: float) -> list[UnitState]:
        """Every unit that has failed. Raises BusError."""
        connection = await self._connected(deadline)
        rows = await self._ask(connection, "ListUnitsFiltered", "as", (["failed"],), deadline)
        return [state_of(row) for row in rows]

    async def close(self) -> None:
        """May be called twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _ask(
        self, connection: BusConnection, member: str, signature: str, body: Sequence[Any], deadline: float
    ) -> Sequence[Any]:
        (rows,) = await connection.call(_MANAGER, member, signature, body, _ROWS, deadline=deadline)
        listed: Sequence[Any] = rows
        return listed

    async def _with_details(
        self, connection: BusConnection, state: UnitState, path: str, deadline: float
    ) -> UnitState:
        """Some properties one by one: all at once would have systemd read the control group of a service."""
        kind = state.name.rpartition(".")[2]
        wanted = [_CHANGED, *((_UNIT, name) for name in _OF_EVERY_UNIT)]
        own = f"{_SYSTEMD}.{kind.capitalize()}"
        if kind in _WITH_RESULT:
            wanted.append((own, "Result"))
        wanted += [(own, name) for name in {"service": _OF_SERVICES, "timer": _OF_TIMERS}.get(kind, ())]
        if kind == "timer" and state.sub_state == "elapsed":
            wanted += [(own, name) for name in _OF_ELAPSED_TIMERS]
        peer = BusPeer(_SYSTEMD, path, _PROPERTIES)
        wanted.append(_CHANGED)
        values: list[Any] = []
        for _ in range(LOOKS):
            answers = await connection.call_each(peer, "Get", "ss", wanted, "v", deadline=deadline)
            values = [answer[0].value for answer in answers]
            if values[0] == values[-1]:
                break
        return detailed(state, {name: value for (_, name), value in zip(wanted, values, strict=True)})

    async def _connected(self, deadline: float) -> BusConnection:
        """The connection, as soon as it stands. While the bus is known to be away, nobody is kept waiting."""
        self._begin()
        try:
            async with Deadline(deadline - time.monotonic()):
                await self._has_tried.wait()
        except TimeoutError as error:
            raise BusError(BusFailure.SILENT, "no connection to the system bus yet") from error
        if self._connection is None:
            failure = self._failure
            raise BusError(
                *((failure.failure, failure.detail) if failure else (BusFailure.AWAY, "no system bus"))
            )
        return self._connection

    # -- the connection -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            began_s = time.monotonic()
            try:
                await self._serve()
            except BusError as error:
                self._lose(error)
            if time.monotonic() - began_s > RETRY_LAST_S:
                wait_s = RETRY_FIRST_S
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - so that not all come at once
            wait_s = min(wait_s * 2, RETRY_LAST_S)

    async def _serve(self) -> None:
        """One connection, until it is lost, which is a BusError."""
        deadline = time.monotonic() + CONNECT_WITHIN_S
        connection = await BusConnection.open(self._address, self._on_signal, deadline=deadline)
        try:
            for rule in _SIGNALS:
                await connection.call(BUS, "AddMatch", "s", (rule,), "", deadline=deadline)
            while True:
                self._owner_changed.clear()
                deadline = time.monotonic() + CONNECT_WITHIN_S
                (self._owner,) = await connection.call(
                    BUS, "GetNameOwner", "s", (_SYSTEMD,), "s", deadline=deadline
                )
                await connection.call(_MANAGER, "Subscribe", "", (), "", deadline=deadline)
                self._be_ready(connection)
                await self._end_of(connection)
        finally:
            connection.close()

    async def _end_of(self, connection: BusConnection) -> None:
        """Wait for another systemd. Raises BusError when the connection is lost first."""
        changed = asyncio.ensure_future(self._owner_changed.wait())
        lost = asyncio.ensure_future(connection.lost.wait())
        try:
            await asyncio.wait([changed, lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            lost.cancel()
        if connection.lost.is_set():
            raise BusError(BusFailure.AWAY, connection.why)

    def _be_ready(self, connection: BusConnection) -> None:
        if self._failure is not None:
            log.info("the service manager can be asked again")
        self._connection, self._failure = connection, None
        self._has_tried.set()
        self._look_again()

    def _lose(self, error: BusError) -> None:
        if self._failure is None:
            log.warning("the service manager cannot be asked: %s", error.detail)
        self._connection, self._failure, self._owner = None, error, ""
        self._has_tried.set()
        self._said.clear()
        self._told.clear()

    # -- signals ------------------------------------------------------------------------------------------

    def _on_signal(self, signal: Signal) -> None:
        if signal.sender == BUS.name:
            if signal.member == "NameOwnerChanged" and signal.signature == "sss" and signal.body[2]:
                self._owner_changed.set()
        # Anybody may send us a signal that looks like systemd's.
        elif signal.sender != self._owner:
            return
        elif signal.member == "Reloading" and signal.signature == "b":
            if not signal.body[0]:
                self._look_again()
        elif signal.member == "PropertiesChanged" and signal.signature == "sa{sv}as":
            self._on_change(signal)

    def _on_change(self, signal: Signal) -> None:
        """A service tells first what is a service's own, then what all units have: then it is complete."""
        name = name_of(signal.path)
        followers = self._followers(name)
        if not followers:
            return
        if len(self._said) >= self._max_kept:
            self._said.clear()
            self._told.clear()
        interface, changed, _ = signal.body
        said = self._said.setdefault(name, {})
        said.update({key: variant.value for key, variant in changed.items() if key in _NEWS})
        if interface != _UNIT:
            return
        news = tuple(str(said.get(key)) for key in sorted(_NEWS))
        if news == self._told.get(name):
            return
        self._told[name] = news
        change = change_of(name, said)
        for following in followers:
            following.hear(change)

    def _followers(self, name: str) -> Sequence[Following]:
        named = self._named.get(name, ())
        return [*named, *(one for one in self._wide if one.matches(name))]

    def _look_again(self) -> None:
        everybody: Iterable[Following] = [
            *(one for named in self._named.values() for one in named),
            *self._wide,
        ]
        for following in everybody:
            following.hear(None)
