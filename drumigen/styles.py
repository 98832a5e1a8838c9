"""Styles, and the catalogue in which they are found by name, or by the path of a file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Final

import msgspec

from drumigen.drum_sound import DrumSound
from drumigen.errors import SettingsError, StyleNotFoundError
from drumigen.feel.feel import Feel
from drumigen.feel.feel_file import FeelTable, read_feel
from drumigen.form import Form
from drumigen.resources import bank_names, checkpoint_path, config_path, read_toml
from drumigen.timekeeping import Keeper
from drumigen.units import TEMPO_MAX, TEMPO_MIN, Bpm

OWN_STYLES_MAX: Final = 64
"""Styles of one's own in one folder: bars of every style are kept ready."""
NAMED_MAX: Final = 6
"""Styles that are named where none was meant."""
STYLE_NAME_MAX: Final = 60
"""Characters."""
_GROOVE: Final = ".groove.toml"


@dataclass(frozen=True, slots=True)
class Style:
    """One way of playing; ``tempo`` is the range in BPM in which it sounds like itself.

    ``name`` is how the style is called everywhere; of one that was given by a path, that path.
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
    sound: DrumSound = DrumSound.STANDARD
    """The drum set that it is heard on where we make the sound ourselves."""
    sound_db: float = 0.0
    """Decibels by which live sound is louder, so that styles are as loud as one another."""

    @property
    def label(self) -> str:
        """A short name, fit for a file's."""
        return Path(self.name).stem if _is_path(self.name) else self.name

    @property
    def learnt_as(self) -> tuple[str, ...]:
        """The names by which a network may have learnt it, the best first.

        One that has learnt nothing of that name plays what the bank is of.
        """
        return tuple(dict.fromkeys((self.label, self.bank)))

    @property
    def checkpoint(self) -> Path:
        """The absolute path of the checkpoint that plays it, unless another is set for all."""
        return self.model or checkpoint_path()

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
    """Styles in order; names and aliases are found whatever their case or spacing.

    ``complaints`` are about files that hold no style, a line each.

    Raises:
        SettingsError: two styles answer to the same name.
    """

    styles: tuple[Style, ...]
    complaints: tuple[str, ...] = ()

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
        """Return the style called ``name``, by name or alias, or that of a ``.toml`` file.

        A file is read once in the life of a process.

        Raises:
            StyleNotFoundError: there is none; the message names near matches.
            SettingsError: the file is wrong, or is not there.
        """
        if _is_path(name):
            return _style_at(name.strip())
        known = self._known
        found = known.get(_plain(name))
        if found is not None:
            return found
        near = get_close_matches(_plain(name), known, n=3, cutoff=0.5)
        suggested = dict.fromkeys(known[key].name for key in near)
        some = ", ".join(self.names[:NAMED_MAX])
        lists = f"try {some}, or another of {len(self)}: drumigen styles lists them"
        hint = f"did you mean {' or '.join(suggested)}?" if near else lists
        message = f"no style is called {name[:60]!r}; {hint}"
        raise StyleNotFoundError(message)

    def knows(self, name: str) -> bool:
        """Tell whether a style answers to ``name``."""
        return _plain(name) in self._known

    @cached_property
    def _known(self) -> Mapping[str, Style]:
        return {
            _plain(name): style for style in self.styles for name in (style.name, *style.aliases)
        }

    def joined(self, others: Iterable[Style]) -> "StyleCatalogue":
        """Return the catalogue with ``others`` at its end.

        One that answers to a name that is taken is left out, with a complaint.
        """
        styles, complaints = list(self.styles), list(self.complaints)
        taken = {key: style.name for key, style in self._known.items()}
        for style in others:
            keys = {_plain(name): name for name in (style.name, *style.aliases)}
            other = next((key for key in keys if key in taken), None)
            if other is not None:
                complaints.append(
                    f"{style.name}: {keys[other]!r} is the name of the style {taken[other]}; "
                    "give it another"
                )
                continue
            styles.append(style)
            taken |= dict.fromkeys(keys, style.name)
        return StyleCatalogue(tuple(styles), tuple(complaints))


