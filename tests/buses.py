"""A private bus (dbus-daemon) with a fake service manager that behaves like systemd, as far as the tests need.

Like systemd it sends signals only to subscribers, accepts each only once, and sends the properties of a service before
the common properties of units.
"""

import asyncio
import contextlib
import fnmatch
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

SYSTEMD = "org.freedesktop.systemd1"
ROOT = "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
ROWS = "a(ssssssouso)"

CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/>
    <allow send_type="signal"/> <allow send_type="method_return"/> <allow send_type="error"/>
    <allow receive_type="method_call"/> <allow receive_type="signal"/>
    <allow receive_type="method_return"/> <allow receive_type="error"/>
    {policy}
  </policy>
</busconfig>
"""

SIGNATURES = {
    "StateChangeTimestamp": "t",
    "ExecMainStartTimestampMonotonic": "t",
    "Result": "s",
    "Type": "s",
    "NRestarts": "u",
    "ExecMainCode": "i",
    "ExecMainStatus": "i",
    "StatusText": "s",
    "InvocationID": "ay",
    "ActiveEnterTimestamp": "t",
    "ExecMainStartTimestamp": "t",
    "ControlGroup": "s",
    **dict.fromkeys(("MemoryCurrent", "MemoryHigh", "MemoryMax", "TasksCurrent", "TasksMax"), "t"),
    **dict.fromkeys(("CPUUsageNSec", "IPIngressBytes", "IPEgressBytes"), "t"),
    "Unit": "s",
    "LastTriggerUSec": "t",
    "NextElapseUSecRealtime": "t",
    "NextElapseUSecMonotonic": "t",
    "TimersCalendar": "a(sst)",
    "TimersMonotonic": "a(stt)",
}
OF_ALL = ("StateChangeTimestamp", "InvocationID", "ActiveEnterTimestamp")
NOT_SET = 2**64 - 1
"""A counter that is not set, or a limit that is infinite."""


class Daemon:
    """A real message bus that a test can stop and start again."""

    def __init__(self, folder: Path, policy: str = "") -> None:
        self._socket = folder / "bus"
        self._config = folder / "bus.conf"
        self._config.write_text(CONFIG.format(socket=self._socket, policy=policy))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"unix:path={self._socket}"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "dbus-daemon did not start"

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@dataclass
class FakeUnit:
    load_state: str = "loaded"
    active_state: str = "active"
    sub_state: str = "running"
    properties: dict[str, Any] = field(default_factory=dict)
    processes: list[int] = field(default_factory=list)


def resources(**properties: Any) -> dict[str, Any]:
    """The properties of a service that uses nothing that is counted, and has no limits."""
    names = ("MemoryCurrent", "MemoryHigh", "MemoryMax", "TasksCurrent", "TasksMax", "CPUUsageNSec")
    return {
        "InvocationID": bytes(16),
        "ActiveEnterTimestamp": 1_767_225_600_000_000,
        "ExecMainStartTimestamp": 1_767_225_600_000_000,
        "ControlGroup": "/system.slice/nginx.service",
        **dict.fromkeys((*names, "IPIngressBytes", "IPEgressBytes"), NOT_SET),
        **properties,
    }


def service(**properties: Any) -> FakeUnit:
    """A service that runs and was never restarted."""
    return FakeUnit(
        properties={
            "StateChangeTimestamp": 1_767_225_600_000_000,
            "Type": "simple",
            "ExecMainStartTimestampMonotonic": 1,
            "Result": "success",
            "NRestarts": 0,
            "ExecMainCode": 0,
            "ExecMainStatus": 0,
            **properties,
        }
    )


def timer(starts: str, **properties: Any) -> FakeUnit:
    return FakeUnit(
        sub_state="waiting",
        properties={
            "StateChangeTimestamp": 1_767_225_600_000_000,
            "Result": "success",
            "Unit": starts,
            "LastTriggerUSec": 0,
            "NextElapseUSecRealtime": 0,
            "NextElapseUSecMonotonic": 0,
            "TimersCalendar": [],
            "TimersMonotonic": [],
            **properties,
        },
    )


class FakeSystemd:
    """Owns the name of systemd on a bus. `units` may be changed at any time; `change` also sends signals."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._bus: MessageBus | None = None
        self.units: dict[str, FakeUnit] = {}
        self.aliases: dict[str, str] = {}
        self.enabled: set[str] = set()
        self.booted_us = 1_000_000
        self.calls: list[str] = []
        self.subscribers: set[str] = set()
        self.is_hanging = False
        self.answer: Callable[[Message], Message | None] = lambda _: None
        """Overrides the reply to a method call; None: the usual reply."""

    async def start(self) -> None:
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._on_message)
        await bus.request_name(SYSTEMD)
        self._bus = bus

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        self.subscribers.clear()
        if bus is not None:
            await hang_up(bus)

    async def execute_again(self, *, keeps_subscribers: bool = False) -> None:
        """systemctl daemon-reexec: leaves the bus for a moment. Before systemd 257, it forgets all subscribers."""
        subscribers = set(self.subscribers) if keeps_subscribers else set()
        await self.stop()
        self.subscribers = subscribers
        await self.start()

    async def reload(self) -> None:
        """systemctl daemon-reload."""
        for begins in (True, False):
            self._tell(ROOT, f"{SYSTEMD}.Manager", "Reloading", "b", [begins])
        await self.flush()

    async def change(
        self,
        name: str,
        active_state: str | None = None,
        sub_state: str | None = None,
        **properties: Any,
    ) -> None:
        """Change a unit, and send both signals."""
        unit = self.units[name]
        unit.active_state = active_state or unit.active_state
        unit.sub_state = sub_state or unit.sub_state
        unit.properties |= properties
        kind = name.rpartition(".")[2].capitalize()
        own = {key: _variant(key, value) for key, value in unit.properties.items() if key not in OF_ALL}
        of_all = {key: _variant(key, unit.properties[key]) for key in OF_ALL if key in unit.properties}
        of_all |= {"ActiveState": Variant("s", unit.active_state), "SubState": Variant("s", unit.sub_state)}
        for interface, changed in ((kind, own), ("Unit", of_all)):
            body = [f"{SYSTEMD}.{interface}", changed, []]
            self._tell(path_of(name), PROPERTIES, "PropertiesChanged", "sa{sv}as", body)
        await self.flush()

    async def flush(self) -> None:
        """Wait for a reply of the bus, which comes after everything that was sent before."""
        if self._bus is not None:
            await self._bus.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member="GetId",
                )
            )

    @staticmethod
    def denied(message: Message) -> Message:
        """The error of a bus whose policy forbids this call."""
        return Message.new_error(message, "org.freedesktop.DBus.Error.AccessDenied", "Rejected send message")

    def _tell(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        assert self._bus is not None
        if self.subscribers:
            self._bus.send(
                Message(
                    message_type=MessageType.SIGNAL,
                    path=path,
                    interface=interface,
                    member=member,
                    signature=signature,
                    body=body,
                )
            )

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.calls.append(str(message.member))
        if self.is_hanging:
            return True
        return self.answer(message) or self._processes(message) or self._answer(message)

    def _answer(self, message: Message) -> Message:
        member, body = message.member, message.body
        if member == "Subscribe" and str(message.sender) in self.subscribers:
            return Message.new_error(message, f"{SYSTEMD}.AlreadySubscribed", "Client is already subscribed.")
        if member == "Subscribe":
            self.subscribers.add(str(message.sender))
            return Message.new_method_return(message, "", [])
        listed: dict[str | None, Callable[[], list[str]]] = {
            "ListUnitsByNames": lambda: [self.aliases.get(name, name) for name in body[0]],
            "ListUnitsByPatterns": lambda: self._loaded(body[1]),
            "ListUnitsFiltered": lambda: [
                name for name, unit in self.units.items() if unit.active_state in body[0]
            ],
        }
        if member in listed:
            return self._rows(message, listed[member]())
        if member == "ListUnitFilesByPatterns":
            return self._files(message, body[1])
        value = self._property(str(message.path), body[1]) if member == "Get" else None
        if value is not None:
            return Message.new_method_return(message, "v", [value])
        return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", f"no {member} {body}")

    def _processes(self, message: Message) -> Message | None:
        if message.member != "GetUnitProcesses":
            return None
        (name,) = message.body
        if name not in self.units:
            return Message.new_error(message, f"{SYSTEMD}.NoSuchUnit", f"Unit {name} not loaded.")
        rows = [["/", pid, "/usr/sbin/nginx"] for pid in self.units[name].processes]
        return Message.new_method_return(message, "a(sus)", [rows])

    def _loaded(self, patterns: Iterable[str]) -> list[str]:
        return [
            name
            for name, unit in self.units.items()
            if unit.load_state != "not-found"
            and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        ]

    def _files(self, message: Message, patterns: Iterable[str]) -> Message:
        enabled = [
            [f"/lib/systemd/system/{name}", "enabled"]
            for name in sorted(self.enabled)
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        ]
        return Message.new_method_return(message, "a(ss)", [enabled])

    def _property(self, path: str, wanted: str) -> Variant | None:
        if path == ROOT and wanted == "UserspaceTimestampMonotonic":
            return Variant("t", self.booted_us)
        unit = next((unit for name, unit in self.units.items() if path_of(name) == path), None)
        if unit is None:
            return None
        if wanted in {"ActiveState", "SubState"}:
            return Variant("s", unit.active_state if wanted == "ActiveState" else unit.sub_state)
        return _variant(wanted, unit.properties[wanted]) if wanted in unit.properties else None

    def _rows(self, message: Message, names: Iterable[str]) -> Message:
        rows = []
        for name in names:
            unit = self.units.get(name) or FakeUnit("not-found", "inactive", "dead")
            rows.append(
                [
                    name,
                    name,
                    unit.load_state,
                    unit.active_state,
                    unit.sub_state,
                    "",
                    path_of(name),
                    0,
                    "",
                    "/",
                ]
            )
        return Message.new_method_return(message, ROWS, [rows])


async def hang_up(bus: Any) -> None:
    """Close a connection of the library, which may have been closed by the bus before."""
    bus.disconnect()
    with contextlib.suppress(EOFError, OSError):
        await bus.wait_for_disconnect()
    # The version in Debian 13 leaves the file object of its socket open, and with it the socket.
    stream = getattr(bus, "_stream", None)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that arrives over sockets. The timeout of the test ends a wait in vain."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.005)


def path_of(name: str) -> str:
    """The object path of a unit, escaped as systemd does."""
    escaped = "".join(
        character if character.isascii() and character.isalnum() else f"_{ord(character):02x}"
        for character in name
    )
    return f"{ROOT}/unit/{escaped}"


def _variant(name: str, value: Any) -> Variant:
    return Variant(SIGNATURES[name], value)
