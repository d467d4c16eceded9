"""Pictures: each is well-formed, and each value is where it belongs."""

import math
import re
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.badges import BADGE_COLOURS, badge
from monitord.status.pages.charts import (
    PLOT_HEIGHT,
    PLOT_WIDTH,
    SLOT,
    CalendarDay,
    Svg,
    calendar,
    checks_bar,
    lines,
    nice_top,
    sparkline,
    stacked,
)

HOSTILE = "\"><script>alert('&')</script>\x22"
MONDAY = date(2026, 11, 2)


def tree(picture: Svg) -> ET.Element:
    """Parse a chart as XML, which is stricter than HTML."""
    return ET.fromstring(picture)


def drawn(picture: Svg, kind: str) -> str:
    """The path of one class; empty when it is not drawn."""
    found = [element.get("d", "") for element in tree(picture).iter() if element.get("class") == kind]
    return " ".join(found)


def shares(path: str) -> list[tuple[float, float]]:
    """Top and height of each column of a stack, as shares of the whole height."""
    columns = re.findall(r"M[\d.]+ ([\d.]+)h[\d.]+v([\d.]+)", path)
    return [(1 - float(y) / PLOT_HEIGHT, float(height) / PLOT_HEIGHT) for y, height in columns]


PICTURES: list[Callable[[str], Svg]] = [
    lambda said: checks_bar(("pass", "fail"), 4, said),
    lambda said: sparkline([1.0, None, 2.0], said),
    lambda said: stacked([{"resolve": 1.0}], ["resolve"], 2.0, said, [said]),
    lambda said: lines({"p50": [1.0]}, 2.0, said, [said]),
    lambda said: calendar([CalendarDay(MONDAY, 0.5, said)], said),
    lambda said: Svg(badge(said, said, "good")),
]


@pytest.mark.parametrize("picture", PICTURES)
def test_external_text_is_escaped(picture: Callable[[str], Svg]) -> None:
    made = picture(HOSTILE)
    assert "<script" not in made
    assert HOSTILE in (tree(made).get("aria-label") or "")


@pytest.mark.parametrize("picture", PICTURES)
def test_each_chart_has_a_text_alternative(picture: Callable[[str], Svg]) -> None:
    made = tree(picture("all is well"))
    assert made.get("role") == "img"
    assert "all is well" in (made.get("aria-label") or "")
    assert made[0].tag.endswith("title")


@pytest.mark.parametrize("picture", PICTURES)
def test_no_chart_has_inline_style_that_a_strict_policy_rejects(picture: Callable[[str], Svg]) -> None:
    assert "style=" not in picture("x")
    assert "<style" not in picture("x")


# -- the bar of checks ------------------------------------------------------------------------------------


def test_newest_check_is_at_the_right_and_free_slots_are_at_the_left() -> None:
    made = checks_bar(("pass", "fail"), 4, "")
    assert drawn(made, "v-pass").startswith(f"M{2 * SLOT + 2} ")
    assert drawn(made, "v-fail").startswith(f"M{3 * SLOT + 2} ")
    assert drawn(made, "v-none").count("M") == 2


def test_only_the_last_checks_are_in_the_bar() -> None:
    made = checks_bar(("fail", *["pass"] * 40), 40, "")
    assert drawn(made, "v-fail") == ""
    assert drawn(made, "v-pass").count("M") == 40


def test_verdicts_differ_in_height_as_well_as_in_colour() -> None:
    made = checks_bar(("pass", "warn", "fail", "inconclusive"), 4, "")
    heights = [
        re.findall(r"v(\d+)", drawn(made, f"v-{verdict}"))[0]
        for verdict in ("pass", "warn", "fail", "inconclusive")
    ]
    assert len(set(heights)) == 4


def test_bar_without_checks_has_only_dots() -> None:
    assert drawn(checks_bar((), 40, "no check yet"), "v-none").count("M") == 40
    assert tree(checks_bar((), 0, "")).get("class") == "bar"


# -- sparkline --------------------------------------------------------------------------------------------


def test_gap_breaks_the_line() -> None:
    assert drawn(sparkline([1.0, 2.0, None, 3.0, 1.0], ""), "line").count("M") == 2


