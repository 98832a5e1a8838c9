"""What can be set before the daemon starts: a class for each section of the file.

Every value is checked by the range that the control of the same meaning has, so that a settings
file can ask for no more than a performer can.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec

from drumigen.arrange import Section
from drumigen.catalogue import styles_folder
from drumigen.kit import Voice
from drumigen.timeline import Meter
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen.voice_mixer import Mix
from drumigen_daemon.controls.binding import ControllerMap
from drumigen_daemon.controls.values import (
    BLEND,
    BUILD_BARS,
    COUNT_IN,
    DEVICE,
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
    one_of,
    one_of_or_installed,
    text,
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
from drumigen_daemon.generator.writers import WRITERS
from drumigen_daemon.generator.writers import WRITERS_GROUP as WRITER_GROUP
from drumigen_daemon.listen.settings import SoundSettings
from drumigen_daemon.mqtt.messages import MqttSettings
from drumigen_daemon.ports import PortPlan, VirtualPort, controller_ports
from drumigen_daemon.session import FeelKnobs, Quantum, Session, SongForm
from drumigen_daemon.web.messages import WebSettings
from drumigen_daemon.workers.settings import WorkersSettings

BACKENDS: Final = ("auto", "jack", "alsa", "rtmidi", "null")
BACKEND_GROUP: Final = "drumigen.ports"
"""Entry points that are MIDI systems, see :mod:`drumigen_daemon.ports.choose`."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
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
    device: Annotated[str, DEVICE] = "auto"
    """What the network runs on; ``auto`` is a GPU where that is quicker, else the CPU."""
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

    level: Annotated[str, one_of(*LOG_LEVELS)] = "info"


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
