"""Options of HTTP requests: their reading, the request that they describe, and the secrets in them."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from monitord.config import Secret, Table
from monitord.errors import InvalidValueError, problem_and_hint
from monitord.net import (
    DEFAULT_MAX_HEAD_BYTES,
    MAX_DRAINED_BYTES,
    Endpoint,
    HttpRequest,
    IpFamily,
    Target,
    TlsOptions,
    check_headers,
    parse_endpoint,
    parse_target,
)
from monitord.net.base.addressing import NO_SOURCE, SourceAddresses, parse_host
from monitord.options.source import check_source, read_source
from monitord.options.tls import read_tls
from monitord.text import shortened

MAX_SHOWN_URL_CHARACTERS = 300
MAX_BODY_BYTES = 1 << 20
"""The default of `max_body_size` if a condition reads the body; otherwise it is `MAX_DRAINED_BYTES`."""
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""The upper limit of `max_header_size`, which is held in memory and parsed at once."""
MIN_HEURISTIC_SECRET_CHARACTERS = 6
"""The minimum length of a value that is a secret only by its name: `code=200` in a URL must not mask a status."""
MIN_API_KEY_CHARACTERS = 20
"""The minimum length of a user name that is treated as an API key."""
MIN_PATH_SEGMENT_CHARACTERS = 8
"""The minimum length of a part of a secret URL's path that is masked."""

