"""Settings: what was given in the file, then in the environment, then as flags; all of it checked.

Every value is checked by the range that the control of the same meaning has, so that a settings
file can ask for no more than a performer can.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec

from drumigen.arrange import Section
from drumigen.catalogue import styles_folder
from drumigen.errors import ControlError, SettingsError
from drumigen.kit import Voice
from drumigen.mix import Mix
from drumigen.resources import load_toml
from drumigen.timeline import Meter
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.values import (
    BLEND,
    BUILD_BARS,
    COUNT_IN,
    FILL_EVERY,
    KIT,
    METER,
    MODEL,
    OFFSET_MS,
    PERCENT,
    PHRASE,
    POINTS,
    PUSH_MS,
    READING,
    SEED,
    STYLE,
    SWING,
    SWITCH,
    TEMPERATURE,
    TEMPO,
    TEXTS,
    TOP_K,
    TOP_P,
    VOICE_OFFSETS,
    VOICE_SET,
    Allowed,
    absolute_path,
    choice,
    choice_or_installed,
    one_line,
    one_of,
    one_of_or_installed,
    shown,
    text,
    use_styles,
    whole,
)
from drumigen_daemon.engine.messages import (
    CLOCK_GROUP,
    ClockSource,
    DropOut,
    EngineParameters,
    EngineSetup,
)
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.generator.writers import GROUP as WRITER_GROUP
from drumigen_daemon.generator.writers import WRITERS
from drumigen_daemon.listen.settings import SoundSettings
from drumigen_daemon.mqtt.messages import PASSWORD_VARIABLE, MqttSettings
from drumigen_daemon.ports import PortPlan, VirtualPort, controller_ports
from drumigen_daemon.session import FeelKnobs, Quantum, Session, SongForm
from drumigen_daemon.web.messages import WebSettings
from drumigen_daemon.workers.settings import WORKERS_PASSWORD_VARIABLE, WorkersSettings

FILE_NAME: Final = "drumigen.toml"
CONFIG_VARIABLE: Final = "DRUMIGEN_CONFIG"
SYSTEM_FILE: Final = Path("/etc/drumigen") / FILE_NAME
SOCKET_NAME: Final = "drumigen.sock"
TOKEN_NAME: Final = "web-token"  # noqa: S105 - the name of a file

BACKENDS: Final = ("auto", "jack", "alsa", "rtmidi", "null")
BACKEND_GROUP: Final = "drumigen.ports"
"""Entry points that are MIDI systems, see :mod:`drumigen_daemon.ports.choose`."""
LEVELS: Final = ("debug", "info", "warning", "error")

Reading = Literal["half", "normal", "double"]
Patterns = Annotated[tuple[str, ...], TEXTS]


@dataclass(frozen=True, slots=True)
class MidiSettings:
    """Which MIDI system, and what our ports are connected with."""

    backend: Annotated[str, one_of_or_installed(BACKENDS, BACKEND_GROUP)] = "auto"
    api: Annotated[str, one_of("auto", "alsa", "jack", "coremidi", "winmm")] = "auto"
    """The system below rtmidi."""
    client: Annotated[str, text(1, 32, "1 to 32 characters, no colon", ":")] = "drumigen"
    inputs: Patterns = ()
    outputs: Patterns = ()
    clock_outputs: Patterns = ()
    feedback_outputs: Patterns = ()
    """Who shows where controls stand; none opens no port for it."""
    split_inputs: Annotated[bool, SWITCH] = False


class StartMode(StrEnum):
    """When the song begins."""

    WAIT = "wait"
    """When somebody says so."""
    AT_ONCE = "at once"
    """As soon as the daemon runs and the first bar is there."""


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """Who gives the tempo, and how it is understood."""

    source: Annotated[str, choice_or_installed(ClockSource, CLOCK_GROUP)] = ClockSource.AUTO
    tempo: Annotated[float, TEMPO] = TEMPO_DEFAULT
    reading: Annotated[Reading, READING] = "normal"
    drop_out: Annotated[DropOut, choice(DropOut)] = DropOut.FREE_RUN
    start: Annotated[StartMode, choice(StartMode)] = StartMode.WAIT
    start_on_clock: Annotated[bool, SWITCH] = False
    send_clock: Annotated[bool, SWITCH] = True


@dataclass(frozen=True, slots=True)
class SongSettings:
    """What is played."""

    style: Annotated[str, STYLE] = "rock"
    meter: Annotated[Meter, METER] = Meter()
    seed: Annotated[int, SEED] = 1
    quantum: Annotated[Quantum, choice(Quantum)] = Quantum.BEAT
    variation: Annotated[bool, SWITCH] = True
    phrase: Annotated[int, PHRASE] = 8
    fill_every: Annotated[int | None, FILL_EVERY] = None
    fill_amount: Annotated[int | None, POINTS] = None
    form: Annotated[SongForm, choice(SongForm)] = SongForm.OFF
    section: Annotated[Section, choice(Section)] = Section.NONE
    density: Annotated[int | None, POINTS] = None
    intensity: Annotated[int | None, POINTS] = None
    busy: Annotated[int | None, POINTS] = None
    temperature: Annotated[float, TEMPERATURE] = 1.0
    blend: Annotated[str, BLEND] = ""
    share: Annotated[int, PERCENT] = 0
    mute: Annotated[frozenset[Voice], VOICE_SET] = frozenset()
    """Voices that are silent to begin with."""
    build_bars: Annotated[int, BUILD_BARS] = 4
    count_in: Annotated[int, COUNT_IN] = 0


@dataclass(frozen=True, slots=True)
class FeelSettings:
    """How a style's feel is turned to begin with."""

    swing: Annotated[float | None, SWING] = None
    push_ms: Annotated[float, PUSH_MS] = 0.0
    humanize: Annotated[int, PERCENT] = 100


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """How it leaves."""

    kit: Annotated[str, KIT] = "gm"
    offset_ms: Annotated[float, OFFSET_MS] = 0.0
    voice_offsets_ms: Annotated[Mapping[Voice, float], VOICE_OFFSETS] = field(
        default_factory=dict, hash=False
    )


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """Who writes the bars."""

    writer: Annotated[str, one_of_or_installed(tuple(WRITERS), WRITER_GROUP)] = "model"
    model: Annotated[str, MODEL] = ""
    """Path of a checkpoint; empty for the shipped one."""
    device: Annotated[str, one_of("cpu", "auto", "cuda", "mps")] = "cpu"
    top_k: Annotated[int, TOP_K] = 0
    """Draw among so many of the likeliest events; 0 among all."""
    top_p: Annotated[float, TOP_P] = 1.0
    """Draw among the likeliest that together have this chance."""


