"""The one error of this room, and how the nearest known word is found for it."""

import difflib
from collections.abc import Iterable

MAX_COMPARED_CHARACTERS = 60


class ConditionError(ValueError):
    """The text is no condition. `column` counts characters of the text from 1.

    As text it follows the value it speaks of: "status = 200" at column 8: "=" is no operator; write ==
    """

    def __init__(self, column: int, problem: str, hint: str = "") -> None:
        super().__init__(column, problem, hint)
        self.column = column
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        text = f"at column {self.column}: {self.problem}"
        return f"{text}; {self.hint}" if self.hint else text


def meant(word: str, known: Iterable[str]) -> str:
    """ "did you mean status?", or nothing where no known word is near."""
    near = difflib.get_close_matches(word[:MAX_COMPARED_CHARACTERS], sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
