"""Debian machines for the tests: a root directory for each suite, copied for each use and booted as a container.

mmdebstrap makes the roots once, below .cache/system, and fetches packages that are installed later into their package
cache, because a booted machine has loopback as its only network. A container never outlives this process: the kernel
kills systemd-nspawn with it (PR_SET_PDEATHSIG).
"""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache" / "system"
FILES = Path(__file__).resolve().parent / "files"

SUITES = ("bookworm", "trixie")

# A root is rebuilt when its recipe changes. Raise this number with a change outside the package lists.
RECIPE = 2
# Only a failure takes this long; the limits are generous because a machine of two cores may be busy.
WITHIN_S = 60
BOOT_WITHIN_S = 180
STOP_WITHIN_S = 90
COMMAND_WITHIN_S = 300
DOWNLOAD_WITHIN_S = 900

# The packages of a new machine. No Python: the package must depend on everything that it needs.
MACHINE_PACKAGES = ("ca-certificates", "curl", "dbus", "man-db", "procps", "systemd-sysv")

Answer = TypeVar("Answer")
Completed = subprocess.CompletedProcess[str]


class CommandFailedError(AssertionError):
    """A command ended with an unexpected status. Shows its output."""

    def __init__(self, completed: Completed) -> None:
        self.completed = completed
        shown = shlex.join(str(part) for part in completed.args)
        super().__init__(f"exit {completed.returncode}: {shown}\n{completed.stdout}{completed.stderr}")


def command(
    *words: str | Path, within_s: float = COMMAND_WITHIN_S, ok: bool = True, text: str = ""
) -> Completed:
    """Run a command on the host. Raises CommandFailedError for a status other than 0 if `ok`."""
    completed = subprocess.run(
        [str(word) for word in words],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )
    if ok and completed.returncode != 0:
        raise CommandFailedError(completed)
    return completed


def eventually(question: Callable[[], Answer], *, within_s: float = WITHIN_S, every_s: float = 0.1) -> Answer:
    """Ask until the answer is true, and return it. Fails after `within_s` and shows the last answer."""
    deadline = time.monotonic() + within_s
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s; the last answer was {answer!r}"
        time.sleep(every_s)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of this name, which only one process can."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def base_root(
    suite: str, purpose: str, packages: Sequence[str], *, variant: str, fetched: Sequence[str] = ()
) -> Path:
    """Return the root of a suite with `packages` installed and `fetched` downloaded; make it if it does not exist."""
    recipe = json.dumps([RECIPE, suite, variant, sorted(packages), sorted(fetched)])
    name = f"{suite}-{purpose}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    root = CACHE / "base" / name
    with alone(f"base-{suite}-{purpose}"):
        if root.exists():
            return root
        root.parent.mkdir(parents=True, exist_ok=True)
        for outdated in root.parent.glob(f"{suite}-{purpose}-*"):
            remove(outdated)
        unfinished = root.with_name(f"{name}.unfinished")
        # mmdebstrap's own apt ignores Recommends; the apt inside behaves as on any machine.
        apt = 'chroot "$1" env --unset=APT_CONFIG DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet'
        hooks = ['rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap', f"{apt} clean"]
        if fetched:
            hooks.append(f"{apt} --download-only --install-recommends install {shlex.join(fetched)}")
        command(
            # Its mounts disappear with its namespace in any case.
            *("unshare", "--mount", "--propagation=private"),
            "mmdebstrap",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            # The package lists stay, so that apt inside knows the fetched packages.
            "--skip=cleanup/apt",
            *(f"--customize-hook={hook}" for hook in hooks),
            suite,
            unfinished,
            within_s=DOWNLOAD_WITHIN_S,
        )
        unfinished.rename(root)
    return root


def copy_of(root: Path, place: Path) -> Path:
    """Copy a root to `place`, which is emptied before."""
    remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    command("cp", "--archive", "--one-file-system", "--reflink=auto", "--no-target-directory", root, place)
    return place


def remove(root: Path) -> None:
    """Remove a root, including /var/lib/private."""
    if root.exists():
        command("rm", "--recursive", "--force", "--one-file-system", root)


def run_in_root(
    root: Path,
    *words: str,
    user: str = "root",
    folder: str = "/",
    within_s: float = COMMAND_WITHIN_S,
    ok: bool = True,
) -> Completed:
    """Run a command in a root that is not booted, with a clean environment and loopback as the only network."""
    return command(
        "setpriv",
        "--pdeathsig=KILL",
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--console=pipe",
        f"--user={user}",
        f"--chdir={folder}",
        "--setenv=DEBIAN_FRONTEND=noninteractive",
        "--setenv=LC_ALL=C.UTF-8",
        *words,
        within_s=within_s,
        ok=ok,
    )


