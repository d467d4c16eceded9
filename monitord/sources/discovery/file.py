"""Targets in files: JSON or YAML in the format of Prometheus (file_sd).

The files are compared by time and size. Files that are replaced (rename(2)) are read completely or not at all. A file
that is written in place may be read incompletely, which is reported only if it is still invalid a second later.
"""

import glob
import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from monitord.config import Table, value_text
from monitord.config.files import read_bounded
from monitord.errors import InvalidValueError
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.net.base.libraries import import_problem
from monitord.sources.base import SourceTools
from monitord.sources.discovery.source import Fetcher, FetchError
from monitord.sources.discovery.targets import (
    MAX_INPUT_BYTES,
    MAX_TARGETS,
    DiscoveredTarget,
    parse_groups,
    targets_of_group,
)
from monitord.sources.pacing import Pacer

MAX_FILES = 1000
MAX_YAML_BYTES = 1024 * 1024
"""The YAML parser takes about ten seconds for it, in a thread."""

_YAML = (".yaml", ".yml")
CONSTRUCTOR_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the constructors of PyYAML raise for scalars that are not of their type, such as `!!bool x` or `!!int ""`."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """`files`: absolute paths and patterns."""

    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _FileText:
    path: str
    text: str


_Stamp = tuple[int, int, int]
"""Modification time, size and inode: a file that is equal in all of them has not changed."""


class FileFetcher(Fetcher[FileOptions]):
    default_refresh_s: ClassVar[float] = 5.0

    def __init__(self, options: FileOptions, timeout_s: float, tools: SourceTools) -> None:
        super().__init__(options, timeout_s, tools)
        self._stamps: dict[str, _Stamp] | None = None

    @classmethod
    def read_options(cls, table: Table) -> FileOptions:
        files = table.one_or_more("files", _file, default=())
        if table.raw("files") is None:
            table.error("", "has no files", 'write files = ["/etc/monitord/targets/*.json"]')
        if any(file.endswith(_YAML) for file in files) and (problem := import_problem("yaml")):
            table.error("files", f"YAML needs PyYAML: {problem}", "install the package python3-yaml")
        return FileOptions(files)

    async def fetch(self) -> list[_FileText] | None:
        # The default executor has few threads, and waits for all of them at the end of the daemon.
        try:
            contents = await self.tools.blocking.run(
                " ".join(self.options.files), self.read_changed, timeout_s=self.timeout_s
            )
        except CallTimeoutError:
            raise FetchError(f"the files cannot be read within {self.timeout_s:g} s") from None
        except TooManyCallsError:
            raise FetchError("no thread is left to read the files") from None
        except OSError as error:
            raise FetchError(f"{error.filename}: {error.strerror}") from None
        if contents is None:
            return None
        # Not in the thread: the result of a call that has timed out is not used.
        self._stamps, texts = contents
        return texts

    def read_changed(self) -> tuple[dict[str, _Stamp], list[_FileText]] | None:
        """Read the files; None if they have not changed. Raises OSError with the name of the file, FetchError."""
        stamps: dict[str, _Stamp] = {}
        for path in self._paths():
            status = os.stat(path)  # noqa: PTH116 - text in
            stamps[path] = status.st_mtime_ns, status.st_size, status.st_ino
        if stamps == self._stamps:
            return None
        texts = []
        for path in stamps:
            limit = MAX_YAML_BYTES if path.endswith(_YAML) else MAX_INPUT_BYTES
            try:
                content = read_bounded(path, limit)
            except OSError as error:
                if error.filename is None:
                    error.filename = path
                raise
            if len(content) > limit:
                raise FetchError(f"{path}: is larger than {limit // 1024**2} MiB; divide it")
            try:
                texts.append(_FileText(path, content.decode("utf-8-sig")))
            except UnicodeDecodeError:
                raise FetchError(f"{path}: is not UTF-8 text") from None
        return stamps, texts

    def _paths(self) -> list[str]:
        paths: dict[str, None] = {}
        for pattern in self.options.files:
            if not glob.has_magic(pattern):
                paths[pattern] = None
                continue
            if not glob.has_magic(directory := str(Path(pattern).parent)):
                os.scandir(directory).close()  # glob() ignores a directory that cannot be read
            for path in sorted(glob.iglob(pattern)):  # noqa: PTH207 - text in, text out
                paths[path] = None
                if len(paths) > MAX_FILES:
                    raise FetchError(f"{pattern} matches more than {MAX_FILES} files")
        return list(paths)

    def forget(self) -> None:
        self._stamps = None

    def parse(self, content: list[_FileText], pacer: Pacer) -> Iterator[DiscoveredTarget]:
        for file in content:
            try:
                groups = (
                    _yaml_targets(file.text)
                    if file.path.endswith(_YAML)
                    else parse_groups(file.text, pacer.pause)
                )
                for target in groups:
                    yield replace(target, labels={**target.labels, "__meta_filepath": file.path})
            except InvalidValueError as error:
                raise InvalidValueError(f"{file.path}: {error.problem}", error.hint) from None


def _file(text: str) -> str:
    """Parse an absolute path or pattern with a known suffix. Raises InvalidValueError."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidValueError(
            "is not an absolute path", 'write a value such as "/etc/monitord/targets/*.json"'
        )
    if not text.endswith((".json", *_YAML)):
        raise InvalidValueError("has no known suffix", 'write a name that ends in ".json", ".yaml" or ".yml"')
    return text


def _yaml_targets(text: str) -> Iterable[DiscoveredTarget]:
    yaml: Any = importlib.import_module("yaml")  # a library that need not be there, and has no types

    class NoAliases(yaml.SafeLoader):  # type: ignore[misc] # see above
        """Aliases can make a small text a huge document."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise InvalidValueError("contains a YAML alias", "write the value itself")
            return super().compose_node(parent, index)

    try:
        groups = yaml.load(text, Loader=NoAliases)
    except InvalidValueError:
        raise
    except (yaml.YAMLError, *CONSTRUCTOR_ERRORS) as error:
        mark = getattr(error, "problem_mark", None)
        raise InvalidValueError(
            "is not valid YAML" + (f" (line {mark.line + 1})" if mark is not None else "")
        ) from None
    if groups is None:
        groups = []
    if not isinstance(groups, list):
        raise InvalidValueError(
            "is not a list of groups of targets", f"write {value_text('- targets: [HOST:PORT]')}"
        )
    targets = [target for group in groups for target in targets_of_group(group)]
    if len(targets) > MAX_TARGETS:
        raise InvalidValueError(f"has more than {MAX_TARGETS} targets", "divide it")
    return targets
