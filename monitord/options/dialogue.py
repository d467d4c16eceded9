"""Options of a dialogue: the steps `{ send = "…" }` and `{ expect = "…" }`, and for streams `{ starttls = true }`."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitord.conditions.pattern.matcher import Pattern
from monitord.config import Secret, Table
from monitord.net.stream.dialogue import Expect, Send, StartTls, Step
from monitord.options.http import named_secrets

MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class SendStep:
    """`is_hidden`: the text comes from a credential, file or variable."""

    text: Secret
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class ExpectStep:
    """`pattern`: the text of a valid pattern."""

    pattern: str


@dataclass(frozen=True, slots=True)
class StartTlsStep:
    pass


DialogueStep = SendStep | ExpectStep | StartTlsStep


def steps_of(options: Iterable[DialogueStep]) -> list[Step]:
    """Return the steps to run."""
    return [_step(option) for option in options]


def _step(option: DialogueStep) -> Step:
    match option:
        case SendStep(text=text):
            return Send(text.reveal().encode())
        case ExpectStep(pattern=written):
            pattern = Pattern(written)
            return Expect(lambda line: pattern.is_in_any((line,)))
        case StartTlsStep():
            return StartTls()


def secrets_of_dialogue(options: Iterable[DialogueStep]) -> Iterator[str]:
    """Return hidden texts, and passwords and tokens in the other texts."""
    for option in options:
        if isinstance(option, SendStep):
            text = option.text.reveal()
            if option.is_hidden:
                yield text
            yield from named_secrets(text)
            yield from re.findall(r"(?im)^(?:a\w* )?(?:PASS|AUTH \w+|LOGIN \S+) (\S{6,})", text)


def read_dialogue(table: Table, *, allows_starttls: bool) -> tuple[DialogueStep, ...]:
    steps = table.tables("dialogue")
    if len(steps) > MAX_STEPS:
        table.error("dialogue", f"has more than {MAX_STEPS} steps", "remove steps")
    keys = ("send", "expect", "starttls") if allows_starttls else ("send", "expect")
    return tuple(step for step_table in steps if (step := _read_step(step_table, keys)) is not None)


def _read_step(table: Table, keys: Sequence[str]) -> DialogueStep | None:
    written = {key: value for key in keys if (value := table.raw(key)) is not None}
    if len(written) != 1:
        table.raw("starttls")  # known, but not allowed here
        forms = ['{ send = "…" }', '{ expect = "…" }', "{ starttls = true }"][: len(keys)]
        table.error("", "is not a single step", f"write {', '.join(forms[:-1])} or {forms[-1]}")
        return None
    if "send" in written:
        return SendStep(table.secret("send"), is_hidden=not isinstance(written["send"], str))
    if "expect" in written:
        pattern = table.value("expect", _pattern, default=None)
        return ExpectStep(pattern) if pattern is not None else None
    if not table.flag("starttls"):
        table.error("starttls", "false is not a step", "write true, or remove it")
    return StartTlsStep()


def _pattern(text: str) -> str:
    Pattern(text)
    return text
