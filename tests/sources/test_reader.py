"""A reader for many similar monitors reads each as a reader for a single one does."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from monitord.errors import ConfigError
from monitord.monitors import MonitorSettings
from monitord.settings import AutomaticReader
from monitord.sources import MonitorReader

HTTP: dict[str, Any] = {"type": "http", "url": "http://127.0.0.1/"}
DEFAULTS: Mapping[str, object] = {"check_every": "1m", "timeout": "10s", "depends_on": ["m2"]}
OVERRIDES = (("m3", {"check_every": "5m"}), ("m*", {"fail_after": 3}))


def outcomes(
    reader: MonitorReader, each: Sequence[Mapping[str, Any]], *, for_many: bool
) -> list[MonitorSettings | str]:
    found: list[MonitorSettings | str] = []
    shared = reader.for_many()
    for number, keys in enumerate(each):
        try:
            found.append((shared if for_many else reader).read(f"m{number}", "m", keys))
        except ConfigError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize(
    "each",
    [
        pytest.param([HTTP | {"url": f"http://127.0.0.{n}/"} for n in range(1, 6)], id="urls"),
        pytest.param([HTTP | {"tags": [f"t{n % 2}"]} for n in range(5)], id="tags"),
        pytest.param([HTTP | {"title": f"t{n % 2}", "severity": "warning"} for n in range(3)], id="context"),
        pytest.param([HTTP, HTTP | {"verify": True}, HTTP | {"verify": 1}, HTTP], id="true-and-1"),
        pytest.param([HTTP | {"verify": 1}] * 3, id="same-error"),
        pytest.param([HTTP | {"chek_every": "1m"}] * 2 + [HTTP], id="unknown-key"),
        pytest.param([HTTP, HTTP | {"basic_auth": {"username": "a"}}, HTTP], id="inner-table"),
        pytest.param(
            [HTTP | {"basic_auth": {"username": "a", "pasword": "b"}}] * 2, id="unknown-key-in-inner-table"
        ),
        pytest.param([HTTP | {"check_every": every} for every in ("1m", "5s", "1m", 60)], id="interval"),
        pytest.param(
            [HTTP | {"up_when": [f"status == {n}"], "timeout": "5s"} for n in (200, 204, 200)],
            id="conditions",
        ),
        pytest.param(
            [HTTP | {"up_when": ["response_time > 3s"], "timeout": timeout} for timeout in ("5s", "1s", "5s")],
            id="condition-that-depends-on-the-timeout",
        ),
        pytest.param(
            [
                {"type": "http", "url": url, "follow_redirects": False, "degraded_when": ['tls.version == "x"']}
                for url in ("https://127.0.0.1/", "http://127.0.0.1/", "https://127.0.0.2/")
            ],
            id="condition-that-depends-on-the-url",
        ),
        pytest.param(
            [HTTP | {"source_address": "127.0.0.9"}, {**HTTP, "url": "http://[::1]/", "source_address": "127.0.0.9"}],
            id="combination-of-url-and-source",
        ),
        pytest.param(
            [HTTP, {"type": "tcp", "address": "127.0.0.1:9"}, {"url": "http://127.0.0.1/"}, {"type": "x"}, HTTP],
            id="types",
        ),
        pytest.param([HTTP | {"headers": {"X": str(n % 2)}} for n in range(3)], id="tables"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("defaults", [{}, DEFAULTS], ids=["", "defaults"])
def test_many_are_read_as_a_single_one(
    each: Sequence[Mapping[str, Any]], defaults: Mapping[str, object]
) -> None:
    reader = AutomaticReader(defaults, OVERRIDES, {})
    assert outcomes(reader, each, for_many=True) == outcomes(reader, each, for_many=False)


def test_monitors_share_their_common_settings() -> None:
    reader = AutomaticReader(DEFAULTS, (), {}).for_many()
    first, second = (
        reader.read(f"m{number}", "m", HTTP | {"url": f"http://127.0.0.{number}/"}) for number in (1, 2)
    )
    assert first.options.url != second.options.url
    assert first.options.tls is second.options.tls
    assert first.policy is second.policy


def test_secret_is_read_again_for_other_monitors(tmp_path: Any) -> None:
    file = tmp_path / "token"
    reader = AutomaticReader({}, (), {})
    keys = HTTP | {"bearer_token": {"file": str(file)}}
    tokens = []
    for token in ("first-token", "second-token"):
        file.write_text(token)
        tokens.append(reader.for_many().read("m", "m", keys).options.bearer_token.reveal())
    assert tokens == ["first-token", "second-token"]
