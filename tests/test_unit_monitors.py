import pytest

from monitord.systemd.unit_names import UnitNameError
from monitord.unit_monitors import full_monitor_name, is_for_unit_monitors, monitor_name_of


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


def test_only_names_of_unit_monitors_are_for_them() -> None:
    assert is_for_unit_monitors(monitor_name_of("nginx.service"))
    assert not is_for_unit_monitors("nginx.service")
