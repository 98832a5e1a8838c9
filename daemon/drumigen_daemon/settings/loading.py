"""Settings as they were given: in the file, then in the environment, then as flags; all checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from drumigen.catalogue import styles_folder
from drumigen.errors import ControlError, SettingsError
from drumigen.resources import load_toml
from drumigen_daemon.controls.values import (
    one_line,
    shown,
    use_styles,
)
from drumigen_daemon.mqtt.messages import PASSWORD_VARIABLE
from drumigen_daemon.settings.paths import below_home
from drumigen_daemon.settings.sections import ALLOWED, Settings
from drumigen_daemon.workers.settings import WORKERS_PASSWORD_VARIABLE

FILE_NAME: Final = "drumigen.toml"
CONFIG_VARIABLE: Final = "DRUMIGEN_CONFIG"
SYSTEM_FILE: Final = Path("/etc/drumigen") / FILE_NAME
NO_SETTINGS: Final = (CONFIG_VARIABLE, PASSWORD_VARIABLE, WORKERS_PASSWORD_VARIABLE)
"""Variables that look like settings and are none."""
STYLE_SOURCES: Final = ("styles.folder", "generator.model")
"""Keys that say which styles there are."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value for a key, and where it was given."""

    key: str
    """``section.key``."""
    value: object
    origin: str
    """As named in errors: file and key, a variable, or a flag."""
    strict: bool = False
    """Text stands only for itself: in files, where numbers have a form of their own."""


def load_settings(
    path: Path | None,
    environment: Mapping[str, str],
    flags: Sequence[Given] = (),
    *,
    keep_styles: bool = False,
) -> Settings:
    """Return the defaults, overridden by the file, the environment and the flags, in this order.

    Styles are looked for where the settings say, unless ``keep_styles`` are those known before.

    Raises:
        SettingsError: a value is wrong or unknown; one line that says which and what is allowed.
    """
    given = [*(_in_file(path) if path else ()), *_in_environment(environment), *flags]
    given.sort(key=lambda each: each.key not in STYLE_SOURCES)  # names of styles come after them
    values: dict[str, dict[str, Any]] = {}
    settled = keep_styles
    for each in given:
        if not settled and each.key not in STYLE_SOURCES:
            settled = True
            _use_styles(values, environment)
        section, _, key = each.key.partition(".")
        try:
            value = ALLOWED[section][key].take(each.value, strict=each.strict)
        except ControlError as error:
            message = one_line(f"{each.origin}: {error}")
            raise SettingsError(message) from error
        values.setdefault(section, {})[key] = value
    if not settled:
        _use_styles(values, environment)
    defaults = Settings()
    changed = {name: replace(getattr(defaults, name), **keys) for name, keys in values.items()}
    return replace(defaults, **changed)


def _use_styles(values: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]) -> None:
    model = values.get("generator", {}).get("model", "")
    folder = values.get("styles", {}).get("folder", "")
    use_styles(styles_folder(folder, environment), Path(model) if model else None)


def find_file(explicit: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the settings file to use: the one asked for, the user's, the system's, or None.

    Raises:
        SettingsError: a file was asked for and is not there.
    """
    for path, asker in (
        (explicit, "--config"),
        (Path(environment.get(CONFIG_VARIABLE, "")), CONFIG_VARIABLE),
    ):
        if path is not None and str(path) != ".":
            if not path.is_file():
                message = one_line(f"{asker}: there is no file {path}; check the path")
                raise SettingsError(message)
            return path
    candidates = [SYSTEM_FILE]
    folder = environment.get("XDG_CONFIG_HOME") or below_home(environment, ".config")
    if folder:
        candidates.insert(0, Path(folder) / "drumigen" / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _in_file(path: Path) -> list[Given]:
    given = []
    for section, table in load_toml(path, SettingsError).items():
        if section not in ALLOWED:
            _unknown(f"{path}: no section [{shown(section)[1:-1]}]", section, ALLOWED)
        if not isinstance(table, dict):
            message = f"{path}: {section} = {shown(table)}: write a section, [{section}]"
            raise SettingsError(message)
        for key, value in table.items():
            if key not in ALLOWED[section]:
                name = f"{section}.{shown(key)[1:-1]}"
                _unknown(f"{path}: no setting {name}", key, ALLOWED[section])
            found = value
            if (section, key) == ("output", "kit") and str(value).endswith(".toml"):
                found = str(path.parent / str(value))  # it lies beside this file
            given.append(Given(f"{section}.{key}", found, f"{path}: {section}.{key}", strict=True))
    return given


def _in_environment(environment: Mapping[str, str]) -> list[Given]:
    given = []
    for name, value in environment.items():
        # others may well set DRUMIGEN_PORT for a service of that name; ours have a section
        prefix, _, rest = name.partition("_")
        section, _, key = rest.lower().partition("_")
        known = section in ALLOWED and name not in NO_SETTINGS
        if prefix != "DRUMIGEN" or not known:
            continue
        if key not in ALLOWED[section]:
            names = [f"DRUMIGEN_{section}_{known}".upper() for known in ALLOWED[section]]
            _unknown(f"environment: no setting {shown(name)[1:-1]}", name, names)
        given.append(Given(f"{section}.{key}", value, name))
    return given


def hint(key: str) -> str:
    """Return what a ``section.key`` that is no setting was meant to be, as far as we can guess."""
    section, _, name = key[:100].strip().lower().rpartition(".")
    by_name = {name: f"{part}.{name}" for part, names in ALLOWED.items() for name in names}
    near = get_close_matches(name, ALLOWED.get(section, ()), n=1)
    if near:
        return f"did you mean {section}.{near[0]}?"
    whole = by_name.get(name) or next(
        (by_name[each] for each in get_close_matches(name, by_name, n=1)), None
    )
    if whole:
        return f"did you mean {whole}?"
    if section in ALLOWED:
        return f"[{section}] has {', '.join(ALLOWED[section])}"
    return f"the sections are {', '.join(ALLOWED)}"


def _meant(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    near = get_close_matches(name[:100], list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _unknown(complaint: str, name: str, known: Mapping[str, object] | Sequence[str]) -> None:
    message = one_line(f"{complaint}: {_meant(name, known)}")
    raise SettingsError(message)
