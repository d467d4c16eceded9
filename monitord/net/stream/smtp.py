"""Delivery of one email to a server over SMTP, with aiosmtplib.

The library is the client. This module adds one deadline for the whole delivery, and one exception with a text of one
line. The library gets the name of this host, as it would look it up with a blocking call, and the addresses of the
server, as it would resolve them in the executor of the event loop, for which the stop of the daemon waits.
"""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.net.base.addressing import host_and_port, is_loopback
from monitord.net.base.deadline import LONGEST_EXTENSION_S, Deadline
from monitord.net.base.errors import FailureKind, failure_of_error, with_peer
from monitord.net.base.libraries import import_problem
from monitord.net.base.phases import Phase
from monitord.net.base.resolver import ResolveError, Resolver, literal_address
from monitord.net.base.tls import Handshake, current_handshake
from monitord.net.http.request import Endpoint

if TYPE_CHECKING:
    import aiosmtplib

    from monitord.net.stream.smtp_bounds import BoundedClient

LIBRARY = "aiosmtplib"
STARTTLS_WITHIN_S = 10.0
"""Then the email is sent unencrypted, if that is allowed."""
QUIT_WITHIN_S = 0.5

HOSTS = Path("/etc/hosts")
RESOLV_CONF = Path("/etc/resolv.conf")
MAX_NAMES_BYTES = 256 * 1024
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+")


class SmtpSecurity(Enum):
    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS without verification if the server offers it; unencrypted if that fails (RFC 7435)."""
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`hello_name` is the name of this host in EHLO (RFC 5321, section 4.1.1.1)."""

    endpoint: Endpoint
    security: SmtpSecurity
    hello_name: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SmtpReceipt:
    """The response of the server on one line. `unencrypted`: why an opportunistic connection was not encrypted."""

    response: str
    unencrypted: str | None = None


class SmtpError(Exception):
    """The email was not delivered. The text is the reason. `kind`: of a failure to connect; None for others."""

    def __init__(self, text: str, *, kind: FailureKind | None = None) -> None:
        super().__init__(text)
        self.kind = kind


def library_problem() -> str | None:
    """Return why aiosmtplib cannot be used; None if it can."""
    return import_problem(LIBRARY)


async def send_mail(
    server: SmtpServer,
    mail: EmailMessage,
    recipients: Sequence[str],
    *,
    resolver: Resolver,
    context: ssl.SSLContext | None,
    deadline: float,
) -> SmtpReceipt:
    """Deliver an email by `deadline` (time.monotonic()). `context` is for STARTTLS and TLS. Raises SmtpError.

    If the server rejects only some recipients, the email is delivered to the others, and the receipt names the rejected
    ones.
    """
    import aiosmtplib  # noqa: PLC0415 - only if mail is sent

    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise SmtpError("timeout before the delivery began")
    client = None
    unencrypted = None
    # The certificate has the name of the server, and the library only knows the address.
    token = current_handshake.set(Handshake(server.endpoint.host, lambda: None))
    try:
        async with Deadline(left_s):
            host = server.endpoint.host
            is_address = literal_address(host) is not None
            addresses = (host,) if is_address else await resolver.resolve(host.rstrip("."))
            client = await _connect(server, addresses, context, left_s)
            if server.security is SmtpSecurity.OPPORTUNISTIC:
                unencrypted, is_usable = await _encrypt(client, left_s)
                if not is_usable:
                    # The state of the connection is unknown after a failed handshake, so a new connection is used.
                    client.close()
                    client = await _connect(server, [client.hostname or ""], context, left_s)
            rejected, response = await client.send_message(mail, recipients=list(recipients))
        await _quit(client)
    except ResolveError as error:
        raise SmtpError(f"name resolution of {server.endpoint.host}: {error.problem}") from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        rejections = (
            f"{recipient.recipient}: {recipient.code} {_line(recipient.message)}"
            for recipient in error.recipients
        )
        raise SmtpError("; ".join(rejections)) from error
    except TimeoutError as error:
        raise SmtpError(f"{server.endpoint.host}: timeout after {left_s:.0f} s") from error
    except aiosmtplib.SMTPResponseException as error:
        raise SmtpError(f"{server.endpoint.host} responded {error.code} {_line(error.message)}") from error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise _failure(server.endpoint, error, None if client is None else client.excess) from error
    finally:
        current_handshake.reset(token)
        if client is not None:
            client.close()
    rejections = (
        f"; rejected for {recipient}: {reply.code} {_line(reply.message)}"
        for recipient, reply in rejected.items()
    )
    return SmtpReceipt(_line(response) + "".join(rejections), unencrypted)