@dataclass(frozen=True, slots=True)
class StylesSettings:
    """Styles of one's own."""

    folder: Annotated[str, absolute_path()] = ""
    """Where they are; empty for :func:`drumigen.catalogue.styles_folder`."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The process that keeps time."""

    realtime_priority: Annotated[int, whole(0, 99)] = 70


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How the running daemon is spoken to."""

    socket: Annotated[str, text(0, 100, "a path of at most 100 characters")] = ""
    """Path of the local socket; empty for :func:`socket_paths`."""
    maps: Annotated[tuple[str, ...], TEXTS] = ("default",)
    """Controller maps, by name or path."""
    learned: Annotated[str, text(0, 1000, "a path")] = ""
    """File of learned bindings; empty for one in the user's folder of settings."""
    scenes: Annotated[str, text(0, 1000, "a path")] = ""
    """File of scenes; empty for one in the user's folder of state."""


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What is remembered for export."""

    bars: Annotated[int, whole(1, 100_000)] = 4096
    folder: Annotated[str, absolute_path()] = ""
    """Where bars are kept on disk as they are played; empty for :func:`journal_folder`."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where Prometheus finds us."""

    host: Annotated[str, text(1, 253, "a name or address of this machine", " /")] = "127.0.0.1"
    port: Annotated[int, whole(0, 65_535)] = 0
    """0 for no endpoint."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is told."""

    level: Annotated[str, one_of(*LEVELS)] = "info"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set before the daemon starts; a section each."""

    midi: MidiSettings = MidiSettings()
    clock: ClockSettings = ClockSettings()
    song: SongSettings = SongSettings()
    feel: FeelSettings = FeelSettings()
    output: OutputSettings = OutputSettings()
    sound: SoundSettings = SoundSettings()
    generator: GeneratorSettings = GeneratorSettings()
    styles: StylesSettings = StylesSettings()
    workers: WorkersSettings = WorkersSettings()
    engine: EngineSettings = EngineSettings()
    control: ControlSettings = ControlSettings()
    mqtt: MqttSettings = MqttSettings()
    web: WebSettings = WebSettings()
    metrics: MetricsSettings = MetricsSettings()
    capture: CaptureSettings = CaptureSettings()
    log: LogSettings = LogSettings()

    @property
    def session(self) -> Session:
        """The live state to begin with."""
        clock, song, output = self.clock, self.song, self.output
        parameters = EngineParameters(
            tempo=Bpm(clock.tempo),
            source=clock.source,
            drop_out=clock.drop_out,
            start_on_clock=clock.start_on_clock,
            reading=clock.reading,
            clock_out=clock.send_clock,
            offset_ms=output.offset_ms,
            voice_offsets_ms=dict(output.voice_offsets_ms),
            kit=output.kit,
        )
        return Session(
            style=song.style,
            seed=song.seed,
            meter=song.meter,
            quantum=song.quantum,
            variation=song.variation,
            phrase=song.phrase,
            fill_every=song.fill_every,
            fill_amount=song.fill_amount,
            form=song.form,
            section=song.section,
            density=song.density,
            intensity=song.intensity,
            busy=song.busy,
            temperature=song.temperature,
            blend=song.blend,
            share=song.share,
            mix=Mix(muted=song.mute),
            build_bars=song.build_bars,
            count_in=song.count_in,
            feel=FeelKnobs(self.feel.swing, self.feel.push_ms, humanize=self.feel.humanize),
            parameters=parameters,
        )

    @property
    def generator_setup(self) -> GeneratorSetup:
        """What the generator's process is told."""
        folder = styles_folder(self.styles.folder)
        own = "" if folder is None else str(folder)
        return GeneratorSetup(
            **asdict(self.generator),
            styles=own,
            log_level=self.log.level,
            workers=self.workers.address,
        )

    def engine_setup_for(self, maps: Iterable[ControllerMap]) -> EngineSetup:
        """What the engine's process is told where ``maps`` are in use."""
        setup = self.engine_setup
        taken = (port.name for port in (*setup.plan.inputs, *setup.plan.outputs))
        controllers = controller_ports((each.port for each in maps), taken)
        return msgspec.structs.replace(setup, plan=replace(setup.plan, controllers=controllers))

    @property
    def engine_setup(self) -> EngineSetup:
        """What the engine's process is told."""
        midi = self.midi
        plan = PortPlan(
            midi.client,
            (VirtualPort("in", midi.inputs),),
            (
                VirtualPort("out", midi.outputs),
                VirtualPort("clock", midi.clock_outputs),
                *(VirtualPort("feedback", each) for each in (midi.feedback_outputs,) if each),
            ),
            midi.split_inputs,
        )
        api = None if midi.api == "auto" else midi.api
        return EngineSetup(plan, midi.backend, api, self.engine.realtime_priority)


