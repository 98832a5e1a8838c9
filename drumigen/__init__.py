"""drumigen: the musical core.  What is played; never when, nor through which port.

The names below are the public interface; each is loaded when it is first used, so that importing
this package costs nothing.  ``docs/API.md`` shows how they are used together.

>>> import drumigen
>>> drumigen.load_styles().find("dilla").tempo
(78.0, 98.0)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from drumigen.feel.feel import Feel
    from drumigen.feel.humanize import humanize
    from drumigen.kit import Voice, load_kit
    from drumigen.midi.file import read_song, write_song
    from drumigen.midi.song import bars_from_song, song_from_bars
    from drumigen.model.checkpoint import load_model
    from drumigen.model.conditions import Conditions
    from drumigen.model.generation import Row, generate_batch, generate_pattern
    from drumigen.pattern import Bar, Hit
    from drumigen.styles import load_styles
    from drumigen.timeline import Meter

__version__ = "0.2.0"

_HOMES: Final = {
    "Bar": "drumigen.pattern",
    "Conditions": "drumigen.model.conditions",
    "Feel": "drumigen.feel.feel",
    "Hit": "drumigen.pattern",
    "Meter": "drumigen.timeline",
    "Row": "drumigen.model.generation",
    "Voice": "drumigen.kit",
    "bars_from_song": "drumigen.midi.song",
    "generate_batch": "drumigen.model.generation",
    "generate_pattern": "drumigen.model.generation",
    "humanize": "drumigen.feel.humanize",
    "load_kit": "drumigen.kit",
    "load_model": "drumigen.model.checkpoint",
    "load_styles": "drumigen.styles",
    "read_song": "drumigen.midi.file",
    "song_from_bars": "drumigen.midi.song",
    "write_song": "drumigen.midi.file",
}

__all__ = [
    "Bar",
    "Conditions",
    "Feel",
    "Hit",
    "Meter",
    "Row",
    "Voice",
    "__version__",
    "bars_from_song",
    "generate_batch",
    "generate_pattern",
    "humanize",
    "load_kit",
    "load_model",
    "load_styles",
    "read_song",
    "song_from_bars",
    "write_song",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever bears the name
    """Load a public name from where it lives."""
    if name not in _HOMES:
        message = f"module 'drumigen' has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
