"""The state of systemd's units, queried and followed over the system bus.

    units = Units()
    following = units.follow("nginx.service", on_change)    # on_change(UnitChange), or None: some may have been missed
    units.unfollow(following)
    state = await units.state("nginx.service", deadline=time.monotonic() + 5)
    states = await units.matching(["*.service"], deadline=…)
    await units.close()

One connection is shared. It is opened when first needed, and reopened with increasing intervals while the bus is not
available. States are not cached. The last signals are stored only to ignore repetitions, as daemons send a signal for
each new status line.

Two properties of systemd's interface:

- A query for a unit that is not loaded loads and unloads it, which emits UnitNew and UnitRemoved. A query in response
  to these signals would loop forever, so they are not subscribed.
- While systemd re-executes itself it has no bus name. Afterwards it has no subscribers, or from systemd 257 on the same
  subscribers.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
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
from monitord.net.dbus.unit_resources import (
    KINDS,
    OF_GROUP,
    OF_SERVICE,
    OF_UNIT,
    UnitResources,
    resources_of,
)
from monitord.net.dbus.unit_state import UnitChange, UnitState, change_of, detailed, name_of, state_of

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
RETRY_FIRST_S = 0.25
RETRY_LAST_S = 30.0
"""Interval of attempts to connect: doubled after each failure, with jitter."""
WARN_AFTER_S = 10.0
"""A lost connection is a warning when it lasts longer: a restart of dbus takes a few seconds."""
MAX_QUERIES = 5
"""The maximum number of queries for a unit that changes during each query."""

MAX_KEPT = 20_000
"""Units whose last signal is stored. Above it, all are discarded, and a repetition is reported as a change."""

_SYSTEMD = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_UNIT = f"{_SYSTEMD}.Unit"
_MANAGER = BusPeer(_SYSTEMD, _ROOT, f"{_SYSTEMD}.Manager")
_ROWS = "a(ssssssouso)"
_NO_SUCH_UNIT = f"{_SYSTEMD}.NoSuchUnit"
_ALREADY_SUBSCRIBED = f"{_SYSTEMD}.AlreadySubscribed"

# The types of units that have the property Result.
_WITH_RESULT = frozenset({"automount", "mount", "path", "scope", "service", "socket", "swap", "timer"})

_CHANGED = (_UNIT, "StateChangeTimestamp")
"""Queried first and last: the query is repeated if the unit has changed in between."""

_OF_EVERY_UNIT = ("ActiveState", "SubState")
_RUN = "ExecMainStartTimestampMonotonic"
_OF_SERVICES = ("Type", "NRestarts", "ExecMainCode", "ExecMainStatus", _RUN)
_OF_TIMERS = ("Unit", "LastTriggerUSec", "NextElapseUSecRealtime", "NextElapseUSecMonotonic")

_OF_ELAPSED_TIMERS = ("TimersCalendar", "TimersMonotonic")

# A signal is a change if one of these properties has another value.
_WATCHED = frozenset(
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
"""Whether a unit name matches."""
OnChange = Callable[[UnitChange | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class UnitSubscription:
    """A subscription to changes of the unit `name`, or of all units that match if `name` is None."""

    name: str | None
    matches: Matches
    on_change: OnChange


class Units:
    """Queries and follows units over one shared connection. Needs a running event loop from the first call on."""

    def __init__(
        self, address: str | None = None, max_kept: int = MAX_KEPT, warn_after_s: float = WARN_AFTER_S
    ) -> None:
        self._address = system_bus_address() if address is None else address
        self._max_kept = max_kept
        self._warn_after_s = warn_after_s
        self._keeper: asyncio.Task[None] | None = None
        self._connection: BusConnection | None = None
        self._has_tried = asyncio.Event()
        self._owner_changed = asyncio.Event()
        self._owner = ""
        self._failure: BusError | None = None
        self._lost_at_s: float | None = None
        """When the connection was lost; None before the first connection."""
        self._is_warned = False
        self._named: dict[str, list[UnitSubscription]] = {}
        self._wide: list[UnitSubscription] = []
        self._properties: dict[str, dict[str, Any]] = {}
        self._reported: dict[str, tuple[Any, ...]] = {}

    # -- following ----------------------------------------------------------------------------------------

    def follow(self, name: str, on_change: OnChange) -> UnitSubscription:
        """Call `on_change` with each change of the unit, and with None if changes may have been missed."""
        following = UnitSubscription(name, name.__eq__, on_change)
        self._named.setdefault(name, []).append(following)
        self._begin()
        return following

    def follow_all(self, matches: Matches, on_change: OnChange) -> UnitSubscription:
        """Follow all units whose name matches; see `follow`."""
        following = UnitSubscription(None, matches, on_change)
        self._wide.append(following)
        self._begin()
        return following

    def unfollow(self, following: UnitSubscription) -> None:
        if following.name is None:
            self._wide.remove(following)
            return
        named = self._named[following.name]
        named.remove(following)
        if not named:
            del self._named[following.name]

    # -- queries ------------------------------------------------------------------------------------------

    async def state(self, name: str, *, deadline: float) -> UnitState:
        """Return the state of a unit. systemd loads it for the query if necessary. Raises BusError."""
        connection = await self._connected(deadline)
        rows = await self._list(connection, "ListUnitsByNames", "as", ([name],), deadline)
        # For an alias ("dbus.service"), the row has the name of the unit itself.
        row = next(iter(rows), None)
        if row is None:
            raise BusError(BusFailure.REFUSED, f"{_SYSTEMD} does not list {name}")
        state = state_of(row)
        if not state.is_there:
            return state
        # One call per property: for GetAll, systemd would read the control group of a service.
        kind = state.name.rpartition(".")[2]
        properties = [_CHANGED, *((_UNIT, name) for name in _OF_EVERY_UNIT)]
        interface = f"{_SYSTEMD}.{kind.capitalize()}"
        if kind in _WITH_RESULT:
            properties.append((interface, "Result"))
        properties += [
            (interface, name) for name in {"service": _OF_SERVICES, "timer": _OF_TIMERS}.get(kind, ())
        ]
        if kind == "timer" and state.sub_state == "elapsed":
            properties += [(interface, name) for name in _OF_ELAPSED_TIMERS]
        peer = BusPeer(_SYSTEMD, row[6], _PROPERTIES)
        properties.append(_CHANGED)
        values: list[Any] = []
        for _ in range(MAX_QUERIES):
            answers = await connection.call_each(peer, "Get", "ss", properties, "v", deadline=deadline)
            values = [answer[0].value for answer in answers]
            if values[0] == values[-1]:
                break
        return detailed(state, {name: value for (_, name), value in zip(properties, values, strict=True)})

    async def resources(self, name: str, *, deadline: float) -> UnitResources | None:
        """Return the resources of a unit; None if it is not loaded or has no control group. Raises BusError."""
        kind = name.rpartition(".")[2]
        if kind not in KINDS:
            return None
        connection = await self._connected(deadline)
        rows = await self._list(connection, "ListUnitsByNames", "as", ([name],), deadline)
        row = next(iter(rows), None)
        if row is None or not state_of(row).is_there:
            return None
        interface = f"{_SYSTEMD}.{kind.capitalize()}"
        properties = [*((_UNIT, name) for name in OF_UNIT), *((interface, name) for name in OF_GROUP)]
        properties += [(interface, name) for name in (OF_SERVICE if kind == "service" else ())]
        replies = await connection.call_each(
            BusPeer(_SYSTEMD, row[6], _PROPERTIES), "Get", "ss", properties, "v", deadline=deadline
        )
        return resources_of(
            {name: reply[0].value for (_, name), reply in zip(properties, replies, strict=True)}
        )

    async def processes(self, name: str, *, deadline: float) -> list[int]:
        """Return the numbers of all processes of a unit; none if it is not loaded. Raises BusError."""
        connection = await self._connected(deadline)
        try:
            (rows,) = await connection.call(
                _MANAGER, "GetUnitProcesses", "s", (name,), "a(sus)", deadline=deadline
            )
        except BusError as error:
            if error.name == _NO_SUCH_UNIT:
                return []
            raise
        return [pid for _, pid, _ in rows]

    async def matching(self, patterns: Sequence[str], *, deadline: float) -> list[UnitState]:
        """Return the loaded units that match one of the patterns of systemctl(1). Raises BusError.

        The states have only the fields of ListUnits; `state` queries the others.
        """
        connection = await self._connected(deadline)
        any_state: list[str] = []
        body = (any_state, list(patterns))
        rows = await self._list(connection, "ListUnitsByPatterns", "asas", body, deadline)
        return [state_of(row) for row in rows]

    async def list_failed(self, *, deadline: float) -> list[UnitState]:
        """Return all units in the state failed. Raises BusError."""
        connection = await self._connected(deadline)
        rows = await self._list(connection, "ListUnitsFiltered", "as", (["failed"],), deadline)
        return [state_of(row) for row in rows]

    async def enabled(self, patterns: Sequence[str], *, deadline: float) -> list[str]:
        """Return the names of enabled unit files that match one of the patterns. Raises BusError."""
        connection = await self._connected(deadline)
        states = ["enabled", "enabled-runtime"]
        (rows,) = await connection.call(
            _MANAGER, "ListUnitFilesByPatterns", "asas", (states, list(patterns)), "a(ss)", deadline=deadline
        )
        return [path.rpartition("/")[2] for path, _ in rows]

    async def file_system_type(self, unit: str, *, deadline: float) -> str:
        """Return the type of the file system of a mount unit, such as "ext4"; "" if not known. Raises BusError."""
        connection = await self._connected(deadline)
        rows = await self._list(connection, "ListUnitsByNames", "as", ([unit],), deadline)
        if not rows:
            return ""
        peer = BusPeer(_SYSTEMD, rows[0][6], _PROPERTIES)
        (variant,) = await connection.call(
            peer, "Get", "ss", (f"{_SYSTEMD}.Mount", "Type"), "v", deadline=deadline
        )
        return variant.value if isinstance(variant.value, str) else ""

    async def boot_time_us(self, *, deadline: float) -> int:
        """Return when systemd was started, on the monotonic clock: it identifies the boot. Raises BusError."""
        connection = await self._connected(deadline)
        peer = BusPeer(_SYSTEMD, _ROOT, _PROPERTIES)
        body = (_MANAGER.interface, "UserspaceTimestampMonotonic")
        (variant,) = await connection.call(peer, "Get", "ss", body, "v", deadline=deadline)
        return variant.value if isinstance(variant.value, int) else 0

    async def close(self) -> None:
        """Close the connection and all subscriptions. A second call has no effect."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _list(
        self, connection: BusConnection, member: str, signature: str, body: Sequence[Any], deadline: float
    ) -> Sequence[Any]:
        (rows,) = await connection.call(_MANAGER, member, signature, body, _ROWS, deadline=deadline)
        listed: Sequence[Any] = rows
        return listed

    async def _connected(self, deadline: float) -> BusConnection:
        """Wait for the first attempt to connect, and return the connection. Raises BusError if there is none."""
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
                now_s = time.monotonic()
                if self._connection is not None:
                    self._lost_at_s = now_s
                    log.info("the connection to the service manager is lost: %s", error.detail)
                is_lasting = self._lost_at_s is None or now_s - self._lost_at_s >= self._warn_after_s
                if is_lasting and not self._is_warned:
                    self._is_warned = True
                    log.warning("the service manager cannot be queried: %s", error.detail)
                self._connection, self._failure, self._owner = None, error, ""
                self._has_tried.set()
                self._properties.clear()
                self._reported.clear()
            if time.monotonic() - began_s > RETRY_LAST_S:
                wait_s = RETRY_FIRST_S
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, RETRY_LAST_S)

    async def _serve(self) -> None:
        """Open a connection and use it until it is lost. Raises BusError."""
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
                try:
                    await connection.call(_MANAGER, "Subscribe", "", (), "", deadline=deadline)
                except BusError as error:
                    if error.name != _ALREADY_SUBSCRIBED:
                        raise
                if self._failure is not None:
                    log.info("the service manager can be queried again")
                self._connection, self._failure, self._is_warned = connection, None, False
                self._has_tried.set()
                self._query_again()
                # Wait until systemd's bus name has another owner, or the connection is lost.
                changed = asyncio.ensure_future(self._owner_changed.wait())
                lost = asyncio.ensure_future(connection.lost.wait())
                try:
                    await asyncio.wait([changed, lost], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                    lost.cancel()
                if connection.lost.is_set():
                    raise BusError(BusFailure.AWAY, connection.why)
        finally:
            connection.close()

    # -- signals ------------------------------------------------------------------------------------------

    def _on_signal(self, signal: Signal) -> None:
        if signal.sender == BUS.name:
            if signal.member == "NameOwnerChanged" and signal.signature == "sss" and signal.body[2]:
                self._owner_changed.set()
        # Any client of the bus can send a signal that looks like systemd's.
        elif signal.sender != self._owner:
            return
        elif signal.member == "Reloading" and signal.signature == "b":
            if not signal.body[0]:
                self._query_again()
        elif signal.member == "PropertiesChanged" and signal.signature == "sa{sv}as":
            self._on_change(signal)

    def _on_change(self, signal: Signal) -> None:
        # A service sends the properties of services first, then those of all units, which complete the change.
        name = name_of(signal.path)
        wide = (following for following in self._wide if following.matches(name))
        followers = [*self._named.get(name, ()), *wide]
        if not followers:
            return
        if len(self._properties) >= self._max_kept:
            self._properties.clear()
            self._reported.clear()
        interface, changed, _ = signal.body
        properties = self._properties.setdefault(name, {})
        properties.update({key: variant.value for key, variant in changed.items() if key in _WATCHED})
        if interface != _UNIT:
            return
        values = tuple(str(properties.get(key)) for key in sorted(_WATCHED))
        if values == self._reported.get(name):
            return
        self._reported[name] = values
        change = change_of(name, properties)
        for following in followers:
            following.on_change(change)

    def _query_again(self) -> None:
        for following in [*chain.from_iterable(self._named.values()), *self._wide]:
            following.on_change(None)
