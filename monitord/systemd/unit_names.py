"""Unit names as systemctl(1) accepts them: "nginx" is nginx.service, "/home" is home.mount.

The rules are those of systemctl's arguments, except that an invalid character is an error with the escaped name as a
hint, instead of being escaped silently.
"""

import re

MAX_NAME_CHARACTERS = 255
UNIT_TYPES = (
    *("service", "socket", "target", "device", "mount", "automount"),
    *("swap", "timer", "path", "slice", "scope"),
)

_WILDCARDS = frozenset("*?[")
_TYPE = re.compile(rf"\.(?:{'|'.join(UNIT_TYPES)})\Z")
_NAME = re.compile(r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*")
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9:_.\\@-]")
_NO_PATH_CHARACTER = re.compile(r"[^A-Za-z0-9:_.]|\A\.")


class UnitNameError(ValueError):
    """An invalid unit name. `problem` continues a sentence that begins with the name; `hint` is the correction."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}; {self.hint}"


def is_unit_pattern(text: str) -> bool:
    return not _WILDCARDS.isdisjoint(text)


def full_unit_name(text: str, unit_type: str = "service") -> str:
    """Return the name with its type, by default `unit_type`. Raises UnitNameError if it is invalid."""
    if is_unit_pattern(text):
        raise UnitNameError("is a pattern", "write the name of one unit")
    if text.startswith("/"):
        # a device node or a mount point (systemd-escape --path)
        parts = [part for part in text.split("/") if part and part != "."]
        if ".." in parts:
            raise UnitNameError('has ".." in its path', "write the path without it")
        escaped = _NO_PATH_CHARACTER.sub(
            lambda match: "-" if match[0] == "/" else _hexadecimal(match[0]), "/".join(parts)
        )
        name = f"{escaped or '-'}.{'device' if parts[:1] in (['dev'], ['sys']) else 'mount'}"
        if len(name) > MAX_NAME_CHARACTERS:
            raise UnitNameError(
                f"is longer than {MAX_NAME_CHARACTERS} characters", "write the name of a unit"
            )
        return name
    name = text if _TYPE.search(text) else f"{text}.{unit_type}"
    if not text or not _NAME.fullmatch(name) or text.startswith("."):
        escaped = escaped_unit_name(name)
        hint = (
            f"write '{escaped}'"
            if _NAME.fullmatch(escaped) and text.strip()
            else 'write a value such as "nginx.service"'
        )
        raise UnitNameError("is not the name of a unit", hint)
    if len(name) > MAX_NAME_CHARACTERS:
        raise UnitNameError(f"is longer than {MAX_NAME_CHARACTERS} characters", "write the name of a unit")
    if re.search(r"@\.[a-z]+\Z", name):
        raise UnitNameError("is a template", "write one of its instances, or a pattern for all of them")
    return name


def escaped_unit_name(text: str) -> str:
    """Escape invalid characters as systemctl does: "/" becomes "-", a blank "\\x20"."""
    return _NO_NAME_CHARACTER.sub(lambda match: "-" if match[0] == "/" else _hexadecimal(match[0]), text)


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
