"""The type `reboot`: the files by which packages of Debian require a reboot."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors.reboot import MAX_PACKAGES, RebootMonitor, RebootOptions
from tests.configurations import options_of
from tests.fakes import monitor_settings
from tests.worlds import real_tools

Make = Callable[..., RebootMonitor]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(grace_s: float = 3600.0, degraded_when: str | None = None) -> RebootMonitor:
            settings = monitor_settings(type_name="reboot", options=RebootOptions(grace_s))
            if degraded_when is not None:
                condition = parse_condition(degraded_when, RebootMonitor.vocabulary)
                settings = replace(settings, degraded_when=(condition,))
            return RebootMonitor(settings, tools, tmp_path / "reboot-required")

        yield make


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """A flag of 2020, which every grace period has passed."""
    file = tmp_path / "reboot-required"
    file.write_text("*** System restart required ***\n")
    os.utime(file, (1_577_836_800, 1_577_836_800))
    return file


def test_grace_is_read(tmp_path: Path) -> None:
    assert options_of(RebootMonitor, tmp_path, 'grace = "2d"') == RebootOptions(2 * 86400.0)


async def test_host_without_a_flag_passes(make: Make) -> None:
    seen = await make().check()
    assert (seen.reason, seen.detail) == (Reason.OK, "no reboot is required")
    assert seen.fields["reboot.required"] is False


async def test_flag_older_than_grace_is_a_warning_with_the_packages(make: Make, flag: Path) -> None:
    (flag.parent / "reboot-required.pkgs").write_text("linux-image-amd64\nlibc6\nlinux-image-amd64\n\n")
    monitor = make()
    seen = await monitor.check()
    assert seen.reason is Reason.REBOOT_REQUIRED
    assert seen.detail == "a reboot is required by linux-image-amd64, libc6, since 2020-01-01 00:00:00 UTC"
    assert seen.fields["reboot.packages"] == ("linux-image-amd64", "libc6")
    assert judge(seen, monitor.settings, None).verdict is Verdict.WARN


async def test_flag_within_grace_passes(make: Make, flag: Path) -> None:
    os.utime(flag)
    seen = await make(grace_s=1e9).check()
    assert (seen.reason, seen.fields["reboot.required"]) == (Reason.OK, True)
    assert (await make(grace_s=0).check()).reason is Reason.REBOOT_REQUIRED


async def test_flag_of_the_future_is_new(make: Make, flag: Path) -> None:
    """The clock was wrong when the flag was created."""
    os.utime(flag, (4_000_000_000, 4_000_000_000))
    assert (await make().check()).fields["reboot.required_for"] == 0


async def test_condition_replaces_the_default(make: Make, flag: Path) -> None:
    monitor = make(degraded_when="reboot.required_for > 36500d")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.PASS
    monitor = make(grace_s=1e10, degraded_when="reboot.required == true")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.WARN


async def test_names_of_packages_are_limited_and_printable(make: Make, flag: Path) -> None:
    lines = ["bad\x1b[31m", *(f"package-{number}" for number in range(500))]
    (flag.parent / "reboot-required.pkgs").write_text("\n".join(lines))
    seen = await make().check()
    packages = seen.fields["reboot.packages"]
    assert isinstance(packages, tuple)
    assert len(packages) == MAX_PACKAGES
    assert "\x1b" not in seen.detail
    assert f"and {MAX_PACKAGES - 5} more" in seen.detail
