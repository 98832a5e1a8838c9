"""Feel as it stands in a TOML file: the table ``[feel]`` of a style, or a groove of its own."""

from pathlib import Path

import msgspec

from drumigen.errors import SettingsError
from drumigen.feel.feel import Dynamics, Feel, FeelModel, Ornaments, SwingUnit
from drumigen.kit import Voice
from drumigen.resources import read_toml

_DEFAULT = Feel()


class _OrnamentsTable(msgspec.Struct, forbid_unknown_fields=True):
    ghosts: float = 0.0
    flams: float = 0.0
    drags: float = 0.0
    rolls: float = 0.0


class _DynamicsTable(msgspec.Struct, forbid_unknown_fields=True):
    levels: dict[Voice, tuple[float, ...]] = {}
    pull: float = _DEFAULT.dynamics.pull
    ghost: float = _DEFAULT.dynamics.ghost
    backbeats: tuple[int, ...] = ()
    spread: float = _DEFAULT.dynamics.spread
    variety: float = _DEFAULT.dynamics.variety


class FeelTable(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[feel]``; its keys are the fields of :class:`~drumigen.feel.feel.Feel`."""

    model: FeelModel = _DEFAULT.model
    amount: float = _DEFAULT.amount
    swing: float = _DEFAULT.swing
    swing_unit: SwingUnit = _DEFAULT.swing_unit
    swing_spread: float = _DEFAULT.swing_spread
    push_spread_ms: float = _DEFAULT.push_spread_ms
    swing_shares: dict[Voice, float] = {}
    push_ms: dict[Voice, float] = {}
    template: dict[Voice, tuple[float, ...]] = {}
    template_bars: int = _DEFAULT.template_bars
    wobble_ms: float = _DEFAULT.wobble_ms
    residual_ms: float = _DEFAULT.residual_ms
    spread_ms: float = _DEFAULT.spread_ms
    keep: float = _DEFAULT.keep
    dynamics: _DynamicsTable = msgspec.field(default_factory=_DynamicsTable)
    ornaments: _OrnamentsTable = msgspec.field(default_factory=_OrnamentsTable)

    def feel(self, path: Path) -> Feel:
        """Return the feel of the table.

        Raises:
            SettingsError: a value is out of range; one line that names ``path``, key, value and
                what is allowed.
        """
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        try:
            fields["dynamics"] = Dynamics(**msgspec.structs.asdict(self.dynamics))
            fields["ornaments"] = Ornaments(**msgspec.structs.asdict(self.ornaments))
            return Feel(**fields)
        except SettingsError as failure:
            message = f"{path}: {failure}"
            raise SettingsError(message) from failure


class _GrooveFile(msgspec.Struct, forbid_unknown_fields=True):
    feel: FeelTable


def read_feel(path: Path) -> Feel:
    """Return the feel in the file ``path``, which has the one table ``[feel]``.

    Raises:
        SettingsError: it cannot be read, or is wrong; one line.
    """
    return read_toml(path, _GrooveFile, SettingsError).feel.feel(path)
