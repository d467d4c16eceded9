"""Search for a pattern in linear time, regardless of the text.

`re` backtracks: (a+)+$ takes years on forty letters, and even a.*b takes seconds on a page that is made for it, while
the event loop is blocked. This matcher simulates a nondeterministic automaton: it advances a set of states by one
character at a time (Thompson 1968; RE2). State sets and their transitions are cached, so that a character usually
costs one dictionary lookup.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from monitord.conditions.errors import ConditionError
from monitord.conditions.pattern.syntax import (
    Alternation,
    Character,
    Group,
    Part,
    Position,
    Repeat,
    parse_pattern,
)

MAX_SEARCHED_CHARACTERS = 256 * 1024
MAX_STATES = 1000  # of a pattern, with its repetitions expanded
MAX_STEPS = 80_000  # of a search, without cached moves; about 40 ms
STEPS_PER_MOVE = 8  # the cost of a move, in addition to a step for each state
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

    regex: re.Pattern[str]
    then: int


@dataclass(frozen=True, slots=True)
class _Gate:
    """State that consumes no character and can be passed only at its position."""

    position: Position
    then: int


@dataclass(frozen=True, slots=True)
class _Fork:
    """State that continues in several states; the first of them has priority in a capture."""

    thens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _GroupBoundary:
    """Start or end of the captured group. Only `Capture` has such states."""

    is_end: bool
    then: int


_State = _CharacterState | _Gate | _Fork | _GroupBoundary | None  # None: found
_FOUND = 0


@dataclass(slots=True, eq=False)
class _StateSet:
    """A set of states between two characters, with the cached moves from here."""

    states: frozenset[int]
    before: str
    moves: "dict[str, _StateSet]" = field(default_factory=dict)


_DONE = _StateSet(frozenset({_FOUND}), _BEFORE_OTHER)


class Pattern:
    """A compiled pattern. Raises ConditionError with a column that counts from the start of the pattern.

    The cache does not change results, except that a search that would exceed MAX_STEPS may complete.
    """

    _has_marks = False

    def __init__(self, text: str) -> None:
        syntax = parse_pattern(text)
        self.text = text
        self._word = re.compile(r"\w", syntax.flags & re.ASCII)
        program = _Program(has_marks=self._has_marks)
        # Nothing leads back to the start of a capture. Otherwise, with a repetition at the beginning of the pattern, no
        # place would show whether a partial match is open.
        part = Alternation((syntax.part,)) if self._has_marks else syntax.part
        self._start = program.link(part, _FOUND)
        self._states = tuple(program.states)
        self._has_gates = any(isinstance(state, _Gate) for state in self._states)
        self._state_sets: dict[tuple[frozenset[int], str], _StateSet] = {}
        self._remembered = 0

    def is_in_any(self, texts: Iterable[str]) -> bool | None:
        """Return whether the pattern matches anywhere in any text; None if the search exceeds its limits.

        Searches at most MAX_SEARCHED_CHARACTERS of all texts together; longer texts give True or None.
        """
        characters_left, steps_left = MAX_SEARCHED_CHARACTERS, MAX_STEPS
        for text in texts:
            is_match, steps_left = self._search(text, characters_left, steps_left)
            if is_match is not False:
                return is_match
            characters_left -= len(text)
        return False

    def _search(self, text: str, characters: int, steps_left: int) -> tuple[bool | None, int]:
        is_whole = len(text) <= characters
        ends_in_newline = is_whole and text.endswith("\n")
        searched = text[:-1] if ends_in_newline else text[:characters]
        current = self._state_set(
            frozenset({self._start}), _BEFORE_START if self._has_gates else _BEFORE_OTHER
        )
        for character in searched:
            following = current.moves.get(character)
            if following is None:
                following, steps = self._move(current, character)
                steps_left -= steps
                if steps_left < 0:
                    return None, 0
            current = following
            if current is _DONE:
                return True, steps_left
        if not is_whole:
            return None, 0
        if ends_in_newline:
            current, steps = self._move(current, _LAST_NEWLINE)
            steps_left -= steps
        if current is not _DONE:
            current, steps = self._move(current, _NOTHING)
            steps_left -= steps
        return current is _DONE, steps_left

    def _move(self, current: _StateSet, symbol: str) -> tuple[_StateSet, int]:
        """Return the set after this symbol and the number of steps that were needed."""
        reached = self._reach(current, symbol)
        if _FOUND in reached:
            following = _DONE
        else:
            # The start state is always included: a match may begin at any character.
            states = {self._start}
            for index in reached:
                state = self._states[index]
                if isinstance(state, _CharacterState) and symbol and state.regex.fullmatch(symbol[0]):
                    states.add(state.then)
            if self._remembered >= MAX_REMEMBERED_MOVES:
                for state_set in self._state_sets.values():
                    state_set.moves.clear()
                self._state_sets.clear()
                self._remembered = 0
            following = self._state_set(frozenset(states), self._before(symbol))
        if len(symbol) == 1:
            current.moves[symbol] = following
            self._remembered += 1
        return following, STEPS_PER_MOVE + len(reached)

    def _reach(self, current: _StateSet, symbol: str) -> set[int]:
        """Return all states that are reachable before this symbol without consuming a character."""
        reached: set[int] = set()
        waiting = list(current.states)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            state = self._states[index]
            if isinstance(state, _Fork):
                waiting.extend(state.thens)
            elif isinstance(state, _GroupBoundary) or (
                isinstance(state, _Gate) and self._is_at(state.position, current.before, symbol)
            ):
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

    def _state_set(self, states: frozenset[int], before: str) -> _StateSet:
        known = self._state_sets.get((states, before))
        if known is None:
            known = self._state_sets[states, before] = _StateSet(states, before)
        return known


class _Program:
    """States of a pattern, built from the end to the start: each part is linked to the state after it."""

    def __init__(self, *, has_marks: bool) -> None:
        self.states: list[_State] = [None]
        self._links = 0
        self._has_marks = has_marks

    def link(self, part: Part, then: int) -> int:
        """Add the states of the part; return its first state."""
        if isinstance(part, Group):
            return self._group(part, then)
        self._links += 1
        if max(self._links, len(self.states)) > MAX_STATES:
            raise ConditionError(1, "the pattern is too large with its repetitions expanded")
        if isinstance(part, (Character, Position)):
            return self._add(
                _CharacterState(part.regex, then) if isinstance(part, Character) else _Gate(part, then)
            )
        if isinstance(part, Alternation):
            return self._add(_Fork(tuple(self.link(alternative, then) for alternative in part.alternatives)))
        if isinstance(part, Repeat):
            return self._repeat(part, then)
        for inner in reversed(part.parts):
            then = self.link(inner, then)
        return then

    def _group(self, group: Group, then: int) -> int:
        if not self._has_marks:
            return self.link(group.part, then)
        end = self._add(_GroupBoundary(is_end=True, then=then))
        return self._add(_GroupBoundary(is_end=False, then=self.link(group.part, end)))

    def _repeat(self, repeat: Repeat, then: int) -> int:
        entry = then
        if repeat.at_most is None:
            entry = self._add(_Fork(()))
            self.states[entry] = _fork(self.link(repeat.part, entry), then, is_lazy=repeat.is_lazy)
        else:
            for _ in range(repeat.at_most - repeat.at_least):
                entry = self._add(_fork(self.link(repeat.part, entry), then, is_lazy=repeat.is_lazy))
        for _ in range(repeat.at_least):
            entry = self.link(repeat.part, entry)
        return entry

    def _add(self, state: _State) -> int:
        self.states.append(state)
        return len(self.states) - 1


def _fork(again: int, then: int, *, is_lazy: bool) -> _Fork:
    return _Fork((then, again) if is_lazy else (again, then))


@dataclass(frozen=True, slots=True)
class _Thread:
    """A partial match of a capture, by the positions at which it and its group begin and end; -1 if not reached."""

    begin: int
    group_begin: int = -1
    group_end: int = -1


class Capture(Pattern):
    """A pattern that returns text: that of its group or, without a group, of the whole match, as with `re.search`.

    Raises ConditionError also for a pattern with more than one group. Two linear passes: the first finds a place at
    which no partial match is open and after which there is a match, with the cached moves of `Pattern`. The second
    follows all partial matches from there in the order of `re` (Pike 1987; RE2). The captured text differs from that of
    `re` only where repetitions of parts that can be empty are nested, as in RE2.
    """

    _has_marks = True

    def __init__(self, text: str) -> None:
        groups = parse_pattern(text).groups
        if groups > 1:
            raise ConditionError(
                1, f"the pattern has {groups} groups", "write (?:…) for all groups but that of the value"
            )
        super().__init__(text)
        self._has_group = groups == 1

    def find(self, text: str) -> str | bool:
        """Return the captured text; False if nothing matches, True if the search exceeds its limits."""
        begin, steps_left = self._last_idle(text)
        return begin if isinstance(begin, bool) else self._follow(text, begin, steps_left)

    def _last_idle(self, text: str) -> tuple[int | bool, int]:
        """Return the last position before the end of the first match at which no partial match is open.

        Instead of it False if nothing matches, True if the search exceeds its limits.
        """
        current = self._state_set(
            frozenset({self._start}), _BEFORE_START if self._has_gates else _BEFORE_OTHER
        )
        steps_left, idle_at = MAX_STEPS, 0
        is_whole = len(text) <= MAX_SEARCHED_CHARACTERS
        searched = text[: len(text) - text.endswith("\n")] if is_whole else text[:MAX_SEARCHED_CHARACTERS]
        end = [_LAST_NEWLINE, _NOTHING] if len(searched) < len(text) else [_NOTHING]
        for at, symbol in enumerate(chain(searched, end if is_whole else ())):
            if len(current.states) == 1:  # only the start
                idle_at = at
            following = current.moves.get(symbol)
            if following is None:
                following, steps = self._move(current, symbol)
                steps_left -= steps
                if steps_left < 0:
                    return True, 0
            current = following
            if current is _DONE:
                return idle_at, steps_left
        return not is_whole, 0

    def _follow(self, text: str, begin: int, steps_left: int) -> str | bool:
        before = _BEFORE_START if begin == 0 else self._before(_symbol(text, begin - 1))
        threads: list[tuple[int, _Thread]] = []
        match: tuple[_Thread, int] | None = None
        for at in range(begin, len(text) + 1):
            if match is None:
                threads.append((self._start, _Thread(at)))
            symbol = _symbol(text, at)
            following: list[tuple[int, _Thread]] = []
            visited: set[int] = set()
            for index, thread in self._closure(threads, visited, before, symbol, at):
                state = self._states[index]
                if state is None:
                    match = thread, at
                    break  # the threads after it have a lower priority
                if isinstance(state, _CharacterState) and symbol and state.regex.fullmatch(symbol[0]):
                    following.append((state.then, thread))
            steps_left -= STEPS_PER_MOVE + len(visited)
            if steps_left < 0:
                return True
            threads = following
            if match is not None and not threads:
                break
            before = self._before(symbol)
        if match is None:
            return False
        thread, end = match
        if not self._has_group:
            return text[thread.begin : end]
        # A group in an alternative that was not taken has no text.
        return text[thread.group_begin : thread.group_end] if thread.group_end >= 0 else False

    def _closure(
        self,
        threads: Iterable[tuple[int, _Thread]],
        visited: set[int],
        before: str,
        symbol: str,
        at: int,
    ) -> Iterator[tuple[int, _Thread]]:
        """Yield the states that consume a character, and that of a match, in the order of priority."""
        for first in threads:
            waiting = [first]
            while waiting:
                index, thread = waiting.pop()
                if index in visited:
                    continue
                visited.add(index)
                state = self._states[index]
                if isinstance(state, _Fork):
                    waiting.extend((then, thread) for then in reversed(state.thens))
                elif isinstance(state, _GroupBoundary):
                    marked = (
                        _Thread(thread.begin, thread.group_begin, at)
                        if state.is_end
                        else _Thread(thread.begin, at)
                    )
                    waiting.append((state.then, marked))
                elif isinstance(state, _Gate):
                    if self._is_at(state.position, before, symbol):
                        waiting.append((state.then, thread))
                else:
                    yield index, thread


def _symbol(text: str, at: int) -> str:
    """Return the symbol at a position: the character, _LAST_NEWLINE, or _NOTHING at the end."""
    if at + 1 == len(text) and text[at] == "\n":
        return _LAST_NEWLINE
    return text[at : at + 1]
