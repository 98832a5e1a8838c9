"""``drumigen render``: bars to a file as fast as they can be written, without ports or clock."""

import argparse
import asyncio
import importlib
import sys
from dataclasses import replace
from pathlib import Path

from drumigen.kit import load_kit
from drumigen.midi.file import song_from_bytes
from drumigen.midi.song import Song
from drumigen.text import counted
from drumigen.units import TEMPO_DEFAULT, Bpm
from drumigen_daemon.cli import settings_of
from drumigen_daemon.commands.arguments import add_file_flags, add_song_flags, count
from drumigen_daemon.commands.output import (
    Progress,
    check_folder,
    say,
    sound_file,
    warn,
    write_song_to,
    wrote,
)
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.generator.writers import make_writer
from drumigen_daemon.jobs.messages import NoWorkersError
from drumigen_daemon.jobs.queue import Job
from drumigen_daemon.jobs.rendering import request_of
from drumigen_daemon.offline import planned_bars, rendered
from drumigen_daemon.session import Session
from drumigen_daemon.settings.sections import Settings


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_song_flags(to)
    to.add_argument("--bars", type=count(1), default=16, metavar="N", help="how many (16)")
    to.add_argument("--top-k", metavar="N", help="draw among the N likeliest events; 0 is all")
    to.add_argument("--top-p", metavar="P", help="draw among the likeliest of this chance together")
    to.add_argument(
        "--remote", action="store_true", help="have a worker render it (docs/WORKERS.md)"
    )
    add_file_flags(to)


def main(options: argparse.Namespace) -> int:
    """Render to the files that were asked for."""
    settings = at_home(settings_of(options), options)
    session = settings.session
    style = known_styles().find(session.style)
    default = default_file(session)
    output = options.output or default
    wav = sound_file(options.wav, output, default)
    for path in filter(None, (output, wav)):
        check_folder(path)
    song = _far(settings, options.bars) if options.remote else _here(settings, options.bars)
    write_song_to(output, song)
    text = f"{counted(options.bars, 'bar')} of {style.title}, {session.meter}, "
    say(wrote(output, f"{text}{session.parameters.tempo:g} BPM, seed {session.seed}"), output)
    if wav:
        write_sound(song, session.parameters.kit, wav, output, settings.sound.font)
    return 0


def _here(settings: Settings, count: int) -> Song:
    session = settings.session
    writer = make_writer(settings.generator_setup.at_home)
    progress = Progress(count, "bars")
    bars = planned_bars(session, writer, count, progress.show)
    progress.end()
    return rendered(bars, session)


def _far(settings: Settings, count: int) -> Song:
    """Return the song as a worker renders it; where there is none, as this machine does.

    Raises:
        DrumigenError: a worker cannot be told all of it, or it failed; one line.
    """
    setup = settings.generator_setup
    if setup.workers is None:
        warn("--remote: no broker is set (workers.broker): rendered on this machine")
        return _here(settings, count)
    # not imported above: the extra may be missing, and rendering here goes without it
    jobs = importlib.import_module("drumigen_daemon.workers.jobs")
    request = request_of(settings.session, count, setup)
    progress = Progress(count, "bars")
    try:
        done: Job = asyncio.run(jobs.rendered_far(setup, request, progress.show, warn))
    except NoWorkersError:  # and why was said
        return _here(settings, count)
    finally:
        progress.end()
    return song_from_bytes(done.midi)


def write_sound(song: Song, kit: str, wav: Path, output: Path, font: str = "") -> None:
    """Render ``song``, which plays ``kit``, to ``wav``, and say so beside what ``output`` got.

    ``font`` is the sound font, if not the best that is installed.

    Raises:
        SoundError: it cannot be rendered; one line.
    """
    seconds = max(1, round(song.tempo_map.seconds_at(song.end)))
    progress = Progress(seconds, "seconds of sound")
    from drumigen_daemon.capture.wav import write_wav  # noqa: PLC0415 - numpy is slow to load

    write_wav(
        song,
        load_kit(kit),
        wav,
        lambda share: progress.show(int(seconds * share)),
        styles=known_styles(),
        font=font,
    )
    progress.end()
    say(wrote(wav), output)


def at_home(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return ``settings`` with a tempo of the style's, unless a tempo was given.

    A given one that is not at home in the style is kept, and remarked upon.
    """
    clock = settings.clock
    style = known_styles().find(settings.song.style)
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
    label = known_styles().find(session.style).label
    return Path(f"drumigen-{label}-{session.parameters.tempo:g}.mid")
