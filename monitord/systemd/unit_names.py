"""Names of units as systemctl(1) reads them: "nginx" is nginx.service, "/home" is home.mount.

The rules are those of systemctl's arguments, so that what works there works wherever a unit is named. One is
left out: a character that a name cannot have is refused, with the name that was meant, and not escaped silently.
"""

import re

LONGEST_NAME = 255
UNIT_TYPES = (
    *("service", "socket", "target", "device", "mount", "automount"),
    *("swap", "timer", "path", "slice", "scope"),
)

_WILD = frozenset("*?[")
_TYPE = re.compile(rf"\.(?:{'|'.join(UNIT_TYPES)})\Z")
_NAME = re.compile(r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*")
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9:_.\\@-]")
_NO_PATH_CHARACTER = re.compile(r"[^A-Za-z0-9:_.]|\A\.")


class UnitNameError(ValueError):
    """The text names no unit. `problem` is worded to follow the text, `hint` says what to write instead."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}; {self.hint}"


def is_unit_pattern(text: str) -> bool:
    return not _WILD.isdisjoint(text)


def full_unit_name(text: str, unit_type: str = "service") -> str:
    """The name with its type, which is `unit_type` where none is written. Raises UnitNameError."""
    if is_unit_pattern(text):
        raise UnitNameError("is a pattern", "write the name of one unit")
    if text.startswith("/"):
        return _of_path(text)
    name = text if _TYPE.search(text) else f"{text}.{unit_type}"
    if not text or not _NAME.fullmatch(name) or text.startswith("."):
        meant = escaped_unit_name(name)
        hint = (
            f"write '{meant}'"
            if _NAME.fullmatch(meant) and text.strip()
            else 'write one such as "nginx.service"'
        )
        raise UnitNameError("is not the name of a unit", hint)
    if len(name) > LONGEST_NAME:
        raise UnitNameError(f"is longer than {LONGEST_NAME} characters", "write the name of a unit")
    if re.search(r"@\.[a-z]+\Z", name):
        raise UnitNameError("is a template", "name one of its instances, or all of them by a pattern")
    return name


def escaped_unit_name(text: str) -> str:
    """As systemctl escapes what is not a name: "/" becomes "-", other characters "\\x20"."""
    return _NO_NAME_CHARACTER.sub(lambda found: "-" if found[0] == "/" else _hexadecimal(found[0]), text)


def _of_path(path: str) -> str:
    """systemd-escape --path: the unit of a device node or of a mount point."""
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise UnitNameError('has ".." in its path', "write the path without it")
    escaped = _NO_PATH_CHARACTER.sub(
        lambda found: "-" if found[0] == "/" else _hexadecimal(found[0]), "/".join(parts)
    )
    name = f"{escaped or '-'}.{'device' if parts[:1] in (['dev'], ['sys']) else 'mount'}"
    if len(name) > LONGEST_NAME:
        raise UnitNameError(f"is longer than {LONGEST_NAME} characters", "write the name of a unit")
    return name


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
