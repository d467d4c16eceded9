"""Digest authentication (RFC 7616, and RFC 2069 for servers without `qop`): from a challenge to credentials.

monitord computes the header itself: aiohttp has digest authentication from release 3.12, after Debian 13, and the
implementations of requests and httpx belong to their own clients and lack SHA-512-256 and `userhash`. Names of users
and passwords are encoded in UTF-8. `auth-int`, the authentication of the server (`rspauth`) and digest authentication
to a proxy are not supported.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

UNAUTHORIZED = 401
MAX_CHALLENGES = 16
MAX_ANSWERED = 2
"""The limit of challenges for a URL: the first, and another if its nonce has become stale or it is of another realm."""
MAX_PARAMETERS = 32
MAX_PARAMETER_CHARACTERS = 4096

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, section 5.6.2
_PARAMETER = re.compile(
    rf'(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>{_TOKEN}))'
)
_SCHEME = re.compile(rf"(?P<scheme>{_TOKEN})(?:[ \t]+(?P<token68>[A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$))?")
_USABLE = re.compile(r"[\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]*")
"""No control characters, and no surrogate escapes: bytes that are not UTF-8."""


def _hash(name: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(name, text.encode()).hexdigest()


_ALGORITHMS = {
    "sha-512-256": ("SHA-512-256", _hash("sha512_256")),
    "sha-256": ("SHA-256", _hash("sha256")),
    "md5": ("MD5", _hash("md5")),
}
"""By preference. MD5 is used only if the server offers nothing stronger; Basic is never used instead."""


@dataclass(frozen=True, slots=True)
class DigestChallenge:
    """A challenge that can be answered. Values are unchanged, so that they can be sent back.

    `algorithm` is in lower case, without `-sess`.
    """

    realm: str
    nonce: str
    opaque: str | None = None
    algorithm: str = "md5"
    is_session: bool = False
    names_algorithm: bool = False
    has_qop: bool = True
    is_stale: bool = False
    hashes_username: bool = False
    is_utf8: bool = False


def digest_challenge(headers: Iterable[str]) -> DigestChallenge | None:
    """Return the challenge with the strongest algorithm of the WWW-Authenticate headers; None if none is usable."""
    usable: list[DigestChallenge] = []
    for scheme, parameters in _challenges(headers):
        if scheme == "digest" and (challenge := _usable(parameters)) is not None:
            usable.append(challenge)
    strength = list(_ALGORITHMS)
    return min(usable, key=lambda challenge: strength.index(challenge.algorithm), default=None)


def _challenges(headers: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield scheme and parameters of each challenge, names in lower case. A header may have several challenges."""
    challenges: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        at = 0
        while at < len(header) and len(challenges) <= MAX_CHALLENGES:
            if challenges and (match := _PARAMETER.match(header, at)):
                value = match["bare"] if match["quoted"] is None else match["quoted"]
                parameters = challenges[-1][1]
                if len(parameters) < MAX_PARAMETERS and len(value) <= MAX_PARAMETER_CHARACTERS:
                    parameters.setdefault(match["name"].lower(), value)
                at = match.end()
            elif match := _SCHEME.match(header, at):
                challenges.append((match["scheme"].lower(), {}))
                at = match.end()
            else:
                at += 1
    yield from challenges[:MAX_CHALLENGES]


def _usable(parameters: Mapping[str, str]) -> DigestChallenge | None:
    name = parameters.get("algorithm", "MD5").lower()
    algorithm = name.removesuffix("-sess")
    qops = [qop.strip().lower() for qop in parameters.get("qop", "").split(",") if qop.strip()]
    if algorithm not in _ALGORITHMS or (qops and "auth" not in qops):
        return None
    sent_back = [parameters.get(key, "") for key in ("realm", "nonce", "opaque")]
    if not parameters.get("nonce") or not all(_USABLE.fullmatch(value) for value in sent_back):
        return None
    return DigestChallenge(
        realm=parameters.get("realm", ""),
        nonce=parameters["nonce"],
        opaque=parameters.get("opaque"),
        algorithm=algorithm,
        is_session=name.endswith("-sess"),
        names_algorithm="algorithm" in parameters,
        has_qop=bool(qops),
        is_stale=parameters.get("stale", "").lower() == "true",
        hashes_username=parameters.get("userhash", "").lower() == "true",
        is_utf8=parameters.get("charset", "").lower() == "utf-8",
    )


