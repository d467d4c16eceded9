"""The sections [reports.NAME]."""

from pathlib import Path

import pytest

from monitord.calendar_events import parse_calendar_event
from monitord.errors import ConfigError
from monitord.reports.period import PeriodKind
from monitord.reports.settings import ReportSettings
from monitord.settings import read_settings
from tests.configurations import AssertErrors, errors_of, settings_of

BROKEN = Path(__file__).with_name("broken")

BASE = """
[monitors.shop]
url = "https://shop.example.org/"
tags = ["prod"]
[notifiers.ops]
to = ["ops@example.org"]
[reports.r]
"""


def read(tmp_path: Path, keys: str) -> ReportSettings:
    (report,) = settings_of(tmp_path, BASE + keys).reports
    return report


def test_every_key_of_a_report_is_read(tmp_path: Path) -> None:
    keys = """
        schedule = "Mon 07:00 Europe/Berlin"
        period = "week"
        notify = ["ops"]
        directory = "/srv/reports"
        monitors = ["shop", "unit:*"]
        tags = ["prod"]
        max_monitors = 20
    """
    schedule = parse_calendar_event("Mon 07:00 Europe/Berlin")
    assert read(tmp_path, keys) == ReportSettings(
        "r",
        schedule,
        PeriodKind.WEEK,
        ("ops",),
        Path("/srv/reports"),
        ("shop", "unit:*"),
        ("prod",),
        20,
    )


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        ("weekly", PeriodKind.WEEK),
        ("monthly", PeriodKind.MONTH),
        ("monthly Europe/Berlin", PeriodKind.MONTH),
    ],
)
def test_schedule_implies_the_period(tmp_path: Path, schedule: str, kind: PeriodKind) -> None:
    report = read(tmp_path, f'schedule = "{schedule}"\nnotify = "ops"')
    assert (report.kind, report.notify, report.directory) == (kind, ("ops",), None)


def test_configured_period_has_precedence(tmp_path: Path) -> None:
    report = read(tmp_path, 'schedule = "weekly"\nperiod = "month"\ndirectory = "/srv"')
    assert (report.kind, report.notify) == (PeriodKind.MONTH, ())


@pytest.mark.parametrize(
    ("keys", "covered"),
    [
        ("", ["shop", "db-1", "db-2"]),
        ('monitors = ["shop"]', ["shop"]),
        ('monitors = ["unit:*", "shop"]', ["shop"]),
        ('tags = ["prod"]', ["shop", "db-1"]),
        ('tags = ["prod", "db"]', ["db-1"]),
        ('monitors = ["db-*"]\ntags = ["prod"]', ["db-1"]),
    ],
)
def test_report_covers_the_selected_monitors(tmp_path: Path, keys: str, covered: list[str]) -> None:
    monitors = {"shop": {"prod"}, "db-1": {"prod", "db"}, "db-2": {"db"}}
    more = '\n[monitors.db-1]\nurl = "http://a/"\ntags = ["prod", "db"]'
    report = read(tmp_path, f'schedule = "weekly"\nnotify = "ops"\n{keys}{more}')
    assert [name for name, tags in monitors.items() if report.covers(name, tags)] == covered


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_reports_are_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    with pytest.raises(ConfigError) as rejected:
        read_settings(config, environment={})
    assert_errors(config, str(rejected.value))


def test_notifier_with_errors_is_not_reported_twice(tmp_path: Path) -> None:
    text = '[notifiers.ops]\n[reports.r]\nschedule = "weekly"\nnotify = "ops"\n'
    (error,) = errors_of(tmp_path, text)
    assert "notifiers.ops: has no type" in error
