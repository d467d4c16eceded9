"""Links in notifications that acknowledge an incident or silence its monitor: signed, expiring, for one use.

A link ends with a token of 44 characters, which is the only authorization that is needed:

    action (1 byte) | expiry (4) | alert (8) | digest of the notifier's name (4) | MAC (16)

in base64url. The MAC is HMAC-SHA-256 (RFC 2104), truncated to 128 bits as its section 5 permits. The other values are
not secret. They follow from the notification, so all delivery attempts of a message contain the same links, and
nothing is stored for a link until it is used. Used links are remembered until they have expired.

Only the key is secret. It is in a file of the state directory, and a new key makes all previous links invalid. The
nodes of a cluster share a key (`adopt`) and the uses of links (`on_use`), so that each of them serves the links of all.
"""

import asyncio
import base64
import hmac
import logging
import os
import re
import secrets
import stat
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import Any

from monitord.clock import Clock
from monitord.errors import InvalidValueError
from monitord.notifiers import Notification, NotificationKind

log = logging.getLogger("monitord")

PATH_PREFIX = "/action/"
"""The path of a link, below `public_url`."""

LIFETIME = timedelta(days=1)
"""From the creation of the notification."""

SILENCE_FOR = timedelta(hours=1)

CLOCK_MARGIN = timedelta(days=1)
"""The wall clock may be wrong by this time without a used link becoming valid again, or one with a wrong expiry."""

KEY_NAME = "action-links.key"
KEY_BYTES = 32

USED_PREFIX = "action-link:"

_CONTEXT = b"monitord action link 1\0"
"""Separates these MACs from those of later forms of the token, or of other uses of the key."""
_PAYLOAD = struct.Struct(">BI8s4s")
_MAC_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{44}")
"""33 bytes without padding, so that each token has exactly one spelling."""

_IN_TEXT = re.compile(r"(action(?:\\*/|%(?:25)*2[Ff]|&#x?[0-9A-Fa-f]+;))[A-Za-z0-9_=-]{8,}")
"""A link in a text, perhaps truncated, with the last slash in an encoding of JSON, URLs or HTML."""


class LinkAction(Enum):
    """The effect of a link, with its code in the token."""

    ACKNOWLEDGE = 1
    SILENCE = 2


@dataclass(frozen=True, slots=True)
class ActionLink:
    """An authentic link. `id` identifies it, but is not its token. `notifier`: the notifier that was notified."""

    id: str
    action: LinkAction
    alert: str
    notifier: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LinkUse:
    """The use of a link."""

    by: str
    at: datetime