def test_greatest_value_is_at_the_top_and_the_last_at_the_right() -> None:
    points = re.findall(r"([\d.]+) ([\d.]+)", drawn(sparkline([0.0, 2.0, 1.0], ""), "line"))
    assert [float(x) for x, _ in points] == [0.0, 1.0, 2.0]
    heights = [float(y) for _, y in points]
    assert heights[1] < heights[2] < heights[0]


def test_single_value_is_a_dot() -> None:
    points = re.findall(r"([\d.]+) ([\d.]+)", drawn(sparkline([None, 5.0, None], ""), "line"))
    assert points[0] == points[1]


def test_line_of_zeros_is_at_the_bottom() -> None:
    points = re.findall(r"([\d.]+) ([\d.]+)", drawn(sparkline([0.0, 0.0], ""), "line"))
    assert {float(y) for _, y in points} == {93.0}


@given(st.lists(st.none() | st.floats()))
def test_sparkline_of_any_values_is_well_formed_and_within_its_bounds(values: list[float | None]) -> None:
    made = sparkline(values, "")
    for x, y in re.findall(r"([-\d.]+) ([-\d.]+)", drawn(made, "line")):
        assert 0 <= float(x) < max(len(values), 1)
        assert 0 <= float(y) <= 100


# -- plots ------------------------------------------------------------------------------------------------


def test_layers_are_stacked_to_scale() -> None:
    made = stacked([{"resolve": 1.0, "connect": 2.0}], ["resolve", "connect"], 4.0, "")
    assert shares(drawn(made, "l-resolve")) == [(0.25, 0.25)]
    assert shares(drawn(made, "l-connect")) == [(0.75, 0.5)]


def test_missing_layer_has_no_height() -> None:
    made = stacked([{"connect": 2.0}], ["resolve", "connect"], 4.0, "")
    assert drawn(made, "l-resolve") == ""
    assert shares(drawn(made, "l-connect")) == [(0.5, 0.5)]


def test_gap_leaves_its_column_empty_and_does_not_move_the_others() -> None:
    path = drawn(stacked([{"a": 1.0}, None, {"a": 1.0}], ["a"], 1.0, ""), "l-a")
    places = [float(x) for x in re.findall(r"M([\d.]+) ", path)]
    assert places == [0.0, pytest.approx(PLOT_WIDTH * 2 / 3, abs=0.01)]


def test_each_column_has_a_tooltip() -> None:
    made = tree(stacked([{"a": 1.0}, None], ["a"], 1.0, "", ["one", "two"]))
    hits = [element for element in made.iter() if element.get("class") == "hit"]
    assert [hit[0].text for hit in hits] == ["one", "two"]
    assert [float(hit.get("x") or "") for hit in hits] == [0.0, PLOT_WIDTH / 2]


def test_value_beyond_the_scale_is_clipped() -> None:
    assert shares(drawn(stacked([{"a": 1e12}], ["a"], 1.0, ""), "l-a")) == [(1.0, 1.0)]


def test_plot_without_columns_has_only_its_grid() -> None:
    assert drawn(stacked([], ["a"], 1.0, ""), "l-a") == ""
    assert drawn(lines({"p50": []}, 1.0, ""), "q-p50") == ""
    assert "M0" in drawn(stacked([], ["a"], 1.0, ""), "grid")


def test_lines_pass_through_the_middle_of_their_columns() -> None:
    path = drawn(lines({"p50": [0.0, 1.0]}, 2.0, ""), "q-p50")
    assert path == f"M250 {PLOT_HEIGHT} 750 {PLOT_HEIGHT // 2}"


def test_line_with_a_gap_is_two_lines() -> None:
    made = lines({"p99": [1.0, 1.0, None, 1.0]}, 2.0, "")
    assert len([element for element in tree(made).iter() if element.get("class") == "q-p99"]) == 2


@given(st.lists(st.none() | st.fixed_dictionaries({"a": st.floats(), "b": st.floats()}), max_size=10))
def test_stack_of_any_values_is_well_formed(columns: list[dict[str, float] | None]) -> None:
    made = stacked(columns, ["a", "b"], 1.0, "")
    for top, height in shares(drawn(made, "l-a")) + shares(drawn(made, "l-b")):
        assert 0 <= top <= 1.001
        assert 0 < height <= 1.001
    assert "nan" not in made
    assert "inf" not in made


