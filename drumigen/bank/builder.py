"""Builds the bar banks from a copy of the Groove MIDI Dataset (Gillick et al. 2019)."""

import csv
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from drumigen.atomic_file import write_atomically
from drumigen.bank.bank import FILL_MARKER, PHRASE_MARKER, Bank, bank_from_song
from drumigen.bank.grammars import GRAMMARS
from drumigen.bank.opening import measured_opening
from drumigen.errors import PatternError
from drumigen.kit import SNARES, TOMS, VOICES, KitMap, Voice, load_kit
from drumigen.midi.file import read_song, song_from_bytes, song_to_bytes, write_song
from drumigen.midi.song import Marker, Song, TempoMark, bars_from_song, song_from_bars
from drumigen.pattern import OFFSET_MAX, Bar, Hit, problems, repaired
from drumigen.resources import bank_path, openings_path
from drumigen.timeline import Meter
from drumigen.units import TICKS_PER_BEAT, Bpm, Tick, ms_per_tick

BANK_METER = Meter()
BANK_BARS_MAX = 48
FILLS_MAX = 12
ALIKE_MAX = 0.85
"""Share of hits in common above which a phrase or fill repeats another and is left out."""

KICK_LOUD = 84
"""Velocity that a phrase's loudest tenth of kicks should reach, so that styles match in level."""

_BACKBEAT_SHARE = 0.85
_SETTLING_ROUNDS = 20

_EIGHTH = TICKS_PER_BEAT // 2
_BACKBEAT = (TICKS_PER_BEAT, 3 * TICKS_PER_BEAT)
_HALF_TIME = (2 * TICKS_PER_BEAT,)
_DOUBLE_TIME = tuple(range(_EIGHTH, 4 * TICKS_PER_BEAT, TICKS_PER_BEAT))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which takes make a bank: the dataset's styles, tempi, and what a bar must have.

    ``backbeats`` are the ticks of which one set has a snare of 60 or more through the phrase;
    ``toms`` is the most hits on toms in a bar; ``needs`` is struck three times in each.
    """

    styles: tuple[str, ...]
    tempo: tuple[int, int]
    backbeats: tuple[tuple[int, ...], ...] = (_BACKBEAT,)
    toms: int = 2
    needs: Voice | None = None


RECIPES: Mapping[str, Recipe] = {
    "rock": Recipe(("rock", "rock/indie", "rock/folk"), (80, 145)),
    "funk": Recipe(("funk", "funk/fast", "funk/rock", "funk/latin", "jazz/funk"), (80, 130)),
    "jazz": Recipe(("jazz", "jazz/swing", "jazz/mediumfast"), (100, 215), ((),), 3, Voice.RIDE),
    "hiphop": Recipe(("hiphop",), (67, 112)),
    "soul": Recipe(("soul", "soul/motown"), (90, 148)),
    "latin": Recipe(
        (
            "latin",
            "latin/bounce",
            "latin/brazilian",
            "latin/brazilian-baiao",
            "latin/brazilian-bossa",
            "latin/brazilian-samba",
            "latin/brazilian-songo",
            "latin/samba",
        ),
        (84, 130),
        ((),),
        16,
    ),
    "afrocuban": Recipe(
        ("afrocuban", "afrocuban/bembe", "afrocuban/rhumba", "afrocuban/calypso"),
        (105, 128),
        ((),),
        16,
    ),
    "afrobeat": Recipe(("afrobeat", "highlife"), (90, 126), ((),), 6),
    "punk": Recipe(("punk",), (120, 180), (_BACKBEAT, _DOUBLE_TIME)),
    "neworleans": Recipe(
        ("neworleans/funk", "neworleans/secondline", "neworleans/shuffle"), (80, 124), ((),), 6
    ),
    "reggae": Recipe(("reggae", "reggae/slow"), (60, 130), ((),)),
    "country": Recipe(("country",), (70, 130), (_BACKBEAT, _DOUBLE_TIME)),
    "pop": Recipe(("pop", "pop/soft"), (80, 145), (_BACKBEAT, _HALF_TIME)),
    "dance": Recipe(("dance/disco", "dance/breakbeat"), (110, 175)),
    "blues": Recipe(("blues/shuffle", "rock/shuffle"), (70, 135)),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A phrase or a fill with where it is from; the lower its score the better."""

    source: str
    drummer: str
    tempo: Bpm
    bars: tuple[Bar, ...]
    score: float = 0.0


