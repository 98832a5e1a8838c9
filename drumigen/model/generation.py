"""Generating bars: one bar of many rows at once, or a pattern of several bars."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drumigen.errors import DeviceError, ModelError
from drumigen.model.checkpoint import Checkpoint
from drumigen.model.conditions import Conditions
from drumigen.model.demands import Demands, Owed
from drumigen.model.devices import FAULTS, clear_gpu_cache
from drumigen.model.network import CONTEXT_BARS, COUNT_MAX
from drumigen.model.panels import CHUNK_ROWS
from drumigen.model.sampling import LENGTH_MAX, Sampling, draw, draw_events, draw_offsets
from drumigen.model.stepper import LINE, Floats, RowCache, Stepper
from drumigen.model.tokens import BinnedNote, bar_of, encode, notes_of
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VOICE_ORDER
from drumigen.model.whole_bars import BarDecoder
from drumigen.pattern import DENSITY_MAX, Bar, repaired
from drumigen.units import TICKS_PER_BEAT

if TYPE_CHECKING:
    import torch

CONTEXT_STEP: Final = 4
"""The first bar of a context is a multiple of this in the song, so that what was read for one
bar serves for the next ones."""
CACHES_MAX: Final = 96
"""Contexts that are kept read, unless told: half a megabyte each."""
READ_STEPS: Final = 8 * CHUNK_ROWS
CHANCES: Final = 5
"""Random numbers for a hit: event, velocity, offset, and two to spread it over its bins."""
PHILOX_SEED_MAX: Final = 2**63 - 1

ConditionedBar = tuple[Bar, Conditions]


@dataclass(frozen=True, slots=True)
class Row:
    """A bar to be written.

    ``context`` are the bars before it, each with what it was played under, the last one directly
    before; ``number`` is its place in the song.  The same row gives the same bar, whatever it is
    batched with.
    """

    conditions: Conditions
    seed: int = 0
    number: int = 0
    context: tuple[ConditionedBar, ...] = ()
    sampling: Sampling = Sampling()
    dither: bool = True
    """Spread velocity and timing over their bins, as a human's are; else take the middle."""
    events: tuple[int, ...] = ()
    """What is struck, if that is given, in the order of the grammar: only how hard and when is
    drawn then."""
    demands: Demands = Demands()
    """What it strikes, or ends."""


@dataclass(frozen=True)
class Pattern:
    """Bars with what they were played under."""

    bars: tuple[Bar, ...]
    conditions: tuple[Conditions, ...] = field(default=(), hash=False)

    def tokens(self, styles: Sequence[str]) -> list[int]:
        """Return the pattern as tokens, STYLE ones counted along ``styles``."""
        return encode(self.bars, self.conditions, styles)[0]


def generate_batch(
    checkpoint: Checkpoint, rows: Sequence[Row], kept: "Contexts | None" = None
) -> list[Bar]:
    """Return a bar for each row, all of them written in step.

    ``kept`` remembers contexts that were read before; it changes how long this takes, and nothing
    else.  A GPU that fails is replaced by the CPU, for good.

    Raises:
        ModelError: a style is not the network's, or its output is no number.
    """
    contexts = kept or Contexts()
    if checkpoint.decoder is not None and not FAULTS.of(checkpoint.device):
        from drumigen.model.device_batch import DeviceBatch  # noqa: PLC0415 - it imports this

        free = [row for row in rows if not row.demands.forced]
        forced = [row for row in rows if row.demands.forced]  # few: only here can they be
        try:
            bars = iter(DeviceBatch(checkpoint, checkpoint.decoder, free, contexts).written())
            others = iter(_Batch(checkpoint.on_cpu, forced, contexts).written())
            return [next(others if row.demands.forced else bars) for row in rows]
        except DeviceError as error:
            FAULTS.add(checkpoint.device, str(error))
            clear_gpu_cache()
    return _Batch(checkpoint.on_cpu, rows, contexts).written()


