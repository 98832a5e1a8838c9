"""Laws of the built-in bar bank: real bars, enough of them, in every metre, and in style."""

import statistics
from collections.abc import Sequence
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumigen.bank.bank import Bank, load_bank
from drumigen.bank.grammars import GRAMMARS
from drumigen.errors import MidiFileError
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit, Rule, problems
from drumigen.resources import bank_path
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from strategies import meters

STYLES = load_styles()
FOUR = Meter()
BEAT = 1920
LIMIT_BYTES = 15_000
PRODUCERS = tuple(GRAMMARS)

NAMES = sorted({style.bank for style in STYLES})

every_bank = pytest.mark.parametrize("name", NAMES)
every_producer = pytest.mark.parametrize("name", PRODUCERS)
names = st.sampled_from(NAMES)


def bars_of(bank: Bank) -> list[Bar]:
    return [bar for phrase in bank.phrases for bar in phrase]


def milliseconds(name: str, ticks: float) -> float:
    return ticks * 60_000 / (GRAMMARS[name].tempo * BEAT)


def backbeats(bars: Sequence[Bar]) -> list[Hit]:
    snares = (Voice.SNARE, Voice.SIDE_STICK, Voice.CLAP)
    return [h for bar in bars for h in bar.hits if h.voice in snares and h.velocity > 90]


@every_bank
def test_a_bank_has_enough_bars_that_nothing_loops(name: str) -> None:
    bank = load_bank(name)
    assert len(bars_of(bank)) >= 32
    assert len({bar.hits for bar in bars_of(bank)}) >= 24
    assert 6 <= len(bank.fills) <= 12
    assert {len(phrase) for phrase in bank.phrases} <= {4, 8}


@every_bank
def test_a_bank_is_small(name: str) -> None:
    assert bank_path(name).stat().st_size < LIMIT_BYTES


@every_bank
def test_every_bar_of_a_bank_is_playable(name: str) -> None:
    bank = load_bank(name)
    assert [problems(bar) for bar in bars_of(bank) if problems(bar)] == []
    thin = {problem.rule for fill in bank.fills for problem in problems(fill)}
    assert thin <= {Rule.SPARSE}


@pytest.mark.parametrize("name", sorted({*NAMES} - {*PRODUCERS}))
def test_human_bars_sit_on_the_grid_on_average_and_only_there(name: str) -> None:
    on_beat = [h.offset for bar in bars_of(load_bank(name)) for h in bar.hits if not h.tick % BEAT]
    assert abs(statistics.mean(on_beat)) < 2
    assert statistics.stdev(on_beat) > 20


def test_styles_differ_in_how_much_is_played() -> None:
    density = {
        name: statistics.mean(len(bar.hits) for bar in bars_of(load_bank(name)))
        for name in ("jazz", "rock", "latin", "neworleans")
    }
    assert density["jazz"] < density["rock"] < density["latin"] < density["neworleans"]


@pytest.mark.parametrize(
    "name", ["rock", "funk", "hiphop", "soul", "blues", "questlove", "j_dilla"]
)
def test_backbeat_styles_have_their_backbeat(name: str) -> None:
    bars = bars_of(load_bank(name))
    loud = [{h.tick for h in bar.hits if h.voice in ("snare", "side_stick")} for bar in bars]
    assert sum(BEAT in ticks and 3 * BEAT in ticks for ticks in loud) > 0.8 * len(bars)


@pytest.mark.parametrize("role", [{}, {"fill": True}, {"after_fill": True}])
@given(names, st.integers(0, 500), st.integers(0, 2**31), meters())
def test_every_bar_of_the_walk_can_be_played_in_every_metre(
    role: dict[str, bool], name: str, song_bar: int, seed: int, meter: Meter
) -> None:
    bank = load_bank(name)
    bar = bank.bar(song_bar, seed, meter, **role)
    assert bar.meter == meter
    assert {problem.rule for problem in problems(bar)} <= {Rule.SPARSE}
    assert bar == bank.bar(song_bar, seed, meter, **role)


@given(names, st.integers(0, 2**31))
def test_no_bar_sounds_verbatim_more_than_twice_running(name: str, seed: int) -> None:
    walk = [load_bank(name).bar(number, seed, FOUR) for number in range(110)]
    assert max(len(list(run)) for _, run in groupby(walk)) <= 2


def phrases_of_walk(bank: Bank, seed: int, cycles: int) -> list[tuple[Bar, ...]]:
    """Return the whole phrases that follow one another; fails where none goes on."""
    played: list[tuple[Bar, ...]] = []
    walk = [bank.bar(number, seed, FOUR) for number in range(cycles * len(bars_of(bank)))]
    while walk:
        played.append(next(p for p in bank.phrases if walk[: len(p)] == list(p)))
        del walk[: len(played[-1])]
    return played


@given(names, st.integers(0, 2**31))
def test_no_phrase_sounds_twice_running(name: str, seed: int) -> None:
    assert all(one != two for one, two in pairwise(phrases_of_walk(load_bank(name), seed, 5)))


