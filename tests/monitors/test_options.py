"""Common properties of all monitor types: the common keys, and the treatment of every key of their own.

The tests run over the registry: a new type needs its smallest configuration here, and broken configurations in
`broken/`.
"""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from monitord.config import ConfigAccess
from monitord.errors import ConfigError
from monitord.health import HealthPolicy
from monitord.monitors import IMPLIED_TYPES, MONITOR_TYPES, MonitorSettings
from monitord.monitors.base import CLUSTER
from monitord.settings import read_settings
from tests.configurations import (
    WRONG_FOR_EVERY_KEY,
    AssertErrors,
    errors_of,
    keys_of,
    settings_of,
)

ROOT = Path(__file__).parents[2]
BROKEN = Path(__file__).with_name("broken")

SMALLEST = {
    "http": {"url": '"http://a.test/"'},
    "exec": {"command": '["/bin/true"]'},
    "certificate": {"file": '"/etc/ssl/a.pem"'},
    "objective": {"monitors": '"gateway"', "target": "99.9"},
    "reboot": {},
    "disk": {"path": '"/"'},
    "container": {"container": '"web"'},
    "dns": {"name": '"a.test"'},
    "domain": {"domain": '"example.org"'},
    "group": {"members": '["gateway"]'},
    "heartbeat": {"every": '"1h"'},
    "icmp": {"host": '"a.test"'},
    "journal": {"unit": '"nginx"'},
    "tcp": {"address": '"a.test:25"'},
    "redis": {"address": '"a.test"'},
    "mysql": {"address": '"a.test"', "username": '"kim"'},
    "postgresql": {"address": '"a.test"', "username": '"kim"'},
    "tls": {"address": '"a.test"'},
    "clock": {},
    "cluster": {},
    "load": {},
    "memory": {},
    "process": {"name": '"nginx"'},
    "websocket": {"url": '"wss://a.test/"'},
    "grpc": {"address": '"a.test:443"'},
    "unit": {"unit": '"nginx"'},
    "timer": {"timer": '"backup"'},
    "steps": {"steps": '[{ name = "a", url = "http://a.test/" }]'},
}
"""The keys that a monitor of each type needs."""

COMMON_KEYS = {
    "check_every": '"1m"',
    "timeout": '"7s"',
    "retry_every": '"9s"',
    "fail_after": "4",
    "recover_after": "3",
    "degrade_after": "5",
    "flapping": "false",
    "invert": "true",
    "tags": '["x", "y", "x"]',
    "depends_on": '["gateway"]',
    "depends_on_any": '["uplink"]',
    "renamed_from": '"before"',
}

USUAL_POLICY = HealthPolicy(fail_after=2, recover_after=1, degrade_after=2, detects_flapping=True)
OTHER_POLICIES = {
    "cluster": HealthPolicy(fail_after=1, degrade_after=3),
    "container": HealthPolicy(fail_after=1, degrade_after=1),
    "domain": HealthPolicy(fail_after=1, degrade_after=1),
    "group": HealthPolicy(fail_after=1, degrade_after=1, detects_flapping=False),
    "heartbeat": HealthPolicy(fail_after=1, degrade_after=1),
    "journal": HealthPolicy(fail_after=1),
    "objective": HealthPolicy(fail_after=1, degrade_after=1, detects_flapping=False),
    "reboot": HealthPolicy(degrade_after=1),
    "memory": HealthPolicy(fail_after=3, degrade_after=5),
    "timer": HealthPolicy(fail_after=1, degrade_after=1),
    "unit": HealthPolicy(fail_after=1, degrade_after=1),
}
"""Types that report events, whose first failure is confirmed, and values that vary."""

OTHERS = '[monitors.gateway]\ncommand = ["/bin/true"]\n[monitors.uplink]\ncommand = ["/bin/true"]\n'

CLUSTER_SECTION = '[cluster]\ndatabase = "host=/nowhere"\nlocation = "fra"\n'
"""A monitor of the type `cluster` needs it."""

each_type = pytest.mark.parametrize("type_name", MONITOR_TYPES)


def table_of(type_name: str, **keys: str) -> str:
    """Write the smallest monitor of a type, without its type where a key implies it, and with these keys."""
    type_key = {"type": f'"{type_name}"'} if type_name not in IMPLIED_TYPES.values() else {}
    written = "".join(f"{key} = {value}\n" for key, value in (type_key | SMALLEST[type_name] | keys).items())
    section = CLUSTER_SECTION if type_name == CLUSTER else ""
    return f"[monitors.a]\n{written}{OTHERS}{section}"


def monitor_of(tmp_path: Path, type_name: str, **keys: str) -> MonitorSettings:
    return settings_of(tmp_path, table_of(type_name, **keys)).monitors[0]


def test_every_type_has_a_smallest_configuration_and_broken_ones() -> None:
    assert SMALLEST.keys() == MONITOR_TYPES.keys()
    assert {path.stem for path in BROKEN.glob("*.toml")} == MONITOR_TYPES.keys()


