"""What a performer calls for and turns, as it is heard: fills, sections, repeats, the mix."""

import pytest

from band import Band
from drumigen.form import Form
from drumigen.kit import Voice
from drumigen.pattern import Bar, Hit
from drumigen.units import Bpm, Tick
from drumigen_daemon.engine.messages import ClockSource, EngineParameters, Locate, Origin, Start
from drumigen_daemon.generator.writers import MockWriter
from drumigen_daemon.planner.arrangement import Arrangement
from drumigen_daemon.planner.bar_choice import BarChoice
from drumigen_daemon.session import FeelKnobs, Quantum, Session
from rig import note_of

INTERNAL = EngineParameters(source=ClockSource.INTERNAL, tempo=Bpm(120.0))
GRID = FeelKnobs(humanize=0)
BAR = 7680
FILLS = {"fill_every": 8, "fill_amount": 100}
"""Where fills are, told from outside: a style has them anywhere."""


def playing(until: float = 4.6, *, mock: bool = False, **session: object) -> Band:
    """Return a band at 120 BPM in 4/4 that has played until beat ``2 * until`` or so."""
    settings = {"style": "rock", "parameters": INTERNAL, "feel": GRID, **FILLS, **session}
    rock = Band(Session(**settings), MockWriter() if mock else None, ("rock", "funk"))  # type: ignore[arg-type]
    rock.rig.run(1)
    rock.rig.obey(Start())
    rock.rig.run(until)
    return rock


def now(rock: Band) -> float:
    return rock.rig.state.timeline.tick_at(rock.rig.now)


def sent(rock: Band, number: int) -> Bar:
    planned = rock.planner.sent_bar(number)
    assert planned is not None
    return planned.bar


def choice(rock: Band, number: int) -> BarChoice:
    found = rock.planner.choice_of(number)
    assert found is not None
    return found


def in_engine(rock: Band, number: int) -> Bar:
    planned = rock.rig.held(number * BAR)
    assert planned is not None
    return planned.bar


def ticks(bar: Bar, voice: Voice) -> list[int]:
    return [hit.tick for hit in bar.hits if hit.voice is voice]


def before(bar: Bar, tick: float) -> list[Hit]:
    return [hit for hit in bar.hits if hit.tick < tick]


def from_(bar: Bar, tick: float) -> list[Hit]:
    return [hit for hit in bar.hits if hit.tick >= tick]


