"""The one error of this room, and how the nearest known word is found for it."""

import difflib
from collections.abc import Iterable

from monitord.errors import InvalidValueError

MAX_COMPARED_CHARACTERS = 60


class ConditionError(InvalidValueError):
    """The text is no condition. `column` counts characters of the text from 1.

    `problem` is `message` with the column, and follows the condition: "status = 200" at column 8: "=" is no operator
    """

    def __init__(self, column: int, message: str, hint: str = "") -> None:
        super().__init__(f"at column {column}: {message}", hint)
        self.column = column
        self.message = message


def meant(word: str, known: Iterable[str]) -> str:
    """ "did you mean status?", or nothing where no known word is near."""
    near = difflib.get_close_matches(word[:MAX_COMPARED_CHARACTERS], sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
