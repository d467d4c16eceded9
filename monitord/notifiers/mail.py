"""The type `mail`: one email for each message, sent over SMTP.

    type = "mail"
    to = ["ops@example.org"]
    server = "localhost:25"

An email has the message as text and as HTML. All emails about one alert are one thread. They are marked as sent by a
program (RFC 3834), so that vacation programs do not respond.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import ClassVar

from monitord.config import Secret, Table
from monitord.errors import InvalidValueError
from monitord.net import Endpoint, FailureKind, TlsOptions, make_context, parse_endpoint
from monitord.net.base.addressing import is_loopback
from monitord.net.stream.smtp import (
    SmtpError,
    SmtpSecurity,
    SmtpServer,
    library_problem,
    qualified_host_name,
    send_mail,
)
from monitord.notifiers.base import DeliveryError, Notifier
from monitord.notifiers.mail_html import html_of
from monitord.notifiers.notification import Message
from monitord.options.tls import read_tls

PORTS = {
    SmtpSecurity.NONE: 25,
    SmtpSecurity.OPPORTUNISTIC: 25,
    SmtpSecurity.STARTTLS: 587,
    SmtpSecurity.TLS: 465,
}
MAX_PLAIN_LINE_CHARACTERS = 78
MAX_ADDRESS_CHARACTERS = 254
"""RFC 5321, section 4.5.3.1.3."""
MAX_NAME_IN_ID = 64
_DOMAIN = re.compile(r"[A-Za-z0-9.-]+")
MAX_THREADS = 10
"""Limit for the header field References of one mail, as servers limit the size of the header."""


@dataclass(frozen=True, slots=True)
class MailOptions:
    """`sender` is empty for monitord@HOST. `helo_name` is None for the qualified name of this host."""

    to: tuple[str, ...] = ()
    sender: str = ""
    server: Endpoint = Endpoint("localhost", 25)  # noqa: RUF009 - frozen
    security: SmtpSecurity = SmtpSecurity.OPPORTUNISTIC
    username: str | None = None
    password: Secret | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    helo_name: str | None = None


@dataclass(frozen=True, slots=True)
class MailDocument:
    """An email that is not a notification, such as a report. Attempts with the same `key` have the same Message-ID."""

    key: str
    subject: str
    text: str
    html: str
    instance: str
    at: datetime


class MailNotifier(Notifier[MailOptions]):
    type_name: ClassVar[str] = "mail"
    tracks_problems: ClassVar[bool] = False

    @classmethod
    def read_options(cls, table: Table) -> MailOptions:
        problem = library_problem()
        if problem is not None:
            table.error("", f"mail needs aiosmtplib: {problem}", "install the package python3-aiosmtplib")
            table.ignore_others()
            return MailOptions()
        security = table.choice("security", SmtpSecurity, default=SmtpSecurity.OPPORTUNISTIC)
        if security in {SmtpSecurity.NONE, SmtpSecurity.OPPORTUNISTIC}:
            for key in ("verify", "ca_file", "client_certificate_file", "client_key_file", "min_tls_version"):
                if key in table:
                    table.warn(
                        key,
                        f'has no effect with security = "{security.value}", which verifies nothing',
                        'write security = "starttls" or "tls"',
                    )
        server = Endpoint("localhost", PORTS[security])
        password = table.secret("password", default=None)
        has_name = table.raw("username") is not None
        if has_name is not (password is not None):
            missing = "password" if has_name else "username"
            table.error("username" if has_name else "password", f"set without {missing}", "set both")
        elif has_name and security not in {SmtpSecurity.STARTTLS, SmtpSecurity.TLS}:
            table.error("password", "would be sent unencrypted", 'write security = "starttls" or "tls"')
        recipients: tuple[str, ...] = ()
        if table.raw("to") in (None, "", []):
            table.error("to", "has no recipient", 'write to = ["ops@example.org"]')
        else:
            recipients = tuple(dict.fromkeys(table.one_or_more("to", _address, default=())))
        return MailOptions(
            to=recipients,
            sender=table.value("from", _address, default=""),
            server=table.value(
                "server",
                lambda text: parse_endpoint(
                    text if re.search(r":\d+$", text) else f"{text}:{PORTS[security]}"
                ),
                default=server,
            ),
            security=security,
            username=table.text("username", default=None),
            password=password,
            tls=read_tls(table, alpn=()),
            helo_name=table.value("helo_name", _helo_name, default=None),
        )

    def secrets(self) -> Iterable[str]:
        if self.options.password is not None:
            yield self.options.password.reveal()

    async def deliver(self, message: Message, *, deadline: float) -> str:
        return await self._send(self.mail(message), message.instance, deadline)

    async def deliver_document(self, document: MailDocument, *, deadline: float) -> str:
        """Deliver as `deliver` does. Raises DeliveryError."""
        return await self._send(self.document(document), document.instance, deadline)

    async def _send(self, mail: EmailMessage, instance: str, deadline: float) -> str:
        options = self.options
        server = SmtpServer(
            options.server,
            options.security,
            options.helo_name or qualified_host_name(instance),
            options.username,
            None if options.password is None else options.password.reveal(),
        )
        try:
            security = self.options.security
            if security is SmtpSecurity.NONE:
                context = None
            elif security is SmtpSecurity.OPPORTUNISTIC:
                context = make_context(TlsOptions(verify=False, alpn=()))
            else:
                context = make_context(self.options.tls)
            receipt = await send_mail(
                server,
                mail,
                options.to,
                resolver=self.tools.http.resolver,
                context=context,
                deadline=deadline,
            )
        except SmtpError as error:
            is_missing = error.kind is FailureKind.REFUSED and is_loopback(options.server.host)
            hint = (
                "; install a mail server on this host, or write another server in server"
                if is_missing
                else ""
            )
            raise DeliveryError(f"{error}{hint}") from error
        self.warning = None if receipt.unencrypted is None else f"sent unencrypted: {receipt.unencrypted}"
        return receipt.response if self.warning is None else f"{receipt.response}; {self.warning}"

    def document(self, document: MailDocument) -> EmailMessage:
        mail = self._headed(document.subject, document.instance, document.at)
        mail["Message-ID"] = (
            f"<{document.key}.{self.name[:MAX_NAME_IN_ID]}@{self._id_domain(document.instance)}>"
        )
        mail["Auto-Submitted"] = "auto-generated"
        _fill(mail, document.text, document.html, document.key)
        return mail

    def _headed(self, subject: str, instance: str, at: datetime) -> EmailMessage:
        host = qualified_host_name(instance)
        domain = host if _DOMAIN.fullmatch(host) else "localhost"
        mail = EmailMessage()
        mail["Subject"] = subject
        mail["From"] = self.options.sender or f"monitord@{domain}"
        mail["To"] = ", ".join(self.options.to)
        mail["Date"] = format_datetime(at)
        return mail

    def _id_domain(self, instance: str) -> str:
        # Not the qualified name, which depends on resolv.conf and may differ at the next attempt.
        domain = self.options.sender.rpartition("@")[2] if "@" in self.options.sender else instance
        return domain if _DOMAIN.fullmatch(domain) else "localhost"

    def mail(self, message: Message) -> EmailMessage:
        mail = self._headed(message.subject, message.instance, message.sent_at)
        # That of its own notifier, so a fallback sends the same email. Cut: a line has at most 998 octets (RFC 5322).
        name = message.notifications[0].notifier[:MAX_NAME_IN_ID]
        id_domain = self._id_domain(message.instance)
        mail["Message-ID"] = f"<{message.key}.{name}@{id_domain}>"
        threads = list(
            dict.fromkeys(
                f"<{notification.alert}.{name}@{id_domain}>" for notification in message.notifications
            )
        )
        mail["References"] = " ".join(threads[:MAX_THREADS])
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Monitord-Key"] = message.key
        _fill(mail, message.text, html_of(message), message.key)
        return mail


def _fill(mail: EmailMessage, text: str, html: str, key: str) -> None:
    """Add both forms of the content."""
    is_plain = text.isascii() and all(len(line) <= MAX_PLAIN_LINE_CHARACTERS for line in text.splitlines())
    mail.set_content(text, cte="7bit" if is_plain else "quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    # Not random, as each attempt sends the same email.
    mail.set_boundary(f"monitord-{key}")


def _address(text: str) -> str:
    """An email address, or the name of a local user of the server. Raises InvalidValueError."""
    if re.fullmatch(r"[a-z_][a-z0-9_-]*", text):
        return text
    name, _, domain = text.rpartition("@")
    try:
        address = f"{name}@{domain.encode('idna').decode()}"
        Address(addr_spec=address)
    except (MessageError, ValueError, IndexError) as error:
        raise InvalidValueError("is not an email address", 'write "ops@example.org"') from error
    if not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", address) or len(address) > MAX_ADDRESS_CHARACTERS:
        raise InvalidValueError("is not an email address", 'write "ops@example.org"')
    return address


def _helo_name(text: str) -> str:
    """RFC 5321, section 4.1.1.1: a qualified name, or an address in brackets. Raises InvalidValueError."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z:.]+\]", text):
        raise InvalidValueError("is not a host name", 'write "mail.example.org" or "[192.0.2.1]"')
    return text
