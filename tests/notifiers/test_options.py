"""Tests that apply to all notifier types: the common keys, and the treatment of every own key.

The tests run over the registry: a new type needs its smallest configuration here, and broken configurations in
`broken/`.
"""

from dataclasses import FrozenInstanceError, fields
from importlib.util import find_spec
from pathlib import Path

import pytest

from monitord.errors import ConfigError
from monitord.net.stream import smtp
from monitord.notifiers import IMPLIED_TYPES, NOTIFIER_TYPES, NotifierSettings
from monitord.settings import read_settings
from tests.configurations import (
    WRONG_FOR_EVERY_KEY,
    AssertErrors,
    errors_of,
    keys_of,
    settings_of,
)

BROKEN = Path(__file__).with_name("broken")

SMALLEST = {
    "mail": {"to": '"ops@example.org"'},
    "pagerduty": {"routing_key": '"0123456789abcdef0123456789abcdef"'},
    "webhook": {"url": '"http://hooks.test/"'},
    "alertmanager": {"url": '"http://alertmanager.test/"'},
    "slack": {"url": '"https://hooks.slack.test/services/T0/B0/x"'},
    "mattermost": {"url": '"https://chat.test/hooks/x"'},
    "discord": {"url": '"https://discord.test/api/webhooks/0/x"'},
    "teams": {"url": '"https://teams.test/workflows/0"'},
    "telegram": {"token": '"123456:ABC-example"', "chat_id": "-1001234567890"},
    "matrix": {
        "url": '"https://matrix.test"',
        "access_token": '"syt_0123456789"',
        "room_id": '"!abc:matrix.test"',
    },
    "ntfy": {"topic": '"alerts"'},
    "gotify": {"url": '"https://gotify.test"', "token": '"A0123456789"'},
    "opsgenie": {"api_key": '"01234567-89ab-cdef-0123-456789abcdef"'},
    "exec": {"command": '["/bin/true"]'},
    "apprise": {"urls": '"json://127.0.0.1/"'},
}
"""The keys that a notifier of each type needs."""

COMMON_KEYS = {
    "timeout": '"3s"',
    "group_wait": "0",
    "max_notifications_per_message": "1",
    "max_messages_per_minute": "2",
    "expire_after": '"1h"',
    "fallback": '"b"',
    "action_links": "true",
    "locations": '["fra"]',
}

MOST_NOTIFICATIONS = {"pagerduty": 1, "opsgenie": 1}
"""Notifications in one message; 200 for other types."""

MESSAGES_PER_MINUTE = {"pagerduty": 60, "opsgenie": 60}
"""Messages per minute by default; 10 for other types."""

OTHERS = """
[notifiers.b]
command = ["/bin/true"]
[status]
public_url = "https://monitor.example.org/"
[cluster]
database = "host=db"
location = "fra"
"""

each_type = pytest.mark.parametrize("type_name", NOTIFIER_TYPES)


@pytest.fixture(autouse=True)
def libraries(request: pytest.FixtureRequest) -> None:
    if "mail" in request.node.name and smtp.library_problem() is not None:
        pytest.skip("aiosmtplib is not installed")
    if "apprise" in request.node.name and find_spec("apprise") is None:
        pytest.skip("apprise is not installed")


def table_of(type_name: str, **keys: str) -> str:
    """Write the smallest notifier of a type, without its type where a key implies it, and with these keys."""
    type_key = {"type": f'"{type_name}"'} if type_name not in IMPLIED_TYPES.values() else {}
    written = "".join(f"{key} = {value}\n" for key, value in (type_key | SMALLEST[type_name] | keys).items())
    return f"[notifiers.a]\n{written}{OTHERS}"


def notifier_of(tmp_path: Path, type_name: str, **keys: str) -> NotifierSettings:
    return settings_of(tmp_path, table_of(type_name, **keys)).alerts.notifiers[0]


