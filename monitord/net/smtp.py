"""Hands one mail to a server, by aiosmtplib.

The library is the client; here it gets a deadline for all of it, and its many errors become one that says in a line
what went wrong. It would ask for the name of this machine by a lookup that blocks, so it is told.
"""

import asyncio
import contextlib
import importlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import Enum

from monitord.net.http_request import Endpoint

LIBRARY = "aiosmtplib"


class SmtpSecurity(Enum):
    """How the connection is secured."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """By STARTTLS if the server offers it; who it is, is not looked at (RFC 7435)."""
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`hello_name` is what we say we are (RFC 5321, section 4.1.1.1)."""

    endpoint: Endpoint
    security: SmtpSecurity
    hello_name: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class SmtpError(Exception):
    """The server did not take the mail; says why."""


def library_problem() -> str | None:
    """Why no mail can be sent from here; None: the library is there."""
    try:
        importlib.import_module(LIBRARY)
    except ImportError as error:
        return str(error)
    return None


async def send_mail(
    server: SmtpServer,
    mail: EmailMessage,
    recipients: Sequence[str],
    *,
    context: ssl.SSLContext | None,
    deadline: float,
) -> str:
    """Returns what the server said. `context`: for STARTTLS and TLS. Raises SmtpError.

    A mail that some recipients were refused is on its way to the others: what is returned names them.
    """
    import aiosmtplib  # noqa: PLC0415 - not everybody sends mail

    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise SmtpError("no time was left")
    starts_tls = {SmtpSecurity.STARTTLS: True, SmtpSecurity.OPPORTUNISTIC: None}.get(server.security, False)
    client = aiosmtplib.SMTP(
        hostname=server.endpoint.host,
        port=server.endpoint.port,
        username=server.username,
        password=server.password,
        local_hostname=server.hello_name,
        timeout=left_s,
        use_tls=server.security is SmtpSecurity.TLS,
        start_tls=starts_tls,
        tls_context=context,
    )
    try:
        async with asyncio.timeout(left_s):
            await client.connect()
            refused, said = await client.send_message(mail, recipients=list(recipients))
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit()  # it is taken: whatever comes now
    except aiosmtplib.SMTPRecipientsRefused as error:
        refusals = (f"{one.recipient}: {one.code} {_line(one.message)}" for one in error.recipients)
        raise SmtpError("; ".join(refusals)) from error
    except TimeoutError as error:
        raise SmtpError(f"{server.endpoint.host}: no end within {left_s:.0f} s") from error
    except aiosmtplib.SMTPResponseException as error:
        raise SmtpError(f"{server.endpoint.host} said {error.code} {_line(error.message)}") from error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise SmtpError(f"{server.endpoint.host}:{server.endpoint.port}: {_line(str(error))}") from error
    finally:
        # The library leaves open what it was opening when it is cancelled.
        client.close()
    not_for = "".join(f"; not for {who}: {one.code} {_line(one.message)}" for who, one in refused.items())
    return _line(said) + not_for


def _line(text: str) -> str:
    return " ".join(text.split())
