"""The error of the condition language."""

from monitord.errors import InvalidValueError


class ConditionError(InvalidValueError):
    """A condition is invalid. `column` counts characters of the text from 1.

    `problem` is `message` with the column and follows the quoted condition: "status = 200" at column 8: …
    """

    def __init__(self, column: int, message: str, hint: str = "") -> None:
        super().__init__(f"at column {column}: {message}", hint)
        self.column = column
        self.message = message
