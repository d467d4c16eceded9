"""Each part of a monitor has a single owner: nothing else assigns its attributes."""

import ast
from pathlib import Path

import pytest

import monitord

PACKAGE = Path(monitord.__file__).parent
ASSIGNMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign)


def assigned(tree: ast.Module) -> list[str]:
    """Such as "entry.state": attributes that are assigned, except those of `self`."""
    targets = [
        target
        for node in ast.walk(tree)
        if isinstance(node, ASSIGNMENTS)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    flat = [
        part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])
    ]
    names = [ast.unparse(target) for target in flat if isinstance(target, ast.Attribute)]
    return [name for name in names if name.rpartition(".")[0] not in {"self", "cls"}]


@pytest.mark.parametrize(
    ("part", "owners"),
    [
        pytest.param("entry.state", {"dispatch/pipeline.py"}, id="state"),
        pytest.param("cycle.", {"dispatch/check_timers.py", "dispatch/dispatcher.py"}, id="cycle"),
    ],
)
def test_only_its_owner_assigns_a_part_of_a_monitor(part: str, owners: set[str]) -> None:
    components = ["dispatch", "bridges", "status", "alerts", "cli"]
    files = [
        *(file for component in components for file in (PACKAGE / component).rglob("*.py")),
        *PACKAGE.glob("*.py"),
    ]
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in files
        for name in assigned(ast.parse(file.read_text()))
        if part in name
    }
    assert found == owners


def test_assignments_are_found() -> None:
    tree = ast.parse("entry.state, a = 1, 2\none.cycle.stage += 1\nself.state = 3\nx: int = 4")
    assert assigned(tree) == ["entry.state", "one.cycle.stage"]
