"""The one error of this room."""

from monitord.errors import InvalidValueError


class ConditionError(InvalidValueError):
    """The text is no condition. `column` counts characters of the text from 1.

    `problem` is `message` with the column, and follows the condition: "status = 200" at column 8: "=" is no operator
    """

    def __init__(self, column: int, message: str, hint: str = "") -> None:
        super().__init__(f"at column {column}: {message}", hint)
        self.column = column
        self.message = message
