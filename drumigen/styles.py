"""Styles, and the catalogue in which they are found by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import msgspec

from drumigen.errors import SettingsError, StyleNotFoundError
from drumigen.feel.feel import Feel
from drumigen.feel.feel_file import FeelTable, read_feel
from drumigen.form import Form
from drumigen.resources import config_path, read_toml
from drumigen.timekeeping import Keeper
from drumigen.units import TEMPO_MAX, TEMPO_MIN, Bpm


@dataclass(frozen=True, slots=True)
class Style:
    """One way of playing; ``tempo`` is the range in BPM in which it sounds like itself.

    ``bank`` names its bars for the worst case, ``model`` is the path of a checkpoint that plays
    it, None for the shipped one.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    description: str
    tempo: tuple[Bpm, Bpm]
    bank: str
    feel: Feel = Feel()
    model: Path | None = None
    form: Form = Form()

    def tempo_advice(self, bpm: float) -> str | None:
        """Return a warning for a tempo outside the style's range, or None; any tempo is played."""
        low, high = self.tempo
        if low <= bpm <= high:
            return None
        half = " or count in half time" if low <= bpm / 2 <= high else ""
        double = " or count in double time" if low <= bpm * 2 <= high else ""
        return (
            f"{self.title} is at home at {low:g}-{high:g} BPM, not at {bpm:g}: "
            f"choose a tempo in that range{half}{double}"
        )


@dataclass(frozen=True)
class StyleCatalogue:
    """Styles in order of name; names and aliases are found whatever their case or spacing.

    Raises:
        SettingsError: two styles answer to the same name.
    """

    styles: tuple[Style, ...]

    def __post_init__(self) -> None:
        """Refuse names that mean two styles."""
        owners: dict[str, str] = {}
        for style in self.styles:
            for name in (style.name, *style.aliases):
                owner = owners.setdefault(_plain(name), style.name)
                if owner != style.name:
                    message = f"{owner} and {style.name} are both called {name!r}; rename one"
                    raise SettingsError(message)

    def __iter__(self) -> Iterator[Style]:
        """Iterate over the styles."""
        return iter(self.styles)

    def __len__(self) -> int:
        """Return how many styles there are."""
        return len(self.styles)

    @property
    def names(self) -> tuple[str, ...]:
        """The styles' names, in order."""
        return tuple(style.name for style in self.styles)

    def find(self, name: str) -> Style:
        """Return the style called ``name``, by name or alias.

        Raises:
            StyleNotFoundError: there is none; the message names near matches.
        """
        known = self._known()
        found = known.get(_plain(name))
        if found is not None:
            return found
        near = get_close_matches(_plain(name), known, n=3, cutoff=0.5)
        suggested = dict.fromkeys(known[key].name for key in near)
        hint = f"did you mean {' or '.join(suggested)}?" if near else f"try {', '.join(self.names)}"
        message = f"no style is called {name!r}; {hint}"
        raise StyleNotFoundError(message)

    def _known(self) -> Mapping[str, Style]:
        return {
            _plain(name): style for style in self.styles for name in (style.name, *style.aliases)
        }


_Tempo = Annotated[float, msgspec.Meta(ge=TEMPO_MIN, le=TEMPO_MAX)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _FormTable(msgspec.Struct, forbid_unknown_fields=True):
    keepers: tuple[Keeper, ...] = Form().keepers
    backbeat: float = Form().backbeat
    fills: tuple[float, ...] = Form().fills
    fill_beats: tuple[float, ...] = Form().fill_beats


class _StyleFile(msgspec.Struct, forbid_unknown_fields=True):
    title: _Text
    description: str
    tempo: tuple[_Tempo, _Tempo]
    bank: _Text
    aliases: tuple[_Text, ...] = ()
    feel: FeelTable | None = None
    groove: _Text | None = None
    """Path of a file with a feel, such as ``drumigen groove extract`` writes, from this one."""
    model: _Text | None = None
    """Path of a checkpoint, from this file."""
    form: _FormTable = msgspec.field(default_factory=_FormTable)


def load_styles(folder: Path | None = None) -> StyleCatalogue:
    """Return the catalogue of the TOML files in ``folder``, by default the shipped styles.

    Raises:
        SettingsError: a file is wrong; one line that names file, key, value and what is allowed.
    """
    paths = sorted((folder or config_path("styles")).glob("*.toml"))
    return StyleCatalogue(tuple(_style(path) for path in paths))


def _style(path: Path) -> Style:
    read = read_toml(path, _StyleFile, SettingsError)
    low, high = read.tempo
    if low > high:
        message = f"{path}: tempo = [{low:g}, {high:g}]: the lower tempo comes first"
        raise SettingsError(message)
    tempo = Bpm(low), Bpm(high)
    model = path.parent / Path(read.model).expanduser() if read.model else None
    return Style(
        path.stem,
        read.title,
        read.aliases,
        read.description,
        tempo,
        read.bank,
        _feel(path, read),
        model,
        _form(path, read.form),
    )


def _form(path: Path, read: _FormTable) -> Form:
    try:
        return Form(read.keepers, read.backbeat, read.fills, read.fill_beats)
    except SettingsError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error


def _feel(path: Path, read: _StyleFile) -> Feel:
    if read.groove is not None and read.feel is not None:
        message = f"{path}: groove = {read.groove!r}: a [feel] is given too; leave one of them out"
        raise SettingsError(message)
    if read.groove is not None:
        return read_feel(path.parent / read.groove)
    return read.feel.feel(path) if read.feel else Feel()


def _plain(name: str) -> str:
    """Return the letters and digits of ``name`` in lower case: how names are compared."""
    return "".join(character for character in name.casefold() if character.isalnum())
