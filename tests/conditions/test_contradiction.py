import pytest

from monitord.conditions.contradiction import contradiction
from tests.conditions.vocabulary import compiled


def excluding(*texts: str) -> list[str]:
    found = contradiction([compiled(text).tree for text in texts])
    return sorted(str(part) for part in found or ())


@pytest.mark.parametrize(
    ("texts", "pair"),
    [
        (["status == 200 and status == 204"], ["status == 200", "status == 204"]),
        (["status == 200", "status == 204"], ["status == 200", "status == 204"]),
        (["status >= 300 and status < 200"], ["status < 200", "status >= 300"]),
        (["status > 200 and status <= 200"], ["status <= 200", "status > 200"]),
        (["status == 200 and status > 200"], ["status == 200", "status > 200"]),
        (["status <= 200 and status < 200 and status >= 200"], ["status < 200", "status >= 200"]),
        (["status >= 200 and status > 200 and status <= 200"], ["status <= 200", "status > 200"]),
        (["status > 100", "status == 99 and body == 'x'"], ["status == 99", "status > 100"]),
        (["response_time < 1s", "response_time > 1m"], ["response_time < 1s", "response_time > 1m"]),
        (["body == 'a' and body == 'b'"], ["body == 'a'", "body == 'b'"]),
        (["certificate.verified == true", "certificate.verified == false"],
         ["certificate.verified == false", "certificate.verified == true"]),
        (["json('$.a') == 1 and json('$.a') == 2"], ["json('$.a') == 1", "json('$.a') == 2"]),
        (["json('$.a') == null and json('$.a') == 'x'"], ["json('$.a') == 'x'", "json('$.a') == null"]),
        (["length(body) > 5 and length(body) < 3"], ["length(body) < 3", "length(body) > 5"]),
        (["body == 'x' or status == 1 and status == 2"], ["status == 1", "status == 2"]),
        (["not (status == 1 and status == 2)"], ["status == 1", "status == 2"]),
        (["body == 'x' and (status == 3 or status == 1 and status == 2)"], ["status == 1", "status == 2"]),
    ],
)  # fmt: skip
def test_comparisons_that_exclude_each_other_are_found(texts: list[str], pair: list[str]) -> None:
    assert excluding(*texts) == pair


@pytest.mark.parametrize(
    "texts",
    [
        ["status == 200 or status == 204"],
        ["status == 200 and status == 200"],
        ["status > 5 and status >= 7 and status <= 7"],
        ["status >= 200 and status < 300"],
        ["status >= 200 and status <= 200"],
        ["status == 200 and status >= 200 and status <= 200"],
        ["status != 200 and status != 204"],
        ["status == 200 and not status == 204"],
        ["json('$.a') == 1 and json('$.b') == 2"],
        ["header('a') == 'x' and header('b') == 'y'"],
        ["body == 'a' and length(body) == 1"],
        ["body contains 'a' and body contains 'b'"],
        ["dns.answers == ['a'] and dns.answers contains 'a'"],
        ["response_time < 1 and response_time < 500ms"],
        ["response_time >= 1s and response_time <= 1000ms"],
        ["status in [200, 204] and status == 204"],
    ],
)
def test_comparisons_that_can_hold_together_are_not_a_contradiction(texts: list[str]) -> None:
    assert excluding(*texts) == []