@pytest.mark.parametrize(
    ("value", "top"),
    [
        (0.37, 0.4),
        (93.0, 100.0),
        (100.0, 100.0),
        (0.3, 0.3),
        (0.0, 1.0),
        (-1.0, 1.0),
        (math.inf, 1.0),
        (1e12, 1e12),
    ],
)
def test_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) == pytest.approx(top)


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_scale_is_at_least_its_value_and_less_than_twice_its_value(value: float) -> None:
    assert value <= nice_top(value) * (1 + 1e-9)
    assert nice_top(value) < 2 * value


# -- calendar ---------------------------------------------------------------------------------------------


def cells(picture: Svg) -> dict[str, tuple[float, float, str]]:
    """Return position and class of each day, by its tooltip."""
    found = {}
    for group in tree(picture).iter("g"):
        square = group[1]
        found[group[0].text or ""] = (
            float(square.get("x") or ""),
            float(square.get("y") or ""),
            square.get("class") or "",
        )
    return found


def test_weeks_are_columns_and_monday_is_on_top() -> None:
    days = [CalendarDay(MONDAY + timedelta(days=place), 1.0, str(place)) for place in range(9)]
    made = cells(calendar(days, ""))
    assert made["0"][0] == made["6"][0] < made["7"][0]
    assert made["0"][1] == made["7"][1] < made["1"][1] == made["8"][1]


def test_first_day_in_the_middle_of_a_week_is_in_its_row() -> None:
    made = cells(calendar([CalendarDay(MONDAY, 1.0, "mon")], "")) | cells(
        calendar([CalendarDay(MONDAY + timedelta(days=3), 1.0, "thu")], "")
    )
    assert made["thu"][0] == made["mon"][0]
    assert made["thu"][1] > made["mon"][1]


@pytest.mark.parametrize(
    ("ratio", "grade"),
    [(None, "none"), (1.0, "full"), (0.9995, "high"), (0.995, "fair"), (0.5, "low"), (0.0, "low")],
)
def test_day_is_graded_by_its_uptime(ratio: float | None, grade: str) -> None:
    assert cells(calendar([CalendarDay(MONDAY, ratio, "x")], ""))["x"][2] == f"d-{grade}"


def test_cut_out_of_a_day_grows_with_its_downtime() -> None:
    def hole(ratio: float) -> float:
        found = [
            element
            for element in tree(calendar([CalendarDay(MONDAY, ratio, "x")], "")).iter()
            if element.get("class") == "lost"
        ]
        return float(found[0].get("width") or "") if found else 0.0

    assert hole(1.0) == 0.0
    assert 0 < hole(0.9999) < hole(0.99) < hole(0.2)


def test_names_of_months_are_unique_and_do_not_overlap() -> None:
    days = [CalendarDay(date(2026, 8, 28) + timedelta(days=place), 1.0, str(place)) for place in range(91)]
    labels = [
        (element.text, float(element.get("x") or ""))
        for element in tree(calendar(days, "")).iter("text")
        if element.get("y") == "11"
    ]
    assert [name for name, _ in labels] == ["Sep", "Oct", "Nov"]
    assert all(later[1] - earlier[1] >= 40 for earlier, later in pairwise(labels))


def test_calendar_without_days_is_empty() -> None:
    assert cells(calendar([], "nothing")) == {}


# -- badge ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", BADGE_COLOURS)
def test_badge_has_both_texts_and_a_colour_with_enough_contrast(tone: str) -> None:
    made = Svg(badge("shop", "99.98 %", tone))
    assert [element.text for element in tree(made).iter("{http://www.w3.org/2000/svg}text")] == [
        "shop",
        "99.98 %",
    ]
    assert contrast_with_white(BADGE_COLOURS[tone]) >= 4.5


def test_width_of_a_badge_follows_its_text_up_to_a_limit() -> None:
    short, long, longest = (
        int(tree(Svg(badge("a" * length, "up", "good"))).get("width") or "") for length in (3, 30, 5000)
    )
    assert short < long < longest < 700


def contrast_with_white(colour: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    ]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
