import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drumigen.errors import SettingsError
from drumigen.kit import Voice
from drumigen.resources import config_path
from drumigen.timeline import Meter
from drumigen_daemon.engine.messages import ClockSource
from drumigen_daemon.session import Quantum
from drumigen_daemon.settings import loading
from drumigen_daemon.settings.loading import Given, find_file, load_settings
from drumigen_daemon.settings.paths import journal_folder, learned_path, scenes_path, socket_paths
from drumigen_daemon.settings.sections import ALLOWED, Settings, adopted, restart_needed

any_file = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "drumigen.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environment or {})


def refusal(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, environment)
    message = str(caught.value)
    assert message.isprintable()
    return message


def outcome(path: Path | None, *flags: Given) -> tuple[Settings, str]:
    """Return the settings and no complaint, or the defaults and one."""
    try:
        return load_settings(path, {}, flags), ""
    except SettingsError as error:
        return Settings(), str(error)


def test_the_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    text = config_path("drumigen.toml").read_text(encoding="utf-8")
    assert read(tmp_path, text) == Settings()
    uncommented = re.sub(r"(?m)^#(?=\w+ = )", "", text)
    assert uncommented != text
    assert read(tmp_path, uncommented) == Settings()


def test_every_key_is_documented() -> None:
    text = config_path("drumigen.toml").read_text(encoding="utf-8")
    documented: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = documented.setdefault(line[1:-1], set())
        elif found := re.match(r"#(\w+) = ", line):
            section.add(found[1])
    assert documented == {name: set(keys) for name, keys in ALLOWED.items()}


def test_environment_overrides_file_and_flag_overrides_both(tmp_path: Path) -> None:
    path = tmp_path / "drumigen.toml"
    path.write_text("[clock]\ntempo = 90\nsource = 'midi'\n[song]\nstyle = 'funk'\n")
    environment = {"DRUMIGEN_CLOCK_TEMPO": "100", "DRUMIGEN_SONG_STYLE": "jazz"}
    result = load_settings(path, environment, [Given("clock.tempo", "110", "--bpm")])
    assert result.clock.tempo == 110
    assert result.song.style == "jazz"
    assert result.clock.source is ClockSource.MIDI


def test_values_have_their_types(tmp_path: Path) -> None:
    result = read(
        tmp_path,
        """
        [midi]
        outputs = ["synth", "MicroKorg*"]
        [song]
        style = "Dilla"
        meter = "7/8"
        quantum = "bar"
        [output]
        voice_offsets_ms = { kick = -3, snare = 4.5 }
        """,
        {"DRUMIGEN_SONG_VARIATION": "off", "DRUMIGEN_MIDI_INPUTS": "a, b"},
    )
    assert result.midi.outputs == ("synth", "MicroKorg*")
    assert result.midi.inputs == ("a", "b")
    assert result.song.style == "j_dilla"
    assert result.song.meter == Meter(7, 8)
    assert result.song.quantum is Quantum.BAR
    assert result.song.variation is False
    assert result.output.voice_offsets_ms == {Voice.KICK: -3.0, Voice.SNARE: 4.5}


@pytest.mark.parametrize(
    "written",
    [
        "ardour, MicroKorg*",
        '["ardour", "MicroKorg*"]',
        "['ardour', 'MicroKorg*',]",
        "[ardour, MicroKorg*]",
        ' [ "ardour" , "MicroKorg*" ] ',
    ],
)
def test_a_list_is_written_in_a_variable_or_flag_as_in_the_file(written: str) -> None:
    for key in ("inputs", "outputs", "clock_outputs", "feedback_outputs"):
        flag = Given(f"midi.{key}", written, "--set")
        assert getattr(load_settings(None, {}, [flag]).midi, key) == ("ardour", "MicroKorg*")
    maps = load_settings(None, {"DRUMIGEN_CONTROL_MAPS": written}).control.maps
    assert maps == ("ardour", "MicroKorg*")


@pytest.mark.parametrize("written", ["kick=-3, snare=4.5", "{ kick = -3, snare = 4.5 }"])
def test_a_table_is_written_in_a_variable_or_flag_as_in_the_file(written: str) -> None:
    flag = Given("output.voice_offsets_ms", written, "--set")
    expected = {Voice.KICK: -3.0, Voice.SNARE: 4.5}
    assert load_settings(None, {}, [flag]).output.voice_offsets_ms == expected


def test_a_pattern_with_brackets_of_its_own_stays_a_pattern() -> None:
    flag = Given("midi.inputs", "[Mm]icro*, *korg", "--set")
    assert load_settings(None, {}, [flag]).midi.inputs == ("[Mm]icro*", "*korg")


