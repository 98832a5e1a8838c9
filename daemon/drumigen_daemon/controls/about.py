"""What every control means, for people: grouped, with its unit, in a musician's words."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from drumigen.kit import Voice
from drumigen_daemon.controls.table import CONTROLS


class About(NamedTuple):
    """A control, or one that every voice has (``mute.VOICE``), for people."""

    name: str
    meaning: str
    """One line, without a full stop."""
    unit: str = ""


GROUPS: Final = (
    (
        "Play",
        (
            About("start", "begin at bar 1"),
            About("continue", "go on from where the song stopped"),
            About("stop", "stop; nothing rings on"),
            About("bar", "go to a bar"),
            About("re-one", "this beat is the one: the bar begins here"),
            About("panic", "silence every note on every channel"),
        ),
    ),
    (
        "Tempo",
        (
            About("tempo", "of our own clock; a clock that is followed overrides it", "BPM"),
            About("tap", "tap the beat: the tempo follows from the second tap on"),
            About("nudge", "hold the beat back (+) or push it ahead (-), once", "ms"),
            About("source", "whose clock counts: somebody else's, ours, or whoever plays"),
            About("reading", "hear the clock at half or double tempo"),
            About("drop_out", "what to do when the clock falls silent"),
            About("start_on_clock", "begin when a clock begins, though nobody said start"),
            About("clock_out", "send our clock to others while we lead"),
        ),
    ),
    (
        "What is played",
        (
            About("style", "who plays"),
            About("blend", "a second style to mix in"),
            About("share", "how much of the second style", "%"),
            About("density", "few notes or many"),
            About("intensity", "soft or hard, and how big"),
            About("busy", "what is played beside the time; from 90 on a solo"),
            About("temperature", "how daring the drummer is: 1 is natural"),
            About("seed", "another number is another song"),
            About("variation", "vary what would sound the same a third time"),
            About("re-roll", "other bars, please"),
            About("back", "the bars from before the last re-roll"),
            About("again", "this bar once more"),
            About("hold", "this bar again and again, until it is let go"),
            About("meter", "the metre, from the next bar on"),
            About("quantum", "when a change of style sounds: next step, beat, bar or phrase"),
        ),
    ),
    (
        "Form",
        (
            About("section", "which part of the song; one that returns is remembered"),
            About("fill", "a fill for the rest of this bar"),
            About("fill_next", "the next bar is a fill"),
            About("fill_every", "a fill by itself every so many bars; 0 for none", "bars"),
            About("fill_amount", "how much of the bar such a fill takes", "%"),
            About("form", "song: parts come and return by themselves"),
            About("build", "a roll that grows, and lands with a crash"),
            About("build_bars", "how long a build takes", "bars"),
            About("phrase", "bars that belong together", "bars"),
            About("count_in", "clicks before the song", "bars"),
            About("drop", "only who keeps time plays"),
            About("half_time", "the backbeat half as often"),
            About("stutter", "repeat what sounds, over and over"),
        ),
    ),
    (
        "Feel",
        (
            About("swing", "how late every other note is: 50 straight, 66.7 triplets", "%"),
            About("push", "everything ahead of the beat (-) or behind it (+)", "ms"),
            About("push.VOICE", "the same for one voice", "ms"),
            About("humanize", "how much of the drummer's own timing and touch: 0 is the grid", "%"),
        ),
    ),
    (
        "Mix and output",
        (
            About("mute.VOICE", "silence a voice"),
            About("solo.VOICE", "silence all the others"),
            About("level.VOICE", "how loud a voice is: 100 is as played", "%"),
            About("kit", "which notes and channels your drums listen to"),
            About("offset_ms", "send everything earlier (-) or later (+)", "ms"),
            About("offset_ms.VOICE", "the same for one voice", "ms"),
        ),
    ),
    (
        "Scenes and controllers",
        (
            About("scene", "put a scene on at the bar line; program change 1 (0 on the wire) is 1"),
            About("store_scene", "keep where everything stands as a scene"),
            About("learn", "bind the next knob, button or pedal that is moved to a control"),
            About("forget", "take away what was learned for a control"),
        ),
    ),
)
"""Every control, in the order in which one would look for it."""

OF_VOICE: Final = ".VOICE"
UNITS: Final = {
    name.replace(OF_VOICE, f".{voice}"): unit
    for _, rows in GROUPS
    for name, _, unit in rows
    for voice in (Voice if name.endswith(OF_VOICE) else (Voice.KICK,))
}
ORDER: Final = tuple(UNITS)
"""Every control, those of single voices too, in the order of the groups."""


def listing() -> Iterator[str]:
    """Yield the lines that list every control: its name, what it does and what it takes."""
    for title, rows in GROUPS:
        yield title
        for name, meaning, unit in rows:
            takes = _takes(CONTROLS[name.replace(OF_VOICE, f".{Voice.KICK}")], unit)
            line = f"  {name:<16} {meaning}"
            if len(line) + 1 + len(takes) <= _WIDTH:
                yield f"{line} {takes}".rstrip()
            else:
                yield line
                yield from _wrapped(takes)
        yield ""
    yield "VOICE is one of"
    yield from _wrapped(", ".join(Voice))


def standing(name: str, value: str) -> str:
    """Return where a control stands, for people: ``tempo`` at "120" is "120 BPM"."""
    unit = UNITS.get(name, "")
    return f"{value} {unit}" if unit and value not in {"style", "none"} else value


_WIDTH: Final = 100


def _takes(said: str, unit: str) -> str:
    """Return what a control takes, with its unit: "(50 to 75 %, or style)"."""
    numbers, comma, rest = said.removeprefix("a whole number from ").partition(", or ")
    unit = f" {unit}" if unit else ""
    return f"({numbers}{unit}{comma}{rest})" if said else ""


def _wrapped(text: str) -> Iterator[str]:
    """Yield lines of a list with commas, set in."""
    line = " " * 19
    for word in text.split(" "):
        if len(line) + len(word) > _WIDTH - 1:
            yield line.rstrip()
            line = " " * 19
        line += f"{word} "
    yield line.rstrip()
