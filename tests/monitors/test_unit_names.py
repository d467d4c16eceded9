"""One rule for the names of units, wherever the configuration or monitorctl names one."""

from pathlib import Path

import pytest

from monitord.cli.command_line import parse
from monitord.cli.commands import COMMANDS
from tests.configurations import errors_of, settings_of


@pytest.mark.parametrize(
    ("written", "service"),
    [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("my.app", "my.app.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("nginx.socket", "nginx.socket"),
        ("/home", "home.mount"),
    ],
)
def test_name_without_a_type_is_a_service_in_every_key(tmp_path: Path, written: str, service: str) -> None:
    text = f"""
[auto]
units = "failed"
ignore = ["unit:{written}", "unit:x*"]
[monitors.unit]
unit = "{written}"
[monitors.units]
type = "unit"
units = ["{written}", "x*"]
[monitors.journal]
type = "journal"
unit = "{written}"
[maintenance.night]
schedule = "22:00"
duration = "8h"
monitors = ["unit:{written}", "unit:x*"]
[notifiers.ops]
url = "https://ops.example.org/"
[[alerts.routes]]
monitors = ["unit:{written}"]
notify = "ops"
"""
    settings = settings_of(tmp_path, text)
    unit, units, journal = (monitor.options for monitor in settings.monitors)
    assert unit.unit == service
    assert units.patterns == (service, "x*")
    assert journal.matches == (("_SYSTEMD_UNIT", (service,)),)
    assert settings.sources.ignore == (f"unit:{service}", "unit:x*")
    assert settings.maintenance[0].monitors == (f"unit:{service}", "unit:x*")
    assert settings.alerts.routes[0].monitors == (f"unit:{service}",)


def test_name_without_a_type_is_a_timer_in_a_timer_monitor(tmp_path: Path) -> None:
    (monitor,) = settings_of(tmp_path, '[monitors.a]\ntimer = "backup@daily"\n').monitors
    assert monitor.options.timer == "backup@daily.timer"


@pytest.mark.parametrize(
    "keys",
    [
        'unit = "a b"',
        'type = "unit"\nunits = ["a b"]',
        'type = "journal"\nunit = "a b"',
        'timer = "a b"',
    ],
)
def test_invalid_unit_name_is_rejected_in_every_key(tmp_path: Path, keys: str) -> None:
    (failure,) = errors_of(tmp_path, f"[monitors.a]\n{keys}\n")
    assert r"is not the name of a unit; write 'a\x20b." in failure


def test_pattern_is_not_a_unit_of_a_journal(tmp_path: Path) -> None:
    (failure,) = errors_of(tmp_path, '[monitors.a]\ntype = "journal"\nunit = "nginx*"\n')
    assert "is a pattern; write the name of one unit" in failure


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("unit:nginx", "unit:nginx.service"),
        ("unit:my.app", "unit:my.app.service"),
        ("unit:nginx.socket", "unit:nginx.socket"),
        ("unit:ngin*", "unit:ngin*"),
        ("unit:a b", "unit:a b"),
        ("nginx", "nginx"),
    ],
)
def test_monitorctl_reads_names_of_units_as_systemctl_does(written: str, name: str) -> None:
    assert parse(COMMANDS, ["history", "export", written]).words == ["export", name]
    assert parse(COMMANDS, ["incidents", written]).names == [name]
    assert parse(COMMANDS, ["silence", "--for", "1h", "other", written]).names == ["other", name]