def build(dataset: Path, folder: Path) -> None:
    """Write every bank into ``folder``; the dataset's training split is read, nothing else."""
    with (dataset / "info.csv").open(encoding="utf-8", newline="") as table:
        takes = [row for row in csv.DictReader(table) if row["split"] == "train"]
    for name, recipe in RECIPES.items():
        chosen = [row for row in takes if _is_wanted(row, recipe)]
        _write(folder / f"{name}.mid", name, *_extracted(dataset, chosen, recipe))
    for name, grammar in GRAMMARS.items():
        phrases = [Part(source, "", grammar.tempo, bars) for source, bars in grammar.phrases()]
        fills = [Part(source, "", grammar.tempo, (bar,)) for source, bar in grammar.fills()]
        _write(folder / f"{name}.mid", name, phrases, fills)
    write_openings(folder, (*RECIPES, *GRAMMARS))


def write_openings(folder: Path, names: Iterable[str]) -> None:
    """Write what the bars of the banks in ``folder`` say of first bars."""
    lines = ["# Shares of a bank's bars; written by drumigen/bank/builder.py."]
    for name in sorted(names):
        opening = measured_opening(bank_from_song(name, read_song(folder / f"{name}.mid")))
        shares = ", ".join(f"{share} = {value}" for share, value in asdict(opening).items())
        lines.append(f"{name} = {{ {shares} }}")
    write_atomically(folder / openings_path().name, "\n".join(lines).encode() + b"\n")


def _is_wanted(row: dict[str, str], recipe: Recipe) -> bool:
    low, high = recipe.tempo
    return (
        row["style"] in recipe.styles
        and row["time_signature"] == "4-4"
        and low <= int(row["bpm"]) <= high
    )


def _extracted(
    dataset: Path, rows: Sequence[dict[str, str]], recipe: Recipe
) -> tuple[list[Part], list[Part]]:
    kit = load_kit("roland_td")
    phrases: list[Part] = []
    fills: list[Part] = []
    for row in rows:
        bars = tuple(_on_grid(read_song(dataset / row["midi_filename"]), kit))
        take = Part(row["id"], row["drummer"], Bpm(float(row["bpm"])), bars)
        if row["beat_type"] == "beat":
            phrases += _phrases(take, recipe)
            fills += _fills(take, 6.0, usual=_usual_toms(bars))
        else:
            fills += _fills(take, 0.0, usual=0.0)
    return _picked(phrases, BANK_BARS_MAX), _picked(fills, FILLS_MAX)


def _on_grid(song: Song, kit: KitMap) -> list[Bar]:
    """Return the take's bars with the constant delay of the player and the e-kit taken out."""
    near = TICKS_PER_BEAT // 6
    early = [(note.tick + near) % TICKS_PER_BEAT - near for note in song.notes]
    delay = round(statistics.mean([ticks for ticks in early if ticks <= near] or [0]))
    moved = [replace(note, tick=Tick(max(0, note.tick - delay))) for note in song.notes]
    return [repaired(bar) for bar in bars_from_song(replace(song, notes=tuple(moved)), kit)]


def _phrases(take: Part, recipe: Recipe) -> Iterator[Part]:
    """Yield the eight and four bars of a take that lie on its own phrases, scored."""
    bars = take.bars
    usual = statistics.median(len(bar.hits) for bar in bars) if bars else 0
    for length, bonus in ((8, 4.0), (4, 0.0)):
        # a long take's first bars are still settling
        for start in range(4 if len(bars) > 16 else 0, len(bars) - length + 1, 4):
            window = bars[start : start + length]
            if _is_groove(window, recipe, usual):
                score = _roughness(window, take.tempo) - bonus
                yield replace(take, bars=_kick_raised(_centred(window)), score=score)


