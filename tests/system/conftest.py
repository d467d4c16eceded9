"""Machines for the tests: one with the package for each suite, and new machines for tests of the package itself."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.bed import (
    CACHE,
    FILES,
    MACHINE_PACKAGES,
    SUITES,
    Machine,
    alone,
    base_root,
    copy_of,
    remove,
)
from tests.system.installed import Installed
from tests.system.packages import built, names_in, prepare_source, the_deb
from tests.system.sink import Sink

# The suite whose build is installed in both releases: there is one package for both.
BUILT_IN = "bookworm"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite", choices=(*SUITES, "all"), default="all", help="the Debian to test in")
    parser.addoption("--source", help=argparse.SUPPRESS)
    parser.addoption(
        "--keep", action="store_true", help="leave the installed machine's root for the next run"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Under xdist the controller prepares the source, and passes its path to the workers.
    if hasattr(config, "workerinput"):
        config.option.source = config.workerinput["source"]
    elif not config.option.collectonly:
        config.option.source = str(prepare_source())


def pytest_configure_node(node: Any) -> None:
    """Pass the source to a worker (hook of xdist)."""
    node.workerinput["source"] = node.config.option.source


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("suite")
        suites = SUITES if wanted == "all" else (wanted,)
        # One process for each suite, whose tests share one installed machine.
        values = [pytest.param(suite, marks=pytest.mark.xdist_group(suite)) for suite in suites]
        metafunc.parametrize("suite", values, indirect=True, scope="session")


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the Debian release. Only this process uses its machines."""
    name: str = request.param
    with alone(f"suite-{name}"):
        # A killed run has left its copies. Only a kept root stays.
        for left in (CACHE / "run" / name).glob("*"):
            if left.name != "installed":
                remove(left)
        yield name


@pytest.fixture(scope="session")
def source(pytestconfig: pytest.Config) -> Path:
    """The source package of this run."""
    return Path(pytestconfig.option.source)


@pytest.fixture(scope="session")
def deb(source: Path, pytestconfig: pytest.Config) -> Path:
    """The package as it is released."""
    return the_deb(built(source, BUILT_IN, with_tests=not pytestconfig.getoption("keep")))


@pytest.fixture(scope="session")
def bare_root(suite: str) -> Path:
    """A small Debian without Python. The dependencies of monitord are fetched, but not installed."""
    used_by_tests = ["apache2", "apprise", "bash-completion", "caddy", "nginx"]
    fetched = [*names_in("Depends"), *names_in("Recommends"), *used_by_tests]
    return base_root(suite, "bare", MACHINE_PACKAGES, variant="minbase", fetched=fetched)


@pytest.fixture(scope="session")
def ready_root(suite: str) -> Path:
    """A Debian with the dependencies of monitord, so that an installation adds only the files of monitord."""
    packages = [*MACHINE_PACKAGES, *names_in("Depends"), *names_in("Recommends")]
    used_by_tests = ["autopkgtest", "dpkg-dev", "postgresql", "python3-psycopg"]
    return base_root(suite, "ready", packages, variant="minbase", fetched=used_by_tests)


@pytest.fixture
def fresh_machine(suite: str, ready_root: Path, deb: Path) -> Iterator[Machine]:
    """A booted machine on which monitord was never installed, with the package in /root. Its changes are in memory."""
    with Machine(ready_root, suite, "fresh") as machine:
        copy_in(deb, machine.root)
        yield machine


@pytest.fixture(scope="session")
def installed_machine(
    suite: str, bare_root: Path, deb: Path, pytestconfig: pytest.Config
) -> Iterator[Machine]:
    """A booted machine with the package, shared by all tests that leave it unchanged."""
    keep: bool = pytestconfig.getoption("keep")
    root = CACHE / "run" / suite / "installed"
    if not (keep and root.exists()):
        copy_of(bare_root, root)
    try:
        copy_in(deb, root)
        with Machine(root, suite) as machine:
            install(machine)
            machine.write("/usr/local/lib/web/web.py", (FILES / "web.py").read_text())
            machine.write("/etc/systemd/system/web.service", (FILES / "web.service").read_text())
            machine.run("systemctl", "daemon-reload")
            machine.run("systemctl", "restart", "web.service")
            yield machine
    finally:
        if not keep:
            remove(root)


@pytest.fixture
def monitord(installed_machine: Machine) -> Installed:
    """The running service with a monitor of the local web server; the previous test has no effect on it."""
    installed = Installed(installed_machine)
    installed.reset()
    return installed


@pytest.fixture
def sink(monitord: Installed) -> Iterator[Sink]:
    """The receiver of notifications, which is not started yet."""
    made = Sink(monitord.machine)
    made.stop()
    yield made
    made.stop()


def copy_in(deb: Path, root: Path) -> None:
    """Copy the package to where `install` finds it, and remove older ones."""
    for outdated in (root / "root").glob("monitord_*.deb"):
        outdated.unlink()
    (root / "root" / deb.name).write_bytes(deb.read_bytes())


def install(machine: Machine) -> None:
    """Install the package with apt; a kept root may have the same version already."""
    machine.shell("apt install --yes --reinstall /root/monitord_*.deb", within_s=300)
