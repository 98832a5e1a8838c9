"""Units of musical time, and the constants that tie them together."""

from typing import NewType

Tick = NewType("Tick", int)
"""The finest musical step: 1/1920 of a quarter note."""

Seconds = NewType("Seconds", float)
"""Seconds of the monotonic clock, or a span of them."""

Bpm = NewType("Bpm", float)
"""Quarter notes per minute."""

CLOCK_PPQN = 24
"""MIDI clock pulses per quarter note (MIDI 1.0)."""

TICKS_PER_BEAT = 1920
"""Ticks per quarter note; divides pulses, 32nds, triplets and quintuplets; 0.26 ms at 120 BPM."""

TICKS_PER_PULSE = TICKS_PER_BEAT // CLOCK_PPQN
TICKS_PER_SIXTEENTH = TICKS_PER_BEAT // 4
"""Also the unit of the song position pointer ("MIDI beat")."""

TEMPO_MIN = Bpm(20.0)
TEMPO_MAX = Bpm(400.0)
TEMPO_DEFAULT = Bpm(120.0)

SONG_POSITION_MAX = 16_383
"""Largest song position pointer, in sixteenths (14 bits)."""


def seconds_per_tick(tempo: float) -> float:
    """Return how long a tick lasts at ``tempo`` BPM."""
    return 60.0 / (tempo * TICKS_PER_BEAT)


def ms_per_tick(tempo: float) -> float:
    """Return how many milliseconds a tick lasts at ``tempo`` BPM."""
    return 60_000 / (tempo * TICKS_PER_BEAT)


def ticks_per_ms(tempo: float) -> float:
    """Return how many ticks a millisecond holds at ``tempo`` BPM."""
    return tempo * TICKS_PER_BEAT / 60_000
