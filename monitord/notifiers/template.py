"""Templates of webhooks: filled in a process of their own (`template_process.py`), bounded in time and memory."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from monitord.net import Processes, ProcessFailure, ProcessRequest

COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("template_process.py")))
FILL_WITHIN_S = 10.0
"""Of elapsed time; the process itself has a second of CPU time."""
MAX_OUTPUT_BYTES = 8 * 1024 * 1024

_JSON_TYPE = re.compile(r"application/json|[a-z0-9.-]+/[a-z0-9.+-]+\+json", re.IGNORECASE)
_JSON_FORM = re.compile(r"\s*(\{\s*\"|\[\s*([\[\"]|\{(?![{%#]))).*[\]}]\s*", re.DOTALL)
_STOPPED = frozenset({signal.SIGTERM, signal.SIGKILL})


class TemplateFailure(Exception):  # noqa: N818 - a failure of the configuration
    """A template could not be filled: why, in which of its lines, and with which context (None: with any)."""

    def __init__(
        self,
        problem: str,
        line: int | None = None,
        context: int | None = None,
        *,
        is_timeout: bool = False,
    ) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.problem = problem
        self.line = line
        self.context = context
        self.is_timeout = is_timeout


_timeouts: ContextVar[list[str]] = ContextVar("timeouts")


@contextmanager
def one_timeout() -> Iterator[None]:
    """Within it `fill_each` tries no further template after one that took too long.

    That one fails the configuration in any case, and a stop of the daemon has to wait for a reload that reads it.
    """
    token = _timeouts.set([])
    try:
        yield
    finally:
        _timeouts.reset(token)


async def fill(processes: Processes, template: str, context: Mapping[str, Any], *, deadline: float) -> str:
    """The text that a template makes of a context, in at most half of the time. Raises TemplateFailure."""
    now = time.monotonic()
    request = ProcessRequest(COMMAND, stdin=_order(template, [context]), max_stdout_bytes=MAX_OUTPUT_BYTES)
    outcome = await processes.run(request, deadline=now + min((deadline - now) / 2, FILL_WITHIN_S))
    if isinstance(outcome, ProcessFailure):
        raise TemplateFailure(outcome.detail)
    number = signal.SIGKILL if outcome.is_late else outcome.signal
    return _texts(outcome.stdout, number)[0]


def fill_each(template: str, contexts: Sequence[Mapping[str, Any]]) -> list[str]:
    """As `fill`, for several contexts, and blocking: for the reading of a configuration.

    Returns nothing where the template is not tried: see `one_timeout`.
    """
    timeouts = _timeouts.get([])
    if timeouts:
        return []
    try:
        return _fill_each(template, contexts)
    except TemplateFailure as failure:
        if failure.is_timeout:
            timeouts.append(failure.problem)
        raise


def _fill_each(template: str, contexts: Sequence[Mapping[str, Any]]) -> list[str]:
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            COMMAND, input=_order(template, contexts), capture_output=True, timeout=FILL_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _texts(b"", signal.SIGKILL)
    except OSError as error:
        raise TemplateFailure(f"no process to fill it: {error.strerror}") from error
    return _texts(ended.stdout, -ended.returncode if ended.returncode < 0 else None)


def _order(template: str, contexts: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"template": template, "contexts": contexts}).encode()


def _texts(output: bytes, number: int | None) -> list[str]:
    try:
        answer = json.loads(output)
    except ValueError:
        problem = "it takes too long" if number in _STOPPED else "the process that fills it ended early"
        raise TemplateFailure(problem, is_timeout=number in _STOPPED) from None
    if "error" in answer:
        problem = " ".join(answer["error"].split())
        raise TemplateFailure(problem, answer["line"], answer["context"], is_timeout=answer["is_timeout"])
    return list(answer["texts"])


def declares_json(template: str, content_type: str) -> bool:
    """Whether the text is to be JSON, by its content type or by the form of the template."""
    kind = content_type.partition(";")[0].strip()
    return _JSON_TYPE.fullmatch(kind) is not None or _JSON_FORM.fullmatch(template) is not None


def json_problem(text: str) -> str | None:
    """What keeps a text from being JSON (RFC 8259); None: it is."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