def step_after(rock: Band) -> int:
    """Return the step at which a control acts now, in ticks of the bar that sounds."""
    return -(-int(now(rock) + 20 - rock.planner.bar * BAR) // 480) * 480


def heard(rock: Band, number: int) -> list[tuple[int, int]]:
    """Return what left during bar ``number``: (tick of the bar, note)."""
    line = rock.rig.state.timeline
    notes = ((round(line.tick_at(s.at)) - number * BAR, s.data[1]) for s in rock.rig.output.notes())
    return [(tick, note) for tick, note in notes if -10 <= tick < BAR - 10]


# --- fills -------------------------------------------------------------------------------------


def test_a_fill_now_ends_this_bar_and_lands_a_crash_on_the_one() -> None:
    rock = playing(4.6)
    number, old, step = rock.planner.bar, in_engine(rock, 2), step_after(rock)
    rock.control("fill")
    new = in_engine(rock, number)
    assert before(new, step) == before(old, step)
    assert from_(new, step) != from_(old, step)
    rock.rig.run(3)
    assert (0, note_of(Voice.CRASH)) in [(round(t / 10), n) for t, n in heard(rock, number + 1)]
    assert Origin.BANK not in [entered.origin for entered in rock.entered]


def test_a_fill_never_lengthens_the_bar() -> None:
    rock = playing(4.6)
    for _ in range(6):
        rock.control("fill")
        rock.rig.run(1.7)
    assert [entered.number for entered in rock.entered] == list(range(len(rock.entered)))
    assert {str(bar.meter) for bar in rock.played} == {"4/4"}


def test_a_fill_called_for_in_the_last_beat_is_the_next_bar() -> None:
    rock = playing(5.7)
    number, old = rock.planner.bar, in_engine(rock, 2)
    rock.control("fill")
    assert in_engine(rock, number) == old
    rock.rig.run(0.5)
    assert choice(rock, number + 1).parts[-1].request.fill


def test_every_fill_is_another_one() -> None:
    rock = playing(4.6)
    fills = []
    for _ in range(5):
        rock.control("fill_next")
        rock.rig.run(2.0)
        fills.append(rock.written[-1])
        rock.rig.run(2.0)
    assert len(set(fills)) == len(fills)


@pytest.mark.parametrize(("every", "filled"), [(4, {3, 7, 11}), (0, set()), (8, {7})])
def test_fills_come_every_so_many_bars(every: int, filled: set[int]) -> None:
    rock = playing(25, fill_every=every)
    last = rock.entered[-1].number
    assert last >= 11
    fills = {
        entered.number
        for entered, choice in zip(rock.entered, rock.choices, strict=True)
        if choice and any(part.request.fill for part in choice.parts)
    }
    assert fills == filled
    crashes = {n for n, bar in enumerate(rock.played) if 0 in ticks(bar, Voice.CRASH)}
    assert {n + 1 for n in filled} <= crashes


def test_after_a_fill_that_comes_by_itself_the_writer_is_free_to_crash_or_not() -> None:
    form = Form(fills=(0, 0, 0, 1, 0, 0, 0, 0), fill_beats=(2,))
    by_itself = Arrangement(Session(style="rock"), lambda _: form)
    every_fourth = Arrangement(Session(style="rock", fill_every=4), lambda _: form)
    called = Arrangement(Session(style="rock"), lambda _: form)
    called.form.fills[3] = Tick(3 * BAR)
    for arrangement, lands in ((by_itself, False), (every_fourth, True), (called, True)):
        assert arrangement.fill_from(3) is not None
        assert arrangement.request(4, Tick(4 * BAR)).after_fill is lands


def test_the_amount_is_how_much_of_the_bar_a_fill_takes() -> None:
    rock = playing(13.0, fill_amount=25)
    parts = choice(rock, 7).parts
    assert [(part.tick - 7 * BAR, part.request.fill) for part in parts] == [
        (0, False),
        (3 * 1920, True),
    ]


# --- form --------------------------------------------------------------------------------------


def test_a_returns_as_a_with_variation() -> None:
    rock = playing(3.0, phrase=4)
    rock.control("section", "a")
    rock.rig.run(8.1)
    first = rock.written[2:6]
    rock.control("section", "b")
    rock.rig.run(8)
    rock.control("section", "a")
    rock.rig.run(8)
    again = rock.written[10:14]
    assert rock.entered[10].origin is Origin.REMEMBERED
    for old, new in zip(first, again, strict=True):
        assert old != new
        same = set(old.hits) & set(new.hits)
        assert len(same) >= len(old.hits) * 0.7


def test_without_variation_a_returns_as_it_was() -> None:
    rock = playing(3.0, phrase=4, variation=False)
    for section, seconds in (("a", 8.1), ("b", 8), ("a", 8)):
        rock.control("section", section)
        rock.rig.run(seconds)
    assert rock.written[10:14] == rock.written[2:6]


def test_a_section_comes_at_the_bar_line_and_sounds_like_itself() -> None:
    rock = playing(4.6, mock=True)
    rock.control("section", "intro")
    assert ticks(in_engine(rock, 2), Voice.SNARE)
    assert not ticks(in_engine(rock, 3), Voice.SNARE)
    rock.rig.run(3)
    rock.control("section", "b")
    rock.rig.run(2)
    assert ticks(rock.played[-1], Voice.RIDE)


def test_an_ending_is_a_fill_a_last_stroke_and_silence_until_the_next_section() -> None:
    rock = playing(4.6)
    rock.control("section", "ending")
    rock.rig.run(8)
    assert sent(rock, rock.planner.bar).hits == ()
    numbers = [entered.number for entered in rock.entered]
    last = rock.played[numbers.index(4)]
    assert {hit.voice for hit in last.hits} == {Voice.KICK, Voice.CRASH}
    silent = rock.rig.now - 1.5
    assert not rock.rig.output.notes(since=silent)
    rock.control("section", "a")
    rock.rig.run(3)
    assert rock.rig.output.notes(since=rock.rig.now - 1)


def test_a_build_grows_and_lands() -> None:
    rock = playing(4.6, mock=True, build_bars=2, fill_every=0)
    rock.control("build")
    rock.rig.run(8)
    snares = [len(ticks(rock.played[n], Voice.SNARE)) for n in (2, 3, 4, 5)]
    assert snares[0] == snares[3] == 2
    assert 2 < snares[1] < snares[2]
    assert 0 in ticks(rock.played[5], Voice.CRASH)


def test_half_time_has_one_backbeat_a_bar() -> None:
    rock = playing(4.6, mock=True)
    rock.control("half_time", True)
    rock.rig.run(4)
    assert ticks(rock.played[-1], Voice.SNARE) == [3840]
    rock.control("half_time", False)
    rock.rig.run(4)
    assert ticks(rock.played[-1], Voice.SNARE) == [1920, 5760]


def test_a_count_in_is_sticks_and_then_the_song() -> None:
    rock = playing(3.0, count_in=1)
    assert {hit.voice for hit in rock.played[0].hits} == {Voice.SIDE_STICK}
    assert {hit.voice for hit in rock.played[1].hits} >= {Voice.KICK, Voice.CRASH}


def test_hold_plays_this_bar_until_it_is_let_go() -> None:
    rock = playing(4.6)
    rock.control("hold", True)
    rock.rig.run(8)
    held = rock.written[2]
    assert rock.written[2:] == [held] * len(rock.written[2:])
    rock.control("hold", False)
    rock.rig.run(4)
    assert held not in rock.written[-2:]


def test_a_style_switch_ends_a_hold_and_the_new_style_is_held() -> None:
    rock = playing(4.6)
    rock.control("hold", True)
    rock.rig.run(4)
    rock.control("style", "funk")
    rock.rig.run(8)
    assert {e.style for e in rock.entered[-3:]} == {"funk"}
    assert len(set(rock.written[-3:])) == 1


def test_again_plays_this_bar_once_more() -> None:
    rock = playing(4.6)
    rock.control("again")
    rock.rig.run(4)
    assert rock.written[3] == rock.written[2]
    assert rock.written[4] != rock.written[3]


def test_a_re_roll_is_another_bar_and_back_is_the_one_before() -> None:
    rock, untouched = playing(4.6, quantum=Quantum.BAR), playing(4.6, quantum=Quantum.BAR)
    rock.control("re-roll")
    for each in (rock, untouched):
        each.rig.run(2)
    assert rock.written[3] != untouched.written[3]
    assert {entered.origin for entered in rock.entered} == {Origin.GENERATED}
    rock.control("back")
    for each in (rock, untouched):
        each.rig.run(4)
    assert rock.written[4:6] == untouched.written[4:6]


def test_what_was_re_rolled_is_played_again_after_a_relocate() -> None:
    rock = playing(4.6, quantum=Quantum.BAR)
    rock.control("re-roll")
    rock.rig.run(6)
    first = rock.written[:6]
    rock.rig.obey(Locate(Tick(BAR)))
    rock.rig.run(8)
    assert rock.written[len(rock.entered) - 4 :] == first[1:5]


# --- at the next step --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "value", "silent"),
    [
        ("mute.closed_hat", True, {Voice.CLOSED_HAT}),
        ("solo.kick", True, {Voice.SNARE, Voice.CLOSED_HAT}),
        ("level.snare", 0, {Voice.SNARE}),
        ("drop", True, {Voice.SNARE, Voice.KICK}),
    ],
)
def test_the_mix_acts_at_the_next_step_and_not_before(
    control: str, value: object, silent: set[Voice]
) -> None:
    rock = playing(4.6, mock=True)
    old, step = in_engine(rock, 2), step_after(rock)
    rock.control(control, value)
    new = in_engine(rock, 2)
    assert before(new, step) == before(old, step)
    assert not {hit.voice for hit in from_(new, step)} & silent
    assert sent(rock, 2) == new
    rock.rig.run(3)
    assert not {hit.voice for hit in rock.played[-1].hits} & silent
    undone = {"level.snare": 100}.get(control, False)
    rock.control(control, undone)
    rock.rig.run(4)
    assert {hit.voice for hit in rock.played[-1].hits} >= silent


