"""The process that sends through Apprise: python -I apprise_process.py

Apprise and its plug-ins block, are large, and may raise anything. The kernel limits CPU time and memory of this
process, and the parent kills it after a timeout.

Reads {"urls": {"0": "…", …}, "message": {"title": "…", "body": "…", "type": "failure"}} from standard input; the
message is null if only the URLs are to be checked. Writes a line for each URL when it is done, in any order:
{"url": "0", "is_done": true, "messages": ["…", …]}, with the warnings and errors that Apprise has logged about it.
It imports nothing of the package, so that it starts quickly.
"""

import json
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import apprise

try:
    from apprise.attachment.file import AttachFile
except ImportError:  # before version 1.9
    from apprise.attachment.AttachFile import AttachFile

MAX_CPU_S = 20
MAX_MEMORY_BYTES = 1024**3
"""Maximum address space for each URL. Most of it is reserved for threads, and not used."""
MAX_MESSAGES = 3
MAX_MESSAGE_CHARACTERS = 300
"""A line is shorter than PIPE_BUF (4096 bytes), so lines of several processes are not mixed: pipe(7)."""


class _AppriseLog(logging.Handler):
    """Collects the log messages of Apprise."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.add(record.getMessage())

    def add(self, text: str) -> None:
        if len(self.messages) < MAX_MESSAGES:
            printable = "".join(character if character.isprintable() else " " for character in text)
            if len(printable) > MAX_MESSAGE_CHARACTERS:
                # The parent masks the beginning of a secret before this sign.
                printable = printable[:MAX_MESSAGE_CHARACTERS] + "…"
            self.messages.append(printable)


def main() -> None:
    request = json.load(sys.stdin)
    # A plug-in may print something.
    reports = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Limits of the service manager or of a container may be lower, and a system call filter may reject setrlimit(2).
    cpu_s = math.ceil(time.process_time()) + MAX_CPU_S
    for kind, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # it writes only to pipes
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))
    _forbid_files()
    # Nothing is lost at a service with short messages, unless the URL has another value of `overflow`.
    apprise.NotifyBase.overflow_mode = apprise.OverflowMode.SPLIT
    # In a process for each URL: a service that does not respond delays no other, and Apprise logs in threads of its
    # own, so only the process shows to which URL a message belongs.
    children = []
    for name, url in request["urls"].items():
        child = os.fork()
        if not child:
            report = _report(name, url, request["message"])
            os.write(reports, (json.dumps(report, ensure_ascii=False) + "\n").encode(errors="replace"))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def _report(name: str, url: str, message: Mapping[str, str] | None) -> Mapping[str, Any]:
    log = _AppriseLog()
    logger = logging.getLogger("apprise")
    logger.addHandler(log)
    logger.propagate = False
    try:
        asset = apprise.AppriseAsset(
            app_id="monitord",
            app_desc="monitord notifications",
            app_url="",
            async_mode=False,
            secure_logging=True,
        )
        # A string with several URLs would be split by `Apprise.add`.
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None or message is None:
            is_done = service is not None
        else:
            sender = apprise.Apprise(asset=asset)
            sender.add(service)
            # Strings before version 1.9.4, and members of an enum since.
            types: Sequence[Any] = (
                apprise.NotifyType.INFO,
                apprise.NotifyType.SUCCESS,
                apprise.NotifyType.WARNING,
                apprise.NotifyType.FAILURE,
            )
            is_done = bool(
                sender.notify(
                    body=message["body"],
                    title=message["title"],
                    notify_type=next(
                        kind for kind in types if getattr(kind, "value", kind) == message["type"]
                    ),
                    body_format=apprise.NotifyFormat.TEXT,
                    interpret_escapes=False,
                )
            )
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
        is_done = False
        log.add(f"{type(error).__name__}: {error}")
    return {"url": name, "is_done": is_done, "messages": log.messages}


def _forbid_files() -> None:
    """Prevent that a parameter of a URL (a template, an attachment) makes a plug-in send a file of this host."""
    AttachFile.parse_url = staticmethod(lambda *_, **__: None)


if __name__ == "__main__":
    main()
