"""Icinga 2's own figures (its test `host_flapping_docs_example`), and the borders."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.health import Flapping
from monitord.model import Verdict

LETTERS = {"p": Verdict.PASS, "w": Verdict.WARN, "f": Verdict.FAIL}


def play(verdicts: str, flapping: Flapping | None = None) -> Flapping:
    flapping = flapping or Flapping(last=Verdict.PASS)
    for letter in verdicts:
        flapping = flapping.after(LETTERS[letter])
    return flapping


def test_example_of_icinga_has_the_documented_percentage() -> None:
    flapping = play("fffwfwppppwwwwpppwwwf")
    assert flapping.value == 39.1
    assert flapping.is_flapping
    later = [play("f" * count, flapping) for count in range(8)]
    assert later[-1].value < 25
    assert not later[-1].is_flapping
    # In between it is below 30 and still flaps: the two thresholds are not one.
    assert any(step.is_flapping and step.value <= 30 for step in later)


def test_change_at_every_result_is_99_percent() -> None:
    assert play("fp" * 10).value == 99.0


def test_newer_change_has_more_weight() -> None:
    assert play("f").value == 5.9
    assert play("f" * 20).value == 4.0
    assert play("f" * 21).value == 0.0


def test_first_result_is_not_a_change() -> None:
    assert Flapping().after(Verdict.FAIL).value == 0.0


@pytest.mark.parametrize(
    ("places", "was_flapping", "value"),
    [
        pytest.param((0, 1, 8, 16, 17, 18), False, 30.0, id="30 percent is not above 30 percent"),
        pytest.param((0, 1, 14, 17, 18), True, 25.0, id="25 percent is over"),
    ],
)
def test_value_at_a_threshold_changes_nothing(
    places: tuple[int, ...], was_flapping: bool, value: float
) -> None:
    before = Flapping(sum(1 << place + 1 for place in places), Verdict.PASS, was_flapping)
    after = before.after(Verdict.PASS)
    assert (after.value, after.is_flapping) == (value, False)


def test_single_outage_is_not_flapping() -> None:
    assert not play("pppppffffffpppppp").is_flapping


def naive(verdicts: list[Verdict]) -> tuple[float, bool]:
    """The rule word by word, over the whole past."""
    is_flapping, value = False, 0.0
    for end in range(1, len(verdicts) + 1):
        past = verdicts[:end]
        changes = [later is not earlier for earlier, later in pairwise(past)]
        last_20 = [False] * 20 + changes
        weights = [0.8 + 0.02 * place for place, changed in enumerate(last_20[-20:]) if changed]
        value = 100 * sum(weights) / 20
        is_flapping = value > (25.0 if is_flapping else 30.0) + 1e-9
    return value, is_flapping


@given(st.lists(st.sampled_from([Verdict.PASS, Verdict.WARN, Verdict.FAIL]), min_size=1, max_size=60))
def test_stored_bits_give_the_value_of_the_rule(verdicts: list[Verdict]) -> None:
    flapping = Flapping()
    for verdict in verdicts:
        flapping = flapping.after(verdict)
    value, is_flapping = naive(verdicts)
    assert abs(flapping.value - value) < 1e-9
    assert flapping.is_flapping == is_flapping
