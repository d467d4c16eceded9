"""Search for a pattern in linear time, whatever the text.

`re` backtracks: (a+)+$ takes years on forty letters, and even a.*b takes seconds on a page that is made for it, while
the event loop is blocked. This matcher simulates a nondeterministic automaton: it advances a set of states by one
character at a time (Thompson 1968; RE2). State sets and their transitions are cached, so that a character usually
costs one dictionary lookup.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitord.conditions.errors import ConditionError
from monitord.conditions.pattern.syntax import (
    Character,
    Choice,
    Part,
    Position,
    Repeat,
    parse_pattern,
)

MAX_SEARCHED_CHARACTERS = 256 * 1024
MAX_STATES = 1000  # of a pattern, with its repetitions expanded
MAX_STEPS = 80_000  # of a search, without cached moves; about 40 ms
STEPS_OF_A_MOVE = 8  # the cost of a move, in addition to a step for each state
MAX_REMEMBERED_MOVES = 4096

# Symbols in addition to single characters: a newline that is the last character, and the end of the text.
_LAST_NEWLINE = "\n\n"
_NOTHING = ""

# Classes of the previous character that positions distinguish.
_BEFORE_START = ""
_BEFORE_NEWLINE = "\n"
_BEFORE_WORD = "w"
_BEFORE_OTHER = " "


@dataclass(frozen=True, slots=True)
class _CharacterState:
    """State that consumes one character."""

    test: re.Pattern[str]
    then: int


@dataclass(frozen=True, slots=True)
class _Gate:
    """State that consumes no character and can be passed only at its position."""

    position: Position
    then: int


@dataclass(frozen=True, slots=True)
class _Fork:
    thens: tuple[int, ...]


_State = _CharacterState | _Gate | _Fork | None  # None: found
_FOUND = 0


@dataclass(slots=True, eq=False)
class _Place:
    """A set of states between two characters, with the cached moves from here."""

    states: frozenset[int]
    before: str
    moves: "dict[str, _Place]" = field(default_factory=dict)


_DONE = _Place(frozenset({_FOUND}), _BEFORE_OTHER)


class Pattern:
    """A compiled pattern. Raises ConditionError with a column that counts from the start of the pattern.

    The cache does not change results, except that a search that would exceed MAX_STEPS may complete.
    """

    def __init__(self, text: str) -> None:
        syntax = parse_pattern(text)
        self.text = text
        self._word = re.compile(r"\w", syntax.flags & re.ASCII)
        program = _Program()
        self._start = program.link(syntax.part, _FOUND)
        self._states = tuple(program.states)
        self._has_gates = any(isinstance(state, _Gate) for state in self._states)
        self._places: dict[tuple[frozenset[int], str], _Place] = {}
        self._remembered = 0

    def is_in_any(self, texts: Iterable[str]) -> bool | None:
        """Return whether the pattern matches anywhere in any text; None if the search exceeds its limits.

        Searches at most MAX_SEARCHED_CHARACTERS of all texts together; longer texts give True or None.
        """
        characters_left, steps_left = MAX_SEARCHED_CHARACTERS, MAX_STEPS
        for text in texts:
            found, steps_left = self._search(text, characters_left, steps_left)
            if found is not False:
                return found
            characters_left -= len(text)
        return False

    def _search(self, text: str, characters: int, steps_left: int) -> tuple[bool | None, int]:
        is_whole = len(text) <= characters
        ends_in_newline = is_whole and text.endswith("\n")
        searched = text[:-1] if ends_in_newline else text[:characters]
        place = self._place(frozenset({self._start}), _BEFORE_START if self._has_gates else _BEFORE_OTHER)
        for character in searched:
            following = place.moves.get(character)
            if following is None:
                following, steps = self._move(place, character)
                steps_left -= steps
                if steps_left < 0:
                    return None, 0
            place = following
            if place is _DONE:
                return True, steps_left
        if not is_whole:
            return None, 0
        if ends_in_newline:
            place, steps = self._move(place, _LAST_NEWLINE)
            steps_left -= steps
        if place is not _DONE:
            place, steps = self._move(place, _NOTHING)
            steps_left -= steps
        return place is _DONE, steps_left

    def _move(self, place: _Place, symbol: str) -> tuple[_Place, int]:
        """Return the place after this symbol and the number of steps that were needed."""
        reached = self._reach(place, symbol)
        if _FOUND in reached:
            following = _DONE
        else:
            # The start state is always included: a match may begin at any character.
            states = {self._start}
            for index in reached:
                state = self._states[index]
                if isinstance(state, _CharacterState) and symbol and state.test.fullmatch(symbol[0]):
                    states.add(state.then)
            if self._remembered >= MAX_REMEMBERED_MOVES:
                self._forget()
            following = self._place(frozenset(states), self._before(symbol))
        if len(symbol) == 1:
            place.moves[symbol] = following
            self._remembered += 1
        return following, STEPS_OF_A_MOVE + len(reached)

    def _reach(self, place: _Place, symbol: str) -> set[int]:
        """Return all states that are reachable before this symbol without consuming a character."""
        reached: set[int] = set()
        waiting = list(place.states)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            state = self._states[index]
            if isinstance(state, _Fork):
                waiting.extend(state.thens)
            elif isinstance(state, _Gate) and self._is_at(state.position, place.before, symbol):
                waiting.append(state.then)
        return reached

    def _is_at(self, position: Position, before: str, symbol: str) -> bool:
        if position is Position.START:
            return before == _BEFORE_START
        if position is Position.LINE_START:
            return before in {_BEFORE_START, _BEFORE_NEWLINE}
        if position is Position.END:
            return symbol == _NOTHING
        if position is Position.END_OR_LAST_NEWLINE:
            return symbol in {_NOTHING, _LAST_NEWLINE}
        if position is Position.LINE_END:
            return symbol in {_NOTHING, _LAST_NEWLINE, "\n"}
        is_boundary = (before == _BEFORE_WORD) != bool(self._word.match(symbol))
        return is_boundary is (position is Position.BOUNDARY)

    def _before(self, symbol: str) -> str:
        if not self._has_gates:
            return _BEFORE_OTHER
        if symbol.startswith("\n"):
            return _BEFORE_NEWLINE
        return _BEFORE_WORD if self._word.match(symbol) else _BEFORE_OTHER

    def _place(self, states: frozenset[int], before: str) -> _Place:
        place = self._places.get((states, before))
        if place is None:
            place = self._places[states, before] = _Place(states, before)
        return place

    def _forget(self) -> None:
        for place in self._places.values():
            place.moves.clear()
        self._places.clear()
        self._remembered = 0


class _Program:
    """States of a pattern, built from the end to the start: each part is linked to the state after it."""

    def __init__(self) -> None:
        self.states: list[_State] = [None]
        self._links = 0

    def link(self, part: Part, then: int) -> int:
        """Add the states of the part; return its first state."""
        self._links += 1
        if max(self._links, len(self.states)) > MAX_STATES:
            raise ConditionError(1, "the pattern is too large with its repetitions expanded")
        if isinstance(part, Character):
            return self._add(_CharacterState(part.test, then))
        if isinstance(part, Position):
            return self._add(_Gate(part, then))
        if isinstance(part, Choice):
            return self._add(_Fork(tuple(self.link(option, then) for option in part.options)))
        if isinstance(part, Repeat):
            return self._repeat(part, then)
        for inner in reversed(part.parts):
            then = self.link(inner, then)
        return then

    def _repeat(self, repeat: Repeat, then: int) -> int:
        entry = then
        if repeat.at_most is None:
            entry = self._add(_Fork(()))
            self.states[entry] = _Fork((self.link(repeat.part, entry), then))
        else:
            for _ in range(repeat.at_most - repeat.at_least):
                entry = self._add(_Fork((self.link(repeat.part, entry), then)))
        for _ in range(repeat.at_least):
            entry = self.link(repeat.part, entry)
        return entry

    def _add(self, state: _State) -> int:
        self.states.append(state)
        return len(self.states) - 1
