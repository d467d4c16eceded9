"""[notifiers.NAME] and [[alerts.routes]]: settings and configuration errors."""

from pathlib import Path

import pytest

from monitord.alerts import AlertRoute
from monitord.alerts.lifecycle import evaluate
from monitord.calendar_events import parse_calendar_event
from monitord.errors import ConfigError
from monitord.health import TimeWindow
from monitord.model import State
from monitord.settings import read_settings
from tests.alerts.fakes import T0, alert_input
from tests.configurations import AssertErrors, settings_of

BROKEN = Path(__file__).with_name("broken")
MONITORS = '[monitors.web]\nurl = "http://localhost/"\ntags = ["prod"]\n'
OPS = '[notifiers.ops]\ncommand = ["/bin/true"]\n'


def test_no_notifiers_by_default(tmp_path: Path) -> None:
    assert settings_of(tmp_path, MONITORS).alerts.notifiers == ()


def test_action_links_need_the_address_of_the_pages(tmp_path: Path) -> None:
    text = f"{MONITORS}{OPS}action_links = true\n"
    with pytest.raises(ConfigError) as rejected:
        settings_of(tmp_path, text)
    assert str(rejected.value).endswith(
        ':6: notifiers.ops.action_links: needs the address of the pages; write public_url = "https://…" in [status]'
    )
    with_url = settings_of(tmp_path, f'{text}[status]\npublic_url = "https://monitor.example.org/"\n')
    assert with_url.alerts.names_with_links == ("ops",)
    assert not with_url.warnings


def test_action_links_without_encryption_are_a_warning(tmp_path: Path) -> None:
    text = f'{MONITORS}{OPS}action_links = true\n[status]\npublic_url = "http://monitor.example.org/"\n'
    (warning,) = settings_of(tmp_path, text).warnings
    assert warning.key == "notifiers.ops.action_links"
    assert "unencrypted" in warning.problem


def test_no_notifier_has_action_links_by_default(tmp_path: Path) -> None:
    text = f'{MONITORS}{OPS}[status]\npublic_url = "https://monitor.example.org/"\n'
    assert settings_of(tmp_path, text).alerts.names_with_links == ()


def test_route_may_have_no_notifiers(tmp_path: Path) -> None:
    text = (
        MONITORS
        + OPS
        + '[[alerts.routes]]\nmonitors = ["web"]\nnotify = []\n[[alerts.routes]]\nnotify = "ops"\n'
    )
    settings = settings_of(tmp_path, text).alerts
    assert evaluate(None, alert_input(monitor="web"), settings, T0).notifications == ()
    assert len(evaluate(None, alert_input(monitor="db"), settings, T0).notifications) == 1


@pytest.mark.parametrize(
    ("tags", "fits"), [(("prod",), True), (("prod", "eu"), True), (("prod", "us"), False)]
)
def test_route_matches_monitors_with_all_its_tags(tags: tuple[str, ...], fits: bool) -> None:
    assert AlertRoute(("ops",), tags=tags).matches("web", "http", ("prod", "eu"), State.DOWN) is fits


@pytest.mark.parametrize(
    "text",
    [
        f'{OPS}[[alerts.routes]]\nnotify = "ops"\ntags = ["prod", "eu"]\n',
        '[maintenance.night]\nschedule = "22:00"\nduration = "1h"\ntags = ["prod", "eu"]\n',
    ],
    ids=["route", "maintenance"],
)
def test_tags_that_no_monitor_has_together_are_an_error(tmp_path: Path, text: str) -> None:
    monitors = f'{MONITORS}[monitors.mail]\nurl = "http://localhost/"\ntags = ["eu"]\n'
    with pytest.raises(
        ConfigError, match='tags: no monitor has all of "prod", "eu"; a monitor must have every tag'
    ):
        settings_of(tmp_path, monitors + text)


def test_every_key_of_a_route_is_read(tmp_path: Path) -> None:
    text = f"""{MONITORS}{OPS}
[[alerts.routes]]
notify = "ops"
monitors = ["w*"]
tags = ["prod"]
types = ["http"]
states = ["down"]
continue = true
after = "15m"
repeat_every = "4h"
quiet_hours = {{ schedule = "Mon..Fri 22:00", duration = "9h" }}
[[alerts.routes]]
notify = ["ops"]
"""
    first, second = settings_of(tmp_path, text).alerts.routes
    assert first == AlertRoute(
        notify=("ops",),
        monitors=("w*",),
        tags=("prod",),
        types=("http",),
        states=frozenset({State.DOWN}),
        continues=True,
        after_s=900.0,
        repeat_every_s=14_400.0,
        quiet_hours=TimeWindow("quiet_hours", 32_400.0, parse_calendar_event("Mon..Fri 22:00")),
    )
    assert second == AlertRoute(("ops",))


ROUTE = MONITORS + OPS + "[[alerts.routes]]\n"


def test_route_for_unknown_monitors_may_follow_a_route_for_all(tmp_path: Path) -> None:
    text = ROUTE + 'notify = "ops"\n[[alerts.routes]]\nnotify = "ops"\nstates = ["unknown"]\n'
    settings = settings_of(tmp_path, text).alerts
    assert settings.routes[1].states == {State.UNKNOWN}
    assert settings.states == {State.DOWN, State.DEGRADED, State.UNKNOWN}
    assert not settings.routes[1].matches("web", "http", (), None)


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_notifiers_and_routes_are_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    with pytest.raises(ConfigError) as rejected:
        read_settings(config, environment={})
    assert_errors(config, str(rejected.value))


def test_route_may_match_automatic_monitors(tmp_path: Path) -> None:
    text = ROUTE + 'notify = "ops"\nmonitors = ["unit:*"]\n[auto]\nunits = "failed"\n'
    (route,) = settings_of(tmp_path, text).alerts.routes
    assert route.matches("unit:nginx.service", "unit", (), State.DOWN)
    assert not route.matches("web", "http", (), State.DOWN)