def generate_pattern(  # noqa: PLR0913 - each of them is a control
    checkpoint: Checkpoint,
    conditions: Conditions,
    bars: int = 4,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    max_length: int = LENGTH_MAX,
    seed: int = 0,
    generator: "torch.Generator | None" = None,
) -> Pattern:
    """Return ``bars`` consecutive bars played under ``conditions``.

    ``top_k`` 0 and ``top_p`` 1 are off; :meth:`Pattern.tokens` are ``max_length`` at most, and
    the bar in which they run out is the last one and ends there; ``seed`` is 0 to 2^63 - 1, or
    drawn from a ``generator`` of torch.

    Raises:
        ModelError: a value is out of range, ``max_length`` has no room for a hit, or the
            network's output is no number.
    """
    sampling = Sampling(temperature, top_k, top_p)
    if bars < 1 or max_length < 1:
        message = f"{bars} bars of at most {max_length} tokens: both are at least 1"
        raise ModelError(message)
    if generator is not None:
        import torch  # noqa: PLC0415 - whoever has a generator has it loaded

        seed = int(torch.randint(PHILOX_SEED_MAX, (), generator=generator, device=generator.device))
    if not 0 <= seed <= PHILOX_SEED_MAX:
        message = f"seed {seed}: use 0 to {PHILOX_SEED_MAX}"
        raise ModelError(message)
    styles = checkpoint.config.styles
    kept = Contexts()
    played: list[ConditionedBar] = []
    for number in range(bars):
        phrase = number if conditions.phrase is None else conditions.phrase + number
        under = replace(conditions, phrase=phrase)
        row = Row(under, seed, number, tuple(played[-CONTEXT_BARS:]), sampling)
        (bar,) = generate_batch(checkpoint, [row], kept)
        played.append((bar, under))
        pattern = _pattern(played)
        over = len(pattern.tokens(styles)) - max_length
        if over >= 0:
            return _cut(pattern, over, styles)
    return _pattern(played)


def _pattern(played: Sequence[ConditionedBar]) -> Pattern:
    return Pattern(tuple(bar for bar, _ in played), tuple(under for _, under in played))


def _cut(pattern: Pattern, over: int, styles: Sequence[str]) -> Pattern:
    """Return the pattern without so many of its last tokens: hits, and a bar that is left none.

    Raises:
        ModelError: not even the first hit fits.
    """
    wanted = len(pattern.tokens(styles)) - over
    *before, last = pattern.bars
    hits = sorted(last.hits, key=lambda hit: hit.sounding_tick)
    while over > 0 and hits:
        del hits[-1]
        left = replace(last, hits=tuple(hit for hit in last.hits if hit in hits))
        pattern = replace(pattern, bars=(*before, left))
        over = len(pattern.tokens(styles)) - wanted
    if over > 0 or (not hits and last.hits):
        pattern = Pattern(tuple(before), pattern.conditions[: len(before)])
    if not pattern.bars:
        message = f"max_length {wanted} has no room for a hit; a bar takes about 100 tokens"
        raise ModelError(message)
    return pattern


def estimate_generation_time(checkpoint: Checkpoint, bars: int = 1, rows: int = 1) -> float:
    """Return the seconds that ``bars`` bars of ``rows`` rows will take, from a trial just now.

    Raises:
        ModelError: ``bars`` or ``rows`` is below 1.
    """
    if bars < 1 or rows < 1:
        message = f"{bars} bars of {rows} rows: both are at least 1"
        raise ModelError(message)
    styles = sorted(checkpoint.learnt)
    trial = [
        Row(Conditions(styles=((styles[seed % len(styles)], 1.0),)), seed) for seed in range(rows)
    ]
    generate_batch(checkpoint, trial[:1])  # the first one loads libraries
    began = time.perf_counter()
    generate_batch(checkpoint, trial)
    return (time.perf_counter() - began) * bars


def context_of(row: Row) -> tuple[ConditionedBar, ...]:
    """Return the part of a row's context that is read: it begins at a multiple of 4 in the song."""
    first = row.number - min(len(row.context), CONTEXT_BARS)
    first += -first % CONTEXT_STEP if len(row.context) >= CONTEXT_BARS else 0
    count = row.number - first
    return row.context[len(row.context) - count :] if count > 0 else ()


