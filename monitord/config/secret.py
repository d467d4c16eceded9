"""Secret values, and their sources: a credential, a file, the environment.

`reveal()` is called where a secret is used, so that all uses can be found by that name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from monitord.config.access import ConfigAccess, access_hint
from monitord.config.files import read_bounded
from monitord.errors import InvalidValueError
from monitord.text import printable

MAX_SECRET_BYTES = 64 * 1024
SHORTEST_SECRET = 4
"""Characters. A shorter secret is not masked in texts: the positions of the masks would reveal it."""

SECRET_SOURCES = ("credential", "file", "env")
"""Keys of the table that names the source of a secret."""

_SURROGATE = re.compile("[\ud800-\udfff]")
SOURCE_HINT = 'write a string, { credential = "name" }, { file = "/path" } or { env = "NAME" }'


class Secret:
    """A secret text, shown as `Secret('***')`. Secrets of equal text are equal, so that a reload detects changes."""

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
        raise TypeError("a secret cannot be pickled: it would leave the process as clear text")


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where secrets are looked up. Of sources that `access` cannot access only the form is checked; they are empty.

    The credentials that systemd passes to the service cannot be read by a check of the configuration.
    """

    environment: Mapping[str, str]
    access: ConfigAccess = ConfigAccess.DAEMON

    def secret(self, value: object) -> Secret:
        """Return the secret of a configured value. Raises InvalidValueError, which never contains the value."""
        if isinstance(value, str):
            if not _is_utf8(value):
                raise InvalidValueError("is not UTF-8 text", "write it in UTF-8")
            return Secret(value)
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= set(SECRET_SOURCES):
            raise InvalidValueError("is not a secret", SOURCE_HINT)
        ((source, name),) = value.items()
        if not isinstance(name, str) or not name or "\0" in name:
            raise InvalidValueError(f"is not a secret: {source} is not a string", SOURCE_HINT)
        if source == "env":
            return self._from_environment(name)
        if source == "file":
            return self._from_file(name)
        return self._from_credential(name)

    def missing_file(self, value: object) -> str | None:
        """Return the path of the file of a configured secret that is not read, but does not exist on this host."""
        if self.access is not ConfigAccess.OTHER_USER or not isinstance(value, dict):
            return None
        path = value.get("file")
        if not isinstance(path, str) or not path.startswith("/"):
            return None
        try:
            os.stat(path)  # noqa: PTH116 - text in, as everywhere here
        except (FileNotFoundError, NotADirectoryError):
            return path
        except (OSError, ValueError):
            return None
        return None

    def _from_environment(self, name: str) -> Secret:
        if self.access is not ConfigAccess.DAEMON:
            return Secret("")
        if not self.environment.get(name):
            # Another text may be the secret itself, written in the wrong place.
            shown = f" {name}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) else ""
            raise InvalidValueError(
                f"the environment variable{shown} is not set or is empty",
                "set it (in a unit: Environment= or EnvironmentFile=)",
            )
        if not _is_utf8(self.environment[name]):
            raise InvalidValueError(f"the environment variable {name} is not UTF-8 text", "set it in UTF-8")
        return Secret(self.environment[name])

    def _from_file(self, path: str) -> Secret:
        if not path.startswith("/"):
            raise InvalidValueError(
                "the file of a secret must be an absolute path", 'write { file = "/path" }'
            )
        if self.access is ConfigAccess.OTHER_USER:
            return Secret("")
        return _read(
            path,
            f"the file {printable(path)}",
            hint="write the path of a text file that the daemon's user can read",
            access=self.access,
        )

    def _from_credential(self, name: str) -> Secret:
        if "/" in name or name in {".", ".."}:
            raise InvalidValueError(
                "a credential is a plain name, not a path", 'for a path write { file = "/path" }'
            )
        if self.access is not ConfigAccess.DAEMON:
            return Secret("")
        shown = printable(name)
        hint = f"pass it to the service: LoadCredential={shown}:/path/to/file in a drop-in (systemctl edit monitord)"
        directory = self.environment.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise InvalidValueError(
                f"the credential {shown} does not exist: no credentials were passed", hint
            )
        return _read(os.path.join(directory, name), f"the credential {shown}", hint=hint)  # noqa: PTH118 - text in, text out


def _is_utf8(text: str) -> bool:
    """Return whether the text has no surrogates, by which Python represents other bytes of the environment."""
    return _SURROGATE.search(text) is None


def _read(path: str, subject: str, *, hint: str, access: ConfigAccess | None = None) -> Secret:
    """Read a secret. `access` is given for a file whose permissions can be changed, not for a credential."""
    try:
        content = read_bounded(path, MAX_SECRET_BYTES)
    except FileNotFoundError:
        raise InvalidValueError(f"{subject} does not exist", hint) from None
    except OSError as error:
        if isinstance(error, PermissionError) and access is not None:
            hint = access_hint(path, access)
        raise InvalidValueError(f"{subject} cannot be read ({error.strerror})", hint) from None
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidValueError(f"{subject} is larger than {MAX_SECRET_BYTES // 1024} KiB", hint)
    try:
        value = content.decode()
    except UnicodeDecodeError:
        raise InvalidValueError(f"{subject} is not UTF-8 text", hint) from None
    # Editors and `echo` end a file with a newline, which is not part of the secret.
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise InvalidValueError(f"{subject} is empty", hint)
    return Secret(value)
