import pytest

from monitord.automatic_names import (
    automatic_name,
    full_monitor_name,
    is_for_automatic_monitors,
)
from monitord.errors import InvalidValueError
from monitord.systemd.unit_names import UnitNameError


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("unit:nginx", "unit:nginx.service"),
        ("unit:backup.timer", "unit:backup.timer"),
        ("unit:*", "unit:*"),
        ("unit:php[78]", "unit:php[78]"),
        ("shop", "shop"),
        ("unit", "unit"),
    ],
)
def test_name_of_a_unit_monitor_is_completed(written: str, name: str) -> None:
    assert full_monitor_name(written) == name


def test_text_that_names_no_unit_is_rejected() -> None:
    with pytest.raises(UnitNameError):
        full_monitor_name("unit:a b")


def test_only_names_of_automatic_monitors_are_for_them() -> None:
    assert is_for_automatic_monitors(automatic_name("unit", "nginx.service"))
    assert is_for_automatic_monitors("*:web1")
    assert not is_for_automatic_monitors("nginx.service")


@pytest.mark.parametrize(
    "target", ["disk:/", "10.0.0.1:80", "::1", r"dev-disk-by\x2duuid.swap", "a%b&c/#d", "é"]
)
def test_target_becomes_part_of_the_name(target: str) -> None:
    assert automatic_name("source", target) == f"source:{target}"


@pytest.mark.parametrize(
    "target",
    ["", "a b", "a\n", "a\0", "*", "[::1]", "a?", "'a'", '"', "a" * 300, "\u202e", "\ud800", "\x1b[1m"],
)
def test_target_that_cannot_be_part_of_a_name_is_rejected(target: str) -> None:
    with pytest.raises(InvalidValueError):
        automatic_name("source", target)