@pytest.mark.parametrize(
    "written",
    [
        '["ardour"',
        '["ardour", 3]',
        '["a"] x',
        "[[a], b]",
        '[["a"]]',
        '["a]',
        "[" * 900 + '"',
        "[{a = 1}, 'b']",
        '["a\tb"]',
    ],
)
def test_half_a_list_is_refused_and_never_a_pattern(written: str) -> None:
    with pytest.raises(SettingsError, match="use a list of at most 64 texts"):
        load_settings(None, {"DRUMIGEN_MIDI_INPUTS": written})


def test_settings_make_the_session_and_the_engine(tmp_path: Path) -> None:
    result = read(
        tmp_path,
        """
        [midi]
        backend = "null"
        client = "drums"
        inputs = ["clock master"]
        clock_outputs = ["synth"]
        [clock]
        tempo = 96.5
        send_clock = false
        [song]
        seed = 7
        [output]
        offset_ms = -12
        [engine]
        realtime_priority = 0
        """,
    )
    session, setup = result.session, result.engine_setup
    assert (session.seed, session.parameters.tempo, session.parameters.offset_ms) == (
        7,
        96.5,
        -12.0,
    )
    assert session.parameters.clock_out is False
    assert (setup.backend, setup.api, setup.priority, setup.plan.client) == (
        "null",
        None,
        0,
        "drums",
    )
    assert setup.plan.inputs[0].connect == ("clock master",)
    assert [port.connect for port in setup.plan.outputs] == [(), ("synth",)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[clock]\ntempo = 401", ("clock.tempo", "401", "20 to 400")),
        ("[clock]\ntempo = nan", ("clock.tempo", "nan", "20 to 400")),
        ("[clock]\ntempo = '120'", ("clock.tempo", "'120'", "20 to 400")),
        ("[clock]\ntempo = true", ("clock.tempo", "True")),
        (f"[clock]\ntempo = 1{'0' * 400}", ("line 2", "at most 100 digits")),
        (f"[song]\nseed = 0x{'f' * 9000}", ("line 2", "at most 100 digits")),
        ("[song]\nseed = 1.5", ("song.seed", "1.5", "whole number")),
        ("[song]\nstyle = 'fnk'", ("song.style", "'fnk'", "funk")),
        ("[song]\nmeter = '4-4'", ("song.meter", "'4-4'", "4/4")),
        ("[song]\nmeter = 4", ("song.meter", "4", "7/8")),
        ("[song]\nquantum = 'song'", ("song.quantum", "step, beat, bar or phrase")),
        ("[output]\nkit = 'rolan'", ("output.kit", "roland_td")),
        ("[output]\nkit = 'my.toml'", ("output.kit", "my.toml", "cannot be read")),
        ("[output]\noffset_ms = -201", ("output.offset_ms", "-200 to 200")),
        ("[output.voice_offsets_ms]\nkik = 1", ("voice_offsets_ms", "'kik'", "kick")),
        ("[output.voice_offsets_ms]\nkick = inf", ("voice_offsets_ms", "kick", "inf")),
        ("[midi]\nbackend = 'corefoundation'", ("midi.backend", "rtmidi or null")),
        ("[midi]\nclient = 'a:b'", ("midi.client", "colon")),
        ("[midi]\ninputs = 'synth\\n'", ("midi.inputs", "list")),
        ("[midi]\ninputs = [1]", ("midi.inputs", "list")),
        ("[generator]\nwriter = 'gpt'", ("generator.writer", "bank or mock")),
        ("[engine]\nrealtime_priority = 100", ("engine.realtime_priority", "0 to 99")),
        ("[capture]\nbars = 0", ("capture.bars", "1 to 100000")),
        ("[log]\nlevel = 'loud'", ("log.level", "debug, info, warning or error")),
        ("[clock]\ntempoo = 1", ("clock.tempoo", "did you mean tempo?")),
        ("[clok]\ntempo = 1", ("[clok]", "did you mean clock?")),
        ("clock = 3", ("clock = 3", "[clock]")),
        ("tempo = 3", ("[tempo]",)),
        ("[clock", ("not valid TOML",)),
        ("a = " + "[" * 20_000, ("line 1", "16 tables or lists")),
        ("a = " + "9" * 9_000, ("line 1", "at most 100 digits")),
    ],
)
def test_a_wrong_value_is_named_in_one_line(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    message = refusal(tmp_path, text)
    assert "drumigen.toml" in message
    for name in names:
        assert name in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("DRUMIGEN_CLOCK_TEMPO", "fast", "20 to 400"),
        ("DRUMIGEN_CLOCK_TEMPOO", "100", "DRUMIGEN_CLOCK_TEMPO?"),
        ("DRUMIGEN_SONG_VARIATION", "perhaps", "on or off"),
        ("DRUMIGEN_OUTPUT_VOICE_OFFSETS_MS", "kick=999", "-200 to 200"),
        ("DRUMIGEN_OUTPUT_KIT", "a\0b.toml", "not a path"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, named: str) -> None:
    message = refusal(tmp_path, "", {name: value})
    assert message.startswith((name, f"environment: no setting {name}"))
    assert named in message


def test_variables_of_others_are_no_concern_of_ours(tmp_path: Path) -> None:
    others = {"DRUMIGEN_PORT": "tcp://1.2.3.4:5", "DRUMIGEN_SERVICE_HOST": "x", "CLOCK_TEMPO": "1"}
    assert read(tmp_path, "", others) == Settings()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "drumigen.toml"
    path.write_bytes(b"\xff\xfe\x00junk")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings(path, {})


@any_file
@given(st.text(max_size=300))
def test_junk_in_a_file_is_an_error_in_one_line_or_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "junk.toml"
    path.write_text(text, encoding="utf-8", newline="")
    result, complaint = outcome(path)
    assert complaint.isprintable()
    assert complaint or result == Settings()


scalars = (
    st.integers()
    | st.integers(-(10**5000), 10**5000)
    | st.floats()
    | st.booleans()
    | st.text()
    | st.none()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)


@any_file
@given(
    st.sampled_from([(section, key) for section, keys in ALLOWED.items() for key in keys]),
    values,
    st.sampled_from(["file", "flag"]),
)
def test_any_value_is_taken_or_refused_in_one_line(
    key: tuple[str, str], value: object, origin: str
) -> None:
    each = Given(".".join(key), value, origin, strict=origin == "file")
    result, complaint = outcome(None, each)
    assert complaint.isprintable()
    if complaint:
        assert complaint.startswith(f"{origin}: ")
    else:
        taken = getattr(getattr(result, key[0]), key[1])
        assert not isinstance(taken, float) or math.isfinite(taken)
        assert result.session
        assert result.engine_setup


def test_a_kit_lies_beside_the_settings_file(tmp_path: Path) -> None:
    kit = tmp_path / "mine.toml"
    kit.write_text(config_path("kits", "gm.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert read(tmp_path, "[output]\nkit = 'mine.toml'").output.kit == str(kit)


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "etc" / "drumigen.toml"
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    own = tmp_path / "xdg" / "drumigen" / "drumigen.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    named = tmp_path / "named.toml"
    named.touch()
    asked = tmp_path / "asked.toml"
    asked.touch()
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert find_file(None, {"HOME": str(tmp_path)}) is None
    system.parent.mkdir()
    system.touch()
    assert find_file(None, {"HOME": str(tmp_path)}) == system
    assert find_file(None, environment) == own
    environment["DRUMIGEN_CONFIG"] = str(named)
    assert find_file(None, environment) == named
    assert find_file(asked, environment) == asked


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--config: there is no file"):
        find_file(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match="DRUMIGEN_CONFIG: there is no file"):
        find_file(None, {"DRUMIGEN_CONFIG": str(tmp_path)})


def test_a_device_is_no_settings_file() -> None:
    with pytest.raises(SettingsError, match="not a file"):
        load_settings(Path("/dev/zero"), {})


def test_the_socket_lies_where_the_user_may_write(tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert socket_paths(Settings(), environment)[0] == tmp_path / "drumigen.sock"
    set_ = load_settings(None, {"DRUMIGEN_CONTROL_SOCKET": "/x/y.sock"})
    assert socket_paths(set_, environment) == (Path("/x/y.sock"),)
    assert socket_paths(Settings(), {})[-1].parent.name.startswith("drumigen-")


def test_a_reload_changes_what_changed_and_leaves_what_was_set_live(tmp_path: Path) -> None:
    before = read(tmp_path, "[song]\nstyle = 'funk'\n[clock]\ntempo = 100")
    after = read(tmp_path, "[song]\nstyle = 'jazz'\n[clock]\ntempo = 100\n[output]\nkit = 'tr8s'")
    live = replace(before.session, seed=99)
    result = adopted(live, before, after)
    assert (result.style, result.seed, result.parameters.kit) == ("jazz", 99, "tr8s")
    assert result.parameters.tempo == pytest.approx(100)
    assert restart_needed(before, after) == ()


def test_a_reload_says_what_needs_a_restart(tmp_path: Path) -> None:
    after = read(tmp_path, "[midi]\nclient = 'x'\n[capture]\nbars = 3\n[log]\nlevel = 'error'")
    assert restart_needed(Settings(), after) == ("midi.client", "capture.bars")


def test_under_systemd_all_that_is_written_goes_into_its_state_folder(tmp_path: Path) -> None:
    environment = {"STATE_DIRECTORY": f"{tmp_path}:/elsewhere", "HOME": "/nowhere"}
    settings = Settings()
    for path in (learned_path(settings, environment), scenes_path(settings, environment)):
        assert path is not None
        assert path.parent == tmp_path
    assert journal_folder(settings, environment) == tmp_path
