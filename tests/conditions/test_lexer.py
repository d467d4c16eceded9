import pytest

from monitord.conditions.lexer import Token, TokenKind, tokens


def test_tokens_have_columns_and_values() -> None:
    assert list(tokens(r" a.b>= -5m ,'it\'s' and 64KiB")) == [
        Token(TokenKind.NAME, 2, "a.b"),
        Token(TokenKind.SIGN, 5, ">="),
        Token(TokenKind.DURATION, 8, "-5m", -300.0),
        Token(TokenKind.SIGN, 12, ","),
        Token(TokenKind.TEXT, 13, r"'it\'s'", "it's"),
        Token(TokenKind.WORD, 21, "and"),
        Token(TokenKind.SIZE, 25, "64KiB", 65_536),
        Token(TokenKind.END, 30, ""),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"'\n\t\r'", "\n\t\r"),
        (r"'\\\'\"'", "\\'\""),
        (r'''"'\""''', "'\""),
        (r"'\d\.\b'", r"\d\.\b"),
        (r"'\u0041\U0001F600'", "A😀"),
        (r"'\x41'", r"\x41"),
        ("'a\\\nb'", "a\\\nb"),
        ("''", ""),
    ],
)
def test_backslash_escapes_few_characters_and_is_literal_before_others(written: str, value: str) -> None:
    assert next(tokens(written)).value == value


def test_whole_numbers_are_integers_in_every_notation() -> None:
    token = next(tokens("200.0"))
    assert token.value == 200
    assert isinstance(token.value, int)


def test_later_error_is_not_reported_before_it_is_reached() -> None:
    reading = tokens("status $")
    assert next(reading).written == "status"
