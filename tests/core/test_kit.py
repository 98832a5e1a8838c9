"""Laws of the kits: what is written, what is read, what chokes, and what a wrong file says."""

from pathlib import Path

import pytest

from drumigen.errors import KitError
from drumigen.kit import GM_NOTES, VOICES, KitMap, KitNote, Voice, kit_names, load_kit

KITS = [load_kit(name) for name in kit_names()]
every_kit = pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)

ESSENTIALS = "kick = { note = 36 }\nsnare = { note = 38 }\nclosed_hat = { note = 42 }\n"


def own_kit(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_kits_are_those_musicians_have() -> None:
    assert set(kit_names()) >= {
        "gm",
        "ableton_rack",
        "roland_td",
        "tr8s",
        "superior_drummer",
        "digitakt",
        "hydrogen",
        "drumgizmo",
    }


@every_kit
@pytest.mark.parametrize("voice", Voice)
def test_every_voice_sounds_on_every_kit(kit: KitMap, voice: Voice) -> None:
    sent = kit.note_of(voice)
    assert 0 <= sent.channel <= 15
    assert 0 <= sent.note <= 127
    assert 10 <= sent.gate_ms <= 50


@every_kit
@pytest.mark.parametrize("voice", Voice)
def test_what_is_written_reads_back_as_the_voice_or_its_stand_in(kit: KitMap, voice: Voice) -> None:
    sent = kit.note_of(voice)
    read = kit.voice_of(sent.note, sent.channel)
    expected: Voice | None = voice
    while expected is not None and read != expected:
        expected = VOICES[expected].stand_in
    assert read is not None
    assert read == expected


def test_every_general_midi_key_is_read() -> None:
    kit = load_kit("gm")
    assert [note for note in GM_NOTES if kit.voice_of(note) is None] == []


@pytest.mark.parametrize("voice", Voice)
def test_the_voice_table_is_general_midi(voice: Voice) -> None:
    kit = load_kit("gm")
    assert kit.note_of(voice).note == VOICES[voice].note
    assert {kit.voice_of(note) for note in VOICES[voice].reads} == {voice}


@pytest.mark.parametrize(
    ("note", "voice"),
    [
        (22, Voice.CLOSED_HAT),
        (26, Voice.OPEN_HAT),
        (58, Voice.LOW_TOM),
        (40, Voice.SNARE),
        (59, Voice.RIDE),
    ],
)
def test_rims_and_edges_of_an_e_kit_are_read(note: int, voice: Voice) -> None:
    assert load_kit("roland_td").voice_of(note) == voice


def test_hydrogen_plays_instruments_in_order_from_36() -> None:
    kit = load_kit("hydrogen")
    order = ["kick", "side_stick", "snare", "clap", "snare", "low_tom", "closed_hat", "mid_tom"]
    order += ["pedal_hat", "high_tom", "open_hat", "cowbell", "ride", "crash", "ride", "splash"]
    assert [kit.voice_of(36 + number) for number in range(16)] == order


def test_drumgizmo_stays_on_the_notes_of_every_map_of_the_drskit() -> None:
    kit = load_kit("drumgizmo")
    minimal = {35, 36, 37, 38, 40, 41, 42, 43, 44, 46, 47, 49, 51, 53, 57}
    assert {kit.note_of(voice).note for voice in Voice} <= minimal
    assert [
        kit.note_of(voice).note for voice in (Voice.HIGH_TOM, Voice.MID_TOM, Voice.LOW_TOM)
    ] == [
        47,
        43,
        41,
    ]


@pytest.mark.parametrize(("note", "voice"), [(22, Voice.CLOSED_HAT), (26, Voice.OPEN_HAT)])
def test_general_midi_reads_the_hat_edges_of_an_e_kit(note: int, voice: Voice) -> None:
    assert load_kit("gm").voice_of(note) == voice


def test_the_tr8s_has_its_eleven_notes() -> None:
    kit = load_kit("tr8s")
    notes = {kit.note_of(voice).note for voice in Voice}
    assert notes == {36, 38, 43, 47, 50, 37, 39, 42, 46, 49, 51}


def test_the_drum_rack_stays_on_its_sixteen_pads() -> None:
    kit = load_kit("ableton_rack")
    assert {kit.note_of(voice).note for voice in Voice} <= set(range(36, 52))


def test_the_digitakt_gets_a_channel_per_track_and_note_60() -> None:
    kit = load_kit("digitakt")
    assert kit.channels == tuple(range(8))
    assert {kit.note_of(voice).note for voice in Voice} == {60}
    assert kit.voice_of(60, channel=1) is Voice.SNARE


@every_kit
def test_closing_the_hat_by_stick_or_foot_chokes_the_open_hat(kit: KitMap) -> None:
    assert Voice.OPEN_HAT in kit.chokes(Voice.CLOSED_HAT)
    assert Voice.OPEN_HAT in kit.chokes(Voice.PEDAL_HAT)
    assert kit.chokes(Voice.SNARE) == ()


def test_a_kit_without_a_splash_plays_its_crash() -> None:
    kit = load_kit("tr8s")
    assert kit.note_of(Voice.SPLASH) == kit.note_of(Voice.CRASH)


def test_a_users_own_kit_states_channel_gate_and_chokes(tmp_path: Path) -> None:
    path = own_kit(
        tmp_path,
        'title = "Mine"\nchannel = 3\ngate_ms = 12\n[voices]\n'
        + ESSENTIALS
        + "ride = { note = 51, channel = 16, gate_ms = 400, also = [59] }\n"
        + '[chokes]\nkick = ["ride"]\n',
    )
    kit = load_kit(path)
    assert kit.note_of(Voice.KICK) == KitNote(2, 36, 12)
    assert kit.note_of(Voice.RIDE) == KitNote(15, 51, 400)
    assert kit.voice_of(59, channel=15) is Voice.RIDE
    assert kit.chokes(Voice.KICK) == (Voice.RIDE,)
    assert load_kit(str(path)) == kit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('title = "x"\n[voices]\nkick = { note = 200 }', ["voices.kick.note", "200", "127"]),
        ('title = "x"\nchannel = 17\n[voices]\n' + ESSENTIALS, ["channel", "17", "16"]),
        (
            'title = "x"\n[voices]\nkick = { note = 36, gate_ms = 0 }',
            ["voices.kick.gate_ms", "0", ">= 1"],
        ),
        ('title = "x"\n[voices]\nkick = { note = "C1" }', ["voices.kick.note", "'C1'", "int"]),
        ('title = "x"\n[voices]\nkik = { note = 36 }', ["voices", "kik"]),
        ('title = "x"\n[voices]\n' + ESSENTIALS + "ride = { note = 42 }", ["voices.ride", "42"]),
        ('title = "x"\n[voices]\nkick = { note = 36 }', ["voices.snare", "0 to 127"]),
        ('title = "x"\n[voices]\n' + ESSENTIALS + '[chokes]\nhat = ["ride"]', ["chokes", "hat"]),
        ("title = ", ["TOML"]),
    ],
)
def test_a_wrong_kit_file_is_told_in_one_line_by_file_key_and_value(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    path = own_kit(tmp_path, text)
    with pytest.raises(KitError) as refused:
        load_kit(path)
    message = str(refused.value)
    assert "\n" not in message
    assert [part for part in [str(path), *said] if part not in message] == []


def test_an_unknown_kit_names_the_nearest() -> None:
    with pytest.raises(KitError, match="did you mean 'tr8s'"):
        load_kit("tr8")


def test_a_missing_kit_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="cannot be read"):
        load_kit(tmp_path / "none.toml")


def test_a_kit_of_ones_own_is_found_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_kit(tmp_path, 'title = "Mine"\n[voices]\n' + ESSENTIALS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_kit("~/mine.toml").title == "Mine"
    with pytest.raises(KitError, match=r"none\.toml: cannot be read"):
        load_kit("~/none.toml")


@pytest.mark.parametrize(
    "name", ["~nobody-of-that-name/mine.toml", "a\0b.toml", "two\nlines.toml", "/"]
)
def test_any_name_of_a_kit_is_a_kit_or_one_line(name: str) -> None:
    with pytest.raises(KitError) as refused:
        load_kit(name)
    assert len(str(refused.value).splitlines()) == 1