@pytest.mark.parametrize("config", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_broken_options_are_rejected_with_exactly_these_errors(
    config: Path, assert_errors: AssertErrors
) -> None:
    with pytest.raises(ConfigError) as rejected:
        read_settings(config, environment={})
    assert_errors(config, str(rejected.value))


@each_type
def test_smallest_configuration_has_the_defaults(tmp_path: Path, type_name: str) -> None:
    monitor = monitor_of(tmp_path, type_name)
    assert monitor == MonitorSettings(
        name="a",
        type_name=type_name,
        check_every_s=MONITOR_TYPES[type_name].default_check_every_s,
        timeout_s=MONITOR_TYPES[type_name].default_timeout_s,
        retry_every_s=10.0,
        policy=OTHER_POLICIES.get(type_name, USUAL_POLICY),
        options=monitor.options,
    )
    assert monitor == monitor_of(tmp_path, type_name, type=f'"{type_name}"')


@each_type
def test_common_keys_are_read(tmp_path: Path, type_name: str) -> None:
    condition = f"exists({next(iter(MONITOR_TYPES[type_name].vocabulary.fields))})"
    conditions = {"up_when": f'["{condition}"]', "degraded_when": f'["not {condition}"]'}
    monitor = monitor_of(tmp_path, type_name, **COMMON_KEYS, **conditions)
    assert monitor == MonitorSettings(
        name="a",
        type_name=type_name,
        check_every_s=60.0,
        timeout_s=7.0,
        retry_every_s=9.0,
        policy=HealthPolicy(fail_after=4, recover_after=3, degrade_after=5, detects_flapping=False),
        options=monitor.options,
        tags=("x", "y"),
        up_when=monitor.up_when,
        degraded_when=monitor.degraded_when,
        depends_on=("gateway",),
        depends_on_any=("uplink",),
        invert=True,
    )
    assert monitor.renamed_from == "before"
    assert list(map(str, monitor.up_when)) == [condition]
    assert list(map(str, monitor.degraded_when)) == [f"not {condition}"]


@each_type
def test_common_keys_out_of_range_are_rejected_together(tmp_path: Path, type_name: str) -> None:
    keys = {
        "check_every": ("0", "0 is too small; write at least 100ms"),
        "timeout": ("0", "0 is too small; write at least 10ms"),
        "retry_every": ('"50ms"', '"50ms" is too small; write at least 100ms'),
        "fail_after": ("0", "0 is too small; write at least 1"),
        "recover_after": ("1001", "1001 is too large; write at most 1000"),
        "degrade_after": ("0", "0 is too small; write at least 1"),
        "flapping": ('"yes"', '"yes" is not true or false; write true or false, without quotes'),
        "invert": ("1", "1 is not true or false; write true or false, without quotes"),
        "depends_on": ('["gatway"]', '"gatway" is not a monitor; write "gateway"'),
        "depends_on_any": ('["a"]', '"a" is the monitor itself; remove it'),
        "renamed_from": ('"gateway"', '"gateway" is still configured as a monitor; remove one of them'),
    }
    text = table_of(type_name, **{key: value for key, (value, _) in keys.items()})
    errors = [error.partition("monitors.a.")[2] for error in errors_of(tmp_path, text)]
    assert errors == [f"{key}: {error}" for key, (_, error) in keys.items()]


@each_type
def test_timeout_longer_than_the_period_is_rejected(tmp_path: Path, type_name: str) -> None:
    (error,) = errors_of(tmp_path, table_of(type_name, timeout='"40s"', check_every='"30s"'))
    assert 'timeout: "40s" exceeds check_every, which is "30s"; write at most "30s"' in error


@each_type
def test_condition_on_an_unknown_field_is_rejected(tmp_path: Path, type_name: str) -> None:
    for key in ("up_when", "degraded_when"):
        (error,) = errors_of(tmp_path, table_of(type_name, **{key: '["no_such_field == 1"]'}))
        assert (
            f'monitors.a.{key}[0]: "no_such_field == 1" at column 1: there is no field no_such_field' in error
        )


@each_type
def test_every_key_rejects_a_value_of_another_type(tmp_path: Path, type_name: str) -> None:
    own = keys_of(MONITOR_TYPES[type_name].read_options, tmp_path)
    for key in {*own, *COMMON_KEYS, "up_when", "degraded_when"} - {"type"}:
        (error,) = errors_of(tmp_path, table_of(type_name, **{key: WRONG_FOR_EVERY_KEY}))
        assert f": monitors.a.{key}: " in error
        assert "; " in error, "contains a correction"


@each_type
def test_every_misspelt_key_is_rejected_with_the_nearest_key(tmp_path: Path, type_name: str) -> None:
    own = keys_of(MONITOR_TYPES[type_name].read_options, tmp_path)
    for key in {*own, *COMMON_KEYS, "up_when", "degraded_when"}:
        misspelt = key[0] + key
        (error,) = errors_of(tmp_path, table_of(type_name, **{misspelt: "true"}))
        assert error.endswith(f': monitors.a.{misspelt}: unknown key; did you mean "{key}"?')


@each_type
def test_equal_keys_give_equal_frozen_options(tmp_path: Path, type_name: str) -> None:
    """A reload leaves such a monitor running."""
    first, second = (monitor_of(tmp_path, type_name) for _ in range(2))
    assert first == second
    assert hash(first.options) == hash(second.options)
    with pytest.raises(FrozenInstanceError):
        setattr(first.options, fields(first.options)[0].name, None)


def test_every_type_has_an_example() -> None:
    examples = (ROOT / "etc" / "examples").glob("*.toml")
    shown = {
        monitor.type_name
        for example in examples
        for monitor in read_settings(example, access=ConfigAccess.OTHER_USER).monitors
    }
    assert shown == MONITOR_TYPES.keys()