@given(names, st.integers(0, 2**31))
def test_a_walk_plays_each_phrase_whole_and_once_before_any_comes_again(
    name: str, seed: int
) -> None:
    bank = load_bank(name)
    played = phrases_of_walk(bank, seed, 2)
    for cycle in (played[: len(bank.phrases)], played[len(bank.phrases) :]):
        assert len(cycle) == len(bank.phrases)
        assert set(cycle) == set(bank.phrases)


@every_bank
def test_another_seed_is_another_walk(name: str) -> None:
    bank = load_bank(name)
    walks = {tuple(bank.bar(number, seed, FOUR) for number in range(48)) for seed in range(5)}
    assert len(walks) == 5


@every_bank
def test_fills_rotate(name: str) -> None:
    bank = load_bank(name)
    for every in (4, 8):
        numbers = range(every - 1, 8 * every, every)
        fills = [bank.bar(n, 3, FOUR, fill=True).hits[-3:] for n in numbers]
        assert all(one != two for one, two in pairwise(fills))


@every_bank
def test_a_fill_is_led_to_by_the_groove(name: str) -> None:
    bank = load_bank(name)
    for number in range(12):
        bar, groove = bank.bar(number, 5, FOUR, fill=True), bank.bar(number, 5, FOUR)
        assert bar != groove
        rests = [bar.hits[0].tick, *(b.tick - a.tick for a, b in pairwise(bar.hits))]
        assert max(rests) <= 2 * BEAT


@every_bank
def test_after_a_fill_there_is_a_crash_on_one(name: str) -> None:
    one = load_bank(name).bar(8, 1, FOUR, after_fill=True).at(0)
    assert {hit.voice for hit in one} >= {Voice.CRASH, Voice.KICK}


def test_a_bank_that_does_not_exist_is_named() -> None:
    with pytest.raises(MidiFileError, match="polka"):
        load_bank("polka")


@every_producer
def test_the_grammars_write_the_bars_that_are_shipped(name: str) -> None:
    bank = load_bank(name)
    assert bank.phrases == tuple(bars for _, bars in GRAMMARS[name].phrases())
    assert bank.fills == tuple(bar for _, bar in GRAMMARS[name].fills())


@pytest.mark.parametrize("phrase", load_bank("j_dilla").phrases)
def test_dilla_has_an_early_snare_a_late_kick_and_a_template_that_repeats(
    phrase: tuple[Bar, ...],
) -> None:
    assert phrase[0] == phrase[2]
    early = [milliseconds("j_dilla", hit.offset) for hit in backbeats(phrase)]
    assert [ms for ms in early if not -30.5 <= ms <= -7.5] == []
    kicks = [
        milliseconds("j_dilla", h.offset)
        for bar in phrase
        for h in bar.hits
        if h.voice is Voice.KICK and not h.tick % 960
    ]
    assert [ms for ms in kicks if not 0 <= ms <= 25.5] == []


def test_dilla_swings_one_voice_and_not_the_other() -> None:
    feels = set()
    for phrase in load_bank("j_dilla").phrases:
        swung = {
            voice: [
                h.offset
                for bar in phrase
                for h in bar.hits
                if h.voice is voice and h.tick % 960 == 480
            ]
            for voice in (Voice.CLOSED_HAT, Voice.KICK)
        }
        feels |= {voice for voice, offsets in swung.items() if offsets and min(offsets) > 60}
    assert feels == {Voice.CLOSED_HAT, Voice.KICK}


def test_metro_claps_on_three_alone_and_keeps_the_grid() -> None:
    bars = bars_of(load_bank("metro_boomin"))
    assert {hit.tick for hit in backbeats(bars)} == {2 * BEAT}
    offsets = [hit.offset for bar in bars for hit in bar.hits]
    assert milliseconds("metro_boomin", statistics.pstdev(offsets)) < 2


def test_metro_rolls_in_32nds_and_triplets_that_rise_or_fall() -> None:
    bars = bars_of(load_bank("metro_boomin"))
    hats = [[h for h in bar.hits if h.voice is Voice.CLOSED_HAT] for bar in bars]
    steps = [b.tick - a.tick for bar in hats for a, b in pairwise(bar)]
    assert steps.count(240) > 60
    assert steps.count(320) > 30
    rolled = [
        abs(b.velocity - a.velocity)
        for bar in hats
        for a, b in pairwise(bar)
        if b.tick - a.tick == 240
    ]
    assert statistics.mean(rolled) > 4


def test_questlove_lays_his_backbeat_behind_the_hat_and_whispers_around_it() -> None:
    bars = bars_of(load_bank("questlove"))
    hats = {
        (n, h.tick): h.offset
        for n, bar in enumerate(bars)
        for h in bar.hits
        if h.voice is Voice.CLOSED_HAT
    }
    late = [
        milliseconds("questlove", hit.offset - hats[n, hit.tick])
        for n, bar in enumerate(bars)
        for hit in backbeats([bar])
    ]
    assert 10 <= statistics.mean(late) <= 25
    ghosts = [
        h.velocity for bar in bars for h in bar.hits if h.voice == "snare" and h.velocity < 60
    ]
    assert all(15 <= velocity <= 38 for velocity in ghosts)
    assert 1.3 <= len(ghosts) / len(bars) <= 2.7
