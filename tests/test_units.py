import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.units import (
    LARGEST_SIZE_BYTES,
    LONGEST_DURATION_S,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (0, 0.0),
        ("30", 30.0),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("14d", 1_209_600.0),
        ("2w", 1_209_600.0),
        (" 1m30s ", 90.0),
        (LONGEST_DURATION_S, LONGEST_DURATION_S),
    ],
)
def test_duration_is_a_number_of_seconds_or_text(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("5 min", "5m"),
        ("1m30", "1m30s"),
        ("1h30", "1h30m"),
        ("1 hour 30", "1h30m"),
        ("2 weeks 1", "2w1d"),
        ("1,5h", "1.5h"),
        ("5 minutes", "5m"),
        ("5M", "5m"),
        ("30 secs", "30s"),
        ("2 days", "2d"),
        ("100 msec", "100ms"),
        ("1 hour 30 min", "1h30m"),
        ("1h 30m", "1h30m"),
        ("1 h, 2 ms", "1h2ms"),
    ],
)
def test_invalid_duration_is_rejected_with_the_probable_one(value: str, written: str) -> None:
    with pytest.raises(ValueError, match=f'^is not a duration; write "{written}"$'):
        parse_duration(value)
    parse_duration(written)


@pytest.mark.parametrize(
    "value", ["3 fortnights", "1 month", "soon", "", "1ms30", "-5s", "1e3", "1e3s", "٣s"]
)
def test_invalid_duration_without_a_probable_one_has_examples(value: str) -> None:
    with pytest.raises(
        ValueError, match=r'^is not a duration; write a duration such as "30s", "2h" or "7d"$'
    ):
        parse_duration(value)


@pytest.mark.parametrize("value", [True, None, [], {}, b"5s"], ids=repr)
def test_values_of_other_types_are_not_durations(value: object) -> None:
    with pytest.raises(ValueError, match=r'^is not a duration; write seconds or text such as "30s"$'):
        parse_duration(value)


@pytest.mark.parametrize(
    "value",
    [-1, -0.1, float("nan"), float("inf"), 10**400, "9" * 400, "36501d", LONGEST_DURATION_S + 1],
    ids=str,
)
def test_duration_is_from_zero_to_a_century(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is out of range; a duration must be from 0 to 100 years$"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.25, "250ms"),
        (1, "1s"),
        (1.5, "1s500ms"),
        (90, "1m30s"),
        (3600, "1h"),
        (1_209_600, "14d"),
        (-3.5, "-3s500ms"),
    ],
)
def test_duration_is_shown_in_the_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=int(LONGEST_DURATION_S) * 1000))
def test_shown_duration_is_read_as_the_same_duration(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (1500, 1500),
        ("1500", 1500),
        ("64KiB", 65536),
        ("64 KiB", 65536),
        ("1MiB", 1048576),
        ("1.5MiB", 1572864),
        ("2MB", 2_000_000),
        ("1kB", 1000),
        ("7B", 7),
        ("1GiB", 2**30),
        ("1GB", 10**9),
        (LARGEST_SIZE_BYTES, LARGEST_SIZE_BYTES),
    ],
)
def test_size_is_a_number_of_bytes_or_text(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1M", "1MiB"),
        ("64k", "64KiB"),
        ("2 gb", "2GiB"),
        ("1 Mbytes", "1MiB"),
        ("much", "1MiB"),
        (True, "1MiB"),
        (1.5, "1MiB"),
    ],
)
def test_invalid_size_is_rejected_with_the_probable_one(value: object, written: str) -> None:
    with pytest.raises(ValueError, match=f'^is not a size; write bytes or text such as "{written}"$'):
        parse_size(value)
    parse_size(written)


@pytest.mark.parametrize("value", [-1, 10**400, "9" * 400, "2000000GiB"], ids=str)
def test_size_is_from_zero_to_a_pebibyte(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is out of range; a size must be from 0 to 1 PiB$"):
        parse_size(value)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1500, "1500B"), (65536, "64KiB"), (2**20, "1MiB"), (3 * 2**30, "3GiB")]
)
def test_size_is_shown_in_the_largest_whole_unit(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=LARGEST_SIZE_BYTES))
def test_shown_size_is_read_as_the_same_size(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text())
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert "; " in str(error)  # noqa: PT017 - most texts are refused, some are not


@pytest.mark.parametrize(("text", "written"), [("1.9B", "1B"), ("1.0001KiB", "1024B"), ("0.0015kB", "1B")])
def test_size_with_a_part_of_a_byte_is_rejected(text: str, written: str) -> None:
    with pytest.raises(ValueError, match=f'^is not a whole number of bytes; write "{written}"$'):
        parse_size(text)


def test_fraction_of_a_unit_that_is_a_number_of_bytes_is_a_size() -> None:
    assert (parse_size("1.5KiB"), parse_size("2.5GB"), parse_size("0.001kB")) == (1536, 2_500_000_000, 1)