def cgroup_place(name: str) -> Path:
    """Return the path of a control group of this name below that of this process.

    systemd-nspawn uses the unified hierarchy, which is mounted at another path where the legacy hierarchies are in use.
    """
    lines = [line.split(":", maxsplit=2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    here = {controllers: path.lstrip("/") for _, controllers, path in lines}[""]
    aside = Path("/sys/fs/cgroup/unified")
    return (aside if aside.is_dir() else aside.parent) / here / name


class Machine:
    """A booted Debian with its own root, systemd as PID 1, and loopback as the only network.

    With a `name`, the root is shared with other machines: changes are in memory, and are lost with the machine.
    """

    def __init__(self, root: Path, suite: str, name: str = "") -> None:
        self.root = root
        self.suite = suite
        self._shared_root = root if name else None
        self._console = CACHE / "run" / suite / f"{name or root.name}.console"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.init_pid = 0
        self._cgroup = cgroup_place(f"monitord-test-{os.getpid()}-{name or root.name}")

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def boot(self) -> None:
        """Start the container and wait until systemd has started it.

        It has its own control group: two machines in one group would kill each other's services.
        """
        self._cgroup.mkdir(exist_ok=True)
        self._console.parent.mkdir(parents=True, exist_ok=True)
        # --read-only is only about the lock on a root whose changes are in memory.
        options = ("--volatile=overlay", "--read-only") if self._shared_root is not None else ()
        directory = self._shared_root or self.root
        with self._console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(self._cgroup)),
                    *("setpriv", "--pdeathsig=KILL", "systemd-nspawn", f"--directory={directory}", "--boot"),
                    *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
                    *options,
                ],
                # systemd 257 needs its own cgroup2 mount, regardless of the host.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            self.init_pid = eventually(self._find_init, within_s=BOOT_WITHIN_S)
            if self._shared_root is not None:
                self.root = Path(f"/proc/{self.init_pid}/root")
            eventually(self._is_up, within_s=BOOT_WITHIN_S)
        except BaseException:
            self.kill()
            raise

    def _find_init(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"systemd-nspawn ended: see {self._console}"
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", "--wait", ok=False).stdout.strip()
        return state in {"running", "degraded"}

    def power_off(self) -> None:
        """Shut down cleanly; kill the machine if that takes too long."""
        if self._nspawn is None:
            return
        try:
            # SIGRTMIN+4 asks PID 1 to power off (systemd(1)).
            os.kill(self.init_pid, signal.SIGRTMIN + 4)
            self._nspawn.wait(STOP_WITHIN_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the container. May be called twice."""
        if self._nspawn is not None:
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn = None
        # Empty by now; each hierarchy that systemd-nspawn used has one.
        for top in Path("/sys/fs/cgroup").glob(f"**/{self._cgroup.name}"):
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()

    def run(
        self, *words: str, user: str = "", within_s: float = COMMAND_WITHIN_S, ok: bool = True, text: str = ""
    ) -> Completed:
        """Run a command in the booted machine, as root or as `user` with the groups of that user."""
        as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--") if user else ()
        return command(*self.entrance, *as_user, *words, within_s=within_s, ok=ok, text=text)

    @property
    def entrance(self) -> tuple[str, ...]:
        """The prefix that runs a command line of the host inside the machine."""
        return (
            *("nsenter", f"--target={self.init_pid}", "--all", "--"),
            *("env", "--ignore-environment", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"),
            *(
                "LC_ALL=C.UTF-8",
                "SYSTEMD_PAGER=",
                "SYSTEMD_COLORS=0",
                "DEBIAN_FRONTEND=noninteractive",
                "TERM=dumb",
            ),
        )

    def shell(self, script: str, *, ok: bool = True, within_s: float = COMMAND_WITHIN_S) -> str:
        """Run a shell script that ends at the first error. Returns its standard output."""
        return self.run("sh", "-euc", script, ok=ok, within_s=within_s).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()

    def in_network(self, *words: str) -> None:
        """Run a command of the host in the network of the machine."""
        command("nsenter", f"--target={self.init_pid}", "--net", "--", *words)

    def has_package(self, name: str) -> bool:
        """Whether a package is installed."""
        result = self.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", name, ok=False)
        return result.stdout == "installed"

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file in the machine, owned by root."""
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(content)
        inside.chmod(mode)

    def copy(self, program: Path, path: str) -> None:
        """Copy a program of the host into the machine."""
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, inside)

    def files(self) -> set[str]:
        """List every path of the root file system, to compare before and after."""
        return set(self.run("find", "/", "-xdev", "-print").stdout.splitlines())

    def now_in_journal(self) -> int:
        """Return the time of the newest journal entry, for `journal(since=…)`."""
        self.run("journalctl", "--sync")
        newest = self.run("journalctl", "--lines=1", "--output=json", "--quiet").stdout
        return int(json.loads(newest)["__REALTIME_TIMESTAMP"])

    def journal(self, *matches: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the fields of all matching entries after `since`, oldest first, including those sent just now."""
        self.run("journalctl", "--sync")
        # Not --after-cursor, which skips the first matching entry in systemd 252.
        from_then = f"--since=@{since // 1_000_000}"
        result = self.run("journalctl", "--output=json", "--all", "--quiet", from_then, *matches)
        entries = [json.loads(line) for line in result.stdout.splitlines()]
        return [entry for entry in entries if int(entry["__REALTIME_TIMESTAMP"]) > since]


def connect(one: Machine, one_address: str, other: Machine, other_address: str) -> None:
    """Connect two booted machines by a pair of network interfaces, until one of them is powered off."""
    # Made in the network of one machine and moved, so that no name of the host is used.
    one.in_network("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    one.in_network("ip", "link", "set", "eth1", "name", "eth0", "netns", str(other.init_pid))
    for machine, address in ((one, one_address), (other, other_address)):
        machine.in_network("ip", "address", "add", f"{address}/24", "dev", "eth0")
        machine.in_network("ip", "link", "set", "eth0", "up")
