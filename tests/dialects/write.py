"""Write the dumps beside this file: what masters of MIDI clock send, gesture by gesture.

    python tests/dialects/write.py

Each master is a class whose methods are a performer's gestures; what is known of it and what is
assumed stands in ``README.md``.  Where the song should be is not asked of the master: ``Score``
reads it from the messages by the rules of MIDI 1.0, with the moments at which the pulses were
meant, free of jitter.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CLOCK, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"
PULSES_PER_BEAT, PULSES_PER_SIXTEENTH = 24, 6
BAR = 96  # pulses of 4/4
FOLDER = Path(__file__).parent
HEADER = "# written by tests/dialects/write.py; the format and the sources are in README.md"


def song_position(sixteenths: int) -> bytes:
    """Return a song position pointer."""
    return bytes([0xF2, sixteenths & 0x7F, sixteenths >> 7])


@dataclass
class Score:
    """Where the song is, by the rules of MIDI 1.0, as the messages leave."""

    beats: list[tuple[float, int | None]] = field(default_factory=list)
    """When the song is at which sixteenth, at each quarter; None: it stops."""
    stored: int = 0
    """Pulses: where the song starts, or the place of the next pulse."""
    rolling: bool = False

    def hear(self, data: bytes, at: float) -> None:
        """Take a message; a pulse at the moment it is meant for."""
        status = data[0]
        if status == CLOCK[0] and self.rolling:
            if self.stored % PULSES_PER_BEAT == 0:
                self.beats.append((at, self.stored // PULSES_PER_SIXTEENTH))
            self.stored += 1
        elif status == 0xF2:
            place = (data[1] | data[2] << 7) * PULSES_PER_SIXTEENTH
            # a pointer that names the sixteenth in which we are says nothing new
            if not self.rolling or abs(place - self.stored) > PULSES_PER_SIXTEENTH // 2:
                self.stored = place
        elif status == START[0]:
            self.stored, self.rolling = 0, True
        elif status == CONTINUE[0]:
            self.rolling = True
        elif status == STOP[0]:
            if self.rolling:
                self.beats.append((at, None))
            self.rolling = False


class Master:
    """A master that sends its clock only while it plays, and a position with each Continue."""

    name = "master"
    tolerance = (0.0005, 0.0005)
    """Seconds by which strokes may be off: in the first beat after a move, and later."""
    lead = 0.001
    """Seconds from a transport message to the first pulse."""
    latency = 0.0
    """Seconds of delay that nobody can know of, for it is the same for all."""

    def __init__(self) -> None:
        """Stand still at the beginning of the song."""
        self.now = 0.1
        self.bpm = 120.0
        self.position = 0
        self.rows: list[tuple[float, str]] = []
        self.score = Score()
        self._train: list[float] = []

    # --- gestures --------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass while the transport stands."""
        self.now += seconds

    def play(self) -> None:
        """Press Play: Start at the beginning, else the position and Continue."""
        if self.position == 0:
            self.say(START)
        else:
            self.to_sixteenth()
            self.say(song_position(self.position // PULSES_PER_SIXTEENTH))
            self.say(CONTINUE)
        self.now += self.lead

    def roll(self, pulses: int, tempo: Callable[[float], float] | None = None) -> None:
        """Play on; ``tempo`` is a function of the beats since this gesture began."""
        for number in range(pulses):
            if tempo is not None:
                self.bpm = tempo(number / PULSES_PER_BEAT)
            self.pulse()

    def stop(self) -> None:
        """Press Stop, half-way to the next pulse."""
        at = self.now - self.period / 2
        self.say(STOP, at)
        self.now = at

    def locate(self, sixteenth: int) -> None:
        """Move the playhead while the transport stands."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH

    def jump(self, sixteenth: int) -> None:
        """Move the playhead while playing."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH
        self.say(song_position(sixteenth))

    def wrap(self, sixteenth: int) -> None:
        """Reach the end of the loop."""
        self.jump(sixteenth)

    # --- how it is sent --------------------------------------------------------------------

    @property
    def period(self) -> float:
        """Seconds from a pulse to the next."""
        return 60.0 / self.bpm / PULSES_PER_BEAT

    def to_sixteenth(self) -> None:
        """Go on to the next place that a song position pointer can name."""
        self.position += -self.position % PULSES_PER_SIXTEENTH

    def say(self, data: bytes, at: float | None = None) -> None:
        """Send a message that is no pulse."""
        at = self.now if at is None else at
        self.score.hear(data, at)
        self.row(at, data)

    def pulse(self) -> None:
        """Send the next pulse of the song."""
        self.score.hear(CLOCK, self.now)
        self.row(self.now, CLOCK)
        self.position += 1
        self.now += self.period

    def row(self, at: float, data: bytes) -> None:
        """Note what leaves."""
        self.rows.append((at, data.hex(" ")))

    def dump(self, scene: str) -> str:
        """Return the file of a scene."""
        first, later = self.tolerance
        expected = [
            (at + self.latency, "= stopped" if place is None else f"= {place}")
            for at, place in self.score.beats
        ]
        rows = sorted(
            [*_in_trains(self.rows), *expected], key=lambda row: (row[0], row[1].startswith("="))
        )
        lines = [
            HEADER,
            f"# {self.name}: {scene.replace('_', ' ')}",
            f"within {first:g} {later:g}",
            *(f"{at:11.6f}  {text}" for at, text in rows),
        ]
        return "\n".join(lines) + "\n"


def _in_trains(rows: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Join pulses that come evenly into one row."""
    joined: list[tuple[float, str]] = []
    index = 0
    while index < len(rows):
        at, text = rows[index]
        count = 1
        if text == "f8" and index + 1 < len(rows):
            period = rows[index + 1][0] - at
            while (
                index + count < len(rows)
                and rows[index + count][1] == "f8"
                and abs(rows[index + count][0] - at - count * period) < 1e-7
            ):
                count += 1
            if count > 2:
                text = f"f8 x{count} every {period:.9f}"
            else:
                count = 1
        joined.append((at, text))
        index += count
    return joined


class Live(Master):
    """Tells its position with each start, and again at each loop."""

    name = "Live"

    def play(self) -> None:
        """Press Play: the position comes with a Start too."""
        self.to_sixteenth()
        self.say(song_position(self.position // PULSES_PER_SIXTEENTH))
        self.say(CONTINUE if self.position else START)
        self.now += self.lead


class Bitwig(Master):
    """Its clock runs while the transport stands, and Play sets it anew; loops say nothing."""

    name = "Bitwig"

    def wait(self, seconds: float) -> None:
        """Let time pass: the clock goes on from the last pulse, wherever Stop fell."""
        end = self.now + seconds
        last = self.rows[-1][0] if self.rows else self.now
        pulses = [at for at, text in self.rows if text == "f8"]
        at = (pulses[-1] if pulses else last) + self.period
        while at < end:
            if at > self.now:
                self.row(at, CLOCK)
            at += self.period
        self.now = end

    def wrap(self, sixteenth: int) -> None:
        """Reach the end of the loop: nothing is said, so the followers' song goes on."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH


class Reaper(Master):
    """Start only at the beginning; a position at each move; resets of all channels on Play."""

    name = "Reaper"

    def play(self) -> None:
        """Press Play: CC 120 and 123 on each channel before a Continue."""
        if self.position:
            for channel in range(16):
                for control in (120, 123):
                    self.say(bytes([0xB0 | channel, control, 0]))
                    self.now += 0.00002
            self.say(CONTINUE)
        else:
            self.say(START)
        self.now += self.lead

    def stop(self) -> None:
        """Press Pause; the play cursor goes back to where it was, and that is told."""
        super().stop()
        self.now += 0.001
        self.locate(0)

    def locate(self, sixteenth: int) -> None:
        """Move the cursor: told at once."""
        super().locate(sixteenth)
        self.say(song_position(sixteenth))

    def resume(self, sixteenth: int) -> None:
        """Go on where the cursor is put by hand."""
        self.locate(sixteenth)


class Logic(Master):
    """Stop, position and Continue at each cycle jump."""

    name = "Logic"

    def jump(self, sixteenth: int) -> None:
        """Move while playing: Stop, the new position, Continue, and the pulse at once."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH
        self.say(STOP)
        self.say(song_position(sixteenth))
        self.say(CONTINUE)


class Ardour(Master):
    """Start and first pulse on one frame; elsewhere it waits for the next quarter."""

    name = "Ardour"
    lead = 0.0
    position_scale = 1
    cycle = 256 / 48_000
    """Seconds: Stop and position leave at the beginning of a process cycle."""

    def play(self) -> None:
        """Press Play: Continue and the first pulse come with the next quarter."""
        if self.position == 0:
            self.say(START)
            return
        to_go = -self.position % PULSES_PER_BEAT
        self.position += to_go
        self.now += to_go * self.period
        sixteenth = self.position // PULSES_PER_SIXTEENTH * self.position_scale
        self.say(song_position(sixteenth), self.now - 0.4 * self.cycle)
        self.say(CONTINUE)

    def jump(self, sixteenth: int) -> None:
        """Move while playing: Stop in the cycle of the move, then as Play there."""
        self.say(STOP, self.now - 0.6 * self.cycle)
        self.position = sixteenth * PULSES_PER_SIXTEENTH
        if self.position == 0:
            self.say(START)
        else:
            self.play()


class OldArdour(Ardour):
    """Ardour 7.0 to 7.3: positions in pulses, six times too high."""

    name = "Ardour 7.0-7.3"
    position_scale = 6


class Elektron(Bitwig):
    """A groove box on a DIN cable: its clock never pauses, Play sets it anew."""

    name = "Elektron-like"
    lead = 0.00032
    """One byte at 31,250 baud."""

    def play(self) -> None:
        """Press Play: Start, or Continue after a pause; a pattern has no position."""
        self.say(CONTINUE if self.position else START)
        self.now += self.lead

    def locate(self, sixteenth: int) -> None:
        """Press Stop twice: the pattern goes back to its beginning; or choose a row of the song."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH
        if sixteenth:
            self.say(song_position(sixteenth))
        else:
            self.say(STOP)

    def jump(self, sixteenth: int) -> None:  # noqa: ARG002 - it has one place to go to
        """Press Play while playing: the pattern starts again."""
        self.position = 0
        self.say(START, self.now - self.lead)


class EachSixteenth(Master):
    """A page in a browser that tells its position with every sixth clock."""

    name = "A web page"

    def pulse(self) -> None:
        """Send the next pulse, and after each sixth the position it stands on."""
        sixteenth, within = divmod(self.position, PULSES_PER_SIXTEENTH)
        at = self.now
        super().pulse()
        if within == 0:
            self.say(song_position(sixteenth), at + 0.0004)

    def wrap(self, sixteenth: int) -> None:
        """Reach the end of the loop."""
        self.position = sixteenth * PULSES_PER_SIXTEENTH
        self.say(song_position(sixteenth), self.now - 0.0004)


class Phone(Master):
    """A phone over Wi-Fi: late by 3 to 10 ms, now and then by 50 to 100, one packet of 100 lost."""

    name = "A phone over Wi-Fi"
    tolerance = (0.008, 0.004)
    usual = (0.003, 0.010)
    latency = sum(usual) / 2
    tail = (0.050, 0.100)
    tails = 1 / 150
    lost = 0.01

    def __init__(self) -> None:
        """Stand still; the network is the same in each run."""
        super().__init__()
        self._random = random.Random(self.name)
        self._arrived = 0.0

    def row(self, at: float, data: bytes) -> None:
        """Note what arrives: packets keep their order, so a stall delays those behind it."""
        if data == CLOCK and self._random.random() < self.lost:
            return
        late = self._random.uniform(*self.usual)
        if data == CLOCK and self._random.random() < self.tails:
            late = self._random.uniform(*self.tail)
        self._arrived = max(at + late, self._arrived + 0.0001)
        super().row(self._arrived, data)


class JackMidiClock(Master):
    """jack_midi_clock: what its process callback does, cycle by cycle.

    It sends the position early and Continue when the song has come there, while clocks go on.
    """

    name = "jack_midi_clock"
    tolerance = (0.0005, 0.0005)
    rate = 48_000
    frames = 128
    delay = 0.5
    """Seconds from a position to its Continue (option ``-d``; 2 where nothing is said)."""

    def __init__(self) -> None:
        """Stand still at frame 0."""
        super().__init__()
        self.frame = 0
        self._cycles = round(self.now * self.rate) // self.frames
        self._state = self._was = "stopped"
        self._sync = -1
        self._last_tick = 0.0
        self._anchor = (0, 0.0)
        self._moved = False

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * self.rate / self.frames)):
            self._cycle()

    def play(self) -> None:
        """Start JACK's transport: one cycle of getting ready, then it rolls."""
        self._state = "starting"
        self._cycle()
        self._state = "rolling"

    def roll(self, pulses: int, tempo: Callable[[float], float] | None = None) -> None:
        """Roll for so many pulses."""
        begun, beats = self._beat(self.frame), pulses / PULSES_PER_BEAT
        while self._beat(self.frame) - begun < beats - 0.5 / PULSES_PER_BEAT:
            if tempo is not None:
                self._anchor = (self.frame, self._beat(self.frame))
                self.bpm = tempo(self._beat(self.frame) - begun)
            self._cycle()

    def stop(self) -> None:
        """Stop JACK's transport."""
        self._state = "stopped"
        self._cycle()

    def locate(self, sixteenth: int) -> None:
        """Move JACK's transport while it stands."""
        self._go(sixteenth)
        self._cycle()

    def jump(self, sixteenth: int) -> None:
        """Move JACK's transport while it rolls."""
        self._go(sixteenth)
        self.play()

    def _go(self, sixteenth: int) -> None:
        self._anchor = (round(sixteenth / 4 * 60 / self.bpm * self.rate), sixteenth / 4)
        self.frame = self._anchor[0]
        self._moved = True

    def _beat(self, frame: int) -> float:
        from_frame, beat = self._anchor
        return beat + (frame - from_frame) / self.rate * self.bpm / 60

    def _tell_position(self, at: float) -> int:
        sixteenths = int(self._beat(self.frame) * 4 + 1e-9)
        ahead = 0 if self.frame == 0 else round(self.bpm * 4 * self.delay / 60)
        self.say(song_position(sixteenths + ahead), at)
        return sixteenths + ahead

    def _cycle(self) -> None:
        at = self._cycles * self.frames / self.rate
        state, was = self._state, self._was
        if state == was == "stopped" and self._moved:
            self._sync = self._tell_position(at)
        self._moved = False
        if state != was:
            self._change(state, was, at)
        if state == "rolling":
            self._ticks(at)
            self.frame += self.frames
        self._cycles += 1
        self.now = self._cycles * self.frames / self.rate

    def _change(self, state: str, was: str, at: float) -> None:
        if state == "stopped":
            self.say(STOP, at)
            self._sync = self._tell_position(at)
        elif state == "starting":
            if self.frame == 0:
                self.say(START, at)
                self._sync = 0
        elif was == "starting":
            if self._sync < 0:
                self.say(STOP, at)
            self._sync = self._tell_position(at) if self._sync else -1
        if state == "rolling" and self.frame == 0:
            self._send(at)
        self._last_tick = float(self.frame)
        self._was = state

    def _ticks(self, at: float) -> None:
        interval = self.rate * 60 / self.bpm / PULSES_PER_BEAT
        sent = 0
        while True:
            tick = self._last_tick + interval
            offset = round(tick) - self.frame
            if offset >= self.frames:
                return
            if offset >= 0:
                sixteenth = int(self._beat(self.frame) * 4 + 1e-9) + sent // 4
                moment = at + offset / self.rate
                if 0 < self._sync <= sixteenth:
                    self.say(CONTINUE, moment)
                    self._sync = -1
                self._send(moment)
            self._last_tick = tick
            sent += 1

    def _send(self, at: float) -> None:
        self.score.hear(CLOCK, at)
        self.row(at, CLOCK)


# Scenes: what a performer does.


def start(master: Master) -> None:
    """Play from the beginning."""
    master.wait(0.7)
    master.play()
    master.roll(3 * BAR)
    master.stop()
    master.wait(0.5)


def stop(master: Master) -> None:
    """Stop within a bar, and play from the beginning again after three quarters of a second."""
    master.play()
    master.roll(BAR + 34)
    master.stop()
    master.wait(0.4)
    master.locate(0)
    master.wait(0.35)
    master.play()
    master.roll(2 * BAR + 10)
    master.stop()
    master.wait(0.5)


def continue_(master: Master) -> None:
    """Stop within a beat, and go on after a pause."""
    master.play()
    master.roll(BAR + 53)
    master.stop()
    master.wait(1.21)
    if isinstance(master, Reaper):
        master.resume(25)
    master.play()
    master.roll(4 * BAR)
    master.stop()
    master.wait(0.5)


def locate_stopped(master: Master) -> None:
    """Stop, go to the ninth bar, and play there."""
    master.play()
    master.roll(BAR + 5)
    master.stop()
    master.wait(0.3)
    master.locate(128)
    master.wait(0.63)
    master.play()
    master.roll(4 * BAR)
    master.stop()
    master.wait(0.5)


def locate_rolling(master: Master) -> None:
    """Go to the sixth bar in the middle of a beat, while playing."""
    master.play()
    master.roll(BAR + 32)
    master.jump(80)
    master.roll(4 * BAR)
    master.stop()
    master.wait(0.5)


def loop(master: Master) -> None:
    """Loop the second bar, four times."""
    master.locate(16)
    master.wait(0.2)
    master.play()
    for _ in range(4):
        master.roll(BAR)
        master.wrap(16)
    master.roll(30)
    master.stop()
    master.wait(0.5)


def loop_from_the_one(master: Master) -> None:
    """Loop the first bar, four times."""
    master.play()
    for _ in range(4):
        master.roll(BAR)
        master.wrap(0)
    master.roll(30)
    master.stop()
    master.wait(0.5)


def odd_loop(master: Master) -> None:
    """Loop a bar and a sixteenth, four times."""
    master.play()
    for _ in range(4):
        master.roll(BAR + 6)
        master.wrap(0)
    master.roll(30)
    master.stop()
    master.wait(0.5)


def tempo_ramp(master: Master) -> None:
    """Two bars at 100 BPM, four bars up to 140, and two at 140."""
    master.bpm = 100.0
    master.wait(0.6)
    master.play()
    master.roll(8 * BAR, lambda beat: 100.0 + 40.0 * min(max(beat - 8.0, 0.0) / 16.0, 1.0))
    master.stop()
    master.wait(0.5)


SCENES: dict[str, Callable[[Master], None]] = {
    "start": start,
    "stop": stop,
    "continue": continue_,
    "locate_stopped": locate_stopped,
    "locate_rolling": locate_rolling,
    "loop": loop,
    "loop_from_the_one": loop_from_the_one,
    "tempo_ramp": tempo_ramp,
}
MASTERS: dict[str, type[Master]] = {
    "live": Live,
    "bitwig": Bitwig,
    "reaper": Reaper,
    "logic": Logic,
    "ardour": Ardour,
    "ardour_7_3": OldArdour,
    "elektron": Elektron,
    "jack_midi_clock": JackMidiClock,
    "phone": Phone,
    "web_page": EachSixteenth,
}
ALSO: dict[str, dict[str, Callable[[Master], None]]] = {"live": {"odd_loop": odd_loop}}
"""Scenes of one master only."""


def dumps() -> dict[str, str]:
    """Return the text of each file, by its path from this folder."""
    texts = {}
    for folder, make in MASTERS.items():
        for scene, perform in {**SCENES, **ALSO.get(folder, {})}.items():
            master = make()
            perform(master)
            texts[f"{folder}/{scene}.txt"] = master.dump(scene)
    return texts


def main() -> None:
    """Write them all."""
    for path, text in dumps().items():
        file = FOLDER / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
