"""Files as the kernel has them, below a temporary directory, and a fake of systemd's time services on a private bus."""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio.message_bus import MessageBus

from monitord.conditions import Vocabulary, parse_condition
from monitord.monitors import MonitorSettings
from monitord.monitors.host.kernel_files import KernelFiles
from tests.buses import hang_up

MEMINFO = """\
MemTotal:        8000000 kB
MemFree:          200000 kB
MemAvailable:    6000000 kB
Buffers:          100000 kB
Cached:          6000000 kB
SwapCached:            0 kB
SwapTotal:       2000000 kB
SwapFree:        1500000 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
Hugetlb:               0 kB
"""
"""Most of the memory is page cache."""

NO_PRESSURE = """\
some avg10=0.00 avg60=0.00 avg300=0.00 total=0
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""


def kernel_files(folder: Path, *, is_container: bool = False, **files: str) -> KernelFiles:
    """Write files and return their places. "/" is written as "__": proc__pressure__memory is /proc/pressure/memory."""
    for name, content in files.items():
        path = folder.joinpath(*(part.replace("_dot_", ".") for part in name.split("__")))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    mark = folder / "container"
    if is_container:
        mark.write_text("lxc\n")
    return KernelFiles(folder / "proc", folder / "bound", folder / "cgroup", mark)


class FakeTimeServices:
    """Owns the bus names of systemd-timesyncd and systemd-timedated, as far as `properties` are set."""

    def __init__(self, address: str, properties: Mapping[tuple[str, str], Variant]) -> None:
        self._address = address
        self._bus: MessageBus | None = None
        self.properties = dict(properties)
        self.calls: list[str] = []

    async def start(self) -> None:
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._on_message)
        for name in {interface.removesuffix(".Manager") for interface, _ in self.properties}:
            await bus.request_name(name)
        self._bus = bus

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await hang_up(bus)

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        key: Any = tuple(message.body)
        self.calls.append(key[-1])
        value = self.properties.get(key)
        if value is None:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", f"no {key}")
        return Message.new_method_return(message, "v", [value])


def ntp_message(
    *,
    arrived_us: int = 1_796_000_000_000_000,
    offset_us: int = 0,
    leap: int = 0,
    stratum: int = 2,
    is_ignored: bool = False,
) -> list[Any]:
    """The property NTPMessage of systemd-timesyncd: a response that took 10 ms."""
    sent, server = arrived_us - 10_000, arrived_us - 5_000 + offset_us
    if not arrived_us:
        return [0, 0, 0, 0, 0, 0, 0, b"", 0, 0, 0, 0, False, 0, 0]
    return [
        leap,
        4,
        4,
        stratum,
        -24,
        1000,
        1000,
        b"\xc0\0\x02\x01",
        sent,
        server,
        server,
        arrived_us,
        is_ignored,
        3,
        50,
    ]


def time_service(message: list[Any], server: str = "ntp.example.org") -> Mapping[tuple[str, str], Variant]:
    """The properties of systemd-timesyncd."""
    interface = "org.freedesktop.timesync1.Manager"
    return {
        (interface, "NTPMessage"): Variant("(uuuuittayttttbtt)", message),
        (interface, "ServerName"): Variant("s", server),
    }


def tracking_reply(
    *,
    address: str = "",
    reference: int = 0xC0000207,
    stratum: int = 2,
    leap: int = 0,
    seconds: int = 1_796_000_000,
    offset: float = 0.0,
    sequence: int = 0,
) -> bytes:
    """A reply of chronyd to the request `tracking`."""
    head = struct.pack("!BBxxHHH6xI8x", 6, 2, 33, 5, 0, sequence)
    ip = ipaddress.ip_address(address) if address else None
    packed, family = (ip.packed, 1 if ip.version == 4 else 2) if ip is not None else (b"", 0)
    number = round(offset * 2**24) & (2**25 - 1) | 1 << 25
    return head + struct.pack(
        "!I16sHxxHHIII9i", reference, packed, family, stratum, leap, 0, seconds, 0, number, *[0] * 8
    )


def with_conditions(
    settings: MonitorSettings, vocabulary: Vocabulary, up_when: str = "", degraded_when: str = ""
) -> MonitorSettings:
    """Return the settings with one condition each, if its text is not empty."""
    up, degraded = ((parse_condition(text, vocabulary),) if text else () for text in (up_when, degraded_when))
    return replace(settings, up_when=up, degraded_when=degraded)


def process_files(
    proc: Path,
    pid: int,
    name: str,
    *command: str,
    state: str = "S",
    cpu_ticks: int = 0,
    start_ticks: int = 0,
    pages: int = 0,
) -> None:
    """Write /proc/PID of a process."""
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    # The fields after the name: state, then 10 of which none is read, the times of user and system, and so on.
    fields = [
        state,
        *["0"] * 10,
        str(cpu_ticks),
        "0",
        *["0"] * 6,
        str(start_ticks),
        "0",
        str(pages),
        *["0"] * 28,
    ]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in command))