def test_a_level_is_heard_at_the_next_step() -> None:
    rock = playing(4.6, mock=True)
    old, step = in_engine(rock, 2), step_after(rock)
    rock.control("level.snare", 50)
    loud = [h.velocity for h in from_(old, step) if h.voice is Voice.SNARE]
    soft = [h.velocity for h in from_(in_engine(rock, 2), step) if h.voice is Voice.SNARE]
    assert soft == [velocity // 2 for velocity in loud]


def test_swing_and_push_act_at_the_next_step() -> None:
    pushed, plain = (playing(4.1, mock=True, feel=FeelKnobs()) for _ in range(2))
    old, step = in_engine(pushed, 2), step_after(pushed)
    pushed.control("push.snare", 20)
    new = in_engine(pushed, 2)
    assert before(new, step) == before(old, step)
    late = 20 * 3.84  # ticks a millisecond at 120 BPM
    for hit, other in zip(from_(new, step), from_(in_engine(plain, 2), step), strict=True):
        expected = late if hit.voice is Voice.SNARE else 0
        assert hit.offset - other.offset == pytest.approx(expected, abs=1)
    pushed.control("swing", 66.7)
    pushed.control("humanize", 0)
    off_beats = [h for h in sent(pushed, 3).hits if h.tick % 960 == 480]
    assert all(hit.offset > 150 for hit in off_beats)


def test_density_acts_by_rule_at_the_next_step_and_is_asked_for_from_the_next_bar() -> None:
    rock = playing(4.6, mock=True)
    old, step = in_engine(rock, 2), step_after(rock)
    rock.control("density", 5)
    new = in_engine(rock, 2)
    assert before(new, step) == before(old, step)
    assert len(from_(new, step)) < len(from_(old, step))
    rock.rig.run(2)
    asked = {r.number for r in rock.source.asked if r.density == 5 and r.style == "rock"}
    assert 3 in asked
    assert 2 not in asked


def test_a_stutter_repeats_a_piece_until_it_is_off() -> None:
    rock = playing(4.6, mock=True, variation=False)
    step = step_after(rock)
    rock.control("stutter", "eighth")
    new = from_(in_engine(rock, 2), step)
    voices = [
        sorted(h.voice for h in new if start <= h.tick < start + 960)
        for start in range(step, BAR - 959, 960)
    ]
    assert len({tuple(each) for each in voices}) == 1
    assert voices[0]
    rock.rig.run(4)
    rock.control("stutter", "off")
    rock.rig.run(3)
    assert ticks(rock.played[-1], Voice.SNARE) == [1920, 5760]


def test_a_switch_at_the_phrase_waits_for_it() -> None:
    rock = playing(4.6, quantum=Quantum.PHRASE, phrase=4)
    rock.control("style", "funk")
    rock.control("mute.crash", True)
    rock.rig.run(8)
    assert [entered.style for entered in rock.entered] == ["rock"] * 4 + ["funk"] * (
        len(rock.entered) - 4
    )


def test_a_mute_before_a_pending_switch_acts_on_the_old_style_first() -> None:
    rock = playing(4.1, quantum=Quantum.BEAT)
    rock.rig.run(0.02)
    step = step_after(rock)
    rock.control("mute.kick", True)
    rock.control("style", "funk")
    new = in_engine(rock, 2)
    assert not [h for h in from_(new, step) if h.voice is Voice.KICK]
    rock.control("mute.kick", False)
    funk = choice(rock, 2).parts[-1]
    switched = funk.tick - 2 * BAR
    assert funk.request.style == "funk"
    kicks = [tick for tick in ticks(funk.bar, Voice.KICK) if tick >= switched]
    assert kicks
    assert [tick for tick in ticks(in_engine(rock, 2), Voice.KICK) if tick >= switched] == kicks


def test_bars_for_a_start_from_the_top_are_in_the_style_that_was_switched_to() -> None:
    rock = playing(10.5)
    rock.control("style", "funk")
    rock.rig.run(0.3)
    assert in_engine(rock, 0) == sent(rock, 0)
    rock.rig.obey(Start())
    rock.rig.run(1)
    assert rock.entered[-1].style == "funk"
    assert rock.played[-1] == sent(rock, 0)


def test_what_the_planner_believes_is_what_the_engine_holds() -> None:
    rock = playing(4.6, phrase=4)
    for control, value in (
        ("mute.kick", True),
        ("style", "funk"),
        ("density", 90),
        ("fill", None),
        ("stutter", "quarter"),
        ("swing", 62),
        ("stutter", "off"),
        ("section", "b"),
        ("half_time", True),
        ("mute.kick", False),
    ):
        rock.control(control, value)
        rock.rig.run(0.31)
        bar = rock.planner.bar
        for number in (bar, bar + 1):
            assert in_engine(rock, number) == sent(rock, number), control


def test_a_plan_before_the_bar_line_never_brings_back_what_was_played() -> None:
    rock = playing(4.6)
    for turn in range(40):
        rock.control("swing", 50 + turn % 20)
        rock.rig.run(0.033)
    line = rock.rig.state.timeline
    strokes: dict[tuple[int, int], int] = {}
    for note in rock.rig.output.notes():
        key = (round(line.tick_at(note.at) / 480), note.data[1])
        strokes[key] = strokes.get(key, 0) + 1
    assert max(strokes.values()) <= 2
