import pytest

from monitord.text import (
    counted,
    did_you_mean,
    first_of,
    joined,
    nearest,
    plain,
    printable,
    readable_lines,
    shortened,
    unicode_escape,
)


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\x7f", "\x9b", "\u200b", "\u200f", "\u2028", "\u202e", "\u2066", "\ufeff", "\ud800"],
)
def test_characters_that_control_the_display_are_replaced(character: str) -> None:
    assert printable(f"a{character}b") == "a\ufffdb"


def test_other_text_is_left_alone() -> None:
    assert printable("Grüße, 本番, 3 €") == "Grüße, 本番, 3 €"
    assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\ufffd"


def test_plain_text_is_one_line_of_the_same_length() -> None:
    assert plain("a\nb\x1bc") == "a b c"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a/\x1b\\link", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x00b\x08c\x7f", "abc"),
        ("one\r\ntwo\tthree", "one\ntwo three"),
        ("\u202eesrever", "esrever"),
        ("\x1bcreset", "reset"),
    ],
)
def test_readable_lines_contain_no_control_characters(said: str, shown: str) -> None:
    assert readable_lines(said) == shown


def test_long_text_ends_in_an_ellipsis() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"
    assert shortened("abcd", 3) == "ab…"


@pytest.mark.parametrize(
    ("character", "escape"), [("\x1b", r"\u001b"), ("\uffff", r"\uffff"), ("\U0001f600", r"\U0001f600")]
)
def test_escapes_have_four_or_eight_digits(character: str, escape: str) -> None:
    assert unicode_escape(character) == escape


def test_count_of_one_is_singular() -> None:
    assert (counted(1, "monitor"), counted(0, "monitor"), counted(1200, "monitor")) == (
        "1 monitor",
        "0 monitors",
        "1200 monitors",
    )
    assert counted(1200, "row", separator=",") == "1,200 rows"
    assert (counted(1, "address"), counted(3, "address")) == ("1 address", "3 addresses")


def test_nearest_word_is_suggested_if_it_is_similar() -> None:
    assert nearest("stauts", ["body", "status"]) == "status"
    assert did_you_mean("stauts", {"body", "status"}) == "did you mean status?"
    assert did_you_mean("web-4", ["web-1", "web-2"], most=3) == "did you mean web-2 or web-1?"
    assert did_you_mean("tsl", ["tcp", "tls"], show=repr) == "did you mean 'tls'?"
    # An abbreviation; but not another word with some of the same letters.
    assert nearest("retry", ["fail_after", "retry_every"]) == "retry_every"
    assert nearest("receiver", ["notify", "repeat_every"]) is None
    assert (nearest("zzz", ["body", "status"]), did_you_mean("zzz", [])) == (None, "")


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_words_are_joined_as_in_a_sentence(words: list[str], text: str) -> None:
    assert joined(words, "or") == text


def test_first_words_and_the_number_of_the_others() -> None:
    assert first_of(["a", "b", "c"], 3) == "a, b, c"
    assert first_of(["a", "b", "c"], 1) == "a and 2 more"
