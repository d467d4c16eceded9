"""Debian machines to test in: a root folder per suite, copied for each use and booted as a container.

The roots are made by mmdebstrap once and kept under .cache/system; what is installed later inside is fetched
into their package cache then, because a booted machine has no network but its own loopback. A container lives
at most as long as this process: systemd-nspawn is started so that the kernel ends it with us.
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

# A root is remade when its recipe changes: raise this with a change that the package lists do not show.
RECIPE = 2
BOOT_WITHIN_S = 60
STOP_WITHIN_S = 30
COMMAND_WITHIN_S = 120
DOWNLOAD_WITHIN_S = 900

# What a machine starts with. No Python: the package must bring all it needs.
MACHINE_PACKAGES = ("ca-certificates", "curl", "dbus", "man-db", "procps", "systemd-sysv")

Answer = TypeVar("Answer")
Completed = subprocess.CompletedProcess[str]


class CommandFailedError(AssertionError):
    """A command ended otherwise than the test says; shows all it printed."""

    def __init__(self, completed: Completed) -> None:
        self.completed = completed
        shown = shlex.join(str(part) for part in completed.args)
        super().__init__(f"exit {completed.returncode}: {shown}\n{completed.stdout}{completed.stderr}")


def command(
    *words: str | Path, within_s: float = COMMAND_WITHIN_S, ok: bool = True, text: str = ""
) -> Completed:
    """Run words on the host; with `ok`, a status other than 0 is an error."""
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


def eventually(question: Callable[[], Answer], *, within_s: float = 40, every_s: float = 0.1) -> Answer:
    """The first true answer; asks until one comes or time is up, then fails and shows the last one."""
    deadline = time.monotonic() + within_s
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s; the last answer was {answer!r}"
        time.sleep(every_s)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other process does the same."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def base_root(
    suite: str, purpose: str, packages: Sequence[str], *, variant: str, fetched: Sequence[str] = ()
) -> Path:
    """The root of a suite with these packages installed and those fetched, made when there is none yet."""
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
        # mmdebstrap's own apt has no Recommends; the one inside is asked as a user of the machine would ask it.
        apt = 'chroot "$1" env --unset=APT_CONFIG DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet'
        hooks = ['rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap', f"{apt} clean"]
        if fetched:
            hooks.append(f"{apt} --download-only --install-recommends install {shlex.join(fetched)}")
        command(
            # What it mounts while it works is gone with its namespace, whatever happens.
            *("unshare", "--mount", "--propagation=private"),
            "mmdebstrap",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            # The lists stay, so that apt inside knows what is fetched.
            "--skip=cleanup/apt",
            *(f"--customize-hook={hook}" for hook in hooks),
            suite,
            unfinished,
            within_s=DOWNLOAD_WITHIN_S,
        )
        unfinished.rename(root)
    return root


def copy_of(root: Path, place: Path) -> Path:
    """A copy of a root to write in, at an empty place."""
    remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    command("cp", "--archive", "--one-file-system", "--reflink=auto", "--no-target-directory", root, place)
    return place


def remove(root: Path) -> None:
    """Take away a root with all that is in it, /var/lib/private included."""
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
    """Run words in a root that is not booted: a clean environment, the loopback as the only network."""
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
    """Where a control group of that name is made, below the one that this process is in.

    systemd-nspawn starts from the place in the unified hierarchy, which lies aside where the old ones are in use.
    """
    lines = [line.split(":", maxsplit=2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    here = {controllers: path.lstrip("/") for _, controllers, path in lines}[""]
    aside = Path("/sys/fs/cgroup/unified")
    return (aside if aside.is_dir() else aside.parent) / here / name


class Machine:
    """A booted Debian: a root of its own, systemd as PID 1, the loopback as the only network."""

    def __init__(self, root: Path, suite: str) -> None:
        self.root = root
        self.suite = suite
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._cgroup = cgroup_place(f"monitord-test-{os.getpid()}-{root.name}")

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def boot(self) -> None:
        """Start the container and wait until systemd says that it is up.

        It has a control group of its own: two machines in the same one would see and kill each other's services.
        """
        self._cgroup.mkdir(exist_ok=True)
        console = (self.root.parent / f"{self.root.name}.console").open("wb")
        with console:
            self._nspawn = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(self._cgroup)),
                    *("setpriv", "--pdeathsig=KILL", "systemd-nspawn", f"--directory={self.root}", "--boot"),
                    *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
                ],
                # systemd 257 wants a cgroup2 mount of its own, whatever the host has.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            self._init_pid = eventually(self._find_init, within_s=BOOT_WITHIN_S)
            eventually(self._is_up, within_s=BOOT_WITHIN_S)
        except BaseException:
            self.kill()
            raise

    def _find_init(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"systemd-nspawn ended: see {self.root}.console"
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", "--wait", ok=False).stdout.strip()
        return state in {"running", "degraded"}

    def power_off(self) -> None:
        """Shut down in good order; by force when that takes too long."""
        if self._nspawn is None:
            return
        try:
            # The signal by which a service manager asks a container's PID 1 to power off.
            os.kill(self._init_pid, signal.SIGRTMIN + 4)
            self._nspawn.wait(STOP_WITHIN_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the container at once; safe to call twice."""
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
        """Run words as root, or as a user with the groups of that user, in the booted machine."""
        as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--") if user else ()
        return command(*self.entrance, *as_user, *words, within_s=within_s, ok=ok, text=text)

    @property
    def entrance(self) -> tuple[str, ...]:
        """What to put before a command line of the host, so that it runs inside."""
        return (
            *("nsenter", f"--target={self._init_pid}", "--all", "--"),
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
        """The standard output of a few lines of shell, which end at the first error."""
        return self.run("sh", "-euc", script, ok=ok, within_s=within_s).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()

    def has_package(self, name: str) -> bool:
        """Whether a package is installed."""
        said = self.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", name, ok=False)
        return said.stdout == "installed"

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Put a file into the machine, owned by root."""
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(content)
        inside.chmod(mode)

    def copy(self, program: Path, path: str) -> None:
        """Put a program of the host into the machine."""
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, inside)

    def files(self) -> set[str]:
        """Every path of the root's file system, for a comparison of before and after."""
        return set(self.run("find", "/", "-xdev", "-print").stdout.splitlines())

    def now_in_journal(self) -> int:
        """The time of the journal's newest entry, for `journal(since=…)`."""
        self.run("journalctl", "--sync")
        newest = self.run("journalctl", "--lines=1", "--output=json", "--quiet").stdout
        return int(json.loads(newest)["__REALTIME_TIMESTAMP"])

    def journal(self, *matches: str, since: int = 0) -> list[dict[str, Any]]:
        """The entries that match and came later, oldest first, each as its fields.

        Not by --after-cursor: in systemd 252 it leaves out the first entry that matches.
        """
        from_then = f"--since=@{since // 1_000_000}"
        said = self.run("journalctl", "--output=json", "--all", "--quiet", from_then, *matches)
        entries = [json.loads(line) for line in said.stdout.splitlines()]
        return [entry for entry in entries if int(entry["__REALTIME_TIMESTAMP"]) > since]
