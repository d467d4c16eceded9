"""Both builds of httptools, compared with the same bytes: that of this process and that of another Python.

`make test` runs under Debian's Python and looks for the newest libraries in .venv-newest; `make test-newest` runs
there and looks for Debian's. With neither, the vectors of test_head.py still hold this build to the same answers.
"""

import base64
import json
import random
import subprocess
import sys
from pathlib import Path

import httptools
import pytest

from .vectors import ALL, mixed_stream
from .wire import events_of

ROOT = Path(__file__).parents[2]
PYTHONS = [ROOT / ".venv-newest" / "bin" / "python", Path("/usr/bin/python3")]
ASK = "import httptools; print(httptools.__version__)"
MIXED_STREAMS = 3000


@pytest.fixture(scope="module")
def other_python() -> Path:
    for python in PYTHONS:
        if python.exists():
            found = subprocess.run(
                [python, "-c", ASK], capture_output=True, text=True, timeout=20, check=False
            )
            if found.returncode == 0 and found.stdout.strip() != httptools.__version__:
                return python
    pytest.skip(
        f"no Python with an httptools other than {httptools.__version__}; `make test-newest` makes one"
    )


def test_other_build_has_equal_results_for_every_stream(other_python: Path) -> None:
    chance = random.Random(9112)
    streams = [data for data, _ in ALL.values()] + [mixed_stream(chance) for _ in range(MIXED_STREAMS)]
    done = subprocess.run(
        [other_python, "-m", "tests.web.wire"],
        input=json.dumps([base64.b64encode(data).decode() for data in streams]),
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
        cwd=ROOT,
    )
    theirs = json.loads(done.stdout)
    ours = json.loads(json.dumps([events_of([data]) for data in streams]))
    assert len(theirs) == len(streams)
    for data, own, other in zip(streams, ours, theirs, strict=True):
        assert own == other, data


def test_streams_are_not_all_rejected() -> None:
    """Otherwise only rejections would be compared."""
    chance = random.Random(9112)
    outcomes = [events_of([mixed_stream(chance)])[0][0] for _ in range(MIXED_STREAMS)]
    assert outcomes.count("head") > MIXED_STREAMS / 5
    assert outcomes.count("failure") > MIXED_STREAMS / 5


def test_build_is_supported() -> None:
    assert httptools.__version__.split(".")[:2] in (["0", "1"], ["0", "9"]), sys.version
