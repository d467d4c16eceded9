"""monitord.web and all cases, over TCP and a Unix socket, with asyncio and, if installed, uvloop."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from .harness import Finding, play_all
from .origin import write_file
from .origin_monitord import serving
from .rules import RULES, Level
from .table import CASES, UNMET


async def _play(folder: Path, *, over_unix: bool) -> list[Finding]:
    file = write_file(folder)
    path, hasty_path = (folder / "socket", folder / "hasty") if over_unix else (None, None)
    async with serving(file, path=path) as address, serving(file, path=hasty_path, is_hasty=True) as hasty:
        return await play_all(CASES, address, hasty)


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
        return factory
    return asyncio.new_event_loop


@pytest.fixture(scope="module", params=["tcp", "unix", "tcp uvloop", "unix uvloop"])
def findings(request: pytest.FixtureRequest) -> Iterator[list[Finding]]:
    transport, _, loop = request.param.partition(" ")
    # With a loop factory, the loop of pytest-asyncio is not replaced, which would leave it open.
    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        yield runner.run(_play(Path(folder), over_unix=transport == "unix"))


def _unmet(findings: list[Finding], key: str) -> list[str]:
    return [
        f"{finding.case.id}: {finding.complaint}"
        for finding in findings
        if finding.complaint is not None and finding.case.rule.key == key and finding.case.id not in UNMET
    ]


_PLAYED = sorted({case.rule.key for case in CASES}, key=list(RULES).index)


@pytest.mark.parametrize("key", [key for key in _PLAYED if RULES[key].level is Level.MUST])
def test_must_is_met(findings: list[Finding], key: str) -> None:
    assert _unmet(findings, key) == []


@pytest.mark.parametrize("key", [key for key in _PLAYED if RULES[key].level is Level.SHOULD])
def test_should_is_met_or_its_reason_stated(findings: list[Finding], key: str) -> None:
    assert _unmet(findings, key) == []


def test_reason_is_stated_only_for_unmet_requirements(findings: list[Finding]) -> None:
    unmet = {finding.case.id for finding in findings if finding.complaint is not None}
    assert UNMET.keys() <= unmet


def test_all_cases_were_run(findings: list[Finding]) -> None:
    assert [finding.case.id for finding in findings] == [case.id for case in CASES]
