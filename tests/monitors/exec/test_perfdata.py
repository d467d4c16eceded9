"""Performance data: according to the guidelines, as printed by real plugins, and invalid."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.monitors.exec.perfdata import (
    MAX_LABEL_CHARACTERS,
    MAX_VALUES,
    PerfValue,
    PluginOutput,
    Range,
    parse_output,
    parse_perfdata,
)

INF = math.inf


def only(text: str) -> PerfValue:
    (value,), malformed = parse_perfdata(text)
    assert malformed == 0
    return value


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("users=3", PerfValue("users", 3.0), id="the least"),
        pytest.param(
            "load1=0.5;5.0;10.0;0;32",
            PerfValue("load1", 0.5, "", Range(0, 5), Range(0, 10), 0.0, 32.0),
            id="everything",
        ),
        pytest.param("swap=5%;;;;", PerfValue("swap", 5.0, "%"), id="empty fields"),
        pytest.param("x=1;2", PerfValue("x", 1.0, warn=Range(0, 2)), id="fields that stop early"),
        pytest.param(
            "x=1;2;3;0;9;more", PerfValue("x", 1.0, "", Range(0, 2), Range(0, 3), 0, 9), id="one too many"
        ),
        pytest.param("'free space'=1", PerfValue("free space", 1.0), id="quoted"),
        pytest.param("'it''s'=1", PerfValue("it's", 1.0), id="quote in quotes"),
        pytest.param("''''=1", PerfValue("'", 1.0), id="nothing but a quote"),
        pytest.param("'a=b'=1", PerfValue("a=b", 1.0), id="equals sign in quotes"),
        pytest.param("'a;b|c'=1", PerfValue("a;b|c", 1.0), id="separators in quotes"),
        pytest.param("/var/log=1", PerfValue("/var/log", 1.0), id="path"),
        pytest.param("größe=1", PerfValue("größe", 1.0), id="letters of the world"),
        pytest.param("x=-3.25", PerfValue("x", -3.25), id="negative"),
        pytest.param("x=+.5", PerfValue("x", 0.5), id="no digit before the point"),
        pytest.param("x=5.", PerfValue("x", 5.0), id="no digit after the point"),
        pytest.param("x=1.5e-3s", PerfValue("x", 0.0015, "s"), id="exponent"),
        pytest.param("x=U;1;2", PerfValue("x", None, "", Range(0, 1), Range(0, 2)), id="unknown"),
    ],
)
def test_value_is_read(text: str, expected: PerfValue) -> None:
    assert only(text) == expected


@pytest.mark.parametrize(
    ("written", "value", "unit"),
    [
        ("2", 2.0, ""),
        ("2s", 2.0, "s"),
        ("250ms", 0.25, "s"),
        ("250us", 0.00025, "s"),
        ("50%", 50.0, "%"),
        ("7c", 7.0, "c"),
        ("7B", 7.0, "B"),
        ("2KB", 2048.0, "B"),
        ("2MB", 2.0 * 1024**2, "B"),
        ("2GB", 2.0 * 1024**3, "B"),
        ("2TB", 2.0 * 1024**4, "B"),
        ("2MiB", 2.0 * 1024**2, "B"),
        ("9b", 9.0, "b"),
        ("21C", 21.0, "C"),
        ("3rpm", 3.0, "rpm"),
    ],
)
def test_units_become_seconds_and_bytes_and_others_stay(written: str, value: float, unit: str) -> None:
    read = only(f"x={written}")
    assert read.value == pytest.approx(value)
    assert read.unit == unit


def test_compared_value_has_its_unit() -> None:
    value = only("time=20ms;125;250:500;0;5000")
    assert value.warn == Range(0, 0.125)
    assert value.crit == Range(0.25, 0.5)
    assert (value.minimum, value.maximum) == (0, 5)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10", Range(0, 10)),
        ("10:", Range(10, INF)),
        ("~:10", Range(-INF, 10)),
        ("10:20", Range(10, 20)),
        (":20", Range(0, 20)),
        ("@10:20", Range(10, 20, is_inverted=True)),
        ("@10", Range(0, 10, is_inverted=True)),
        ("-5:-1", Range(-5, -1)),
        ("~:", Range(-INF, INF)),
        ("0.5:1e2", Range(0.5, 100)),
        ("", None),
        ("@", None),
        ("20:10", None),
        ("-1", None),
        ("ten", None),
        ("1:2:3", None),
        ("1:~", None),
    ],
)
def test_threshold_is_a_range_or_none(written: str, expected: Range | None) -> None:
    value = only(f"x=1;{written};{written}")
    assert (value.warn, value.crit) == (expected, expected)


@pytest.mark.parametrize(
    "text",
    [
        "word",
        "x=",
        "=1",
        "''=1",
        "x=0,5",
        "x=1.2.3",
        "x=1_000",
        "x=nan",
        "x=inf",
        "x=1e999",
        "x=Unknown",
        "x=1e99999",
        "x=--1",
        "x=٣",
        "'unfinished=1",
        "un'finished=1",
        "|",
        f"{'l' * (MAX_LABEL_CHARACTERS + 1)}=1",
        f"x=1{'u' * 40}",
    ],
)
def test_invalid_element_affects_only_itself(text: str) -> None:
    values, malformed = parse_perfdata(f"before=1 {text} after=2")
    assert values == (PerfValue("before", 1.0), PerfValue("after", 2.0))
    assert malformed == 1


def test_first_value_with_a_label_is_used() -> None:
    assert parse_perfdata("x=1 x=2") == ((PerfValue("x", 1.0),), 0)


def test_number_of_values_is_limited() -> None:
    values, malformed = parse_perfdata(" ".join(f"x{n}={n}" for n in range(MAX_VALUES + 7)))
    assert [value.label for value in values] == [f"x{n}" for n in range(MAX_VALUES)]
    assert malformed == 7


# Whole outputs


@pytest.mark.parametrize(
    ("text", "message", "labels"),
    [
        pytest.param("", "", [], id="nothing"),
        pytest.param("OK\n", "OK", [], id="message alone"),
        pytest.param("OK | a=1\n", "OK", ["a"], id="one line"),
        pytest.param("OK|a=1 b=2", "OK", ["a", "b"], id="no space and no newline"),
        pytest.param("|a=1", "", ["a"], id="no message"),
        pytest.param("OK\nlong\ntext\n", "OK", [], id="long text"),
        pytest.param(
            "OK | a=1\nlong\ntext | b=2\nc=3 d=4\n", "OK", ["a", "b", "c", "d"], id="the whole format"
        ),
        pytest.param("OK\nlong | a=1", "OK", ["a"], id="performance data at the end only"),
        pytest.param("\n\nOK | a=1\n", "OK", ["a"], id="empty lines before"),
        pytest.param("OK | a=1\r\nlong\r\n", "OK", ["a"], id="lines of Windows"),
    ],
)
def test_message_and_values_are_separated(text: str, message: str, labels: list[str]) -> None:
    output = parse_output(text)
    assert (output.message, [value.label for value in output.values]) == (message, labels)
    assert output.malformed == 0


REAL = [
    pytest.param(
        "DISK OK - free space: / 76661MiB (73% inode=96%);| /=28557967360B;243497277849;257024904396;0;270552530944",
        {"/": 28557967360.0},
        id="check_disk",
    ),
    pytest.param(
        "OK - load average: 5.09, 4.97, 4.32|load1=5.090;100.000;200.000;0; load5=4.970;100.000;200.000;0; ",
        {"load1": 5.09, "load5": 4.97},
        id="check_load",
    ),
    pytest.param(
        "PING OK - Packet loss = 0%, RTA = 0.05 ms|rta=0.048000ms;100.000000;500.000000;0.000000 pl=0%;20;60;0",
        {"rta": 0.000048, "pl": 0.0},
        id="check_ping",
    ),
    pytest.param(
        "HTTP OK: HTTP/1.1 200 OK - 459 bytes in 0.001 second response time |time=0.001011s;;;0.000000;10.000000 "
        "size=459B;;;0",
        {"time": 0.001011, "size": 459.0},
        id="check_http",
    ),
    pytest.param(
        "OK: all fine|'C: used %'=42.5%;80;90;0;100 'C: used'=42GB;80;90;0;100",
        {"C: used %": 42.5, "C: used": 42.0 * 1024**3},
        id="NSClient++",
    ),
]


@pytest.mark.parametrize(("text", "values"), REAL)
def test_real_plugins_are_read(text: str, values: dict[str, float]) -> None:
    output = parse_output(text)
    assert {value.label: value.value for value in output.values} == pytest.approx(values)
    assert output.malformed == 0


# Any text


@given(st.text())
def test_parser_accepts_any_text(text: str) -> None:
    output = parse_output(text)
    assert len(output.values) <= MAX_VALUES
    assert all(value.value is None or math.isfinite(value.value) for value in output.values)


@given(st.text(alphabet="'=;:@~|U.,-+ %e1s\n", max_size=60))
def test_parser_accepts_any_text_similar_to_perfdata(text: str) -> None:
    parse_output(text)


NAMES = (
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30).map(str.strip).filter(bool)
)


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False, allow_infinity=False)), max_size=10))
def test_valid_text_is_parsed_unchanged(pairs: list[tuple[str, float]]) -> None:
    written = " ".join(f"'{label.replace(chr(39), chr(39) * 2)}'={number!r}" for label, number in pairs)
    values, malformed = parse_perfdata(written)
    expected: dict[str, float] = {}
    for label, number in pairs:
        expected.setdefault(label, number)
    assert ({value.label: value.value for value in values}, malformed) == (expected, 0)


@pytest.mark.parametrize("piece", ["'a ", "'", "a", "''''a ", "a=", "a=1;", "=", "| "])
def test_hostile_output_of_full_length_is_parsed_in_time(piece: str) -> None:
    """The test's own timeout is the bound: a parser that looks back at every piece would take minutes."""
    assert isinstance(parse_output("|" + piece * (64 * 1024 // len(piece))), PluginOutput)
