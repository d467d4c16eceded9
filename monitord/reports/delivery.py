"""The delivery of one report to one recipient: as an email, or as a file."""

import asyncio
import os
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitord.notifiers import DeliveryError, NotifierSettings, NotifierTools
from monitord.units import format_duration

_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9._-]")

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
"""For a web server that serves the directory. The directory above it decides who has access."""


@dataclass(frozen=True, slots=True)
class RenderedReport:
    """`name` of the report and `period` ("2026-10") identify it."""

    name: str
    period: str
    title: str
    text: str
    html: str
    instance: str
    at: datetime


async def send_report(notifier: NotifierSettings, tools: NotifierTools, report: RenderedReport) -> str:
    """Send a report by email, and return the response of the server. Raises DeliveryError, without secrets."""
    # Imported when the first report is sent.
    from monitord.notifiers.mail import MailDocument, MailNotifier  # noqa: PLC0415

    mail = MailNotifier(notifier, tools)
    key = _NOT_IN_KEYS.sub("_", f"report-{report.name}-{report.period}")
    subject = f"[monitord {report.instance}] {report.title}: {report.name}"
    document = MailDocument(key, subject, report.text, report.html, report.instance, report.at)
    try:
        async with asyncio.timeout(notifier.timeout_s + 1.0):
            response = await mail.deliver_document(document, deadline=time.monotonic() + notifier.timeout_s)
    except DeliveryError as error:
        raise DeliveryError(mail.masking.mask(str(error))) from None
    except TimeoutError:
        raise DeliveryError(f"timeout after {format_duration(notifier.timeout_s)}") from None
    finally:
        await mail.close()
    return mail.masking.mask(response)


def file_of(directory: Path, report: RenderedReport) -> Path:
    """The file of a period: "customers-2026-10.html"."""
    return directory / f"{report.name}-{report.period}.html"


def write_report(directory: Path, report: RenderedReport) -> str:
    """Write the file, and return its path. Replaces an earlier file atomically. Blocks. Raises DeliveryError."""
    path = file_of(directory, report)
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".report-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(report.html)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).chmod(FILE_MODE)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DeliveryError(f"{path}: {error.strerror or error}") from None
    return str(path)