def digest_header(
    challenge: DigestChallenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    count: int,
    cnonce: str,
) -> str:
    """Return the Authorization header (RFC 7616, section 3.4). `count`: how often the nonce was used, from 1."""
    name, digest = _ALGORITHMS[challenge.algorithm]
    secret = digest(f"{username}:{challenge.realm}:{password}")
    if challenge.is_session:
        secret = digest(f"{secret}:{challenge.nonce}:{cnonce}")
    request = digest(f"{method}:{uri}")
    number = f"{count:08x}"
    if challenge.has_qop:
        response = digest(f"{secret}:{challenge.nonce}:{number}:{cnonce}:auth:{request}")
    else:
        response = digest(f"{secret}:{challenge.nonce}:{request}")
    parts = [
        _username(challenge, username, digest),
        f'realm="{challenge.realm}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{_quoted(uri)}"',
        f'response="{response}"',
    ]
    if challenge.names_algorithm:
        parts.append(f"algorithm={name}{'-sess' if challenge.is_session else ''}")
    if challenge.opaque is not None:
        parts.append(f'opaque="{challenge.opaque}"')
    if challenge.has_qop:
        parts += ["qop=auth", f"nc={number}"]
    if challenge.has_qop or challenge.is_session:
        parts.append(f'cnonce="{cnonce}"')
    if challenge.hashes_username:
        parts.append("userhash=true")
    return "Digest " + ", ".join(parts)


def _username(challenge: DigestChallenge, username: str, digest: Callable[[str], str]) -> str:
    if challenge.hashes_username:
        return f'username="{digest(f"{username}:{challenge.realm}")}"'
    if challenge.is_utf8 and not username.isascii():
        return f"username*=UTF-8''{quote(username, safe='')}"
    return f'username="{_quoted(username)}"'


def _quoted(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


class DigestSession:
    """The authentication of the requests of one exchange, which go to one origin."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._challenge: DigestChallenge | None = None
        self._count = 0
        self._answered = 0
        self._was_sent = False
        self._cnonce = secrets.token_hex(16)

    def begin(self) -> None:
        """Begin with another URL, whose challenges are counted from 0."""
        self._answered = 0

    def header(self, method: str, uri: str) -> str | None:
        """Return the Authorization header of the next request; None before a challenge."""
        self._was_sent = self._challenge is not None
        if self._challenge is None:
            return None
        self._count += 1
        return digest_header(
            self._challenge,
            username=self._username,
            password=self._password,
            method=method,
            uri=uri,
            count=self._count,
            cnonce=self._cnonce,
        )

    def accepts(self, headers: Iterable[str]) -> bool:
        """Return whether the request is to be repeated because of the WWW-Authenticate headers of a status 401.

        A rejection of the credentials is final, unless the nonce was stale or the challenge is for another realm.
        """
        challenge = digest_challenge(headers)
        if challenge is None or self._answered == MAX_ANSWERED:
            return False
        before = self._challenge if self._was_sent else None
        if before is not None and not challenge.is_stale and challenge.realm == before.realm:
            return False
        self._answered += 1
        self._challenge, self._count = challenge, 0
        return True

    def note(self, headers: Iterable[str]) -> None:
        """Use the next nonce of the Authentication-Info headers of a response (RFC 7616, section 3.5)."""
        for header in headers:
            for match in _PARAMETER.finditer(header[:MAX_PARAMETER_CHARACTERS]):
                nonce = match["quoted"]
                is_next = match["name"].lower() == "nextnonce" and nonce and _USABLE.fullmatch(nonce)
                if is_next and self._challenge is not None:
                    self._challenge, self._count = replace(self._challenge, nonce=nonce), 0
