"""`monitorctl probe`: one check without configuration and without the daemon.

The command line becomes the keys of a monitor, which are read as those of a file, and checked as in the daemon. This
needs the code of the daemon, so monitorctl executes this module as another process.

Exit statuses are those of monitoring plugins: 0 pass, 1 warning, 2 failure, 3 inconclusive; of several checks, the
worst counts, and a failure is the worst. 64 is a usage error (EX_USAGE, sysexits.h).
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import tomli

from monitord.application import ApplicationContainer
from monitord.cli.exit_status import EXIT_INTERRUPTED, EXIT_USAGE
from monitord.cli.output.result_view import exact_time, result_lines
from monitord.cli.output.terminal import columns, paint, wants_colour
from monitord.cli.output.wording import LocalTimes
from monitord.cli.parsing import CommandLineParser
from monitord.cli.probe_options import DETAILS, SUMMARY, TARGETS, add_probe_options
from monitord.config.wording import key_text
from monitord.dispatch import CheckCycle, MonitorEntry, Sink
from monitord.dispatch.schedule import Grid
from monitord.errors import ConfigError
from monitord.model import WORST_VERDICT_FIRST, Result, Verdict
from monitord.monitors import MonitorSettings, monitor_type
from monitord.settings import Settings, read_monitor
from monitord.status.model.representations import result_of, units_of
from monitord.text import counted

_EXIT = {Verdict.PASS: 0, Verdict.WARN: 1, Verdict.FAIL: 2, Verdict.INCONCLUSIVE: 3}

NAME = "probe"
LONGEST_PERIOD = "1d"
"""`check_every` of the monitor, which must not be shorter than the timeout."""

_MAIN_KEYS = {"tcp": "address", "tls": "address", "icmp": "host", "dns": "name", "exec": "command"}

Keys = dict[str, Any]


class UsageError(Exception):
    """The command line does not describe a check."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLineParser(
        prog="monitorctl probe", description=f"{SUMMARY}.", epilog=DETAILS, allow_abbrev=False
    )
    add_probe_options(parser)
    options = parser.parse_args(arguments)
    try:
        settings = read_monitor(keys_of(options), NAME, environment=os.environ)
    except UsageError as error:
        print(f"monitorctl probe: {error}", file=sys.stderr)
        return EXIT_USAGE
    except ConfigError as error:
        for failure in error.diagnostics:
            key = key_text(failure.path[len(("monitors", NAME)) :])
            hint = f"; {failure.hint}" if failure.hint else ""
            print(f"monitorctl probe: {key or 'the target'}: {failure.problem}{hint}", file=sys.stderr)
        return EXIT_USAGE
    try:
        results = asyncio.run(_probe(settings, options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe; keep Python from reporting it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return _EXIT[_worst(results)]


def keys_of(options: argparse.Namespace) -> Keys:
    """The keys of the monitor. Raises UsageError if the command line is incomplete; the keys are validated later."""
    keys: Keys = {"timeout": options.timeout, "check_every": LONGEST_PERIOD}
    if options.target is None and options.type is None:
        raise UsageError(f"the target is missing; write {TARGETS}")
    if options.target is not None:
        keys |= keys_of_target(options.target, options.type)
    if options.type is not None:
        keys["type"] = options.type
    if options.method is not None:
        keys["method"] = options.method
    for key in ("up_when", "degraded_when"):
        if conditions := getattr(options, key):
            keys[key] = conditions
    for option in options.option:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--option {option!r} has no value; write KEY=VALUE")
        keys[key.strip()] = _value(value)
    headers = dict(map(_header, options.header))
    if headers:
        keys["headers"] = {**keys.get("headers", {}), **headers}
    return keys


def keys_of_target(target: str, type_name: str | None = None) -> Keys:
    """Return the keys that a target means. `type_name`: the value of --type. Raises UsageError."""
    scheme, colon, rest = target.partition(":")
    if scheme in {"http", "https", "http+unix"} and rest.startswith("//"):
        return {"type": "http", "url": target}
    if scheme == "unix" and colon:
        return {"type": "tcp", "address": target}
    if colon and scheme in _MAIN_KEYS:
        return {"type": scheme, **_keys_of_type(scheme, rest)}
    if type_name in _MAIN_KEYS:
        return _keys_of_type(type_name, target)
    raise UsageError(f"{target!r} does not determine a type; write {TARGETS}")


def _keys_of_type(type_name: str, rest: str) -> Keys:
    if type_name == "exec":
        try:
            return {"command": shlex.split(rest)}
        except ValueError as error:
            raise UsageError(f"the command {rest!r} cannot be split into words: {error}") from None
    if type_name == "dns" and rest.startswith("//"):
        # RFC 4501: dns://SERVER:PORT/NAME?type=MX; further parameters are keys of the type.
        parts = urlsplit(rest)
        keys: Keys = {"name": parts.path.removeprefix("/")}
        try:
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{rest}: {error}") from None
        if parts.hostname:
            keys["server"] = parts.hostname
        if port is not None:
            keys["port"] = port
        for name, value in parse_qsl(parts.query):
            keys["record_type" if name.lower() == "type" else name] = _value(value)
        return keys
    return {_MAIN_KEYS[type_name]: rest.removeprefix("//").removesuffix("/")}


def _value(text: str) -> object:
    """The value in TOML, or the text if it is not TOML."""
    try:
        return tomli.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError(f"the header {text!r} has no value; write -H 'NAME: VALUE'")
    return name.strip(), value.strip()


async def _probe(settings: MonitorSettings, options: argparse.Namespace) -> list[Result]:
    """Print each result when it is complete, or all of them as JSON at the end."""
    width, colour = columns(), wants_colour()
    results: list[Result] = []

    def on_result(result: Result) -> None:
        results.append(result)
        if not options.json:
            print(probe_text(result, settings, columns=width, colour=colour), flush=True)

    await check(settings, on_result, count=options.count, interval_s=options.interval)
    if options.json:
        shown = {
            "type": settings.type_name,
            "verdict": _worst(results).value,
            "results": [result_of(result) for result in results],
        }
        print(json.dumps(shown, indent=2))
    elif len(results) > 1:
        print(summary_text(results, colour=colour))
    return results


class _ResultSink(Sink):
    def __init__(self, callback: Callable[[Result], None]) -> None:
        self._callback = callback

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        del entry
        self._callback(result)


async def check(
    settings: MonitorSettings, on_result: Callable[[Result], None], *, count: int, interval_s: float
) -> None:
    """Run the monitor `count` times through the pipeline of the daemon."""
    container = ApplicationContainer(Settings(monitors=(settings,)))
    container.override(ApplicationContainer.sinks, (_ResultSink(on_result),))
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(container.http_client.close)
        stack.push_async_callback(container.processes.close)
        monitor = container.build_monitor(settings)
        stack.push_async_callback(monitor.close)
        container.stall_detector.start()
        stack.callback(container.stall_detector.stop)
        monitor.start(lambda: None)
        entry = MonitorEntry(monitor, CheckCycle(Grid(settings.check_every_s, 0.0), 0.0))
        for number in range(count):
            began_at = loop.time()
            await container.pipeline.run(entry, lambda: True)
            if number + 1 < count:
                await asyncio.sleep(began_at + interval_s - loop.time())


def probe_text(result: Result, settings: MonitorSettings, *, columns: int, colour: bool) -> str:
    kind = monitor_type(settings.type_name)
    units = {} if kind is None else units_of(kind.vocabulary_of(settings.options))
    return "\n".join(
        [*result_lines(result_of(result), units, LocalTimes(), columns=columns, colour=colour), ""]
    )


def summary_text(results: Sequence[Result], *, colour: bool) -> str:
    """The numbers of verdicts, and the durations, of several checks."""
    verdicts = [result.verdict.value for result in results]
    counts = [
        f"{verdicts.count(verdict)} {paint(verdict, verdict, colour=colour)}"
        for verdict in dict.fromkeys(verdicts)
    ]
    durations_s = [result.observation.duration_s for result in results]
    times = ", ".join(
        f"{name} {exact_time(duration_s)}"
        for name, duration_s in (
            ("min", min(durations_s)),
            ("mean", statistics.fmean(durations_s)),
            ("max", max(durations_s)),
        )
    )
    return f"{counted(len(results), 'check')}: {', '.join(counts)}; duration: {times}"


def _worst(results: Sequence[Result]) -> Verdict:
    verdicts = {result.verdict for result in results}
    return next(verdict for verdict in WORST_VERDICT_FIRST if verdict in verdicts)


if __name__ == "__main__":
    # The result is printed: no log messages.
    logging.getLogger().addHandler(logging.NullHandler())
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Responses may contain characters that the encoding of the terminal does not have.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())