_Tempo = Annotated[float, msgspec.Meta(ge=TEMPO_MIN, le=TEMPO_MAX)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _FormTable(msgspec.Struct, forbid_unknown_fields=True):
    keepers: tuple[Keeper, ...] = Form().keepers
    backbeat: float = Form().backbeat
    fills: tuple[float, ...] = Form().fills
    fill_beats: tuple[float, ...] = Form().fill_beats
    returns: float = Form().returns


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
    sound: DrumSound = DrumSound.STANDARD
    sound_db: Annotated[float, msgspec.Meta(ge=-24.0, le=12.0)] = 0.0


def load_styles(folder: Path | None = None) -> StyleCatalogue:
    """Return the catalogue of the TOML files in ``folder``, by default the shipped styles.

    :func:`drumigen.catalogue.load_catalogue` adds those of one's own.

    Raises:
        SettingsError: a file is wrong; one line that names file, key, value and what is allowed.
    """
    paths = sorted((folder or config_path("styles")).glob("*.toml"))
    return StyleCatalogue(tuple(_style(path) for path in paths))


def own_styles(folder: Path) -> StyleCatalogue:
    """Return the styles of the TOML files in a user's ``folder``; empty if there is none.

    A file that is wrong is left out, with a complaint; it harms no other.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError):
        return StyleCatalogue(())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return StyleCatalogue((), (f"{folder}: cannot be read ({why}); check permissions",))
    styles: list[Style] = []
    complaints: list[str] = []
    for path in paths:
        if path.name.endswith(_GROOVE):
            continue  # beside the style that uses it
        try:
            if len(styles) == OWN_STYLES_MAX:
                message = f"{folder}: more than {OWN_STYLES_MAX} styles; the others are left out"
                raise SettingsError(message)  # noqa: TRY301 - it is told as those below are
            styles.append(_style(path))
        except SettingsError as error:
            complaints.append(str(error))
            if len(styles) == OWN_STYLES_MAX:
                break
    return StyleCatalogue((), tuple(complaints)).joined(styles)


@lru_cache(OWN_STYLES_MAX)
def _style_at(name: str) -> Style:
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError as error:
        message = f"{name}: there is no such home; check the path"
        raise SettingsError(message) from error
    return replace(_style(path), name=str(path))


def shown_style(name: str) -> str:
    """Return what a screen calls style ``name``: of one that was given by its path, the file's."""
    return Path(name).stem if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name.strip().endswith(".toml")


def _style(path: Path) -> Style:
    read = read_toml(path, _StyleFile, SettingsError)
    if not _plain(path.stem) or len(path.stem) > STYLE_NAME_MAX or not path.stem.isprintable():
        message = f"{path!s}: a style is called as its file: use letters and digits"
        raise SettingsError(message)
    if read.bank not in bank_names():
        message = f"{path}: bank = {read.bank!r}: use one of {', '.join(bank_names())}"
        raise SettingsError(message)
    low, high = read.tempo
    if low > high:
        message = f"{path}: tempo = [{low:g}, {high:g}]: the lower tempo comes first"
        raise SettingsError(message)
    tempo = Bpm(low), Bpm(high)
    model = _beside(path, read.model) if read.model else None
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
        read.sound,
        read.sound_db,
    )


def _form(path: Path, read: _FormTable) -> Form:
    try:
        return Form(read.keepers, read.backbeat, read.fills, read.fill_beats, read.returns)
    except SettingsError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error


def _beside(path: Path, name: str) -> Path:
    """Return the absolute path of a file that is named in the file ``path``."""
    try:
        return (path.parent / Path(name).expanduser()).absolute()
    except RuntimeError as error:
        message = f"{path}: model = {name!r}: there is no such home; check the path"
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
