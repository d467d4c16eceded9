"""The bar of recent checks: the newest at the end, never longer than it is."""

from monitord.history.bars import BAR_LENGTH, Bars
from monitord.model import Verdict


def test_a_bar_holds_the_last_verdicts_in_order() -> None:
    bars = Bars({"a": b"\x00\x02"})
    bars.add("a", Verdict.WARN)
    assert bars.of("a", 40) == (Verdict.PASS, Verdict.FAIL, Verdict.WARN)
    assert bars.of("a", 2) == (Verdict.FAIL, Verdict.WARN)
    assert bars.of("b", 40) == ()


def test_a_bar_has_an_end_however_long_it_is_added_to() -> None:
    bars = Bars()
    for number in range(1000):
        bars.add("a", Verdict.FAIL if number % 2 else Verdict.PASS)
        assert len(bars._bars["a"]) < 2 * BAR_LENGTH
    assert bars.of("a", 10**6) == (Verdict.PASS, Verdict.FAIL) * (BAR_LENGTH // 2)


def test_a_bar_follows_its_name_and_goes_with_it() -> None:
    bars = Bars()
    bars.add("a", Verdict.PASS)
    bars.add("b", Verdict.FAIL)
    bars.rename("a", "c")
    bars.rename("b", "c")
    assert bars.of("c", 5) == (Verdict.PASS,)
    bars.forget("c")
    assert bars.of("c", 5) == ()
