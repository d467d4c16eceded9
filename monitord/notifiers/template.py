"""Templates of webhooks, rendered in a separate process (`template_process.py`) with limits of time and memory."""

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
RENDER_TIMEOUT_S = 10.0
"""The process itself has a limit of one second of CPU time."""
MAX_OUTPUT_BYTES = 8 * 1024 * 1024

_JSON_TYPE = re.compile(r"application/json|[a-z0-9.-]+/[a-z0-9.+-]+\+json", re.IGNORECASE)
_JSON_FORM = re.compile(r"\s*(\{\s*\"|\[\s*([\[\"]|\{(?![{%#]))).*[\]}]\s*", re.DOTALL)


class TemplateFailure(Exception):  # noqa: N818 - a failure of the configuration
    """A template cannot be rendered: the problem, its line, and the index of the context (None: any context)."""

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
    """Make `render_each` skip all templates after the first that takes too long.

    That template makes the configuration invalid in any case, and a stop of the daemon waits for a reload to end.
    """
    token = _timeouts.set([])
    try:
        yield
    finally:
        _timeouts.reset(token)


async def render(processes: Processes, template: str, context: Mapping[str, Any], *, deadline: float) -> str:
    """Render a template with a context, in at most half of the time left. Raises TemplateFailure."""
    now = time.monotonic()
    request = ProcessRequest(COMMAND, stdin=_request(template, [context]), max_stdout_bytes=MAX_OUTPUT_BYTES)
    outcome = await processes.run(request, deadline=now + min((deadline - now) / 2, RENDER_TIMEOUT_S))
    if isinstance(outcome, ProcessFailure):
        raise TemplateFailure(outcome.detail)
    return _texts(outcome.stdout, signal.SIGKILL if outcome.is_late else outcome.signal)[0]


def render_each(template: str, contexts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Render with several contexts, and block: for reading the configuration.

    Returns an empty list if the template is skipped: see `one_timeout`.
    """
    timeouts = _timeouts.get([])
    if timeouts:
        return []
    try:
        process = subprocess.run(  # noqa: S603 - our own program
            COMMAND,
            input=_request(template, contexts),
            capture_output=True,
            timeout=RENDER_TIMEOUT_S,
            check=False,
        )
        output, signal_number = process.stdout, -process.returncode if process.returncode < 0 else None
    except subprocess.TimeoutExpired:
        output, signal_number = b"", signal.SIGKILL
    except OSError as error:
        raise TemplateFailure(f"the process that renders it cannot be started: {error.strerror}") from error
    try:
        return _texts(output, signal_number)
    except TemplateFailure as failure:
        if failure.is_timeout:
            timeouts.append(failure.problem)
        raise


def _request(template: str, contexts: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"template": template, "contexts": contexts}).encode()


def _texts(output: bytes, signal_number: int | None) -> list[str]:
    try:
        result = json.loads(output)
    except ValueError:
        is_timeout = signal_number in {signal.SIGTERM, signal.SIGKILL}
        problem = "rendering takes too long" if is_timeout else "the process that renders it ended early"
        raise TemplateFailure(problem, is_timeout=is_timeout) from None
    if "error" in result:
        problem = " ".join(result["error"].split())
        raise TemplateFailure(problem, result["line"], result["context"], is_timeout=result["is_timeout"])
    return list(result["texts"])


def declares_json(template: str, content_type: str) -> bool:
    """Whether the rendered text has to be JSON: by its content type, or by the form of the template."""
    kind = content_type.partition(";")[0].strip()
    return _JSON_TYPE.fullmatch(kind) is not None or _JSON_FORM.fullmatch(template) is not None


def json_problem(text: str) -> str | None:
    """Return why a text is not valid JSON (RFC 8259); None if it is."""
    try:
        json.loads(text, parse_constant=_reject_constant)
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
