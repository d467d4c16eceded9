"""The vocabulary of a web check, as the tests of this room use it."""

from collections.abc import Callable

from monitord.conditions import (
    Condition,
    ConditionError,
    FactFunction,
    FactType,
    Vocabulary,
    parse_condition,
    parse_json_path,
)


def parse_header_name(text: str) -> str:
    if not text.isascii() or " " in text or not text:
        raise ValueError("is not the name of a header; write letters, digits and dashes")
    return text.lower()


WEB = Vocabulary(
    {
        "status": FactType.NUMBER,
        "response_time": FactType.DURATION,
        "certificate.expires_in": FactType.DURATION,
        "certificate.issuer": FactType.TEXT,
        "certificate.verified": FactType.FLAG,
        "body": FactType.TEXT,
        "body.length": FactType.SIZE,
        "dns.answers": FactType.TEXTS,
        "header": FactFunction(FactType.TEXT, parse_header_name),
        "json": FactFunction(FactType.ANY, parse_json_path),
        "perfdata": FactFunction(FactType.NUMBER),
    }
)


def fault_of(parse: Callable[[str], object], text: str) -> ConditionError | None:
    """Any other error goes through."""
    try:
        parse(text)
    except ConditionError as error:
        return error
    return None


def compiled(text: str) -> Condition:
    return parse_condition(text, WEB)
