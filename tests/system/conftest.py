"""Machines for the tests: one per suite that has the package installed, and fresh ones for what changes it."""

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

# The suite whose build is installed in both: one package serves both Debians.
BUILT_IN = "bookworm"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite", choices=(*SUITES, "all"), default="all", help="the Debian to test in")
    parser.addoption("--source", help=argparse.SUPPRESS)
    parser.addoption(
        "--keep", action="store_true", help="leave the installed machine's root for the next run"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Under xdist the first process takes the source, and the workers are told where it is.
    if hasattr(config, "workerinput"):
        config.option.source = config.workerinput["source"]
    elif not config.option.collectonly:
        config.option.source = str(prepare_source())


def pytest_configure_node(node: Any) -> None:
    """xdist's: what a worker is given."""
    node.workerinput["source"] = node.config.option.source


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("suite")
        suites = SUITES if wanted == "all" else (wanted,)
        # One process per suite, as each has one installed machine that its tests share.
        values = [pytest.param(suite, marks=pytest.mark.xdist_group(suite)) for suite in suites]
        metafunc.parametrize("suite", values, indirect=True, scope="session")


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the Debian release, which is this process's alone."""
    name: str = request.param
    with alone(f"suite-{name}"):
        # A run that was killed left its copies; a kept root is the only one to stay.
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
    """The package as it would be shipped."""
    return the_deb(built(source, BUILT_IN, with_tests=not pytestconfig.getoption("keep")))


@pytest.fixture(scope="session")
def bare_root(suite: str) -> Path:
    """A small Debian without Python; what monitord brings along is fetched but not installed."""
    fetched = [*names_in("Depends"), *names_in("Recommends"), "bash-completion", "nginx", "apache2", "caddy"]
    return base_root(suite, "bare", MACHINE_PACKAGES, variant="minbase", fetched=fetched)


@pytest.fixture(scope="session")
def ready_root(suite: str) -> Path:
    """A Debian that has all that monitord brings along, so that what an installation changes is monitord's own."""
    packages = [*MACHINE_PACKAGES, *names_in("Depends"), *names_in("Recommends")]
    return base_root(suite, "ready", packages, variant="minbase", fetched=["autopkgtest", "dpkg-dev"])


@pytest.fixture
def fresh_machine(suite: str, ready_root: Path, deb: Path) -> Iterator[Machine]:
    """A booted machine on which monitord was never installed; the package waits in /root."""
    root = copy_of(ready_root, CACHE / "run" / suite / "fresh")
    try:
        copy_in(deb, root)
        with Machine(root, suite) as machine:
            yield machine
    finally:
        remove(root)


@pytest.fixture(scope="session")
def installed_machine(
    suite: str, bare_root: Path, deb: Path, pytestconfig: pytest.Config
) -> Iterator[Machine]:
    """A booted machine with the package installed, shared by all tests that leave it as they found it."""
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
    """The running service with a configuration that watches the local web server, whatever the last test left."""
    installed = Installed(installed_machine)
    installed.reset()
    return installed


def copy_in(deb: Path, root: Path) -> None:
    """Put the package where `install` looks for it, and nothing older beside it."""
    for outdated in (root / "root").glob("monitord_*.deb"):
        outdated.unlink()
    (root / "root" / deb.name).write_bytes(deb.read_bytes())


def install(machine: Machine) -> None:
    """As a person would; the same version again when a kept root has it."""
    machine.shell("apt install --yes --reinstall /root/monitord_*.deb", within_s=300)
