"""Change the code in small ways, one at a time, and list the changes that no test notices.

    .ci/mutants.py [COMPONENT…]   the components below, or all of them; takes minutes for each

Runs mutmut in a copy of the tree, build/mutants/COMPONENT, against the tests of the component. A survivor is one of
three things: the same behaviour written differently, a text that no test should fix, or a missing test. See
tests/README.md.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutants"
MUTMUT = ROOT / ".venv-mutants" / "bin" / "mutmut"

# The modules that are changed, and the tests that should notice.
COMPONENTS = {
    "conditions": (
        ["monitord/conditions/*.py"],
        ["tests/conditions", "tests/monitors/test_condition_bounds.py"],
    ),
    "health": (["monitord/health/*.py"], ["tests/health"]),
    "alerts": (
        ["monitord/alerts/*.py"],
        ["tests/alerts", "tests/bridges/test_alert_sink.py", "tests/notifiers/test_options.py"],
    ),
    "dispatch": (
        [f"monitord/dispatch/{name}.py" for name in ("schedule", "judging", "check_timers", "cycle")],
        [f"tests/dispatch/test_{name}.py" for name in ("schedule", "judging", "check_timers", "cycle")],
    ),
}
COPIED = ("monitord", "tests", "docs", "etc", "pyproject.toml")
# Tests that count function calls: mutmut adds calls of its own.
NO_COUNTED_CALLS = "not without_a_call"
# `mutmut show`, for all of them in one process.
SHOW_ALL = "import sys; from mutmut.__main__ import show; [show.callback(name.strip()) for name in sys.stdin]"
LIMIT_S = 15 * 60
"""Time limit for one component. Mutants that have not been checked by then are counted as such."""


def settings(modules: list[str], tests: list[str]) -> str:
    lists = {
        "only_mutate": modules,
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-m", "not slow", "-k", NO_COUNTED_CALLS],
        "also_copy": ["docs", "etc"],
    }
    lines = [f"{key}=\n" + "".join(f"    {value}\n" for value in values) for key, values in lists.items()]
    return (
        "[mutmut]\nsource_paths=monitord\ntimeout_multiplier=4\ntrack_dependencies=false\nuse_git_change_detection=false\n"
        + "".join(lines)
    )


def run(component: str) -> None:
    folder = BUILD / component
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source,
                folder / name,
                symlinks=True,
                ignore=shutil.ignore_patterns("node_modules", "__pycache__"),
            )
        else:
            shutil.copy(source, folder)
    (folder / "setup.cfg").write_text(settings(*COMPONENTS[component]))
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    with (folder / "run.log").open("w") as log:
        try:
            subprocess.run(
                ["nice", "-n", "10", str(MUTMUT), "run", "--max-children", "1"],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"{component}: ended after {LIMIT_S // 60} min")
    subprocess.run(
        [str(MUTMUT), "export-cicd-stats"], cwd=folder, env=environment, capture_output=True, check=True
    )
    counts = json.loads((folder / "mutants" / "mutmut-cicd-stats.json").read_text())
    (folder / "survivors.txt").write_text("".join(survivors(folder)))
    killed, total = counts["killed"] + counts["timeout"], counts["total"]
    checked = killed + counts["survived"]
    if not checked:
        sys.exit(f"{component}: no mutant was checked; see {(folder / 'run.log').relative_to(ROOT)}")
    print(
        f"{component}: {killed} of {checked} killed ({100 * killed / checked:.0f} %), {counts['survived']} survived,"
        f" {counts['no_tests']} not reached by these tests, {total - checked - counts['no_tests']} not checked;"
        f" see {(folder / 'survivors.txt').relative_to(ROOT)}"
    )


def survivors(folder: Path) -> list[str]:
    """Return the changed lines of each survivor."""
    listed = subprocess.run([str(MUTMUT), "results"], cwd=folder, capture_output=True, text=True, check=True)
    names = [line.split(":")[0].strip() for line in listed.stdout.splitlines() if line.endswith("survived")]
    shown = subprocess.run(
        [str(MUTMUT.with_name("python3")), "-c", SHOW_ALL],
        input="\n".join(names),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in shown.stdout.splitlines() if line[:1] in {"-", "+", "#"}]
    return [f"{line}\n" for line in lines if line[:3] not in {"---", "+++"}]


if __name__ == "__main__":
    for chosen in sys.argv[1:] or COMPONENTS:
        run(chosen)