async def _connect(
    server: SmtpServer, addresses: Sequence[str], context: ssl.SSLContext | None, timeout_s: float
) -> "BoundedClient":
    """Connect to the first address that accepts a connection."""
    import aiosmtplib  # noqa: PLC0415

    from monitord.net.stream.smtp_bounds import BoundedClient  # noqa: PLC0415 - it imports aiosmtplib

    for address in addresses:
        client = BoundedClient(
            hostname=address,
            port=server.endpoint.port,
            username=server.username,
            password=server.password,
            local_hostname=server.hello_name,
            timeout=timeout_s + LONGEST_EXTENSION_S,  # the deadline of the caller comes first
            use_tls=server.security is SmtpSecurity.TLS,
            start_tls=server.security is SmtpSecurity.STARTTLS,
            tls_context=context,
        )
        try:
            await client.connect()
        except BaseException as error:
            # The library does not close a connection whose opening is cancelled.
            client.close()
            if client.excess is not None and isinstance(error, aiosmtplib.SMTPException):
                raise SmtpError(f"{server.endpoint.host}:{server.endpoint.port}: {client.excess}") from error
            if address == addresses[-1] or not isinstance(error, aiosmtplib.SMTPConnectError):
                raise
        else:
            return client
    raise SmtpError(f"{server.endpoint.host} has no address")


def _failure(server: Endpoint, error: Exception, excess: str | None) -> SmtpError:
    """Return the error to raise. `excess`: the limit that the response has exceeded."""
    peer, cause = host_and_port(server.host, server.port), error.__cause__
    # The text of the library repeats the address. Its own errors are OSErrors without a number.
    if isinstance(cause, OSError) and (cause.errno is not None or isinstance(cause, ssl.SSLError)):
        # With security = "tls", the library connects and starts TLS in one step.
        phase = Phase.TLS if isinstance(cause, ssl.SSLError) else Phase.CONNECT
        kind, detail = failure_of_error(cause, phase)
        return SmtpError(with_peer(kind, detail, phase, peer), kind=kind)
    return SmtpError(f"{peer}: {_line(str(error)) if excess is None else excess}")


async def _encrypt(client: "aiosmtplib.SMTP", left_s: float) -> tuple[str | None, bool]:
    """Start TLS if the server offers it (RFC 7435).

    Returns why the connection is not encrypted (None if it is, or for a loopback address), and if it can be used.
    """
    import aiosmtplib  # noqa: PLC0415

    await _hello(client)
    if not client.supports_extension("starttls"):
        return None if is_loopback(client.hostname or "") else "the server does not offer STARTTLS", True
    try:
        async with asyncio.timeout(min(STARTTLS_WITHIN_S, left_s / 2)):
            await client.starttls()
            # In TLS 1.3 a server rejects a handshake after the client has completed it (RFC 8446, section 4.4.4).
            await _hello(client)
    except (aiosmtplib.SMTPHeloError, asyncio.CancelledError):
        raise
    except TimeoutError:
        return "STARTTLS failed: the handshake was not complete within the timeout", False
    except aiosmtplib.SMTPResponseException as error:
        return f"STARTTLS failed: {error.code} {_line(error.message)}", False
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return f"STARTTLS failed: {_line(str(error)) or type(error).__name__}", False
    return None, True


async def _hello(client: "aiosmtplib.SMTP") -> None:
    import aiosmtplib  # noqa: PLC0415

    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _quit(client: "aiosmtplib.SMTP") -> None:
    """Close the connection with QUIT. The server has accepted the email, so errors are ignored."""
    import aiosmtplib  # noqa: PLC0415

    # CancelledError as well: the email has been delivered even if the daemon stops now.
    with contextlib.suppress(
        aiosmtplib.SMTPException, OSError, ValueError, TimeoutError, asyncio.CancelledError
    ):
        async with asyncio.timeout(QUIT_WITHIN_S):
            await client.quit()


def qualified_host_name(name: str, hosts: Path = HOSTS, resolv_conf: Path = RESOLV_CONF) -> str:
    """The fully qualified name of this host, from /etc/hosts and the search domain; `name` if there is none.

    Reads files only: socket.getfqdn() queries name servers, and blocks until they respond.
    """
    if "." in name:
        return name
    for fields in _fields_of(hosts):
        if name in fields[1:]:
            for alias in fields[1:]:
                if alias.startswith(f"{name}.") and _HOST_NAME.fullmatch(alias):
                    return alias
    # resolv.conf(5): the last of `domain` and `search` applies.
    for fields in reversed(_fields_of(resolv_conf)):
        if fields[0] in {"domain", "search"} and len(fields) > 1:
            qualified = f"{name}.{fields[1].strip('.')}"
            return qualified if _HOST_NAME.fullmatch(qualified) else name
    return name


def _fields_of(file: Path) -> list[list[str]]:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_NAMES_BYTES).decode(errors="replace")
    except OSError:
        return []
    return [fields for line in text.splitlines() if (fields := line.partition("#")[0].split())]


def _line(text: str) -> str:
    return " ".join(text.split())
