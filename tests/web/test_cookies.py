import pytest

from monitord.web.cookies import cookie_field, parse_cookies


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2;c=3", {"a": "1", "b": "2", "c": "3"}),
        ('a="1 2"', {"a": "1 2"}),
        ("a=1=2", {"a": "1=2"}),
        ("a=", {"a": ""}),
        ("a=1; a=2", {"a": "1"}),
        ("nonsense; a=1; =x; b c=2", {"a": "1"}),
        ('a="', {"a": '"'}),
    ],
)
def test_invalid_cookies_are_skipped(field: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(field) == cookies


def field(name: str = "a", value: str = "b", path: str = "/", samesite: str | None = None) -> str:
    return cookie_field(
        name, value, max_age_s=None, path=path, domain=None, secure=False, httponly=False, samesite=samesite
    )


@pytest.mark.parametrize("value", ["a b", 'a"b', "a,b", "a;b", "a\\b", "\u00e9", "a\r\nb", "\x7f"])
def test_invalid_cookie_value_is_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="not a cookie value"):
        field(value=value)


def test_names_and_attributes_are_checked() -> None:
    with pytest.raises(ValueError, match="not a cookie name"):
        field(name="a b")
    with pytest.raises(ValueError, match="not a valid cookie attribute"):
        field(path="/; Domain=evil")
    with pytest.raises(ValueError, match="not Strict"):
        field(samesite="strict")
    with pytest.raises(ValueError, match="must be secure"):
        field(samesite="None")


def test_every_valid_value_is_returned() -> None:
    allowed = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\')
    assert parse_cookies(field(value=allowed).split(";")[0]) == {"a": allowed}
