"""Recursive descent parser of conditions. It returns a typed tree that is checked against the vocabulary.

choice      = all { "or" all }
all         = negation { "and" negation }
negation    = "not" negation | "(" choice ")" | comparison
comparison  = ( field | "length" "(" field ")" ) operator value | "exists" "(" field ")"
field       = NAME [ "(" TEXT ")" ]
value       = single | "[" [ single { "," single } ] "]"
single      = NUMBER | DURATION | SIZE | TEXT | "true" | "false" | "null"
"""

from collections.abc import Callable
from typing import TypeVar

from monitord.conditions.errors import ConditionError
from monitord.conditions.lexer import Token, TokenKind, quantity_error, tokens
from monitord.conditions.pattern.matcher import Pattern
from monitord.conditions.rules import check_bounds, check_length, check_literal, check_operator, look_up
from monitord.conditions.tree import (
    And,
    Comparison,
    Exists,
    Kind,
    Literal,
    Node,
    Not,
    Operator,
    Or,
    Reference,
)
from monitord.conditions.vocabulary import COUNT, RESERVED, Bounds, FieldFunction, FieldType, Vocabulary
from monitord.errors import problem_and_hint
from monitord.text import did_you_mean
from monitord.units import QuantityError, parse_duration, parse_size

MAX_DEPTH = 20
MAX_COMPARISONS = 50
MAX_LIST_ITEMS = 100

_KINDS = {
    TokenKind.NUMBER: Kind.NUMBER,
    TokenKind.DURATION: Kind.DURATION,
    TokenKind.SIZE: Kind.SIZE,
    TokenKind.TEXT: Kind.TEXT,
}

T = TypeVar("T")

_OPERATORS = {operator.value: operator for operator in Operator}

# Operators of other languages, with the operator to write instead.
_FOREIGN_OPERATORS = {
    "is": "==", "equals": "==", "eq": "==", "ne": "!=", "gt": ">", "lt": "<", "ge": ">=", "le": "<=",
    "has": "contains", "includes": "contains", "like": "matches",
}  # fmt: skip
_FOREIGN_NULLS = frozenset({"none", "nil", "undefined"})


