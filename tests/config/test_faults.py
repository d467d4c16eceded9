import pytest
import tomli

from monitord.config.faults import Faults, Source
from monitord.config.wording import Path

MAIN = "a = 1\n[t]\nb = 1\n[[list]]\nx = 1\n[[list]]\nx = 2\n[[list.inner]]\n"
DROPIN = "# more\n[t]\nc = 1\n[[list]]\nx = 3\n[[list.inner]]\ny = 1\n"


@pytest.fixture
def faults() -> Faults:
    faults = Faults("main")
    faults.files.append("dropin")
    faults.sources += [
        Source(file, text, tomli.loads(text)) for file, text in [("main", MAIN), ("dropin", DROPIN)]
    ]
    return faults


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("a",), "main:1"),
        (("t",), "main:2"),
        (("t", "b"), "main:3"),
        (("t", "c"), "dropin:3"),
        (("t", "missing", "deeper"), "main:2"),
        (("missing",), "main"),
        (("list", 1, "x"), "main:7"),
        (("list", 1, "inner", 0), "main:8"),
        (("list", 2, "x"), "dropin:5"),
        (("list", 2, "inner", 0, "y"), "dropin:7"),
        (("list", 3), "main:4"),
    ],
    ids=str,
)
def test_a_key_is_found_in_the_file_that_sets_it(faults: Faults, path: Path, place: str) -> None:
    assert faults.place(path) == place


def test_the_same_fault_counts_once(faults: Faults) -> None:
    faults.add(("a",), "is wrong")
    faults.add(("a",), "is wrong")
    faults.add(("a",), "is wrong in another way")
    assert [str(fault) for fault in faults.all()] == [
        "main:1: a: is wrong",
        "main:1: a: is wrong in another way",
    ]


def test_nothing_more_is_said_of_what_was_refused(faults: Faults) -> None:
    faults.refuse(("a",), "is no number")
    faults.refuse(("a",), "is no text")
    faults.add(("a",), "is too large")
    assert [str(fault) for fault in faults.all()] == ["main:1: a: is no number"]
    assert faults.is_within_refused(("a", "b", "c"))
    assert not faults.is_within_refused(("t", "b"))


def test_a_text_that_the_scanner_does_not_know_costs_only_the_line() -> None:
    faults = Faults("main")
    faults.sources.append(Source("main", "@ a = 1", {"a": 1}))
    assert faults.place(("a",)) == "main"