def _is_groove(bars: Sequence[Bar], recipe: Recipe, usual: float) -> bool:
    for bar in bars:
        if (
            bar.meter != BANK_METER
            or not 0.6 * usual <= len(bar.hits) <= 1.5 * usual
            or len(bar.hits) < 6
            or sum(hit.voice in TOMS for hit in bar.hits) > recipe.toms
            or (recipe.needs and sum(hit.voice is recipe.needs for hit in bar.hits) < 3)
        ):
            return False
    loud = [
        {hit.tick for hit in bar.hits if hit.voice in SNARES and hit.velocity >= 60} for bar in bars
    ]
    kept = any(
        sum(len(ticks.intersection(beats)) for ticks in loud)
        >= _BACKBEAT_SHARE * len(beats) * len(bars)
        for beats in recipe.backbeats
    )
    on_beats = sum(_is_on_beat(hit) for bar in bars for hit in bar.hits)
    return kept and on_beats >= 8 and len({_shape(bar) for bar in bars}) >= len(bars) / 2


def _roughness(bars: Sequence[Bar], tempo: Bpm) -> float:
    """Return milliseconds of spread on the quarters, and a price for restlessness."""
    on_beat = [
        hit.offset * ms_per_tick(tempo) for bar in bars for hit in bar.hits if _is_on_beat(hit)
    ]
    pairs = pairwise(bars)
    change = 1 - statistics.mean(_alike(_shape(one), _shape(two)) for one, two in pairs)
    no_kick = sum(all(hit.voice is not Voice.KICK for hit in bar.at(0)) for bar in bars)
    return statistics.stdev(on_beat) + 25 * change + 5 * no_kick / len(bars)


def _fills(take: Part, handicap: float, usual: float) -> Iterator[Part]:
    """Yield the bars of a take that are fills: they end busy, on snare and toms."""
    for bar in take.bars:
        struck = [hit for hit in bar.hits if hit.voice in TOMS | {Voice.SNARE}]
        toms = sum(hit.voice in TOMS for hit in struck)
        if (
            bar.meter == BANK_METER
            and 6 <= len(bar.hits) <= 40
            and len(struck) >= 6
            and toms >= max(3, 2 * usual + 3) - 3 * (handicap == 0)
            and bar.hits[0].tick <= 2 * TICKS_PER_BEAT
            and struck[-1].tick >= 3.5 * TICKS_PER_BEAT
            and _longest_rest(bar) <= TICKS_PER_BEAT
        ):
            (centred,) = _kick_raised(_centred((bar,)))
            off = statistics.mean(abs(hit.offset) for hit in centred.hits) * ms_per_tick(take.tempo)
            loud = statistics.mean(hit.velocity for hit in struck)
            drums = len({hit.voice for hit in struck})
            score = handicap + off - loud / 20 - 4 * drums
            yield replace(take, bars=(centred,), score=score)


def _longest_rest(bar: Bar) -> int:
    ticks = [hit.tick for hit in bar.hits]
    return max(after - before for before, after in pairwise(ticks))


def _usual_toms(bars: Sequence[Bar]) -> float:
    return statistics.median(sum(hit.voice in TOMS for hit in bar.hits) for bar in bars)


def _is_on_beat(hit: Hit) -> bool:
    return hit.tick % TICKS_PER_BEAT == 0


