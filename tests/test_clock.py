import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitord.clock import Clock, LocalZone, SystemClock, in_zone, with_times_in


@pytest.fixture
def clock() -> Clock:
    return SystemClock()


def test_monotonic_time_is_the_time_of_the_event_loop(clock: Clock) -> None:
    before = time.monotonic()
    now = clock.monotonic_s()
    assert before <= now <= time.monotonic()


def test_wall_clock_time_is_in_utc(clock: Clock) -> None:
    before = datetime.now(UTC)
    now = clock.now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_suspended_time_is_the_difference_of_the_boot_clock_and_the_monotonic_clock(clock: Clock) -> None:
    boot_before_monotonic = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    assert clock.suspended_s() == pytest.approx(boot_before_monotonic, abs=1.0)


@pytest.mark.parametrize(
    ("moment", "zone"),
    [("9999-12-31 23:59:59", "Asia/Tokyo"), ("0001-01-01 00:00:00", "America/New_York")],
)
def test_time_whose_year_does_not_exist_in_the_zone_stays_in_utc(moment: str, zone: str) -> None:
    """Certificates, domains and the texts of peers can have these times."""
    at = datetime.fromisoformat(f"{moment}Z")
    assert in_zone(at, ZoneInfo(zone)) == at
    text = f"valid until {moment} UTC, then 2026-01-31 12:00:00 UTC or 0000-00-00 00:00:00 UTC"
    shown = with_times_in(ZoneInfo(zone), text)
    # The year has four digits on every system only in ISO 8601.
    assert moment.lstrip("0") in shown
    assert "2026-01-31 12:00:00" not in shown


class FakeLibrary:
    """Counts the calls of tzset(3)."""

    def __init__(self) -> None:
        self.calls = 0

    def tzset(self) -> None:
        self.calls += 1


def zone_files(directory: Path) -> Path:
    """A symbolic link to one of two zones, like /etc/localtime."""
    for name in ("Berlin", "Tokyo"):
        (directory / name).write_text(name)
    link = directory / "localtime"
    link.symlink_to(directory / "Berlin")
    return link


def replace_link(link: Path, target: Path) -> None:
    """Replace a link atomically, as timedatectl does."""
    link.with_suffix(".new").symlink_to(target)
    link.with_suffix(".new").replace(link)


def test_local_zone_is_read_again_when_its_link_has_another_target(tmp_path: Path) -> None:
    link, library = zone_files(tmp_path), FakeLibrary()
    zone = LocalZone({}, link, library.tzset)
    assert not zone.follow()
    assert library.calls == 0
    replace_link(link, tmp_path / "Tokyo")
    assert zone.follow()
    assert not zone.follow()
    assert library.calls == 1


def test_local_zone_is_read_again_when_its_file_is_replaced_removed_or_created(tmp_path: Path) -> None:
    link, library = zone_files(tmp_path), FakeLibrary()
    zone = LocalZone({}, link, library.tzset)
    (tmp_path / "new").write_text("Berlin, with other rules")
    (tmp_path / "new").replace(tmp_path / "Berlin")
    assert zone.follow()
    link.unlink()
    assert zone.follow()
    assert not zone.follow()
    link.symlink_to(tmp_path / "Tokyo")
    assert zone.follow()
    assert library.calls == 3


def test_upgrade_of_tzdata_with_the_same_rules_is_not_a_change_of_the_zone(tmp_path: Path) -> None:
    link, library = zone_files(tmp_path), FakeLibrary()
    zone = LocalZone({}, link, library.tzset)
    (tmp_path / "new").write_text("Berlin")
    (tmp_path / "new").replace(tmp_path / "Berlin")
    assert not zone.follow()
    (tmp_path / "new").write_text("Berlin, with other rules")
    (tmp_path / "new").replace(tmp_path / "Berlin")
    assert zone.follow()
    assert library.calls == 1


def test_zone_of_the_environment_has_precedence_over_that_of_the_host(tmp_path: Path) -> None:
    link, library = zone_files(tmp_path), FakeLibrary()
    zone = LocalZone({"TZ": "Europe/Paris"}, link, library.tzset)
    replace_link(link, tmp_path / "Tokyo")
    assert not zone.follow()
    assert library.calls == 0


FOLLOWS = """
import subprocess, sys
from datetime import UTC, datetime
from monitord.calendar_events import parse_calendar_event
from monitord.clock import LocalZone, zone_text

def put(zone):
    subprocess.run(["mount", "--bind", f"/usr/share/zoneinfo/{zone}", "/etc/localtime"], check=True)

noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
event = parse_calendar_event("02:00")
zone = LocalZone({})
for name in ("Europe/Berlin", "Asia/Tokyo"):
    put(name)
    zone.follow()
    print(zone_text(noon), event.next_after(noon))
"""


def test_calendar_follows_the_zone_of_the_host() -> None:
    """In a mount namespace with another /etc/localtime."""
    environ = {name: value for name, value in os.environ.items() if name != "TZ"}
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "--bind", "/etc/hosts", "/etc/localtime"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", FOLLOWS],
        cwd=Path(__file__).parent.parent,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "CEST (UTC+02:00) 2026-07-02 00:00:00+00:00",
        "JST (UTC+09:00) 2026-07-01 17:00:00+00:00",
    ]
