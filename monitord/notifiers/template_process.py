"""Fills a template of a webhook, as a process of its own: python -I template_process.py

A template can loop without end or fill the memory, which no sandbox within the process prevents: string operations and
filters run in C. Here the kernel limits CPU time and memory, and the parent kills what takes too long.

Reads {"template": "…", "contexts": [{…}, …]} from standard input. Writes {"texts": ["…", …]}, one text for each
context, or {"error": "…", "line": 3, "context": 0, "is_timeout": false}; the context is null if the template cannot be
compiled. Imports nothing of the package, so that it starts quickly.
"""

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CPU_S = 1
MAX_MEMORY_BYTES = 256 * 1024 * 1024
MAX_TEXT_CHARACTERS = 1024 * 1024
MAX_PROBLEM_CHARACTERS = 300


class _CpuTimeError(Exception):
    """The soft limit of CPU time was reached."""


def main() -> None:
    order = json.load(sys.stdin)
    _limit()
    json.dump(fill(order["template"], order["contexts"]), sys.stdout)


def fill(template: str, contexts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts: list[str] = []
    compiled = None
    is_timeout = False
    try:
        compiled = _environment().from_string(template)
        texts.extend(_bounded(compiled.generate(context)) for context in contexts)
    except MemoryError:
        problem, line = f"it needs more than {MAX_MEMORY_BYTES // 1024**2} MiB of memory", None
    except TemplateError as error:
        problem, line = (
            error.message or type(error).__name__,
            getattr(error, "lineno", None) or _line_of(error),
        )
    except _CpuTimeError as error:
        problem, line = f"it takes more than {MAX_CPU_S} s of CPU time", _line_of(error)
        is_timeout = True
    except Exception as error:  # noqa: BLE001 - an expression of a template may raise anything
        problem, line = str(error) or type(error).__name__, _line_of(error)
    else:
        return {"texts": texts}
    context = None if compiled is None else len(texts)
    return {
        "error": problem[:MAX_PROBLEM_CHARACTERS],
        "line": line,
        "context": context,
        "is_timeout": is_timeout,
    }


def _bounded(pieces: Any) -> str:
    kept: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_TEXT_CHARACTERS:
            raise ValueError(f"the text is longer than {MAX_TEXT_CHARACTERS} characters")
        kept.append(piece)
    return "".join(kept)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    # Jinja2's own filter escapes for HTML, where a message is none.
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=_as_plain)


def _as_plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)  # raises an error that names it
    if isinstance(value, Iterator):  # of the filters map and select
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _line_of(error: BaseException) -> int | None:
    """Jinja2 gives the frames of a template its line numbers."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in {"<template>", "<unknown>"}:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _limit() -> None:
    """The limits of the manager or of a container may be lower, and a system call filter may refuse to set any."""
    signal.signal(signal.SIGXCPU, _stop)
    cpu_s = math.ceil(time.process_time()) + MAX_CPU_S
    for kind, soft, hard in (
        (
            resource.RLIMIT_CPU,
            cpu_s,
            cpu_s + 1,
        ),  # the hard limit ends an operation that does not return to Python
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))


def _stop(*_: object) -> None:
    raise _CpuTimeError


if __name__ == "__main__":
    main()
