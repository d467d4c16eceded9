"""Both builds of httptools, compared on the same bytes: this process has one, another Python on this machine the other.

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

from .vectors import ALL
from .wire import events_of

ROOT = Path(__file__).parents[2]
PYTHONS = [ROOT / ".venv-newest" / "bin" / "python", Path("/usr/bin/python3")]
ASK = "import httptools; print(httptools.__version__)"
MIXED_STREAMS = 3000

FIELDS = [
    b"Host: h", b"Host: h:8", b"Content-Length: 5", b"Content-Length: 5 ", b"content-length:\t5\t",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: Chunked ", b"X: y",
    b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c", b"Upgrade: websocket", b"Proxy-Connection: close", b"Expect: 100-continue", b"X: \x80\xff",
    b"X:", b"X: a\tb ", b"Keep-Alive: 5", b"Trailer: x", b"X : y", b" X: y", b"Content-Length: 99999999999999999999",
]  # fmt: skip
LINES = [
    b"GET / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"OPTIONS * HTTP/1.1", b"HEAD //x HTTP/1.0", b"TRACE / HTTP/1.7",
    b"PUT http://h/x HTTP/1.1", b"DELETE /%41 HTTP/1.1", b'PATCH /a|"<>^`{} HTTP/1.1', b"CONNECT h:1 HTTP/1.1",
    b"GET / HTTP/2.0", b"PRI * HTTP/2.0", b"GET / ICE/1.0", b"QUERY / HTTP/1.1", b"SOURCE / HTTP/1.1",
]  # fmt: skip
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"\r\n",
]


def mixed_stream(chance: random.Random) -> bytes:
    """Up to three requests, most of them well-formed, now and then with a byte changed."""
    data = b""
    for _ in range(chance.randint(1, 3)):
        fields = [b"Host: h"] * (chance.random() < 0.9) + chance.choices(FIELDS, k=chance.randint(0, 3))
        data += b"\r\n".join([chance.choice(LINES), *fields, b"", b""]) + chance.choice(BODIES)
    if chance.random() < 0.2:
        place = chance.randrange(len(data))
        data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
    return data


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
        f"no Python with another httptools than {httptools.__version__}; `make test-newest` makes one"
    )


def test_the_other_build_makes_the_same_of_every_stream(other_python: Path) -> None:
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
    for data, here, there in zip(streams, ours, theirs, strict=True):
        assert here == there, data


def test_the_streams_are_not_all_refused() -> None:
    """Else the comparison would compare nothing but refusals."""
    chance = random.Random(9112)
    outcomes = [events_of([mixed_stream(chance)])[0][0] for _ in range(MIXED_STREAMS)]
    assert outcomes.count("head") > MIXED_STREAMS / 5
    assert outcomes.count("failure") > MIXED_STREAMS / 5


def test_this_is_one_of_the_builds_that_are_known() -> None:
    assert httptools.__version__.split(".")[:2] in (["0", "1"], ["0", "9"]), sys.version
