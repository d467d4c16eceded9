"""[history]: defaults, bounds and contradictions."""

from pathlib import Path

import pytest

from monitord.config import read_document
from monitord.errors import ConfigError
from monitord.history import HistorySettings, read_history


def read(tmp_path: Path, keys: str) -> HistorySettings:
    config = tmp_path / "monitord.toml"
    config.write_text(f"[history]\n{keys}\n")
    document = read_document(config)
    settings = read_history(document.root.table("history"))
    document.check()
    return settings


def test_defaults_apply_without_keys(tmp_path: Path) -> None:
    assert read(tmp_path, "") == HistorySettings()


def test_every_key_is_read(tmp_path: Path) -> None:
    keys = (
        'enabled = false\nmax_size = "64MiB"\nresult_retention = "2h"\nminute_retention = "3h"\n'
        'hour_retention = "4d"\nday_retention = "50d"'
    )
    assert read(tmp_path, keys) == HistorySettings(
        enabled=False,
        max_size_bytes=64 << 20,
        results_s=7200.0,
        minutes_s=10_800.0,
        hours_s=4 * 86400.0,
        days_s=50 * 86400.0,
    )


def test_defaults_adapt_to_configured_values(tmp_path: Path) -> None:
    settings = read(tmp_path, 'day_retention = "10d"')
    assert (settings.hours_s, settings.days_s) == (10 * 86400.0, 10 * 86400.0)


@pytest.mark.parametrize(
    ("keys", "failure"),
    [
        pytest.param(
            'max_size = "1MiB"', 'max_size: "1MiB" is too small; write at least 16MiB', id="too small"
        ),
        pytest.param(
            'result_retention = "5m"', 'result_retention: "5m" is too small; write at least 1h', id="results"
        ),
        pytest.param(
            'minute_retention = "5m"', 'minute_retention: "5m" is too small; write at least 1h', id="minutes"
        ),
        pytest.param(
            'hour_retention = "5h"', 'hour_retention: "5h" is too small; write at least 1d', id="hours"
        ),
        pytest.param(
            'day_retention = "1d"', 'day_retention: "1d" is too small; write at least 7d', id="days"
        ),
        pytest.param(
            'hour_retention = "30d"\nday_retention = "20d"',
            'hour_retention: "30d" is longer than day_retention, which is "20d"; '
            'write at most "20d", or increase day_retention',
            id="the finer longer",
        ),
        pytest.param(
            'minute_retention = "3d"\nhour_retention = "2d"',
            'minute_retention: "3d" is longer than hour_retention',
            id="minutes longer",
        ),
    ],
)
def test_value_out_of_bounds_is_an_error_with_a_hint(tmp_path: Path, keys: str, failure: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, keys)
    assert failure in str(refused.value)
