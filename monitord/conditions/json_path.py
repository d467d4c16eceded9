"""Paths into a parsed JSON document: $, .name, ['name'], [0], [-1]. A path selects at most one value."""

import re
from dataclasses import dataclass, field

from monitord.conditions.errors import ConditionError
from monitord.text import shortened

MAX_STEPS = 32

_NAME = re.compile(r"[^\W\d][\w-]*")
_STEP = re.compile(
    r"\.(?P<name>[^\W\d][\w-]*)"
    r"|\[(?P<index>-?[0-9]{1,9})\]"
    r"|\['(?P<single>(?:[^'\\]|\\['\"\\])*)'\]"
    r'|\["(?P<double>(?:[^"\\]|\\[\'"\\])*)"\]'
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A field without a value. `why` is the reason as text; `is_absent` if it is certain that there is no value."""

    why: str = "no value"
    is_absent: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class JsonPath:
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return "$" + "".join(map(_step_text, self.steps))

    def find(self, document: object) -> object:
        """Return the value at this path (None is JSON's null), or Unresolved. Never raises."""
        value = document
        for count, step in enumerate(self.steps, start=1):
            try:
                value = _at(value, step)
            except LookupError:
                where = shortened(str(JsonPath(self.steps[:count])))
                return Unresolved(f"no value at {where}", is_absent=True)
        return value


def parse_json_path(text: str) -> JsonPath:
    """Parse a path. Raises ConditionError with a column that counts from the start of the path."""
    if not text.startswith("$"):
        raise ConditionError(1, "a JSON path begins with $", "write it as $.name")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ConditionError(
                at + 1,
                f"the JSON path cannot continue with {shortened(text[at:], 20)}",
                "write .name, ['name'], [0] or [-1]",
            )
        if len(steps) == MAX_STEPS:
            raise ConditionError(at + 1, f"the JSON path has more than {MAX_STEPS} steps")
        if match["index"] is not None:
            steps.append(int(match["index"]))
        elif match["name"] is not None:
            steps.append(match["name"])
        else:
            quoted = match["single"] if match["single"] is not None else match["double"]
            steps.append(_ESCAPE.sub(r"\1", quoted))
        at = match.end()
    return JsonPath(tuple(steps))


def _at(container: object, step: str | int) -> object:
    if isinstance(container, dict) and isinstance(step, str):
        return container[step]
    if isinstance(container, list) and isinstance(step, int):
        return container[step]
    raise LookupError


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _NAME.fullmatch(step):
        return f".{step}"
    return "['" + re.sub(r"(['\\])", r"\\\1", step) + "']"
