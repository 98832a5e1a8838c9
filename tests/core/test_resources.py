"""Laws of every TOML file that is read: bounded before it is parsed, explained in a line."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drumigen.errors import DrumigenError, SettingsError
from drumigen.feel.feel_file import read_feel
from drumigen.kit import load_kit
from drumigen.resources import DEPTH_MAX, TOML_MAX, load_toml, toml_text
from drumigen.styles import load_styles
from drumigen_daemon.controls.binding import Binding, load_controller
from drumigen_daemon.controls.learned_file import load_learned, save_binding
from drumigen_daemon.controls.scenes import SceneBook
from drumigen_daemon.settings.loading import load_settings

DEEP = {
    "dotted key": "a" + ".a" * 40_000 + " = 1\n",
    "spaced dotted key": "a" + " . a" * 20_000 + " = 1\n",
    "quoted dotted key": "''" + '.""' * 20_000 + " = 1\n",
    "dotted header": "[a" + ".a" * 40_000 + "]\n",
    "list": "a = " + "[" * 80_000,
    "list of lines": "a = " + "[\n" * 40_000,
    "inline tables": "a = " + "{a = " * 20_000,
    "behind a string": 'a = ["""x"""", {' + "a." * 40_000 + "a = 1}]\n",
    "behind closed ones": "a = " + "]" * 1_000 + "[" * 40_000,
}


def readers() -> dict[str, Callable[[Path], object]]:
    return {
        "settings": lambda path: load_settings(path, {}),
        "kit": lambda path: load_kit(str(path)),
        "styles": lambda path: load_styles(path.parent),
        "groove": read_feel,
        "controller": lambda path: load_controller(str(path)),
        "learned": load_learned,
        "learning": lambda path: save_binding(path, Binding("density", cc=20)),
    }


@pytest.mark.parametrize("reader", readers())
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in DEEP.items()])
def test_what_is_nested_endlessly_is_refused_before_it_is_parsed(
    reader: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text)
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("it was parsed"))
    with pytest.raises(DrumigenError, match=r"odd\.toml: line \d+: more than 16 tables") as caught:
        readers()[reader](path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("reader", readers())
def test_a_number_without_end_is_refused_in_words_for_people(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text("# so many\na = -" + "9" * 5_000)
    with pytest.raises(DrumigenError, match=r"odd\.toml: line 2: a number has at most 100 digits"):
        readers()[reader](path)


@pytest.mark.parametrize("reader", readers())
def test_a_file_that_is_too_large_is_not_read(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(b"#" * (TOML_MAX + 1))
    with pytest.raises(DrumigenError, match=r"odd\.toml: larger than 256 kB"):
        readers()[reader](path)


def test_strings_and_comments_may_hold_whatever_they_like(tmp_path: Path) -> None:
    path = tmp_path / "fine.toml"
    odd = ("." * 100) + ("[" * 100)
    ends = '"' * 2
    path.write_text(
        f"# {odd}\na = '{odd}'\nb = \"{odd}\\\"{odd}\"\nc = ''''{odd}\n'{odd}''''\n"
        f'd = """{odd}"{odd}\n"""{ends}\n[e.f]\ng = {{ h = [[1.5], [2]] }}  # {odd}\n'
    )
    assert load_toml(path, SettingsError)["e"] == {"f": {"g": {"h": [[1.5], [2]]}}}


def test_as_deep_as_anybody_nests_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fine.toml"
    depth = DEPTH_MAX - 1
    path.write_text(f"a = {'[' * depth}{']' * depth}\n{'b.' * depth}b = 1.5\n")
    assert set(load_toml(path, SettingsError)) == {"a", "b"}


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(SettingsError, match=r"odd\.toml: not valid TOML: line 2 is no UTF-8"):
        toml_text(path, SettingsError)


any_text = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(text=st.text(st.sampled_from("ab1.= \n\t\"'\\[]{},#-_0x:eE+")))
@any_text
def test_whatever_a_parser_takes_is_read_as_the_parser_reads_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_text(text, newline="")
    try:
        meant = tomllib.loads(text)
    except ValueError:
        with pytest.raises(SettingsError):
            load_toml(path, SettingsError)
        return
    if "." * DEPTH_MAX not in text:
        assert repr(load_toml(path, SettingsError)) == repr(meant)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"1": ' + b"[" * 100_000, "scenes of ours"),
        (b'{"1": {"density": ' + b"{" * 100, "scenes of ours"),
        (b'{"0": {}}', "scenes of ours"),
        (b'{"1": {"density": [1]}}', "scenes of ours"),
        (b" " * 3_000_000, "larger than 2 MB"),
        (b'{"1": {"density": ' + b"9" * 9_000 + b"}}", "scenes of ours"),
        (b"\xff", "scenes of ours"),
    ],
)
def test_scenes_that_are_none_are_refused_in_words_for_people(
    data: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "scenes.json"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=why) as caught:
        SceneBook(path)
    message = str(caught.value)
    assert message.isprintable()
    assert "recursion" not in message
    assert len(message) < 300
