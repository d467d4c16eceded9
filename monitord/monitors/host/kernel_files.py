"""Files of the kernel about this host: /proc and the control group at the root of its hierarchy.

The unit of the service hides /proc except for processes (ProcSubset=pid) and binds the few files that monitors read
below /run/monitord-host. In a container with a control group namespace, the root of the hierarchy is the group of the
container, and its files have the limits and the pressure of the container. lxcfs replaces files below /proc.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitord.conditions import Bounds, FieldType
from monitord.model import FieldValue

MAX_FILE_BYTES = 256 * 1024

SANDBOX_HINT = "see SANDBOX in monitord(8)"

PERCENT = Bounds(least=0, most=100)

_AVERAGES = ("avg10", "avg60", "avg300")


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """Where the files are. `bound`: the directory in which the unit of the service binds files of /proc.

    `is_service`: this process was started by systemd as a service, which has a control group of its own.
    """

    proc: Path = Path("/proc")
    bound: Path = Path("/run/monitord-host")
    cgroup: Path = Path("/sys/fs/cgroup")
    container: Path = Path("/run/systemd/container")
    is_service: bool = field(default_factory=lambda: "INVOCATION_ID" in os.environ)

    def read_proc(self, name: str) -> str | None:
        """Return the content of a file below /proc; None if it does not exist, is hidden or cannot be read."""
        for folder in (self.proc, self.bound):
            if text := read_text(folder / name):
                return text
        return None

    def read_cgroup(self, name: str) -> str | None:
        """Return the content of a file of the control group at the root of the unified hierarchy.

        None also in a control group namespace of the service, where this group has the limits of the service itself.
        """
        return None if self._is_own_group else read_text(self.cgroup / name)

    @property
    def is_container(self) -> bool:
        """Whether this is a container: it has the mark of its service manager, or its root group has a parent."""
        # cgroup.type exists in all control groups except the root of the hierarchy (cgroups(7)).
        return self.container.exists() or (not self._is_own_group and (self.cgroup / "cgroup.type").exists())

    @property
    def _is_own_group(self) -> bool:
        # A drop-in with ProtectControlGroups=private (systemd 257) has this effect.
        return self.is_service and read_text(self.proc / "self" / "cgroup") == "0::/\n"

    def read_pressure(self, resource: str) -> Mapping[str, float]:
        """Return the pressure stall information of "cpu", "io" or "memory" in percent: {"some_avg10": 0.12, …}.

        Empty if the kernel does not provide it (psi=0), or if the sandbox hides it.
        """
        text = self.read_cgroup(f"{resource}.pressure") or self.read_proc(f"pressure/{resource}")
        return parse_pressure(text or "")


def read_text(path: Path) -> str | None:
    """Return the beginning of a file, MAX_FILE_BYTES at most; None if it cannot be read."""
    # OSError also for a file that exists: EOPNOTSUPP with psi=0, ENOTCONN for a FUSE file without its daemon.
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return None


def parse_pressure(text: str) -> Mapping[str, float]:
    """Parse lines such as "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"."""
    averages: dict[str, float] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()[:5] or [""]
        for pair in pairs:
            name, _, value = pair.partition("=")
            if kind in {"some", "full"} and name in _AVERAGES:
                try:
                    averages[f"{kind}_{name}"] = min(max(float(value), 0.0), 100.0)
                except ValueError:
                    continue
    return averages


def parse_numbers(text: str) -> Mapping[str, int]:
    """Parse lines of a name and a number, such as "MemFree:  1024 kB" and "active_file 4096"; kB become bytes."""
    numbers: dict[str, int] = {}
    for line in text.splitlines():
        name, *words = line.split()[:4] or [""]
        if words and words[0].isascii() and words[0].isdecimal():
            numbers[name.rstrip(":")] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return numbers


def pressure_names(resource: str, kinds: Collection[str] = ("some", "full")) -> list[str]:
    """Return the names of the fields of the pressure on a resource."""
    return [f"pressure.{resource}.{kind}_{average}" for kind in kinds for average in _AVERAGES]


def pressure_types(*names: str) -> Mapping[str, FieldType]:
    return dict.fromkeys(names, FieldType.NUMBER)


def pressure_fields(resource: str, pressure: Mapping[str, float]) -> dict[str, FieldValue]:
    return {f"pressure.{resource}.{name}": value for name, value in pressure.items()}


def missing_pressure(needs: Collection[str], fields: Mapping[str, FieldValue]) -> str | None:
    """Return the problem if a condition needs a pressure that was not read, else None."""
    missing = sorted(name for name in needs if name.startswith("pressure.") and name not in fields)
    if not missing:
        return None
    return (
        f"there is no {missing[0]}: the kernel was started without pressure stall information (psi=1), "
        f"or the sandbox hides it ({SANDBOX_HINT})"
    )