SECRET_NAME = re.compile(r"token|key|secret|pass|auth|sig|credential|session|code|cookie", re.IGNORECASE)
_USERINFO = re.compile(r"^([^/?#]*//)[^/?#]*@")
BODY_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|pwd|(?:api|access|private|auth|routing|encryption)[_-]?key|auth(?!or)|authorization"
    r"|credential|cookie|bearer",
    re.IGNORECASE,
)
"""For bodies, arguments and variables, in which names such as `code`, `key` and `session` have many meanings."""
_NAMED_VALUE = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]{1,64})["']?\s{0,9}[=:]\s{0,9}(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s&"',;{}]+))"""
)
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`is_url_secret`: the URL is not plain text in the configuration. Any header may contain a secret.

    `body` is text, or JSON with the `content_type` of JSON; `form` are the names and values of a form.
    `hidden`: values of headers, form and body that are not plain text in the configuration.
    """

    url: Secret
    is_url_secret: bool = False
    method: str = "GET"
    headers: tuple[tuple[str, Secret], ...] = ()
    body: Secret | None = None
    form: tuple[tuple[str, Secret], ...] | None = None
    content_type: str | None = None
    username: str | None = None
    password: Secret | None = None
    uses_digest: bool = False
    bearer_token: Secret | None = None
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None
    follow_redirects: bool = True
    proxy: Secret | None = None
    connect_to: Endpoint | None = None
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE
    all_addresses: bool = False
    reuse_connection: bool = False
    read_body: bool = True
    max_body_bytes: int | None = None
    max_header_bytes: int = DEFAULT_MAX_HEAD_BYTES
    hidden: tuple[Secret, ...] = ()

    @property
    def sent_body(self) -> Secret | None:
        if self.form is None:
            return self.body
        return Secret(urlencode([(name, value.reveal()) for name, value in self.form]))

    def request(
        self, *, read_body: bool = False, receive_streams: bool = True, status_decides: bool = False
    ) -> HttpRequest:
        """Return the request. `read_body`, `receive_streams`, `status_decides`: see `HttpRequest`.

        Raises InvalidValueError if the options contradict each other.
        """
        headers = [(name, value.reveal()) for name, value in self.headers]
        if self.content_type is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", self.content_type))
        password = self.password.reveal() if self.password is not None else ""
        body = self.sent_body
        return HttpRequest(
            url=self.url.reveal(),
            method=self.method,
            headers=tuple(headers),
            body=None if body is None else body.reveal().encode(),
            basic_auth=None if self.username is None or self.uses_digest else (self.username, password),
            digest_auth=(self.username, password) if self.username is not None and self.uses_digest else None,
            bearer_token=None if self.bearer_token is None else self.bearer_token.reveal(),
            tls=self.tls,
            server_name=self.server_name,
            follow_redirects=self.follow_redirects,
            proxy=self.proxy.reveal() if self.proxy else None,
            connect_to=self.connect_to,
            ip_family=self.ip_family,
            source=self.source,
            reuse_connection=self.reuse_connection,
            read_body=read_body,
            receive_body=self.read_body,
            receive_streams=receive_streams,
            max_body_bytes=self.max_body_bytes or (MAX_BODY_BYTES if read_body else MAX_DRAINED_BYTES),
            max_head_bytes=self.max_header_bytes,
            want_certificate=not status_decides,
            status_decides=status_decides,
        )


def shown_url(target: Target, *, is_secret: bool) -> str:
    """Return the URL without passwords and parameters that may be secret; only the host if the URL is secret."""
    if is_secret:
        return f"{target.shown_origin}/***"
    shown = target.shown_origin + target.path
    if target.query:
        shown += "?" + "&".join(_shown_parameter(part) for part in target.query.split("&"))
    return shortened(shown, MAX_SHOWN_URL_CHARACTERS)


def shown_location(location: str) -> str:
    """A Location header without secrets. OAuth sends tokens in a fragment (RFC 6749, section 4.2.2)."""
    rest, hash_sign, fragment = location.partition("#")
    path, question, query = rest.partition("?")
    return (
        _USERINFO.sub(r"\1***@", path)
        + question
        + _shown_parameters(query)
        + hash_sign
        + _shown_parameters(fragment)
    )


def _shown_parameters(text: str) -> str:
    return "&".join(map(_shown_parameter, text.split("&")))


def _shown_parameter(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}=***" if equals and SECRET_NAME.search(name) else part


# Secrets


def secrets_of(options: HttpOptions) -> Iterator[str]:
    """Return hidden values and values with the name of a secret: to be masked, even if the peer repeats them."""
    yield from (secret.reveal() for secret in options.hidden)
    for name, header in options.headers:
        value = header.reveal()
        if header in options.hidden or (
            len(value) >= MIN_HEURISTIC_SECRET_CHARACTERS and SECRET_NAME.search(name)
        ):
            yield from _parts_of_header(value)
    if (body := options.sent_body) is not None:
        yield from named_secrets(body.reveal())
    if options.bearer_token is not None:
        yield options.bearer_token.reveal()
    if options.username is not None:
        password = "" if options.password is None else options.password.reveal()
        yield password
        yield _in_base64(f"{options.username}:{password}")
        if not password:  # services take an API key as the name, and no password
            yield options.username
    for url in filter(None, (options.url, options.proxy)):
        yield from _secrets_of_url(url.reveal(), is_secret=url is options.url and options.is_url_secret)


def _parts_of_header(value: str) -> Iterator[str]:
    """The value, the token in "Bearer TOKEN", each value in "a=1; b=2"."""
    yield value
    scheme, space, rest = value.partition(" ")
    if space and "=" not in scheme:
        yield rest
    for part in value.split(";"):
        cookie = part.partition("=")[2].strip()
        if len(cookie) >= MIN_HEURISTIC_SECRET_CHARACTERS:
            yield cookie


def _secrets_of_url(url: str, *, is_secret: bool) -> Iterator[str]:
    target, userinfo = parse_target(url)
    if userinfo is not None:
        username, _, password = userinfo.partition(":")
        yield password
        yield _in_base64(userinfo)
        if not password or len(username) >= MIN_API_KEY_CHARACTERS:  # an API key as the name
            yield username
    for part in (target.query or "").split("&"):
        name, _, value = part.partition("=")
        if len(value) >= MIN_HEURISTIC_SECRET_CHARACTERS and (is_secret or SECRET_NAME.search(name)):
            yield from (value, unquote(value))
    if is_secret:
        yield from (url, target.request_target.strip("/"))
        for segment in target.path.split("/"):
            if len(segment) >= MIN_PATH_SEGMENT_CHARACTERS:
                yield from (segment, unquote(segment))


def named_secrets(text: str) -> Iterator[str]:
    """Values with the name of a secret in a form, in JSON or in lines of NAME=VALUE."""
    for match in _NAMED_VALUE.finditer(text):
        value = match["quoted"] or match["bare"] or ""
        if len(value) >= MIN_HEURISTIC_SECRET_CHARACTERS and BODY_SECRET_NAME.search(match["name"]):
            yield from (value, unquote(value))


def opaque_parts(url: str) -> Iterator[str]:
    """The parts of a URL that are probably secret, as in the webhook URLs of chats: no words in lower case."""
    if not url:
        return
    target = parse_target(url)[0]
    values = (part.partition("=")[2] for part in (target.query or "").split("&"))
    for segment in (*target.path.split("/"), *values):
        if len(segment) >= MIN_PATH_SEGMENT_CHARACTERS and re.search(r"[0-9A-Z]", unquote(segment)):
            yield from (segment, unquote(segment))


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


# Reading


def read_options(table: Table, default_url: str | None = None) -> HttpOptions:
    """Read the options of a request that is sent alone. `default_url` is None if `url` is required."""
    url, is_url_secret = _read_url(table, default_url)
    options = HttpOptions(url=url, is_url_secret=is_url_secret, **table.reuse(_read_single_request))
    _check_combination(table, options)
    return options


def read_step_options(table: Table) -> HttpOptions:
    """Read the options of a request that follows another."""
    url, is_url_secret = _read_url(table, None)
    options = HttpOptions(url=url, is_url_secret=is_url_secret, **_read_request(table))
    _check_combination(table, options)
    return options


def _read_single_request(table: Table) -> dict[str, Any]:
    return {
        **_read_request(table),
        "all_addresses": table.flag("all_addresses", default=False),
        "reuse_connection": table.flag("reuse_connection", default=False),
    }


def _read_request(table: Table) -> dict[str, Any]:
    """Return the options without the URL, which thousands of monitors may share."""
    body, form, content_type = _read_body(table)
    username, password, uses_digest = read_user(table)
    ip_family = table.choice("ip_family", IpFamily, default=IpFamily.ANY)
    proxy = table.secret("proxy", default=None) or None
    if proxy is not None:
        try:
            parse_target(proxy.reveal())
        except ValueError:
            table.error("proxy", "is not a URL", 'write "http://host:port"')
            proxy = None
    return {
        "method": table.value("method", _method, default="GET" if body is None and form is None else "POST"),
        "headers": read_headers(table),
        "hidden": hidden_values(table),
        "body": body,
        "form": form,
        "content_type": content_type,
        "username": username,
        "password": password,
        "uses_digest": uses_digest,
        "bearer_token": table.secret("bearer_token", default=None),
        "tls": read_tls(table),
        "server_name": table.value("server_name", parse_host, default=None),
        "follow_redirects": table.flag("follow_redirects", default=True),
        "proxy": proxy,
        "connect_to": table.value("connect_to", parse_endpoint, default=None),
        "ip_family": ip_family,
        "source": read_source(table, ip_family),
        "read_body": table.flag("read_body", default=True),
        "max_body_bytes": table.size("max_body_size", default=None),
        "max_header_bytes": table.size(
            "max_header_size", default=DEFAULT_MAX_HEAD_BYTES, minimum=1024, maximum=MAX_HEADER_BYTES
        ),
    }


def _read_url(table: Table, default: str | None) -> tuple[Secret, bool]:
    if isinstance(table.raw("url"), dict):
        secret = table.secret("url")
        if secret:
            try:
                parse_target(secret.reveal())
            except ValueError as error:
                _record_error(table, "url", error)
        return secret, True
    return Secret(table.value("url", _url, default=default or "", required=default is None)), False


def _url(text: str) -> str:
    parse_target(text)
    return text


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*", text, re.ASCII):
        raise InvalidValueError("is not an HTTP method", 'write a word such as "GET"')
    if text.upper() == "CONNECT":
        raise InvalidValueError(
            "opens a tunnel, which has no response",
            'write "GET", and the proxy as proxy = "http://host:port"',
        )
    return text.upper()


def read_headers(table: Table) -> tuple[tuple[str, Secret], ...]:
    headers = table.secrets("headers", default={})
    try:
        check_headers((name, value.reveal()) for name, value in headers.items())
    except ValueError as error:
        _record_error(table, "headers", error)
        return ()
    return tuple(headers.items())


def hidden_values(table: Table, keys: Sequence[str] = ("headers", "form", "body")) -> tuple[Secret, ...]:
    """Values of these keys that are not plain text, or have the name of a secret in a form."""
    hidden: list[Secret] = []
    for key in [key for key in ("headers", "form") if key in keys]:
        written = table.raw_table(key)
        for name, value in table.secrets(key, default={}).items():
            is_heuristic = key == "form" and bool(SECRET_NAME.search(name))
            if not isinstance(written.get(name), str) or (
                is_heuristic and len(value.reveal()) >= MIN_HEURISTIC_SECRET_CHARACTERS
            ):
                hidden.append(value)
    if "body" in keys and isinstance(table.raw("body"), dict):
        body = table.secret("body", default=None)
        hidden += [body] if body is not None else []
    return tuple(hidden)


def _record_error(table: Table, key: str, error: Exception) -> None:
    table.error(key, *problem_and_hint(error))


def _read_body(
    table: Table,
) -> tuple[Secret | None, tuple[tuple[str, Secret], ...] | None, str | None]:
    """The body or the form, and its content type, from one of three keys."""
    body = table.secret("body", default=None)
    form = table.secrets("form", default={}) if table.raw("form") is not None else None
    document = table.raw("json")
    if sum(part is not None for part in (body, form, document)) > 1:
        table.error("", "has more than one body", "keep one of body, form and json")
    if form is not None:
        return None, tuple(form.items()), _FORM
    if document is not None:
        try:
            return Secret(json.dumps(document, allow_nan=False)), None, "application/json"
        except (TypeError, ValueError, RecursionError):
            table.error(
                "json", "contains a value that JSON does not have, such as a date", "write it as text"
            )
            return None, None, None
    return body, None, None


def read_user(
    table: Table, keys: Sequence[str] = ("basic_auth", "digest_auth")
) -> tuple[str | None, Secret | None, bool]:
    """Read user name and password, and whether they are for digest authentication."""
    keys = [key for key in keys if table.raw(key) is not None]
    if len(keys) > 1:
        table.error("digest_auth", "excludes basic_auth", "keep one of them")
    if not keys:
        return None, None, False
    section, uses_digest = table.table(keys[0]), keys[0] == "digest_auth"
    username = section.text("username")
    if ":" in username:
        kind = "digest" if uses_digest else "basic"
        section.error("username", f"contains a colon, which {kind} authentication does not allow", "")
    return username, section.secret("password", default=None), uses_digest


def _check_combination(table: Table, options: HttpOptions) -> None:
    """Check the combination of options. Secrets that have not been read are empty, and cannot be checked."""
    if options.url:
        try:
            request = options.request()
        except ValueError as error:
            _record_error(table, "", error)
            return
        if request.target.socket_path is None:
            check_source(table, request.endpoint_for(request.target).host, options.source)
        if options.all_addresses and request.proxy_target is not None:
            table.error(
                "all_addresses", "has no effect with a proxy, which chooses the address", "remove one of them"
            )
