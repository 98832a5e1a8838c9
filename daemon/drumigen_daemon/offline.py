"""A song without clock or ports: as fast as its bars can be written.  Sans I/O."""

from collections.abc import Callable, Sequence

from drumigen.kit import load_kit
from drumigen.midi.song import Marker, Song, song_from_bars
from drumigen.pattern import Bar
from drumigen.units import Bpm, Seconds
from drumigen_daemon.control_plane import ControlPlane
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.engine.messages import BarEntered, Plan, PlannedBar
from drumigen_daemon.generator.messages import BarRequest, Item, WrittenBar
from drumigen_daemon.generator.writers import BarWriter
from drumigen_daemon.planner.arrangement import Arrangement
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

    def write(items: Sequence[Item], tempi: Sequence[Bpm]) -> list[Bar]:
        return writer.write(items, tempi[0])

    return planned_songs([session], write, count, progress)[0]


def planned_songs(
    sessions: Sequence[Session],
    write: Callable[[Sequence[Item], Sequence[Bpm]], list[Bar]],
    count: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[list[PlannedBar]]:
    """Return the first ``count`` bars of several songs, whose bars ``write`` writes together.

    ``progress`` is called with the number of bars of each that are written.
    """
    songs = [_Song(session) for session in sessions]
    for number in range(count):
        asked = list(songs)
        while asked := [song for song in asked if song.asks()]:
            items = [(item, song.tempo) for song in asked for item in song.items]
            bars = iter(write([item for item, _ in items], [tempo for _, tempo in items]))
            for song in asked:
                song.answered([next(bars) for _ in song.items])
        for song in songs:
            song.enter(number)
        progress(number + 1)
    return [[song.bars[number] for number in range(count)] for song in songs]


def _arrangement(session: Session) -> Arrangement:
    return Arrangement(session, lambda style: known_styles().find(style).form)


class _Song:
    """A control plane with an engine that is never late, and no clock."""

    def __init__(self, session: Session) -> None:
        self.plane = ControlPlane(session, known_styles(), ready=())
        self.bars: dict[int, PlannedBar] = {}
        self.items: tuple[Item, ...] = ()
        self.tempo = session.parameters.tempo
        self._now = Seconds(0.0)
        self.plane.engine_started(self._now)
        self._arrangement = _arrangement(session)

    def asks(self) -> bool:
        """Tell whether bars are missing: those in ``items``, at ``tempo``.

        What only lies ready to be called for is not written: nobody calls.
        """
        while True:
            items, self.tempo = self.plane.requests()
            spare = [item.request for item in items if self._is_spare(item.request)]
            self.items = tuple(item for item in items if item.request not in spare)
            self.plane.bars_written((), spare)
            if self.items or not items:
                return bool(self.items)

    def _is_spare(self, request: BarRequest) -> bool:
        return all(request != part for _, part in self._arrangement.parts(request.number))

    def answered(self, bars: Sequence[Bar]) -> None:
        self.plane.bars_written(
            tuple(WrittenBar(item.request, bar) for item, bar in zip(self.items, bars, strict=True))
        )

    def enter(self, number: int) -> None:
        for command in self.plane.advance(self._now).commands:
            if isinstance(command, Plan):
                self.bars.update((bar.number, bar) for bar in command.bars)
        entered = self.bars[number]
        self.plane.reported(BarEntered(number, entered.style, entered.origin), self._now)


def rendered(bars: Sequence[PlannedBar], session: Session) -> Song:
    """Return the song of ``bars``, with a marker where it begins, at fills and after them."""
    arrangement = _arrangement(session)
    fills = {bar.number for bar in bars if arrangement.fill_from(bar.number) is not None}
    markers = [
        Marker(bar.start, f"{bar.style} fill" if bar.number in fills else bar.style)
        for bar in bars
        if bar.number == 0 or {bar.number, bar.number - 1} & fills
    ]
    kit = load_kit(session.parameters.kit)
    tempo = Bpm(session.parameters.tempo)
    return song_from_bars(
        [bar.bar for bar in bars], kit, tempo, f"drumigen {session.style}", markers
    )
