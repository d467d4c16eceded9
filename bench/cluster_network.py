"""A network of namespaces on one machine, in a sandbox that leaves nothing behind.

`sandboxed` runs a command in new namespaces for processes, mounts and the network (unshare(1)); users can do this as
well as root. Everything that the command creates disappears with its first process, however that ends: the kernel
kills all processes of the PID namespace, and frees interfaces, routes and the file system of /run.

In the sandbox, `Network` connects hosts by a router, as networks are: its own namespace. A partition is a policy rule
of the router that discards packets silently, in one direction or both, so that connections hang and are not reset.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

RUN = Path("/run")
NAMESPACES = RUN / "netns"
CLONE_NEWNET = 0x40000000  # setns(2)
PREFIX = "10.77"
"""Host number N has the address 10.77.N.2, and the router 10.77.N.1."""

_libc = ctypes.CDLL(None, use_errno=True)


def sandboxed(command: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `command` in a sandbox, in which /run is an empty file system in memory."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # By default, unshare(1) makes all mounts private: nobody else sees this one.
    return [
        *unshare,
        "sh",
        "-euc",
        'mount -t tmpfs -o mode=755 none /run && exec "$@"',
        "sh",
        *map(str, command),
    ]


def why_no_sandbox() -> str | None:
    """Return why this machine cannot run a sandbox with a network; None: it can."""
    network = (
        "ip netns add one && ip link add near type veth peer name far netns one && ip rule add blackhole"
    )
    try:
        done = subprocess.run(sandboxed(["sh", "-euc", network]), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no unshare(1)"
    return None if done.returncode == 0 else f"no network namespaces: {done.stderr.strip()}"


def as_user(name: str, command: Sequence[str | Path], root: Path | None = None) -> list[str]:
    """Return the command that runs with the id of this user in its own user namespace, owning the files of root.

    For programs that refuse to run as root. `root`: the root directory of the command, as `prepare_root` leaves it.
    """
    options = ["--user", f"--map-user={name}", f"--map-group={name}"]
    return ["unshare", *options, *([] if root is None else [f"--root={root}"]), *map(str, command)]


def prepare_root(root: Path) -> None:
    """Give the programs of another root directory devices, the users, and /run of this one. Only in a sandbox."""
    for name in ("dev", "proc", "run"):
        (root / name).mkdir(exist_ok=True)
        _mount("--rbind", f"/{name}", root / name)
    for name in ("etc/passwd", "etc/group"):
        (root / name).touch()
        _mount("--bind", f"/{name}", root / name)


def _mount(option: str, source: str, target: Path) -> None:
    subprocess.run(["mount", option, source, str(target)], check=True)


class Network:
    """Hosts that are connected by a router. Only in a sandbox."""

    def __init__(self) -> None:
        self._subnets: dict[str, list[str]] = {}
        _ip("link", "set", "lo", "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def add(self, name: str) -> str:
        """Add a host, and return its address."""
        number = len(self._subnets) + 1
        subnet = f"{PREFIX}.{number}"
        _ip("netns", "add", name)
        _ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{subnet}.1/24", "dev", f"to-{name}")
        _ip("link", "set", f"to-{name}", "up")
        _ip("-n", name, "address", "add", f"{subnet}.2/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", f"{subnet}.1")
        self._subnets[name] = [f"{subnet}.0/24"]
        return f"{subnet}.2"

    def add_addresses(self, name: str, subnet: str) -> None:
        """Give a host all addresses of a subnet in the notation of CIDR."""
        number = list(self._subnets).index(name) + 1
        _ip("-n", name, "route", "add", "local", subnet, "dev", "lo")
        _ip("route", "add", subnet, "via", f"{PREFIX}.{number}.2")
        self._subnets[name].append(subnet)

    def cut(self, sender: str, receiver: str) -> None:
        """Discard all packets from one host to another. Not the responses, which `cut` discards separately."""
        for rule in self._rules(sender, receiver):
            _ip("rule", "add", *rule)

    def join(self, sender: str, receiver: str) -> None:
        """Undo `cut`."""
        for rule in self._rules(sender, receiver):
            _ip("rule", "delete", *rule)

    def _rules(self, sender: str, receiver: str) -> Iterator[list[str]]:
        for source in self._subnets[sender]:
            for destination in self._subnets[receiver]:
                yield ["from", source, "to", destination, "blackhole"]

    @staticmethod
    def on(name: str, command: Sequence[str | Path]) -> list[str]:
        """Return the command that runs on this host."""
        return ["nsenter", f"--net={NAMESPACES / name}", *map(str, command)]

    @staticmethod
    @contextlib.contextmanager
    def sockets_of(name: str) -> Iterator[None]:
        """Create the sockets of this thread on a host. They stay there; all others are those of the router."""
        with Path("/proc/thread-self/ns/net").open() as router, (NAMESPACES / name).open() as host:
            _enter(host.fileno())
            try:
                yield
            finally:
                _enter(router.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