class Contexts:
    """What networks read before, by context: the least recently used is forgotten.

    Any number of threads may share one; a cache that is kept is never changed.
    """

    def __init__(self, most: int = CACHES_MAX) -> None:
        """Know nothing; keep ``most`` contexts at a time."""
        self._most = most
        self._kept: OrderedDict[tuple[Stepper | BarDecoder, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def longest(self, stepper: Stepper | BarDecoder, keys: Sequence[int]) -> tuple[int, Any]:
        """Return how many bars of a context that network read before, and its cache of them.

        ``keys`` are those of its beginnings, the shortest first.
        """
        with self._lock:
            for count in range(len(keys), 0, -1):
                key = stepper, keys[count - 1]
                cache = self._kept.get(key)
                if cache is not None:
                    self._kept.move_to_end(key)
                    return count, cache
        return 0, None

    def keep(
        self,
        stepper: Stepper | BarDecoder,
        key: int,
        cache: Any,  # noqa: ANN401 - the stepper's own
    ) -> None:
        """Remember ``cache`` as what the context of that key leaves in that network."""
        with self._lock:
            self._kept[stepper, key] = cache
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def owed_by(row: Row) -> Owed | None:
    """Return what the bar of ``row`` owes before anything of it is drawn; None for nothing."""
    return None if row.demands == Demands() else row.demands.of(row.conditions.meter)


def key_of(before: int, played: ConditionedBar) -> int:
    """Return the key of a context that goes on with ``played`` after the one of key ``before``."""
    return hash((before, played))


class _Writing:
    """One row while its bar is being written."""

    def __init__(self, checkpoint: Checkpoint, row: Row, kept: Contexts) -> None:
        self.row = row
        self.meter = row.conditions.meter
        self.sixteenths = self.meter.sixteenths
        self.sampling = row.sampling
        self.of_velocity = row.sampling.of_velocity
        self.conditions = _embedding(checkpoint, row.conditions)
        self.notes: list[BinnedNote] = []
        self._left = list(row.events)
        self.owed = owed_by(row)
        self.last = LINE
        self.most = int(DENSITY_MAX * self.meter.ticks / TICKS_PER_BEAT)
        rng = np.random.Generator(np.random.Philox([row.seed & PHILOX_SEED_MAX, row.number]))
        self.chances = rng.random((self.most + 1, CHANCES)).tolist()
        context = context_of(row)
        keys = list(accumulate(context, key_of, initial=0))
        self.key = keys[-1]
        self.cache, self.start = _read(checkpoint, context, keys[1:], kept)

    @property
    def time(self) -> float:
        """Sixteenths from the row's first bar line to the last step."""
        event = self.last.event
        return self.start + (0 if event == BAR_LINE else event // len(VOICE_ORDER))

    def next_event(self, event: int) -> int:
        """Return ``event``; the next of those that are given, if any are; or the end."""
        if not self.row.events:
            left_out = self.owed is not None and self.owed.leaves_out(event)
            return BAR_LINE if left_out else event
        while self._left:
            given = self._left.pop(0)
            if given != self.last.event or self.last.offset < OFFSETS - 1:
                return given
        return BAR_LINE

    def bar(self) -> Bar:
        spread = (chance for row in self.chances for chance in row[3:])
        return repaired(bar_of(self.notes, self.meter, spread if self.row.dither else None))


def checked_shares(checkpoint: Checkpoint, under: Conditions) -> list[float]:
    """Return the share of each style of ``checkpoint`` in ``under``.

    Raises:
        ModelError: a style is not the network's.
    """
    unknown = [name for name, _ in under.styles if name not in checkpoint.learnt]
    if unknown:
        has = ", ".join(name for name in checkpoint.config.styles if name in checkpoint.learnt)
        message = f"style {unknown[0]!r} is not in this checkpoint; it has {has}"
        raise ModelError(message)
    shares = dict(under.styles)
    return [shares.get(name, 0.0) for name in checkpoint.config.styles]


def _embedding(checkpoint: Checkpoint, under: Conditions) -> Floats:
    return checkpoint.stepper.condition_embedding(under.ids(), checked_shares(checkpoint, under))


def _read(
    checkpoint: Checkpoint,
    context: tuple[ConditionedBar, ...],
    keys: Sequence[int],
    kept: Contexts,
) -> tuple[RowCache, int]:
    """Return the cache of ``context``, for the caller to go on with, and its sixteenths."""
    stepper = checkpoint.stepper
    known, cache = kept.longest(stepper, keys)
    cache = cache.copied() if cache is not None else stepper.cache()
    start = sum(bar.meter.sixteenths for bar, _ in context[:known])
    steps: list[tuple[BinnedNote, int, Floats]] = []
    for bar, under in context[known:]:
        conditions = _embedding(checkpoint, replace(under, meter=bar.meter))
        rows, _ = notes_of([bar])
        steps.append((LINE, start, conditions[0]))
        steps += [
            (note, start + note.event // len(VOICE_ORDER), conditions[min(nth, COUNT_MAX - 1)])
            for nth, note in enumerate(rows[0], 1)
        ]
        start += bar.meter.sixteenths
    for first in range(0, len(steps), READ_STEPS):
        notes, times, embeddings = zip(*steps[first : first + READ_STEPS], strict=True)
        stepper.read([cache] * len(notes), notes, times, np.array(embeddings))
    if steps:
        kept.keep(stepper, keys[-1], cache.copied())
    return cache, start


class _Batch:
    """Rows whose bars are written in step, a hit at a time."""

    def __init__(self, checkpoint: Checkpoint, rows: Sequence[Row], kept: Contexts) -> None:
        self._stepper = checkpoint.stepper
        self._kept = kept
        self._rows = [_Writing(checkpoint, row, kept) for row in rows]

    def written(self) -> list[Bar]:
        going = self._rows
        while going:
            hidden = self._stepper.read(
                [row.cache for row in going],
                [row.last for row in going],
                [row.time for row in going],
                np.array([row.conditions[min(len(row.notes), COUNT_MAX - 1)] for row in going]),
            )
            going = self._drawn(going, hidden)
        return [self._finished(row) for row in self._rows]

    def _drawn(self, going: list[_Writing], hidden: Floats) -> list[_Writing]:
        """Draw the next hit of each row; return the rows whose bar goes on."""
        logits, details = self._stepper.events(hidden)
        for row, row_logits in zip(going, logits, strict=True):
            if row.owed is not None and not row.row.events:
                row.owed.hide_events(row_logits)
        events = draw_events(
            logits,
            [row.last for row in going],
            [row.sixteenths for row in going],
            [row.chances[len(row.notes)][0] for row in going],
            [row.sampling for row in going],
        )
        events = [row.next_event(event) for row, event in zip(going, events, strict=True)]
        on = [
            place
            for place, (row, event) in enumerate(zip(going, events, strict=True))
            if event != BAR_LINE and len(row.notes) < row.most
        ]
        if not on:
            return []
        if len(on) < len(going):
            going, events = [going[place] for place in on], [events[place] for place in on]
            details = details[on]
        chances = [row.chances[len(row.notes)] for row in going]
        velocity_logits, details = self._stepper.velocities(details, events)
        for row, event, row_logits in zip(going, events, velocity_logits, strict=True):
            if row.owed is not None:
                row.owed.hide_velocities(row_logits, event)
        velocities = draw(
            velocity_logits, [chance[1] for chance in chances], [row.of_velocity for row in going]
        )
        offset_logits = self._stepper.offsets(details, velocities)
        for row, event, row_logits in zip(going, events, offset_logits, strict=True):
            if row.owed is not None:
                row.owed.hide_offsets(row_logits, event)
        offsets = draw_offsets(
            offset_logits,
            events,
            [row.last for row in going],
            [chance[2] for chance in chances],
            [row.sampling for row in going],
        )
        for row, *note in zip(going, events, velocities, offsets, strict=True):
            row.last = BinnedNote(*note)
            row.notes.append(row.last)
            if row.owed is not None:
                row.owed.struck(row.last)
        return going

    def _finished(self, row: _Writing) -> Bar:
        bar = row.bar()
        if len(row.notes) < row.most and notes_of([bar])[0][0] == row.notes:
            # the steps just taken are what reading this bar would take
            played = bar, replace(row.row.conditions, meter=bar.meter)
            self._kept.keep(self._stepper, key_of(row.key, played), row.cache)
        return bar
