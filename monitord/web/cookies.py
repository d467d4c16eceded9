"""Cookies (RFC 6265): lenient reading, strict writing."""

import re

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")  # cookie-octet: no blank, quote, comma, semicolon, backslash
_ATTRIBUTE = re.compile(r"[ -:<-~]*")
_SAMESITE = frozenset({"Strict", "Lax", "None"})


def parse_cookies(field: str) -> dict[str, str]:
    """Parse a Cookie field. Invalid cookies are skipped; the first cookie of a name wins."""
    cookies: dict[str, str] = {}
    for pair in field.split(";"):
        name, equals, value = pair.strip(" \t").partition("=")
        if equals and _NAME.fullmatch(name):
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            cookies.setdefault(name, value)
    return cookies


def cookie_field(
    name: str,
    value: str,
    *,
    max_age_s: int | None,
    path: str,
    domain: str | None,
    secure: bool,
    httponly: bool,
    samesite: str | None,
) -> str:
    """Return the value of a Set-Cookie field. Raises ValueError if a client would not return the cookie unchanged."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a cookie name")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is not a cookie value; encode it, for example with urllib.parse.quote")
    if samesite is not None and samesite not in _SAMESITE:
        raise ValueError(f"{samesite!r} is not Strict, Lax or None")
    if samesite == "None" and not secure:
        raise ValueError("a cookie with SameSite=None must be secure")
    for attribute in (path, domain or ""):
        if not _ATTRIBUTE.fullmatch(attribute):
            raise ValueError(f"{attribute!r} is not a valid cookie attribute")
    parts = [f"{name}={value}", f"Path={path}"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if domain:
        parts.append(f"Domain={domain}")
    parts += [word for word, is_set in (("Secure", secure), ("HttpOnly", httponly)) if is_set]
    if samesite is not None:
        parts.append(f"SameSite={samesite}")
    return "; ".join(parts)
