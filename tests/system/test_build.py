"""The build of the package: it builds in each Debian, is reproducible, and lintian reports nothing."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.system.bed import CACHE, SUITES, Machine, base_root, command, copy_of, remove, run_in_root
from tests.system.packages import build, built, the_deb

# Written by pip or its successor, each differently; monitord does not read them.
METADATA_OF_THE_INSTALLER = {"INSTALLER", "RECORD"}

# Overrides do not help: one lintian reports an override of an unknown tag as an error, the other an unused override.
OF_ONE_LINTIAN_ALONE = {
    # A daemon made for systemd has no init script.
    "bookworm": "package-supports-alternative-init-but-no-init.d-script",
    # Debian 12 knows no later version.
    "trixie": "out-of-date-standards-version",
}


def test_builds_as_a_user_without_a_network_and_its_tests_pass(source: Path, suite: str) -> None:
    log = (built(source, suite) / "build.log").read_text()
    assert " passed" in log
    assert " failed" not in log


def test_two_builds_in_different_places_are_identical(source: Path, suite: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    build(
        source,
        suite,
        other,
        with_tests=False,
        folder="/srv/somewhere/else-entirely",
        environment=("LC_ALL=C", "TZ=Pacific/Kiritimati", "HOME=/nonexistent", "USER=somebody"),
    )
    first, second = the_deb(built(source, suite)), the_deb(other)
    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()


def test_both_debians_build_the_same_package(source: Path, suite: str) -> None:
    listings = {suite: listing(the_deb(built(source, suite))) for suite in SUITES}
    del suite
    assert listings["bookworm"] == listings["trixie"]


def test_units_are_in_usr_and_no_byte_code_is_shipped(deb: Path) -> None:
    paths = listing(deb)
    assert "./usr/lib/systemd/system/monitord.service" in paths
    assert not [
        path for path in paths if path.startswith("./lib") or "__pycache__" in path or "/tests" in path
    ]


def test_commands_start_isolated(deb: Path, tmp_path: Path) -> None:
    command("dpkg-deb", "--extract", deb, tmp_path)
    for name in ("monitord", "monitorctl"):
        assert (tmp_path / "usr/bin" / name).read_text().splitlines()[0] == "#!/usr/bin/python3 -I"


def test_lintian_reports_nothing(source: Path, suite: str) -> None:
    tools = base_root(suite, "tools", ("lintian",), variant="minbase")
    root = copy_of(tools, CACHE / "run" / suite / "lintian")
    try:
        shutil.copytree(built(source, suite), root / "build")
        run_in_root(root, "useradd", "--create-home", "checker")
        changes = "/build/monitord_*.changes"
        options = "--pedantic --display-info"
        options += f" --suppress-tags={OF_ONE_LINTIAN_ALONE[suite]}"
        result = run_in_root(
            root, "sh", "-c", f"lintian {options} {changes}", user="checker", within_s=300, ok=False
        )
        assert result.stdout == ""
        assert result.returncode == 0, result.stderr
    finally:
        remove(root)


def test_autopkgtest_passes(fresh_machine: Machine, source: Path, deb: Path, tmp_path: Path) -> None:
    """The machine fulfils the restriction; without the option, the null runner of autopkgtest would skip the test."""
    fresh_machine.shell("apt-get --yes install autopkgtest /root/monitord_*.deb", within_s=300)
    (dsc,) = source.glob("*.dsc")
    command("dpkg-source", "--extract", dsc, tmp_path / "source")
    shutil.copytree(tmp_path / "source", fresh_machine.root / "root" / "source", symlinks=True)
    result = fresh_machine.run(
        *("autopkgtest", "--ignore-restrictions=isolation-container", "--no-built-binaries"),
        *(f"/root/{deb.name}", "/root/source", "--", "null"),
        within_s=300,
        ok=False,
    )
    for test in ("smoke", "booted"):
        assert re.search(f"^{test} +PASS", result.stdout, re.MULTILINE), result.stdout + result.stderr
    assert result.returncode == 0, result.stdout + result.stderr


def listing(deb: Path) -> list[str]:
    """List the paths in a package with their modes and owners, without the metadata of the installer."""
    result = subprocess.run(["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True)
    words = [line.split(maxsplit=5) for line in result.stdout.splitlines()]
    return sorted(path for *_, path in words if Path(path).name not in METADATA_OF_THE_INSTALLER)
