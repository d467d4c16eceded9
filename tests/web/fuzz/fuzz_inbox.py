"""Coverage-guided fuzzing of bytes → events, by hand, outside the suite:

    python3 -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris httptools yarl
    /tmp/fuzz/bin/python tests/web/fuzz/fuzz_inbox.py --seeds /tmp/seeds
    /tmp/fuzz/bin/python tests/web/fuzz/fuzz_inbox.py /tmp/seeds -dict=/tmp/seeds.dict -max_total_time=600 -max_len=4096

Without seeds it hardly gets past the first line of a head. Invariants, for any bytes cut in any way: only ProtocolError
is raised, the events do not depend on the cuts, and the unread bytes stay bounded. A finding is written to a file
`crash-…` here. corpus.txt contains inputs of earlier runs in base64, one for each result; test_framing.py replays them.
"""

import sys
from itertools import pairwise
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it ships no types

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["monitord.web.framing", "monitord.web.head"]):
    from tests.web.vectors import ALL, FOUND
    from tests.web.wire import LIMITS, events_of

MOST_CUTS = 8
WORDS = [
    b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Host: h\r\n", b"HTTP/1.1\r\n", b"GET / ", b"\r\n\r\n",
    b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n",
]  # fmt: skip


def fuzz_one(raw: bytes) -> None:
    provider = atheris.FuzzedDataProvider(raw)
    cuts = [provider.ConsumeIntInRange(0, 600) for _ in range(provider.ConsumeIntInRange(0, MOST_CUTS))]
    data = provider.ConsumeBytes(len(raw))
    whole = events_of([data])
    edges = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges) if end > start]
    kept: list[int] = []
    if events_of(pieces, kept=kept) != whole:
        raise AssertionError(f"the cuts {cuts} change what {data!r} means")
    if max(kept, default=0) > LIMITS.head_bytes + max(map(len, pieces), default=0):
        raise AssertionError(f"{max(kept)} bytes are kept of {data!r}")


def main() -> None:
    if "--seeds" in sys.argv:
        folder = Path(sys.argv[sys.argv.index("--seeds") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate([*(data for data, _ in ALL.values()), *FOUND]):
            (folder / f"seed-{number}").write_bytes(data)
        (folder.parent / f"{folder.name}.dict").write_text(
            "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS)
        )
        return
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