class ActionLinks:
    """Creates and verifies links, and remembers the links that have been used.

    `key_path` None: there is no state directory, so neither links nor alerts outlive the process. `save` stores a
    record under a key; `records` are the records of an earlier run. `on_use` is called with the id of each link
    that is used here, and a record for `note_used` of the other nodes of a cluster.
    """

    def __init__(
        self,
        key_path: Path | None,
        clock: Clock,
        save: Callable[[str, Mapping[str, Any] | None], None],
        records: Mapping[str, Mapping[str, Any]],
        on_use: Callable[[str, Mapping[str, Any]], None] = lambda _, __: None,
    ) -> None:
        self._on_use = on_use
        self._key_path = key_path
        self._clock = clock
        self._save = save
        self._key: bytes | None = None
        self._is_loaded = False
        self._loading = asyncio.Lock()
        self._used: dict[str, tuple[LinkUse, datetime]] = {}  # with its expiry
        for key, record in records.items():
            if key.startswith(USED_PREFIX):
                self._restore(key, record)

    def _restore(self, key: str, record: Mapping[str, Any]) -> None:
        try:
            use = LinkUse(str(record["by"]), datetime.fromisoformat(record["at"]))
            expires_at = datetime.fromisoformat(record["expires_at"])
        except (KeyError, TypeError, ValueError) as error:
            # Even without its details, the link counts as used.
            log.warning("the stored use of an action link cannot be read: %r", error)
            use, expires_at = LinkUse("", self._clock.now()), self._clock.now() + LIFETIME
        self._used[key.removeprefix(USED_PREFIX)] = use, expires_at

    async def load(self) -> None:
        """Read or create the key, once. If this fails, the reason is logged, and there are no links."""
        async with self._loading:
            if self._is_loaded:
                return
            try:
                if self._key_path is None:
                    self._key = secrets.token_bytes(KEY_BYTES)
                else:
                    # On a thread, as the disk may not respond.
                    self._key = await asyncio.to_thread(read_or_create_key, self._key_path)
            except (OSError, InvalidValueError) as error:
                reason = error.strerror or error if isinstance(error, OSError) else error
                log.error(  # noqa: TRY400 - a message without traceback
                    "the key of action links, %s, cannot be used: %s; notifications are sent without action links, "
                    "and links that were sent before are invalid",
                    self._key_path,
                    reason,
                )
            self._is_loaded = True

    async def adopt(self, key: bytes) -> None:
        """Use the key that the nodes of a cluster share, and keep it for starts without their database."""
        await self.load()
        async with self._loading:
            if key == self._key:
                return
            self._key = key
            if self._key_path is None:
                return
            try:
                await asyncio.to_thread(_write_key, self._key_path, key)
            except OSError as error:
                log.warning(
                    "the key of action links cannot be stored in %s: %s", self._key_path, error.strerror
                )

    def with_links(self, notification: Notification, public_url: str) -> Notification:
        """Return the notification with its links, if it can have links. `load` must have been awaited.

        Links are added for delivery only: the stored notification, which clients can read, never contains them.
        """
        expires_at = notification.context.links_expire_at
        if expires_at is None or self._key is None or not public_url:
            return notification
        acknowledge, silence = (
            f"{public_url}{PATH_PREFIX}{_token(self._key, action, notification, expires_at)}"
            for action in (LinkAction.ACKNOWLEDGE, LinkAction.SILENCE)
        )
        return notification.with_links(acknowledge if notification.is_acknowledgeable else "", silence)

    def verify(self, token: str, notifiers: Collection[str]) -> ActionLink | None:
        """Return the link with this token; None if it is not authentic, or was not created for one of these notifiers.

        `load` must have been awaited.
        """
        if self._key is None or not _TOKEN.fullmatch(token):
            return None
        data = base64.urlsafe_b64decode(token)
        payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(self._key, payload)):
            return None
        code, expires_s, alert, digest = _PAYLOAD.unpack(payload)
        notifier = next((name for name in notifiers if _digest(name) == digest), None)
        if notifier is None:
            return None
        expires_at = datetime.fromtimestamp(expires_s, UTC)
        return ActionLink(payload.hex(), LinkAction(code), alert.hex(), notifier, expires_at)

    def is_expired(self, link: ActionLink) -> bool:
        """Whether it has expired, or would expire later than a new link because the wall clock was ahead."""
        remaining = link.expires_at - self._clock.now()
        return not timedelta() < remaining <= LIFETIME + CLOCK_MARGIN

    def use_of(self, link: ActionLink) -> LinkUse | None:
        """Return the use of a link; None if it has not been used."""
        use, _ = self._used.get(link.id, (None, None))
        return use

    def mark_used(self, link: ActionLink, by: str) -> None:
        """Record the use, and discard the records of links that expired long ago."""
        now = self._clock.now()
        for used_id in [
            used_id for used_id, (_, expires_at) in self._used.items() if now - expires_at > CLOCK_MARGIN
        ]:
            del self._used[used_id]
            self._save(USED_PREFIX + used_id, None)
        record = {"by": by, "at": now.isoformat(), "expires_at": link.expires_at.isoformat()}
        self._used[link.id] = LinkUse(by, now), link.expires_at
        self._save(USED_PREFIX + link.id, record)
        self._on_use(link.id, record)

    def note_used(self, link_id: str, record: Mapping[str, Any]) -> None:
        """Take the use of a link on another node of a cluster."""
        if link_id in self._used:
            return
        self._restore(USED_PREFIX + link_id, record)
        if self._clock.now() - self._used[link_id][1] > CLOCK_MARGIN:
            del self._used[link_id]
        else:
            self._save(USED_PREFIX + link_id, record)


def has_links(notification: Notification) -> bool:
    """Whether a notification can have links: it is about a problem of a monitor that may still exist."""
    is_about_problem = notification.kind is not NotificationKind.TEST and not notification.kind.is_closing
    return bool(notification.monitor) and is_about_problem


def masked_links(text: str) -> str:
    """Mask the tokens of links: a receiver may repeat its message in a response, which is logged and shown."""
    return _IN_TEXT.sub(r"\1***", text)


def _token(key: bytes, action: LinkAction, notification: Notification, expires_at: datetime) -> str:
    payload = _PAYLOAD.pack(
        action.value,
        int(expires_at.timestamp()),
        bytes.fromhex(notification.alert),
        _digest(notification.notifier),
    )
    return base64.urlsafe_b64encode(payload + _mac(key, payload)).decode()


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + payload, "sha256")[:_MAC_BYTES]


def _digest(notifier: str) -> bytes:
    return blake2b(notifier.encode(), digest_size=4).digest()


def read_or_create_key(path: Path) -> bytes:
    """Return the key in a file, which is created with mode 0600 if it does not exist. Blocks.

    Raises OSError, and InvalidValueError if the file is damaged or others can access it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        key = secrets.token_bytes(KEY_BYTES)
        _write_key(path, key)
        return key
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidValueError("it is not a regular file", _REPLACE)
        if status.st_mode & 0o077:
            raise InvalidValueError("other users can access it", f"run chmod 600 {path}, or {_REPLACE}")
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        size = "more" if len(key) > KEY_BYTES else len(key)
        raise InvalidValueError(f"it has {size} instead of {KEY_BYTES} bytes", _REPLACE)
    return key


_REPLACE = "delete it and restart monitord, which creates a new key"


def _write_key(path: Path, key: bytes) -> None:
    # The file is complete before it gets its name, so that a crash leaves no damaged key.
    new_path = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        new_path.replace(path)
    except OSError:
        new_path.unlink(missing_ok=True)
        raise
