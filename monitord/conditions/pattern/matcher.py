"""Searching for a pattern in time that grows with the text and not with its malice.

`re` goes back and tries again: (a+)+$ takes it years on forty letters, and even a.*b takes seconds on a page
made for the purpose, while the whole daemon stands still. So the pattern is run as a set of positions, all
taken forward together, a character at a time (Thompson 1968; RE2). Sets met before are remembered with where
each character led: the usual character costs one look into a dictionary.
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
MAX_STATES = 1000  # of one pattern, with its repetitions written out
MAX_STEPS = 80_000  # of one search, of those that were not remembered; about 40 ms
STEPS_OF_A_MOVE = 8  # what a move costs, beside a step for each state
MAX_REMEMBERED_MOVES = 4096

# Beside single characters, what can come next: a newline that is the last character, and nothing.
_LAST_NEWLINE = "\n\n"
_NOTHING = ""

# What came before, as far as any position can tell the difference.
_BEFORE_START = ""
_BEFORE_NEWLINE = "\n"
_BEFORE_WORD = "w"
_BEFORE_OTHER = " "


@dataclass(frozen=True, slots=True)
class _Step:
    """Takes one character."""

    test: re.Pattern[str]
    then: int


@dataclass(frozen=True, slots=True)
class _Gate:
    """Takes none, and lets through at some positions only."""

    position: Position
    then: int


@dataclass(frozen=True, slots=True)
class _Fork:
    thens: tuple[int, ...]


_State = _Step | _Gate | _Fork | None  # None: found
_FOUND = 0


@dataclass(slots=True, eq=False)
class _Place:
    """A set of states, between two characters, and where characters led from here."""

    states: frozenset[int]
    before: str
    moves: "dict[str, _Place]" = field(default_factory=dict)


_DONE = _Place(frozenset({_FOUND}), _BEFORE_OTHER)


class Pattern:
    """Compiled; raises ConditionError, with a column that counts from the start of the pattern.

    What it remembers between searches saves time and changes no answer, except that a search which would have
    been given up may come to its end.
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
        """Whether the pattern is found somewhere in one of them. None: too much work, and given up.

        Never looks beyond MAX_SEARCHED_CHARACTERS of all of them together; of more it says True or None.
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
        """Where that leads, and how many steps it took to find out."""
        reached = self._reach(place, symbol)
        if _FOUND in reached:
            following = _DONE
        else:
            # The start is among them again: what is searched for may begin at any character.
            states = {self._start}
            for index in reached:
                state = self._states[index]
                if isinstance(state, _Step) and symbol and state.test.fullmatch(symbol[0]):
                    states.add(state.then)
            if self._remembered >= MAX_REMEMBERED_MOVES:
                self._forget()
            following = self._place(frozenset(states), self._before(symbol))
        if len(symbol) == 1:
            place.moves[symbol] = following
            self._remembered += 1
        return following, STEPS_OF_A_MOVE + len(reached)

    def _reach(self, place: _Place, symbol: str) -> set[int]:
        """All states that need no further character, before that symbol."""
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
    """Builds from the end to the start: each part is told which state follows it."""

    def __init__(self) -> None:
        self.states: list[_State] = [None]
        self._links = 0

    def link(self, part: Part, then: int) -> int:
        """The state at which the part begins."""
        self._links += 1
        if max(self._links, len(self.states)) > MAX_STATES:
            raise ConditionError(1, "the pattern is too large with its repetitions written out")
        if isinstance(part, Character):
            return self._add(_Step(part.test, then))
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
