"""A song without clock or ports: as fast as its bars can be written.  Sans I/O."""

from collections.abc import Callable, Sequence

from drumigen.kit import load_kit
from drumigen.midi.song import Marker, Song, song_from_bars
from drumigen.units import Bpm, Seconds
from drumigen_daemon.control_plane import ControlPlane
from drumigen_daemon.controls.values import shipped_styles
from drumigen_daemon.engine.messages import BarEntered, Plan, PlannedBar
from drumigen_daemon.generator.messages import WrittenBar
from drumigen_daemon.generator.writers import BarWriter
from drumigen_daemon.session import Session


def planned_bars(
    session: Session,
    writer: BarWriter,
    count: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[PlannedBar]:
    """Return the first ``count`` bars of the song, as a daemon that is never late plays them.

    ``progress`` is called with the number of bars that are written.
    """
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
        progress(number + 1)
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
