"""``drumigen render``: bars to a file as fast as they can be written, without ports or clock."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from drumigen.kit import load_kit
from drumigen.midi.file import write_song
from drumigen.midi.song import Marker, Song, song_from_bars
from drumigen.units import TEMPO_DEFAULT, Bpm, Seconds
from drumigen_daemon.capture.wav import write_wav
from drumigen_daemon.cli import settings_of
from drumigen_daemon.control_plane import ControlPlane
from drumigen_daemon.controls.values import shipped_styles
from drumigen_daemon.engine.messages import BarEntered, Plan, PlannedBar
from drumigen_daemon.generator.messages import WrittenBar
from drumigen_daemon.generator.writers import BarWriter, make_writer
from drumigen_daemon.session import Session
from drumigen_daemon.settings import Settings


def main(options: argparse.Namespace) -> int:
    """Render to the files that were asked for."""
    settings = at_home(settings_of(options), options)
    session = settings.session
    style = shipped_styles().find(session.style)
    bars = planned_bars(session, make_writer(settings.generator_setup), options.bars)
    song = rendered(bars, session)
    output = options.output or default_file(session)
    write_song(song, output)
    sys.stdout.write(f"wrote {output}: {options.bars} bars of {style.title}, {session.meter}, ")
    sys.stdout.write(f"{session.tune.tempo:g} BPM, seed {session.seed}\n")
    if options.wav:
        write_wav(song, load_kit(session.tune.kit), options.wav)
        sys.stdout.write(f"wrote {options.wav}\n")
    return 0


def at_home(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return ``settings`` with a tempo of the style's, unless a tempo was given.

    A given one that is not at home in the style is kept, and remarked upon.
    """
    clock = settings.clock
    style = shipped_styles().find(settings.song.style)
    advice = style.tempo_advice(clock.tempo)
    if not advice:
        return settings
    if options.bpm is None and clock.tempo == TEMPO_DEFAULT:
        middle = Bpm(float(round(sum(style.tempo) / 2)))
        return replace(settings, clock=replace(clock, tempo=middle))
    sys.stderr.write(f"drumigen: {advice}\n")
    return settings


def default_file(session: Session) -> Path:
    """Return the name of the file that is written when none was given."""
    return Path(f"drumigen-{session.style}-{session.tune.tempo:g}.mid")


def planned_bars(session: Session, writer: BarWriter, count: int) -> list[PlannedBar]:
    """Return the first ``count`` bars of the song, as a daemon that is never late plays them."""
    plane = ControlPlane(session, shipped_styles(), ready=())
    now = Seconds(0.0)
    plane.engine_started(now)
    bars: dict[int, PlannedBar] = {}
    for number in range(count):
        items, tempo = plane.requests()
        while items:
            written = writer.write(items, tempo)
            plane.bars_written(tuple(map(WrittenBar, (item.request for item in items), written)))
            items, tempo = plane.requests()
        for command in plane.advance(now).commands:
            if isinstance(command, Plan):
                bars.update((bar.number, bar) for bar in command.bars)
        entered = bars[number]
        plane.reported(BarEntered(number, entered.style, entered.origin), now)
    return [bars[number] for number in range(count)]


def rendered(bars: Sequence[PlannedBar], session: Session) -> Song:
    """Return the song of ``bars``, with a marker where it begins, at fills and after them."""
    markers = []
    for bar in bars:
        every = session.fill_every or len(bars)
        fill = session.fill_every > 0 and bar.number % every == every - 1
        if fill or bar.number % every == 0:
            markers.append(Marker(bar.start, f"{bar.style} fill" if fill else bar.style))
    kit = load_kit(session.tune.kit)
    tempo = Bpm(session.tune.tempo)
    return song_from_bars(
        [bar.bar for bar in bars], kit, tempo, f"drumigen {session.style}", markers
    )
