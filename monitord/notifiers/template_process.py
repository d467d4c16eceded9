"""The process that renders the template of a webhook: python -I template_process.py

A template can loop forever or exhaust the memory, which a sandbox in the same process cannot prevent, as string
operations and filters run in C. The kernel limits CPU time and memory of this process, and the parent kills it after a
timeout.

Reads {"template": "…", "contexts": [{…}, …]} from standard input. Writes {"texts": ["…", …]}, one text for each
context, or {"error": "…", "line": 3, "context": 0, "is_timeout": false}; the context is null if the template cannot be
compiled. It imports nothing of the package, so that it starts quickly.
"""

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CPU_S = 1
MAX_MEMORY_BYTES = 256 * 1024 * 1024
MAX_TEXT_CHARACTERS = 1024 * 1024
MAX_PROBLEM_CHARACTERS = 300


class _CpuTimeError(Exception):
    """The process has reached its soft limit of CPU time."""


def main() -> None:
    request = json.load(sys.stdin)
    signal.signal(signal.SIGXCPU, _raise_cpu_time_error)
    # Limits of the service manager or of a container may be lower, and a system call filter may reject setrlimit(2).
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
    json.dump(render(request["template"], request["contexts"]), sys.stdout)


def render(template: str, contexts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts: list[str] = []
    compiled = None
    is_timeout = False
    try:
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        # The filter of Jinja2 escapes characters of HTML, which a message is not.
        environment.filters["tojson"] = _to_json
        compiled = environment.from_string(template)
        texts.extend(_limited_text(compiled.generate(context)) for context in contexts)
    except MemoryError:
        problem, line = f"rendering needs more than {MAX_MEMORY_BYTES // 1024**2} MiB of memory", None
    except TemplateError as error:
        problem, line = (
            error.message or type(error).__name__,
            getattr(error, "lineno", None) or _line_of(error),
        )
    except _CpuTimeError as error:
        problem, line = f"rendering takes more than {MAX_CPU_S} s of CPU time", _line_of(error)
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


def _limited_text(pieces: Iterable[str]) -> str:
    text: list[str] = []
    characters = 0
    for piece in pieces:
        characters += len(piece)
        if characters > MAX_TEXT_CHARACTERS:
            raise ValueError(f"the text is longer than {MAX_TEXT_CHARACTERS} characters")
        text.append(piece)
    return "".join(text)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=_as_plain)


def _as_plain(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)  # raises an error with its name
    if isinstance(value, Iterator):  # from the filters map and select
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _line_of(error: BaseException) -> int | None:
    """The line of the template: its frames in the traceback have the line numbers of the template."""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in {"<template>", "<unknown>"}:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _raise_cpu_time_error(*_: object) -> None:
    raise _CpuTimeError


if __name__ == "__main__":
    main()