def _centred(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Return the bars with the mean offset of their quarters taken from every hit."""
    offsets = [hit.offset for bar in bars for hit in bar.hits if _is_on_beat(hit)]
    mean = round(statistics.mean(offsets)) if len(offsets) >= 4 else 0
    return tuple(
        replace(
            bar,
            hits=tuple(
                replace(hit, offset=max(-OFFSET_MAX, min(OFFSET_MAX, hit.offset - mean)))
                for hit in bar.hits
            ),
        )
        for bar in bars
    )


def _kick_raised(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Return the bars with the kick made up to twice as loud where its pad was set too low."""
    kicks = [hit.velocity for bar in bars for hit in bar.hits if hit.voice is Voice.KICK]
    loud = statistics.quantiles(kicks, n=10)[-1] if len(kicks) > 1 else KICK_LOUD
    factor = max(1.0, min(2.0, KICK_LOUD / max(1.0, loud)))
    return tuple(
        replace(
            bar,
            hits=tuple(
                replace(hit, velocity=min(127, round(hit.velocity * factor)))
                if hit.voice is Voice.KICK
                else hit
                for hit in bar.hits
            ),
        )
        for bar in bars
    )


def _shape(bar: Bar) -> frozenset[tuple[Tick, Voice]]:
    return frozenset((hit.tick, VOICES[hit.voice].class_of_nine) for hit in bar.hits)


def _alike(one: frozenset[tuple[Tick, Voice]], two: frozenset[tuple[Tick, Voice]]) -> float:
    return len(one & two) / max(1, len(one | two))


def _picked(parts: Sequence[Part], bars_max: int) -> list[Part]:
    """Choose the best parts, drummers and takes by turns, none of them like another."""
    turns: Counter[str] = Counter()
    queue: list[tuple[tuple[int, int, float], Part]] = []
    for part in sorted(parts, key=lambda part: (part.score, part.source)):
        turns[part.source] += 1
        turns[part.drummer] += 1
        queue.append(((turns[part.source], turns[part.drummer], part.score), part))
    picked: list[Part] = []
    for _, part in sorted(queue, key=lambda entry: entry[0]):
        room = bars_max - sum(len(other.bars) for other in picked)
        shapes = [_shape(bar) for other in picked for bar in other.bars]
        new = [bar for bar in part.bars if all(_alike(_shape(bar), s) < ALIKE_MAX for s in shapes)]
        if len(part.bars) <= room and len(new) > len(part.bars) / 2:
            picked.append(part)
    return picked


def _write(path: Path, name: str, phrases: Sequence[Part], fills: Sequence[Part]) -> None:
    parts = [(PHRASE_MARKER, part) for part in phrases] + [(FILL_MARKER, part) for part in fills]
    # The first bar is empty: a hit may sound before the bar line that it belongs to.
    bars = [Bar(BANK_METER), *(bar for _, part in parts for bar in part.bars)]
    tick = BANK_METER.ticks
    markers: list[Marker] = []
    tempos: list[TempoMark] = []
    for word, part in parts:
        markers.append(Marker(Tick(tick), f"{word} {part.source}"))
        if not tempos or tempos[-1].tempo != TempoMark.of(part.tempo).tempo:
            tempos.append(TempoMark.of(part.tempo, Tick(0 if not tempos else tick)))
        tick += BANK_METER.ticks * len(part.bars)
    song = _settled(bars, name, markers, tempos)
    write_song(song, path)
    sys.stdout.write(_summary(path, bank_from_song(name, song)) + "\n")


def _settled(
    bars: list[Bar], name: str, markers: Sequence[Marker], tempos: Sequence[TempoMark]
) -> Song:
    """Return the song that reads back as the playable bars it was made of."""
    kit = load_kit()
    for _ in range(_SETTLING_ROUNDS):
        song = song_from_bars(bars, kit, tempos[0].tempo, name, markers)
        song = song_from_bytes(song_to_bytes(replace(song, tempos=tuple(tempos))))
        again = [repaired(bar) for bar in bars_from_song(song, kit)]
        if again == bars:
            return song
        bars = again
    message = f"the bars of {name} do not read back as they were written"
    raise PatternError(message)


def _summary(path: Path, bank: Bank) -> str:
    bars = [bar for phrase in bank.phrases for bar in phrase]
    unplayable = sum(bool(problems(bar)) for bar in bars)
    hits = statistics.mean(len(bar.hits) for bar in bars)
    return (
        f"{bank.name}: {len(bank.phrases)} phrases, {len(bars)} bars of {hits:.1f} hits, "
        f"{len(set(map(_shape, bars)))} different, {len(bank.fills)} fills, "
        f"{unplayable} unplayable, {path.stat().st_size} bytes"
    )


def main(arguments: list[str]) -> int:
    """Run ``build FOLDER``: write all banks from a copy of the Groove MIDI Dataset."""
    match arguments:
        case ["build", folder]:
            build(Path(folder), bank_path("_").parent)
            return 0
        case _:
            sys.stderr.write("usage: python -m drumigen.bank.builder build /path/to/groove-midi\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
