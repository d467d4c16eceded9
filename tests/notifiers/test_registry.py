"""Lookup of notifier types: in the registry, by entry points, and the example of the documentation."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord import lazy_classes
from monitord.notifiers import (
    NOTIFIER_TYPES,
    DeliveryError,
    Message,
    NotifierTools,
    notifier_type,
    notifier_type_names,
)
from tests.alerts.fakes import T0, notification
from tests.configurations import errors_of, settings_of
from tests.servers import Peer, serve

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "display_notifier.py"
MESSAGE = Message((notification(),), "here", T0)

BROKEN = """
from monitord.notifiers import Notifier

class Unreadable(Notifier):
    type_name = "unreadable"

    @classmethod
    def read_options(cls, table):
        raise KeyError(table.secret("token").reveal())

    async def deliver(self, message, *, deadline):
        return ""

class Misnamed(Unreadable):
    type_name = "other"
"""
ENTRY_POINTS = """[monitord.notifiers]
display = display_notifier:DisplayNotifier
absent = no_such_module:Notifier
ending = ending_notifier:Notifier
no-notifier = display_notifier:DisplayOptions
misnamed = broken_notifier:Misnamed
unreadable = broken_notifier:Unreadable
mail = no_such_module:Notifier
"""


def install(directory: Path) -> None:
    """Install a distribution with the example and broken types."""
    metadata = directory / "displays-1.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(EXAMPLE, directory)
    (directory / "broken_notifier.py").write_text(BROKEN)
    (directory / "ending_notifier.py").write_text("import sys\nsys.exit(0)\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: displays\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    lazy_classes._entry_points.cache_clear()
    yield tmp_path
    lazy_classes._entry_points.cache_clear()
    for name in ("display_notifier", "broken_notifier", "ending_notifier"):
        sys.modules.pop(name, None)


def test_documentation_contains_the_example_unchanged() -> None:
    shown = (ROOT / "docs" / "notifier-types.md").read_text().split("```python\n")[1].split("```")[0]
    assert shown in EXAMPLE.read_text()
    assert shown.count("\n") <= 21


def test_every_type_is_registered_under_its_own_name() -> None:
    for name, kind in NOTIFIER_TYPES.items():
        assert kind.type_name == name
        assert notifier_type(name) is kind
    assert notifier_type("no-such-type") is None


async def test_example_delivers_a_message(installed: Path, tools: NotifierTools) -> None:
    lines = []

    async def confirm(peer: Peer) -> None:
        lines.append(await peer.reader.readline())
        await peer.send(b"OK\n" if len(lines) == 1 else b"busy\n")

    async with serve(confirm) as server:
        text = f'[notifiers.door]\ntype = "display"\nhost = "127.0.0.1"\nport = {server.port}\n'
        (settings,) = settings_of(installed, text).alerts.notifiers
        kind = notifier_type(settings.type_name)
        assert kind is not None
        door = kind(settings, tools)
        assert await door.deliver(MESSAGE, deadline=time.monotonic() + 60) == "confirmed"
        with pytest.raises(DeliveryError, match="has not confirmed"):
            await door.deliver(MESSAGE, deadline=time.monotonic() + 60)
    assert lines == [f"{MESSAGE.subject}\n".encode()] * 2
    with pytest.raises(DeliveryError, match="cannot connect to the display"):
        await door.deliver(MESSAGE, deadline=time.monotonic() + 60)


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("absent", "broken.type", '"absent" cannot be loaded: ModuleNotFoundError('),
        ("ending", "broken.type", '"ending" cannot be loaded: SystemExit(0)'),
        ("no-notifier", "broken.type", "is not a subclass of monitord.notifiers.Notifier"),
        ("misnamed", "broken.type", "has type_name = 'other' instead of 'misnamed'"),
        ("unreadable", "broken", "bug in notifier type unreadable: KeyError in broken_notifier.py:9"),
    ],
)
def test_broken_type_makes_only_its_notifiers_errors(
    installed: Path, name: str, key: str, problem: str
) -> None:
    good = '[notifiers.door]\ntype = "display"\nhost = "127.0.0.1"\n'
    broken = f'[notifiers.broken]\ntype = "{name}"\ntoken = "s3cret-token"\n'
    (error,) = errors_of(installed, good + broken)
    assert f"notifiers.{key}: " in error
    assert problem in error
    assert error.endswith("; see the package that provides it")
    assert "s3cret-token" not in error
    assert len(settings_of(installed, good).alerts.notifiers) == 1


def test_type_is_imported_only_if_it_is_used(installed: Path) -> None:
    text = '[notifiers.pager]\ncommand = ["/bin/true"]\n'
    settings_of(installed, text)
    assert "display_notifier" not in sys.modules
    settings_of(installed, text + '[notifiers.door]\ntype = "display"\nhost = "127.0.0.1"\n')
    assert "display_notifier" in sys.modules
    assert not {"broken_notifier", "ending_notifier"} & sys.modules.keys()


def test_entry_point_does_not_replace_a_type_of_monitord(installed: Path) -> None:
    assert notifier_type("mail") is NOTIFIER_TYPES["mail"]


def test_unknown_type_is_an_error_with_all_types(installed: Path) -> None:
    (error,) = errors_of(installed, '[notifiers.door]\ntype = "lamp"\n')
    assert error.endswith(f"write one of: {', '.join(notifier_type_names())}")
    assert {"absent", "display", "mail"} < set(notifier_type_names())
    assert notifier_type_names() == sorted(notifier_type_names())


def test_command_finds_the_installed_type(tmp_path: Path) -> None:
    install(tmp_path / "site")
    config = tmp_path / "monitord.toml"
    config.write_text('[notifiers.door]\ntype = "display"\nhost = "127.0.0.1"\nport = "x"\n')
    done = subprocess.run(
        [sys.executable, "-m", "monitord", "--check-config", "--config", str(config)],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'notifiers.door.port: "x" is not a whole number' in done.stdout
