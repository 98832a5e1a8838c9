"""Variations of a bar by rule, as a drummer would play it the second time."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from drumigen.kit import HATS, SNARES, Voice
from drumigen.pattern import Bar, Hit, problems, repaired
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick

GHOST_LOOSE_MAX = 45
"""Loudest ghost note that no groove hangs on; 41 % of the snares of human takes are below 40.

From here to :data:`~drumigen.feel.dynamics.GHOST_BELOW` a snare is still soft, but is not left out.
"""

ACCENT_STEP = 14
"""Velocity by which an accent differs: about the step from off-beat to on-beat hats."""

_TIMEKEEPERS = frozenset((Voice.CLOSED_HAT, Voice.RIDE, Voice.SHAKER, Voice.TAMBOURINE))

_Hits = tuple[Hit, ...]
_Move = Callable[[Bar, random.Random], Iterator[_Hits]]


def vary(bar: Bar, seed: int, amount: float = 0.3) -> Bar:
    """Return ``bar`` with one to six small changes, the same for the same seed.

    ``amount`` (0-1) is how many: 0.3 makes two, 0 none.  Kick on one and backbeats (loud snares)
    are never touched.  A playable bar stays playable, and a bar in which anything can change does
    change.
    """
    wanted = round(1 + 5 * amount) if amount > 0 else 0
    rng = random.Random(seed)  # noqa: S311 - music
    varied = bar
    for _ in range(wanted):
        varied = _changed(bar, varied, rng)
    return varied


def with_crash(bar: Bar, velocity: int = 112) -> Bar:
    """Return ``bar`` with kick and crash on one in place of what a hand kept time with there."""
    first = [hit for hit in bar.hits if hit.tick == 0]
    others = tuple(hit for hit in bar.hits if hit.tick > 0)
    kept = tuple(hit for hit in first if hit.voice in SNARES or hit.voice is Voice.KICK)
    offset = first[0].offset if first else 0
    added = [Hit(Tick(0), Voice.CRASH, velocity, offset)]
    if all(hit.voice is not Voice.KICK for hit in kept):
        added.append(Hit(Tick(0), Voice.KICK, min(127, velocity), offset))
    return repaired(replace(bar, hits=(*others, *kept, *added)))


def _changed(original: Bar, bar: Bar, rng: random.Random) -> Bar:
    """Make the first change, in an order drawn by ``rng``, that is playable and new."""
    moves: list[_Move] = [*_MOVES]
    rng.shuffle(moves)
    allowed = {problem.rule for problem in problems(bar)}
    for move in moves:
        for hits in move(bar, rng):
            candidate = replace(bar, hits=hits)
            rules = {problem.rule for problem in problems(candidate)}
            if candidate not in (bar, original) and rules <= allowed:
                return candidate
    return bar


def _is_fixed(hit: Hit) -> bool:
    """Tell what carries the groove: the kick on one, and every snare that is no ghost."""
    return (hit.voice is Voice.KICK and hit.tick == 0) or (
        hit.voice in SNARES and hit.velocity > GHOST_LOOSE_MAX
    )


def _shuffled(hits: Sequence[Hit], rng: random.Random) -> list[Hit]:
    return rng.sample(hits, len(hits))


def _without(bar: Bar, gone: Hit, *added: Hit) -> _Hits:
    return (*(hit for hit in bar.hits if hit != gone), *added)


def _free_sixteenths(bar: Bar, voice: Voice, rng: random.Random) -> list[Tick]:
    """Return the off-beat sixteenths on which ``voice`` rests and has not just sounded."""
    sounding = [hit.tick for hit in bar.hits if hit.voice is voice]
    ticks = [
        Tick(tick)
        for tick in range(TICKS_PER_SIXTEENTH, bar.meter.ticks, TICKS_PER_SIXTEENTH)
        if tick % TICKS_PER_BEAT
        and all(abs(tick - other) >= TICKS_PER_SIXTEENTH for other in sounding)
    ]
    return rng.sample(ticks, len(ticks))


def _offset_near(bar: Bar, tick: int) -> int:
    """Return the micro-timing of what already sounds at ``tick``, so that nothing flams."""
    here = [hit.offset for hit in bar.hits if hit.tick == tick]
    return here[0] if here else 0


def _add_ghost(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    if not any(hit.voice is Voice.SNARE for hit in bar.hits):
        return
    for tick in _free_sixteenths(bar, Voice.SNARE, rng):
        ghost = Hit(tick, Voice.SNARE, rng.randint(18, 36), _offset_near(bar, tick))
        yield (*bar.hits, ghost)


def _drop_ghost(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    for hit in _shuffled(bar.hits, rng):
        if hit.voice is Voice.SNARE and not _is_fixed(hit):
            yield _without(bar, hit)


def _move_kick(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    for hit in _shuffled(bar.hits, rng):
        if hit.voice is Voice.KICK and hit.tick % TICKS_PER_BEAT:
            step = rng.choice((-TICKS_PER_SIXTEENTH, TICKS_PER_SIXTEENTH))
            tick = hit.tick + step
            if 0 < tick < bar.meter.ticks:
                yield _without(bar, hit, replace(hit, tick=Tick(tick)))


def _drop_kick(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    for hit in _shuffled(bar.hits, rng):
        if hit.voice is Voice.KICK and hit.tick % TICKS_PER_BEAT:
            yield _without(bar, hit)


def _add_kick(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    kicks = [hit.velocity for hit in bar.hits if hit.voice is Voice.KICK]
    for tick in _free_sixteenths(bar, Voice.KICK, rng) if kicks else ():
        kick = Hit(tick, Voice.KICK, max(1, min(kicks) - 8), _offset_near(bar, tick))
        yield (*bar.hits, kick)


def _open_hat(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    for hit in _shuffled(bar.hits, rng):
        if hit.voice is Voice.CLOSED_HAT and hit.tick % TICKS_PER_BEAT:
            opened = replace(hit, voice=Voice.OPEN_HAT, velocity=min(127, hit.velocity + 8))
            yield _without(bar, hit, opened)


def _accent(bar: Bar, rng: random.Random) -> Iterator[_Hits]:
    for hit in _shuffled(bar.hits, rng):
        if hit.voice in _TIMEKEEPERS or hit.voice in HATS:
            step = ACCENT_STEP if hit.velocity < 64 else -ACCENT_STEP
            yield _without(bar, hit, replace(hit, velocity=hit.velocity + step))


_MOVES: tuple[_Move, ...] = (
    _add_ghost,
    _drop_ghost,
    _move_kick,
    _drop_kick,
    _add_kick,
    _open_hat,
    _accent,
)
