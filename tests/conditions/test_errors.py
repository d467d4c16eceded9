from monitord.conditions import ConditionError


def test_error_text_follows_its_value() -> None:
    assert (
        str(ConditionError(8, "= is unexpected here", "write =="))
        == "at column 8: = is unexpected here; write =="
    )
    assert str(ConditionError(1, "there is no field x")) == "at column 1: there is no field x"