def test_every_type_has_a_smallest_configuration_and_broken_ones() -> None:
    assert SMALLEST.keys() == NOTIFIER_TYPES.keys()
    assert {path.stem for path in BROKEN.glob("*.toml")} == NOTIFIER_TYPES.keys()


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_options_are_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    with pytest.raises(ConfigError) as rejected:
        read_settings(config, environment={})
    assert_errors(config, str(rejected.value))


@each_type
def test_smallest_configuration_has_the_defaults(tmp_path: Path, type_name: str) -> None:
    notifier = notifier_of(tmp_path, type_name)
    assert notifier == NotifierSettings(
        name="a",
        type_name=type_name,
        options=notifier.options,
        timeout_s=30.0,
        group_wait_s=10.0,
        max_notifications_per_message=MOST_NOTIFICATIONS.get(type_name, 200),
        max_messages_per_minute=MESSAGES_PER_MINUTE.get(type_name, 10),
        expire_after_s=86_400.0,
        fallback=None,
        action_links=False,
    )
    assert notifier == notifier_of(tmp_path, type_name, type=f'"{type_name}"')


@each_type
def test_common_keys_are_read(tmp_path: Path, type_name: str) -> None:
    notifier = notifier_of(tmp_path, type_name, **COMMON_KEYS)
    assert notifier == NotifierSettings(
        name="a",
        type_name=type_name,
        options=notifier.options,
        timeout_s=3.0,
        group_wait_s=0.0,
        max_notifications_per_message=1,
        max_messages_per_minute=2,
        expire_after_s=3600.0,
        fallback="b",
        action_links=True,
        locations=("fra",),
    )


@each_type
def test_common_keys_out_of_range_are_rejected_together(tmp_path: Path, type_name: str) -> None:
    most = MOST_NOTIFICATIONS.get(type_name, 200)
    keys = {
        "timeout": ('"5m1s"', '"5m1s" is too large; write at most 5m'),
        "group_wait": ('"61m"', '"61m" is too large; write at most 1h'),
        "max_notifications_per_message": (f"{most + 1}", f"{most + 1} is too large; write at most {most}"),
        "max_messages_per_minute": ("0", "0 is too small; write at least 1"),
        "expire_after": ('"59s"', '"59s" is too small; write at least 1m'),
        "fallback": ('"c"', '"c" is not a notifier; configured notifiers: a, b'),
        "action_links": ('"yes"', '"yes" is not true or false; write true or false, without quotes'),
    }
    text = table_of(type_name, **{key: value for key, (value, _) in keys.items()})
    errors = [error.partition("notifiers.a.")[2] for error in errors_of(tmp_path, text)]
    assert errors == [f"{key}: {error}" for key, (_, error) in keys.items()]


@each_type
def test_every_key_rejects_a_value_of_another_type(tmp_path: Path, type_name: str) -> None:
    own = keys_of(NOTIFIER_TYPES[type_name].read_options, tmp_path)
    for key in {*own, *COMMON_KEYS} - {"type"}:
        for error in errors_of(tmp_path, table_of(type_name, **{key: WRONG_FOR_EVERY_KEY})):
            assert f": notifiers.a.{key}: " in error
            assert "; " in error, "contains a correction"


@each_type
def test_every_misspelt_key_is_rejected_with_the_nearest_key(tmp_path: Path, type_name: str) -> None:
    own = keys_of(NOTIFIER_TYPES[type_name].read_options, tmp_path)
    for key in {*own, *COMMON_KEYS}:
        misspelt = key[0] + key
        (error,) = errors_of(tmp_path, table_of(type_name, **{misspelt: "true"}))
        assert error.endswith(f': notifiers.a.{misspelt}: unknown key; did you mean "{key}"?')


@each_type
def test_equal_keys_give_equal_frozen_options(tmp_path: Path, type_name: str) -> None:
    """A reload leaves such a notifier running."""
    first, second = (notifier_of(tmp_path, type_name) for _ in range(2))
    assert first == second
    assert hash(first.options) == hash(second.options)
    with pytest.raises(FrozenInstanceError):
        setattr(first.options, fields(first.options)[0].name, None)
