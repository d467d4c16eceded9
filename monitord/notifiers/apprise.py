"""The type `apprise`: more than a hundred services, each by a URL, through the library Apprise.

    type = "apprise"
    urls = [{ credential = "gotify-url" }]

The library blocks, so a separate process sends each message (`apprise_process.py`), and reports about each URL. After a
partial success only the other URLs are retried. The parts of a URL that may be secret are masked in all texts. Apprise
splits a message that is too long for a service.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from monitord.config import Secret, Table
from monitord.model import Severity
from monitord.net import ProcessFailure, ProcessRequest
from monitord.notifiers.base import DeliveryError, Notifier, NotifierSettings, NotifierTools
from monitord.notifiers.notification import Message, NotificationKind, utf16_units
from monitord.options.masking import Masking

LIBRARY = "apprise"
COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("apprise_process.py")))
CHECK_TIMEOUT_S = 15.0
MAX_URLS = 20
MAX_TEXT_UNITS = 4000
"""UTF-16 code units of title and body. Many services have this limit; others get the message in a few parts."""
MAX_DETAIL_CHARACTERS = 300
MAX_REMEMBERED = 100
"""Messages that were delivered in part, and are retried."""

# Nothing else: .netrc in the home directory would add passwords to requests.
PASSED_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FIXED_VARIABLES = (("HOME", "/nonexistent"), ("LANG", "C.UTF-8"), ("MALLOC_ARENA_MAX", "2"))

PLAIN_PARAMETERS = frozenset(
    {"cto", "emojis", "format", "method", "mode", "overflow", "priority", "rto", "tz", "verify"}
)
"""Parameters of URLs whose values are words, not secrets."""

_SCHEMA = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_HOST = re.compile(r"localhost|\[[0-9a-f:.]+\]|[0-9]+(\.[0-9]+){3}|[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class AppriseOptions:
    urls: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlReport:
    """The outcome for one URL, and the log messages of Apprise about it."""

    is_done: bool
    messages: tuple[str, ...]


class AppriseNotifier(Notifier[AppriseOptions]):
    type_name: ClassVar[str] = "apprise"
    tracks_problems: ClassVar[bool] = False

    def __init__(self, settings: NotifierSettings, tools: NotifierTools) -> None:
        super().__init__(settings, tools)
        # The URLs to which a message was sent, by its key, until it was sent to all. Lost when the daemon stops.
        self._sent: dict[str, frozenset[str]] = {}

    @classmethod
    def read_options(cls, table: Table) -> AppriseOptions:
        urls = table.secret_list("urls")
        if find_spec(LIBRARY) is None:
            table.error("", "apprise needs the library Apprise", "install the package apprise")
        elif len(urls) > MAX_URLS:
            table.error("urls", f"has more than {MAX_URLS} URLs", "divide them among several notifiers")
        else:
            _check_urls(table, urls)
        return AppriseOptions(urls)

    def secrets(self) -> Iterable[str]:
        return secrets_of(self.options.urls)

    def fits(self, message: Message) -> bool:
        return utf16_units(message.subject) + utf16_units(message.text) <= MAX_TEXT_UNITS

    async def deliver(self, message: Message, *, deadline: float) -> str:
        names = _names(self.options.urls)
        sent = self._sent.get(message.key, frozenset())
        unsent = {name: url for name, url in names.items() if name not in sent}
        shortened = message.shortened(self.fits)
        content = {"title": shortened.subject, "body": shortened.text, "type": notify_type(shortened)}
        request = ProcessRequest(COMMAND, _environment(), stdin=_request(unsent, content))
        outcome = await self.tools.processes.run(request, deadline=deadline)
        reports: Mapping[str, UrlReport] = {}
        if isinstance(outcome, ProcessFailure):
            problem = outcome.detail
        else:
            reports = _reports(outcome.stdout)
            problem = "no response within the timeout" if outcome.is_late else _end_text(outcome.stderr)
        done = {name for name, report in reports.items() if report.is_done}
        sent |= done
        self._sent.pop(message.key, None)
        if len(sent) == len(names):
            return f"sent to {', '.join(map(_shown, names.values()))}"
        if sent:
            self._sent[message.key] = sent
            while len(self._sent) > MAX_REMEMBERED:
                del self._sent[next(iter(self._sent))]
        failures = [
            f"{name} ({_shown(url)}): {_detail(reports[name], self.masking) if name in reports else problem}"
            for name, url in unsent.items()
            if name not in done
        ]
        if sent:
            failures.append(f"sent to {len(sent)} of {len(names)} URLs, which are not retried")
        raise DeliveryError("; ".join(map(self.masking.mask, failures)))


def secrets_of(urls: Sequence[Secret]) -> Iterator[str]:
    """Return the URLs and all their parts that may be secret.

    The services put tokens anywhere, even in the place of the host. A host with a domain, and the values of common
    parameters, are not secret.
    """
    for url in urls:
        yield url.reveal()
        rest = url.reveal().partition("://")[2]
        yield rest
        before, _, parameters = rest.partition("?")
        server, *path = before.replace("#", "/").split("/")
        userinfo, _, host = server.rpartition("@")
        pieces = [userinfo, *userinfo.split(":"), *path]
        for piece in path:
            pieces += re.split(r"[:@,]", piece)
        name, _, port = host.rpartition(":")
        if not _HOST.fullmatch(name if name and _PORT.fullmatch(port) else host):
            pieces += [server, host, *host.split(":")]
        for parameter in parameters.split("&"):
            name, _, value = parameter.partition("=")
            if name.lower() not in PLAIN_PARAMETERS:
                pieces.append(value)
        for piece in pieces:
            yield from (piece, unquote(piece))


def _names(urls: Sequence[Secret]) -> Mapping[str, str]:
    """Return the URLs by their place in the configuration, as errors of the configuration show it."""
    if len(urls) == 1:
        return {"urls": urls[0].reveal()}
    return {f"urls[{number}]": url.reveal() for number, url in enumerate(urls)}


def _shown(url: str) -> str:
    """Return the URL with everything masked but its schema, which names the service."""
    schema, separator, _ = url.partition("://")
    return f"{schema}://***" if separator and _SCHEMA.fullmatch(schema) else "***"


def _detail(report: UrlReport, masking: Masking) -> str:
    text = " ".join(" ".join(report.messages).split())
    return masking.mask(text)[:MAX_DETAIL_CHARACTERS] or "failed, and Apprise has logged no reason"


def notify_type(message: Message) -> str:
    """Return the most serious type of Apprise that fits a notification of the message."""
    open_notifications = [
        notification for notification in message.notifications if not notification.kind.is_closing
    ]
    if not open_notifications:
        return "success"
    severities = {
        Severity.INFO if notification.kind is NotificationKind.TEST else notification.severity
        for notification in open_notifications
    }
    if Severity.CRITICAL in severities:
        return "failure"
    return "warning" if Severity.WARNING in severities else "info"


def _request(urls: Mapping[str, str], content: Mapping[str, str] | None) -> bytes:
    return json.dumps({"urls": urls, "message": content}).encode()


def _environment() -> tuple[tuple[str, str], ...]:
    passed = tuple((name, os.environ[name]) for name in PASSED_VARIABLES if name in os.environ)
    return (*FIXED_VARIABLES, *passed)


def _reports(output: bytes) -> Mapping[str, UrlReport]:
    """Return the reports by URL. The last line is incomplete if the process was killed."""
    reports = {}
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n"):
            report: dict[str, Any] = json.loads(line)
            reports[report["url"]] = UrlReport(report["is_done"], tuple(report["messages"]))
    return reports


def _end_text(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").split("\n")
    reason = next((line.strip() for line in reversed(lines) if line.strip()), "")
    ended = "the process that sends ended early"
    return f"{ended}: {reason}"[:MAX_DETAIL_CHARACTERS] if reason else ended


# Checking the configuration


def _check_urls(table: Table, urls: Sequence[Secret]) -> None:
    """Let Apprise read the URLs, and record an error for each that it rejects. Blocks."""
    # A secret that was not read is empty.
    names = {name: url for name, url in _names(urls).items() if url}
    if not names:
        return
    masking = Masking(secrets_of(urls))
    try:
        process = subprocess.run(  # noqa: S603 - our own program
            COMMAND,
            input=_request(names, None),
            env=dict(_environment()),
            cwd="/",
            capture_output=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        table.warn(
            "urls", "could not be checked, because Apprise did not start in time", "check them with a test"
        )
        return
    reports = _reports(process.stdout)
    for name, url in names.items():
        report = reports.get(name)
        if report is None:
            reason = masking.mask(_end_text(process.stderr))
            table.error("urls", f"cannot be checked: {reason}", "reinstall the package apprise")
            return
        if not report.is_done:
            table.error(
                "urls",
                f"{name} ({_shown(url)}) is not a URL that Apprise accepts: {_detail(report, masking)}",
                "write it as described for the service at https://appriseit.com/services/",
            )
