"""The vocabulary of a web check, as the tests in this directory use it, and those of the monitor types."""

from collections.abc import Callable

from monitord.conditions import (
    Condition,
    ConditionError,
    FieldFunction,
    FieldType,
    Vocabulary,
    parse_condition,
    parse_json_path,
)
from monitord.monitors import MONITOR_TYPES


def parse_header_name(text: str) -> str:
    if not text.isascii() or " " in text or not text:
        raise ValueError("is not the name of a header; write letters, digits and dashes")
    return text.lower()


WEB = Vocabulary(
    {
        "status": FieldType.NUMBER,
        "response_time": FieldType.DURATION,
        "certificate.expires_in": FieldType.DURATION,
        "certificate.issuer": FieldType.TEXT,
        "certificate.verified": FieldType.FLAG,
        "body": FieldType.TEXT,
        "body.length": FieldType.SIZE,
        "dns.answers": FieldType.TEXTS,
        "header": FieldFunction(FieldType.TEXT, parse_header_name),
        "json": FieldFunction(FieldType.ANY, parse_json_path),
        "perfdata": FieldFunction(FieldType.NUMBER),
    }
)


def diagnostic_of(parse: Callable[[str], object], text: str) -> ConditionError | None:
    """Any other error goes through."""
    try:
        parse(text)
    except ConditionError as error:
        return error
    return None


def compiled(text: str) -> Condition:
    return parse_condition(text, WEB)


def compiled_for_a_type(text: str) -> Condition:
    """Compile a condition with the fields of the first monitor type that has all of them.

    Raises an ExceptionGroup with the ConditionError of each type if there is no such type.
    """
    errors = []
    for kind in MONITOR_TYPES.values():
        try:
            return parse_condition(text, kind.vocabulary)
        except ConditionError as error:
            errors.append(error)
    raise ExceptionGroup(f"no monitor type has the fields of {text!r}", errors)
