"""The list of public names agrees with the code, so that nobody changes one without noticing."""

from tests.public_names import public_names, read_public_names


async def test_list_of_public_names_is_up_to_date() -> None:
    listed, found = set(read_public_names()), set(await public_names())
    assert sorted(found - listed) == [], "new public names: `make manual` adds them"
    assert sorted(listed - found) == [], "public names are gone; before 1.0 `make manual` removes them"
