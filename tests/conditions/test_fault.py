from monitord.conditions import ConditionError
from monitord.conditions.fault import meant


def test_the_text_follows_the_value_it_speaks_of() -> None:
    assert (
        str(ConditionError(8, "= has no meaning here", "write =="))
        == "at column 8: = has no meaning here; write =="
    )
    assert str(ConditionError(1, "there is no fact x")) == "at column 1: there is no fact x"


def test_the_nearest_word_is_named_and_none_where_none_is_near() -> None:
    assert meant("stauts", ["body", "status"]) == "did you mean status?"
    assert meant("zzz", ["body", "status"]) == ""
