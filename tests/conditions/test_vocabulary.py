import pytest

from monitord.conditions import FactFunction, FactType, Vocabulary, parse_json_path


@pytest.mark.parametrize("name", ["", "a b", "1a", "a.", ".a", "a-b", "and", "matches", "true", "größe"])
def test_a_name_that_no_condition_could_write_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a fact"):
        Vocabulary({name: FactType.TEXT})


def test_vocabularies_are_equal_by_what_they_hold_and_cannot_change() -> None:
    facts: dict[str, FactType | FactFunction] = {
        "a": FactType.TEXT,
        "b.c2": FactFunction(FactType.ANY, parse_json_path),
    }
    vocabulary = Vocabulary(facts)
    same = Vocabulary(dict(reversed(facts.items())))
    assert vocabulary == same
    assert hash(vocabulary) == hash(same)
    assert vocabulary != Vocabulary({**facts, "b.c2": FactFunction(FactType.ANY)})
    facts["d"] = FactType.TEXT
    assert vocabulary == same
