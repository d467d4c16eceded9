import pytest

from monitord.conditions import FieldFunction, FieldType, Vocabulary, parse_json_path


@pytest.mark.parametrize("name", ["", "a b", "1a", "a.", ".a", "a-b", "and", "matches", "true", "größe"])
def test_field_name_that_is_invalid_in_conditions_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a field"):
        Vocabulary({name: FieldType.TEXT})


def test_vocabularies_are_compared_by_their_fields_and_immutable() -> None:
    fields: dict[str, FieldType | FieldFunction] = {
        "a": FieldType.TEXT,
        "b.c2": FieldFunction(FieldType.ANY, parse_json_path),
    }
    vocabulary = Vocabulary(fields)
    same = Vocabulary(dict(reversed(fields.items())))
    assert vocabulary == same
    assert hash(vocabulary) == hash(same)
    assert vocabulary != Vocabulary({**fields, "b.c2": FieldFunction(FieldType.ANY)})
    fields["d"] = FieldType.TEXT
    assert vocabulary == same
