"""`monitorctl probe`: one check, ad hoc, without configuration and without the daemon.

What is written on the command line becomes the keys of a monitor, read as those of a file are, and goes the road of
any check. Needs all that the daemon is made of, so monitorctl becomes this process rather than knowing it.

Exit statuses are those of plugins: 0 pass, 1 warn, 2 fail, 3 inconclusive; of several checks the worst counts, a
failure most. 64 wrong usage (EX_USAGE, sysexits.h).
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import tomli

from monitord.application import ApplicationContainer
from monitord.cli.output.probe_view import probe_text, summary_text
from monitord.cli.output.terminal import wants_colour, width
from monitord.cli.parsing import Parser
from monitord.cli.probe_options import TARGETS, add_probe_options
from monitord.config.wording import key_text
from monitord.dispatch import CheckCycle, Sink, Watched
from monitord.dispatch.schedule import Grid
from monitord.errors import ConfigError
from monitord.model import WORST_VERDICT_FIRST, Result, Verdict
from monitord.monitors import MonitorSettings
from monitord.settings import Settings, read_monitor
from monitord.status.model.forms import result_of

EXIT_USAGE, EXIT_INTERRUPTED = 64, 130
_EXIT = {Verdict.PASS: 0, Verdict.WARN: 1, Verdict.FAIL: 2, Verdict.INCONCLUSIVE: 3}

NAME = "probe"
LONGEST_PERIOD = "1d"
"""A probe has no period; it may take this long."""

_MAIN_KEYS = {"tcp": "address", "tls": "address", "icmp": "host", "dns": "name", "exec": "command"}

Keys = dict[str, Any]


class UsageError(Exception):
    """What was written cannot be probed."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = read_monitor(keys_of(options), NAME, environment=os.environ)
    except UsageError as error:
        print(f"monitorctl probe: {error}", file=sys.stderr)
        return EXIT_USAGE
    except ConfigError as error:
        for failure in error.diagnostics:
            key = key_text(failure.path[len(("monitors", NAME)) :])
            told = f"{key or 'the target'} {failure.problem}" + (f"; {failure.hint}" if failure.hint else "")
            print(f"monitorctl probe: {told}", file=sys.stderr)
        return EXIT_USAGE
    try:
        results = asyncio.run(_probe(settings, options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return _EXIT[_worst(results)]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="monitorctl probe", description="Check once, without configuration.", allow_abbrev=False
    )
    add_probe_options(parser)
    return parser


# From the command line to the keys of a monitor


def keys_of(options: argparse.Namespace) -> Keys:
    """Raises UsageError where no keys follow; what is wrong with them shows when they are read."""
    keys: Keys = {"timeout": options.timeout, "check_every": LONGEST_PERIOD}
    if options.target is None and options.type is None:
        raise UsageError(f"what is to be checked is missing; write {TARGETS}")
    if options.target is not None:
        keys |= keys_of_target(options.target, options.type)
    if options.type is not None:
        keys["type"] = options.type
    if options.method is not None:
        keys["method"] = options.method
    for key in ("up_when", "degraded_when"):
        if given := getattr(options, key):
            keys[key] = given
    for written in options.option:
        key, equals, value = written.partition("=")
        if not equals:
            raise UsageError(f"--option {written!r} has no value; write KEY=VALUE")
        keys[key.strip()] = _value(value)
    headers = dict(map(_header, options.header))
    if headers:
        keys["headers"] = {**keys.get("headers", {}), **headers}
    return keys


def keys_of_target(target: str, type_name: str | None = None) -> Keys:
    """`type_name` is what the command line says beside the target. Raises UsageError."""
    scheme, colon, rest = target.partition(":")
    if scheme in {"http", "https", "http+unix"} and rest.startswith("//"):
        return {"type": "http", "url": target}
    if scheme == "unix" and colon:
        return {"type": "tcp", "address": target}
    if colon and scheme in _MAIN_KEYS:
        return {"type": scheme, **_keys_of_type(scheme, rest)}
    if type_name in _MAIN_KEYS:
        return _keys_of_type(type_name, target)
    raise UsageError(f"{target!r} does not say what to check; write {TARGETS}")


def _keys_of_type(type_name: str, rest: str) -> Keys:
    if type_name == "exec":
        try:
            return {"command": shlex.split(rest)}
        except ValueError as error:
            raise UsageError(f"the command cannot be taken apart: {error}") from None
    if type_name == "dns" and rest.startswith("//"):
        return _keys_of_dns(rest)
    return {_MAIN_KEYS[type_name]: rest.removeprefix("//").removesuffix("/")}


def _keys_of_dns(rest: str) -> Keys:
    """As RFC 4501 has it: dns://SERVER:PORT/NAME?type=MX; further parameters are keys of the type."""
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


def _value(text: str) -> object:
    """As TOML has it where it is TOML, otherwise as it stands."""
    try:
        return tomli.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError(f"the header {text!r} has no value; write -H 'NAME: VALUE'")
    return name.strip(), value.strip()


# The checks


async def _probe(settings: MonitorSettings, options: argparse.Namespace) -> list[Result]:
    """Prints each result as it comes, and as JSON all of them at the end."""
    room = width()
    colour = wants_colour()
    results: list[Result] = []

    def hear(result: Result) -> None:
        results.append(result)
        if not options.json:
            print(probe_text(result, settings, width=room, colour=colour), flush=True)

    await check(settings, hear, count=options.count, interval_s=options.interval)
    if options.json:
        print(json.dumps(_json_of(settings, results), indent=2))
    elif len(results) > 1:
        print(summary_text(results, colour=colour))
    return results


class _ResultSink(Sink):
    def __init__(self, hear: Callable[[Result], None]) -> None:
        self._hear = hear

    def on_result(self, watched: Watched, result: Result) -> None:
        del watched
        self._hear(result)


async def check(
    settings: MonitorSettings, hear: Callable[[Result], None], *, count: int, interval_s: float
) -> None:
    """The road of a check in the daemon, `count` times."""
    container = ApplicationContainer(Settings(monitors=(settings,)))
    container.override(ApplicationContainer.sinks, (_ResultSink(hear),))
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(container.http_client.close)
        stack.push_async_callback(container.processes.close)
        monitor = container.build_monitor(settings)
        stack.push_async_callback(monitor.close)
        container.stall_detector.start()
        stack.callback(container.stall_detector.stop)
        monitor.start(lambda: None)
        watched = Watched(monitor, CheckCycle(Grid(settings.check_every_s, 0.0), 0.0))
        for number in range(count):
            began_at = loop.time()
            await container.pipeline.run(watched, lambda: True)
            if number + 1 < count:
                await asyncio.sleep(began_at + interval_s - loop.time())


def _worst(results: Sequence[Result]) -> Verdict:
    found = {result.verdict for result in results}
    return next(verdict for verdict in WORST_VERDICT_FIRST if verdict in found)


def _json_of(settings: MonitorSettings, results: Sequence[Result]) -> Mapping[str, Any]:
    return {
        "type": settings.type_name,
        "verdict": _worst(results).value,
        "results": [result_of(result) for result in results],
    }


if __name__ == "__main__":
    # What the log would tell of the check is printed; the rest is for a daemon.
    logging.getLogger().addHandler(logging.NullHandler())
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A peer may say what this terminal has no letters for.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())