class Parser:
    """Parser of a single condition."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokens = tokens(text)
        self._token = next(self._tokens)
        self._comparisons = 0

    def parse(self) -> Node:
        """Parse the whole text. Raises ConditionError at the first error."""
        node = self._choice(0)
        if self._token.kind is not TokenKind.END:
            raise self._unexpected_token()
        return node

    def _choice(self, depth: int) -> Node:
        return self._joined("or", Or, lambda: self._joined("and", And, lambda: self._negation(depth)))

    def _joined(self, word: str, join: type[And] | type[Or], operand: Callable[[], Node]) -> Node:
        operands: list[Node] = []
        while True:
            node = operand()
            operands.extend(
                node.operands if isinstance(node, (And, Or)) and isinstance(node, join) else [node]
            )
            if not self._accept(word):
                return operands[0] if len(operands) == 1 else join(tuple(operands))

    def _negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels of not and ( )")
        if self._accept("not"):
            return Not(self._negation(depth + 1))
        if self._accept("("):
            node = self._choice(depth + 1)
            self._expect(")", "the ( is not closed")
            return node
        return self._comparison()

    def _comparison(self) -> Comparison | Exists:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise self._error(f"more than {MAX_COMPARISONS} comparisons in one condition")
        if self._accept("exists"):
            return Exists(*self._within_parentheses("exists"))
        bounds: Bounds | None = COUNT
        is_of_length = self._accept("length")
        if is_of_length:
            column = self._token.column
            reference, field_type = self._within_parentheses("length")
            check_length(str(reference), field_type, column)
            field_type, subject = FieldType.NUMBER, f"length({reference})"
        else:
            reference, field_type = self._reference()
            subject, bounds = str(reference), self._vocabulary.bounds.get(reference.name)
        operator = _OPERATORS.get(self._token.written)
        if operator is None or self._token.kind not in {TokenKind.SIGN, TokenKind.WORD}:
            raise self._operator_error(subject, field_type)
        check_operator(subject, field_type, operator, self._token.column)
        self._advance()
        token = self._token
        literal, columns = self._value(operator)
        if operator is Operator.IN and literal.kind is not Kind.LIST:
            items = [literal]  # perhaps a list without brackets was meant: 200, 201
            while len(items) < MAX_LIST_ITEMS and self._accept(","):
                items.append(self._single())
            raise ConditionError(token.column, "in needs a list", f"write {Literal(Kind.LIST, tuple(items))}")
        check_literal(subject, field_type, operator, literal, token.column, columns)
        check_bounds(subject, field_type, operator, literal, bounds, columns)
        pattern = None
        if operator is Operator.MATCHES:
            pattern = self._within(token, lambda: Pattern(str(token.value)))
        return Comparison(reference, field_type, operator, literal, pattern, is_of_length)

    def _operator_error(self, subject: str, field_type: FieldType) -> ConditionError:
        word = self._token.written
        if word == "not":
            return self._error("not is written before the field", f"write not {subject} …")
        if word == "exists":
            hint = f"write exists({subject})"
        elif self._token.kind is TokenKind.NAME and word.lower() in _FOREIGN_OPERATORS:
            hint = f"write {_FOREIGN_OPERATORS[word.lower()]}"
        elif self._token.kind is TokenKind.NAME and (near := did_you_mean(word, _OPERATORS)):
            hint = near
        elif field_type is FieldType.FLAG:
            hint = f"write {subject} == true"
        elif field_type in {FieldType.ANY, FieldType.TEXT} and not subject.startswith("length("):
            hint = f"write exists({subject}) or an operator such as ==, < or in"
        else:
            hint = "write an operator such as ==, < or in"
        return self._error(f"an operator is expected after {subject}, not {self._token}", hint)

    def _within_parentheses(self, word: str) -> tuple[Reference, FieldType]:
        self._expect("(", f"{word} needs a field", f"write {word}(field)")
        reference = self._reference()
        self._expect(")", "the ( is not closed")
        return reference

    def _reference(self) -> tuple[Reference, FieldType]:
        token = self._token
        if token.kind is not TokenKind.NAME:
            if token.written in RESERVED - {"true", "false", "null"} or token.kind in {
                TokenKind.END,
                TokenKind.SIGN,
            }:
                raise self._error(f"a field is missing before {token}", "write field operator value")
            raise self._error(
                f"a comparison begins with a field, not with {token}",
                "write field operator value; for one of several values: field in [value, value]",
            )
        self._advance()
        field = look_up(self._vocabulary, token.written, token.column, is_called=self._token.written == "(")
        if not isinstance(field, FieldFunction):
            if self._token.written == "(":
                raise self._error(f"{token} takes no argument", f"write {token}")
            return Reference(token.written), field
        self._expect("(", f"{token} needs an argument", f"write {token}('…')")
        argument = self._token
        if argument.kind is not TokenKind.TEXT:
            raise self._error(f"the argument of {token} is text", f"write {token}('…')")
        self._advance()
        self._expect(")", "the ( is not closed")
        parsed = self._within(argument, lambda: field.parse_argument(str(argument.value)))
        return Reference(token.written, parsed), field.result

    def _value(self, operator: Operator) -> tuple[Literal, list[int]]:
        """Parse a value or a list; return it with the columns of the value or of the items."""
        if not self._accept("["):
            column = self._token.column
            return self._single(), [column]
        items: list[Literal] = []
        columns: list[int] = []
        if operator is not Operator.IN and self._accept("]"):
            return Literal(Kind.LIST, ()), []
        while True:
            if len(items) == MAX_LIST_ITEMS:
                raise self._error(f"more than {MAX_LIST_ITEMS} values in one list")
            columns.append(self._token.column)
            items.append(self._single())
            if not self._accept(","):
                self._expect("]", "the [ is not closed", "write [value, value]")
                return Literal(Kind.LIST, tuple(items)), columns

    def _single(self) -> Literal:
        token = self._token
        if token.kind in _KINDS:
            literal = Literal(_KINDS[token.kind], token.value)
        elif token.written in {"true", "false"}:
            literal = Literal(Kind.FLAG, token.written == "true")
        elif token.written == "null":
            literal = Literal(Kind.NULL, 0)
        elif token.kind is TokenKind.NAME:
            hint = f"write '{token}'"
            if token.written.lower() in _FOREIGN_NULLS:
                hint = "write null"
            elif token.written in self._vocabulary.fields:
                hint = "write a value, because two fields cannot be compared"
            raise self._error(f"a value is expected on the right, not {token}", hint)
        else:
            raise self._error(f"a value is missing before {token}", "write a number, 300ms, 64KiB or '…'")
        self._advance()
        if token.kind is TokenKind.NUMBER and self._token.kind is TokenKind.NAME:
            raise self._space_error(token.written, token.column)
        return literal

    def _space_error(self, number: str, column: int) -> ConditionError:
        """Return the error for a number and a unit that are separated by a space: 5 min."""
        written = f"{number} {self._token}"
        try:
            parse_size(written)
            return ConditionError(column, f"{written} contains a space", f"write {written.replace(' ', '')}")
        except QuantityError as size_error:
            error = size_error
        try:
            parse_duration(written)
        except QuantityError as duration_error:
            if duration_error.suggestion:
                error = duration_error
        if error.suggestion:
            return quantity_error(written, column, error)
        if self._token.written in self._vocabulary.fields:
            return self._unexpected_token()
        hint = "use ms, s, m, h or d for a duration, KiB, MiB or GiB for a size"
        return self._error(f'unknown unit "{self._token}"', hint)

    def _within(self, token: Token, parse: Callable[[], T]) -> T:
        """Return the result of `parse` for the token's text; errors get their column in the condition."""
        try:
            return parse()
        except ConditionError as error:
            raise ConditionError(token.column_within(error.column - 1), error.message, error.hint) from None
        except ValueError as error:
            problem, hint = problem_and_hint(error)
            raise ConditionError(token.column, f"{token} {problem}", hint) from None

    def _accept(self, written: str) -> bool:
        """Skip the word or sign if it is next; return whether it was."""
        is_next = self._token.written == written
        if is_next:
            self._advance()
        return is_next

    def _expect(self, written: str, problem: str, hint: str = "") -> None:
        if not self._accept(written):
            raise self._error(f"{problem} before {self._token}", hint or f"write {written}")

    def _advance(self) -> None:
        self._token = next(self._tokens)

    def _unexpected_token(self) -> ConditionError:
        return self._error(f"{self._token} is unexpected here", "combine comparisons with and, or")

    def _error(self, problem: str, hint: str = "") -> ConditionError:
        return ConditionError(self._token.column, problem, hint)
