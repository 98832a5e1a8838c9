"""The deterministic mock: the beat every drummer can play, for tests and for the worst case."""

import math
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drumigen.fitting import felt_beat
from drumigen.kit import VOICES, Voice
from drumigen.model.vocabulary import BOS, EOS, VOCABULARY
from drumigen.pattern import Bar, Hit
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, TICKS_PER_SIXTEENTH, Tick

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drumigen.model.network import ModelConfig

_EIGHTH = TICKS_PER_BEAT // 2
_KICK, _SNARE, _HAT = 108, 104, 76
MOCK_STYLES: Final = ("funk", "jazz", "rock")


def mock_bar(meter: Meter, style: str = "") -> Bar:
    """Return kick on 1 and 3, snare on 2 and 4, closed hats in eighths, to the end of ``meter``.

    Counted in quarters; in 6/8, 9/8 and 12/8 the dotted quarters are counted instead.  How loud
    it is, and how much softer the hats are off the beat, goes by ``style``, whatever its name.
    """
    louder, softer = _dynamics(style)
    beat = felt_beat(meter)
    hits = [
        Hit(Tick(tick), Voice.CLOSED_HAT, _HAT + louder - softer * (tick % beat != 0))
        for tick in range(0, meter.ticks, _EIGHTH)
    ]
    for number, tick in enumerate(range(0, meter.ticks, beat)):
        voice, velocity = (Voice.SNARE, _SNARE) if number % 2 else (Voice.KICK, _KICK)
        hits.append(Hit(Tick(tick), voice, velocity + louder))
    return Bar(meter, tuple(hits))


def _dynamics(style: str) -> tuple[int, int]:
    """Return velocities added to all strokes, and taken from hats off the beat."""
    if not style:
        return 0, 14
    louder, softer = divmod(zlib.crc32(style.encode()), 29)
    return louder % 37 - 24, 4 + softer


def get_mock_tokens(bars: int = 4, style: str = "") -> list[int]:
    """Return ``bars`` of the mock's bar in 4/4 as the batch prototype wrote them.

    That is a BAR, all sixteen POSITIONs whether struck or not, and NOTE_ON and VELOCITY of each
    hit: 41 tokens a bar, and 166 with BOS and EOS for the usual four.
    """
    bar = mock_bar(Meter(), style)
    tokens = [BOS]
    for number in range(bars):
        tokens.append(VOCABULARY["BAR"].first + number % VOCABULARY["BAR"].size)
        for position in range(bar.meter.sixteenths):
            tokens.append(VOCABULARY["POSITION"].first + position)
            for hit in bar.at(position * TICKS_PER_SIXTEENTH):
                tokens.append(VOCABULARY["NOTE_ON"].first + VOICES[hit.voice].note)
                tokens.append(VOCABULARY["VELOCITY"].first + hit.velocity)
    return [*tokens, EOS]


def create_mock_checkpoint(
    path: Path, config: "ModelConfig | None" = None, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a small checkpoint of random weights, the same each time; return ``path``.

    What it plays is no music, but it loads, and everything a checkpoint has to do works.
    """
    # the daemon knows this module too, and needs neither
    from drumigen.model.checkpoint import save_checkpoint  # noqa: PLC0415
    from drumigen.model.network import ModelConfig, weight_shapes  # noqa: PLC0415

    if config is None:
        config = ModelConfig(MOCK_STYLES, width=24, layers=2, heads=2, kv_heads=1, detail_width=16)
    rng = random.Random(0)  # noqa: S311 - a mock
    weights = {name: _drawn(rng, shape) for name, shape in weight_shapes(config).items()}
    save_checkpoint(config, weights, path, metadata)
    return path


def _drawn(rng: random.Random, shape: tuple[int, ...]) -> "NDArray[np.generic]":
    import numpy as np  # noqa: PLC0415 - as above

    return np.array([rng.gauss(0, 0.15) for _ in range(math.prod(shape))]).reshape(shape)
