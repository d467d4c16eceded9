import pytest

from monitord.text import printable


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\x7f", "\x9b", "\u200b", "\u200f", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800"],
)
def test_characters_that_change_what_is_shown_are_replaced(character: str) -> None:
    assert printable(f"a{character}b") == "a\ufffdb"


def test_other_text_is_left_alone() -> None:
    assert printable("Grüße, 本番, 3 €") == "Grüße, 本番, 3 €"
    assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\ufffd"
