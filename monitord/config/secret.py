"""A value that must not be seen, and where it comes from: a credential, a file, the environment.

Whoever uses a secret calls `reveal()` at the place of use, so that every use can be found by that word.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from monitord.config.files import read_bounded
from monitord.config.reader import Reader, reading_fix
from monitord.errors import InvalidValueError

MAX_SECRET_BYTES = 64 * 1024
SHORTEST_SECRET = 4
"""Characters. A shorter secret is not masked in texts: masks at each of its letters would show it."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SOURCES = ("credential", "file", "env")
_HOW = 'write text, { credential = "name" }, { file = "/path" } or { env = "NAME" }'


class Secret:
    """Shows as `Secret('***')` wherever it is printed. Equal secrets compare equal, so a reload sees a change."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled: it would leave the process in the clear")


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where secrets are looked up. What `reader` cannot know is checked for its form only, and is empty.

    A check of the configuration cannot read the credentials that the manager will pass to the service.
    """

    environment: Mapping[str, str]
    reader: Reader = Reader.SERVICE

    def secret(self, value: object) -> Secret:
        """Raises InvalidValueError that never holds the value."""
        if isinstance(value, str):
            if not _is_utf8(value):
                raise InvalidValueError("is not UTF-8 text", "write it in UTF-8")
            return Secret(value)
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= set(_SOURCES):
            raise InvalidValueError("is not a secret", _HOW)
        ((source, name),) = value.items()
        if not isinstance(name, str) or not name or "\0" in name:
            raise InvalidValueError(f"is not a secret: {source} wants a name as text", _HOW)
        if source == "env":
            return self._from_environment(name)
        if source == "file":
            return self._from_file(name)
        return self._from_credential(name)

    def _from_environment(self, name: str) -> Secret:
        if self.reader is not Reader.SERVICE:
            return Secret("")
        if not self.environment.get(name):
            # Any other text may be the secret itself.
            shown = f" {name}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) else ""
            raise InvalidValueError(
                f"the environment variable{shown} is not set",
                "set it (in a unit: Environment= or EnvironmentFile=)",
            )
        if not _is_utf8(self.environment[name]):
            raise InvalidValueError(f"the environment variable {name} is not UTF-8 text", "set it in UTF-8")
        return Secret(self.environment[name])

    def _from_file(self, path: str) -> Secret:
        if not path.startswith("/"):
            raise InvalidValueError("the file of a secret wants an absolute path", 'write { file = "/path" }')
        if self.reader is Reader.OUTSIDER:
            return Secret("")
        return _read(
            path,
            f"the file {path}",
            hint="let the daemon's user read a file that holds the secret",
            reader=self.reader,
        )

    def _from_credential(self, name: str) -> Secret:
        if "/" in name or name in {".", ".."}:
            raise InvalidValueError(
                "a credential is a plain name, not a path", 'for a path write { file = "/path" }'
            )
        if self.reader is not Reader.SERVICE:
            return Secret("")
        hint = f"pass it to the service: LoadCredential={name}:/path/to/file in a drop-in (systemctl edit monitord)"
        directory = self.environment.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise InvalidValueError(f"the credential {name} is not there: no credentials were passed", hint)
        return _read(os.path.join(directory, name), f"the credential {name}", hint=hint)  # noqa: PTH118 - text in, text out


def _is_utf8(text: str) -> bool:
    """Whether it has none of the surrogates by which Python passes on the other bytes of arguments and environment."""
    return _SURROGATE.search(text) is None


def _read(path: str, subject: str, *, hint: str, reader: Reader | None = None) -> Secret:
    """With `reader` the file is one to which rights can be given; those of a credential are the manager's."""
    try:
        content = read_bounded(path, MAX_SECRET_BYTES)
    except FileNotFoundError:
        raise InvalidValueError(f"{subject} is not there", hint) from None
    except OSError as error:
        if isinstance(error, PermissionError) and reader is not None:
            hint = reading_fix(path, reader)
        raise InvalidValueError(f"{subject} cannot be read ({error.strerror})", hint) from None
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidValueError(f"{subject} is larger than {MAX_SECRET_BYTES // 1024} KiB", hint)
    try:
        value = content.decode()
    except UnicodeDecodeError:
        raise InvalidValueError(f"{subject} is not UTF-8 text", hint) from None
    # Editors and `echo` end a file with a newline that is no part of the secret.
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise InvalidValueError(f"{subject} is empty", hint)
    return Secret(value)
