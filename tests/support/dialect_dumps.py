"""Read the dumps of ``tests/dialects`` and judge what was played to one."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "dialects"
BEAT = 4  # sixteenths
BAR = 16
WHOLE_SONG = 1 << 14

_TRAIN = re.compile(r"f8 x(\d+) every ([\d.]+)")


@dataclass(frozen=True)
class Dump:
    """What a master sent in one scene, and where its song should be."""

    name: str
    """The file, from the folder of dumps: ``master/scene``."""
    first: float
    """Seconds by which a stroke may be off in the first beat after a move..."""
    later: float
    """...and after it."""
    messages: tuple[tuple[float, bytes], ...]
    """Seconds from the beginning of the dump, and a message."""
    beats: tuple[tuple[float, int | None], ...]
    """Seconds, and the sixteenth at which the song is then; None where it stops."""

    @property
    def end(self) -> float:
        """Seconds: the last of it."""
        return max(self.messages[-1][0], self.beats[-1][0])

    def strokes(self) -> list["Stroke"]:
        """Return the strokes that are due, one a beat."""
        found: list[Stroke] = []
        before: int | None = None
        since = 0
        for at, place in self.beats:
            since = since + 1 if before is not None and place == before + BEAT else 0
            if place is not None:
                tolerance = self.first if since < 2 else self.later
                found.append(Stroke(at, place, tolerance, moved=not since))
            before = place
        return found


@dataclass(frozen=True)
class Stroke:
    """A stroke that is due."""

    at: float
    """Seconds."""
    place: int
    """Sixteenths."""
    tolerance: float
    """Seconds that it may be off, either way."""
    moved: bool
    """Whether the song has just come here from elsewhere."""

    def is_met(self, at: float, place: int, way: float, cycle: int) -> bool:
        """Tell whether a stroke at ``at`` seconds for ``place`` is this one.

        At a loop's wrap the stroke may have left before the master has said that it goes back: then
        it is that of the place that would have come, and the same voice is not struck again.
        """
        late = at - self.at
        if self.moved:
            cycle = min(cycle, BAR)
        else:
            way = 0.0
        same = (place - self.place) % cycle == 0
        return same and -self.tolerance <= late <= self.tolerance + way


def read(file: Path) -> Dump:
    """Read a dump; raises ValueError that names the line that is no row."""
    messages: list[tuple[float, bytes]] = []
    beats: list[tuple[float, int | None]] = []
    first = later = 0.0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        time, _, text = line.partition("#")[0].strip().partition(" ")
        text = text.strip()
        try:
            if time == "within":
                first, later = map(float, text.split())
            elif train := _TRAIN.fullmatch(text):
                count, period = int(train[1]), float(train[2])
                messages += [(float(time) + n * period, b"\xf8") for n in range(count)]
            elif text.startswith("="):
                place = text[1:].strip()
                beats.append((float(time), None if place == "stopped" else int(place)))
            elif time:
                messages.append((float(time), bytes.fromhex(text)))
        except ValueError as error:
            message = f"{file}, line {number}: {error}"
            raise ValueError(message) from error
    name = f"{file.parent.name}/{file.stem}"
    return Dump(name, first, later, tuple(messages), tuple(beats))


def all_dumps() -> list[Dump]:
    """Return every dump there is, in the order of their names."""
    return [read(file) for file in sorted(FOLDER.glob("*/*.txt"))]


def faults(
    dump: Dump,
    played: Iterable[tuple[float, int]],
    *,
    way: float = 0.0,
    cycle: int = WHOLE_SONG,
    until: float = math.inf,
) -> list[str]:
    """Return what is wrong with strokes (seconds, sixteenth) played to a dump, a line each.

    ``way`` is how many seconds a message may take to us, by which the first stroke after a move may
    be late.  Where strokes tell their place only up to some sixteenths, that is the ``cycle``.
    What comes later than ``until`` is not judged.
    """
    wrong: list[str] = []
    waiting = sorted(played)
    for due in dump.strokes():
        if due.at > until:
            break
        met = next((s for s in waiting if due.is_met(*s, way, cycle)), None)
        if met is not None:
            waiting.remove(met)
        else:
            near = [(1e3 * (at - due.at), place) for at, place in waiting]
            near_by = ", ".join(f"{ms:+.2f} ms: {place}" for ms, place in near if abs(ms) < 300)
            wrong.append(f"{due.at:.3f} s: no stroke of sixteenth {due.place}; near: {near_by}")
    many = [stroke for stroke in waiting if stroke[0] <= until]
    wrong += [f"{at:.3f} s: a stroke of sixteenth {place} too many" for at, place in many]
    return wrong