NO_SETTINGS: Final = (CONFIG_VARIABLE, PASSWORD_VARIABLE, WORKERS_PASSWORD_VARIABLE)
"""Variables that look like settings and are none."""

STYLE_SOURCES: Final = ("styles.folder", "generator.model")
"""Keys that say which styles there are."""

LIVE_SECTIONS: Final = ("clock", "song", "feel", "output", "mqtt", "web", "log")
"""Sections that a reload takes into the running daemon; the others need a restart."""


def _allowed() -> dict[str, dict[str, Allowed[Any]]]:
    return {
        section: {
            key: hint.__metadata__[0]
            for key, hint in get_type_hints(kind, include_extras=True).items()
        }
        for section, kind in get_type_hints(Settings).items()
        if isinstance(section, str)
    }


ALLOWED: Final[Mapping[str, Mapping[str, Allowed[Any]]]] = _allowed()
"""What every key of every section takes."""


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
    folder = environment.get("XDG_CONFIG_HOME") or _below_home(environment, ".config")
    if folder:
        candidates.insert(0, Path(folder) / "drumigen" / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def socket_paths(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where the control socket may be, best first; the daemon takes the first."""
    if settings.control.socket:
        return (Path(settings.control.socket).expanduser(),)
    folders = [
        environment.get("RUNTIME_DIRECTORY", "").partition(":")[0],  # given by systemd
        environment.get("XDG_RUNTIME_DIR", ""),
        "/run/drumigen",
    ]
    user = os.getuid() if hasattr(os, "getuid") else environment.get("USERNAME", "user")
    own = Path(tempfile.gettempdir()) / f"drumigen-{user}"
    usable = [Path(folder) for folder in folders if folder and os.access(folder, os.W_OK)]
    return tuple(folder / SOCKET_NAME for folder in (*usable, own))


def learned_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where learned bindings are kept; None where there is no home for them."""
    given = settings.control.learned
    return _kept_at(given, "learned.toml", environment, ("XDG_CONFIG_HOME", ".config"))


def scenes_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where scenes are kept; None where there is no home for them."""
    given = settings.control.scenes
    return _kept_at(given, "scenes.json", environment, ("XDG_STATE_HOME", ".local/state"))


def _kept_at(
    given: str, name: str, environment: Mapping[str, str], home: tuple[str, str]
) -> Path | None:
    """Return the path ``given``, else ``name`` in systemd's state folder or the user's own.

    ``home`` is the variable that names the user's folder, and where it is below the home.
    """
    if given:
        return Path(given).expanduser()
    state = _state_directory(environment)
    if state:
        return Path(state) / name
    variable, below = home
    folder = environment.get(variable) or _below_home(environment, below)
    return Path(folder) / "drumigen" / name if folder else None


def _state_directory(environment: Mapping[str, str]) -> str:
    """Return the folder that systemd gives a service for what it keeps; empty if none."""
    return environment.get("STATE_DIRECTORY", "").partition(":")[0]


def _below_home(environment: Mapping[str, str], folder: str) -> str:
    home = environment.get("HOME", "")
    return home and f"{home}/{folder}"


def token_path(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where the panel's pairing tokens are kept; None where there is no home for them."""
    given = settings.web.token_file
    return _kept_at(given, TOKEN_NAME, environment, ("XDG_STATE_HOME", ".local/state"))


def journal_folder(settings: Settings, environment: Mapping[str, str]) -> Path | None:
    """Return where played bars are kept: the folder set, or the one that systemd gives, or None."""
    folder = settings.capture.folder or _state_directory(environment)
    return Path(folder) if folder else None


def restart_needed(before: Settings, after: Settings) -> tuple[str, ...]:
    """Return the changed keys that only a restart can adopt."""
    return tuple(
        f"{section}.{key}"
        for section, keys in ALLOWED.items()
        if section not in LIVE_SECTIONS
        for key in keys
        if getattr(getattr(before, section), key) != getattr(getattr(after, section), key)
    )


def adopted(session: Session, before: Settings, after: Settings) -> Session:
    """Return ``session`` with what differs between two settings; what was set live stays."""
    old, new = before.session, after.session
    changed = {
        item.name: getattr(new, item.name)
        for item in fields(Session)
        if getattr(new, item.name) != getattr(old, item.name) and item.name != "parameters"
    }
    tuned = {
        name: getattr(new.parameters, name)
        for name in EngineParameters.__struct_fields__
        if getattr(new.parameters, name) != getattr(old.parameters, name)
    }
    return replace(
        session, **changed, parameters=msgspec.structs.replace(session.parameters, **tuned)
    )


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
