"""A song on request is the one that ``drumigen render`` writes of the same conditions."""

from typing import Any

import msgspec
import pytest

from drumigen.errors import StyleNotFoundError
from drumigen_daemon.controls.values import known_styles
from drumigen_daemon.generator.messages import BANK, GeneratorSetup
from drumigen_daemon.generator.writers import BarWriter, make_writer
from drumigen_daemon.jobs.messages import Assignment, JobDone, JobFailed, JobRequest
from drumigen_daemon.jobs.rendering import Renderer, session_of
from drumigen_daemon.settings.loading import Given, load_settings
from drumigen_daemon.settings.sections import ALLOWED, Settings

RENDERED: dict[str, tuple[str, Any]] = {
    "song.style": ("style", "funk"),
    "song.meter": ("meter", "7/8"),
    "song.seed": ("seed", 7),
    "song.variation": ("variation", False),
    "song.phrase": ("phrase", 4),
    "song.fill_every": ("fill_every", 2),
    "song.fill_amount": ("fill_amount", 30),
    "song.form": ("form", "song"),
    "song.section": ("section", "b"),
    "song.density": ("density", 70),
    "song.intensity": ("intensity", 20),
    "song.busy": ("busy", 60),
    "song.temperature": ("temperature", 1.3),
    "song.blend": ("blend", "jazz"),
    "song.share": ("share", 40),
    "song.mute": ("mute", ["kick", "ride"]),
    "song.count_in": ("count_in", 1),
    "clock.tempo": ("tempo", 133),
    "feel.swing": ("swing", 61.5),
    "feel.push_ms": ("push", -4.5),
    "feel.humanize": ("humanize", 30),
    "output.kit": ("kit", "digitakt"),
}
"""What is a condition of a song, by settings key: its name in a request, and a value."""
OF_A_STAGE = {
    *("song.quantum", "song.build_bars"),  # what a performer does meanwhile
    *("output.offset_ms", "output.voice_offsets_ms"),  # on the way to a port
}


def requested(**fields: Any) -> JobRequest:  # noqa: ANN401 - what a request takes
    return msgspec.json.decode(msgspec.json.encode(fields), type=JobRequest)


def set_as(**fields: Any) -> Settings:  # noqa: ANN401
    keys = {name: key for key, (name, _) in RENDERED.items()}
    given = {"song.style": "rock", "clock.tempo": 120.0}
    given |= {keys[name]: value for name, value in fields.items()}
    return load_settings(None, {}, [Given(key, value, key) for key, value in given.items()])


def test_every_condition_of_a_song_can_be_asked_for() -> None:
    keys = {f"{part}.{key}" for part in ("song", "feel", "output") for key in ALLOWED[part]}
    assert keys - OF_A_STAGE == set(RENDERED) - {"clock.tempo"}
    others = {"bars", "top_k", "top_p"}
    assert set(JobRequest.__struct_fields__) - others == {name for name, _ in RENDERED.values()}


@pytest.mark.parametrize(("name", "value"), RENDERED.values(), ids=RENDERED)
def test_a_condition_means_what_it_means_to_render(name: str, value: object) -> None:
    asked = {"tempo": 120.0, name: value}
    session = session_of(requested(**asked))
    assert session == set_as(**{name: value}).session
    assert session != session_of(requested(tempo=120.0))


def test_without_a_tempo_the_style_is_at_home() -> None:
    for style in known_styles():
        tempo = session_of(requested(style=style.name)).parameters.tempo
        assert style.tempo[0] <= tempo <= style.tempo[1]


def test_a_style_that_is_not_there_is_told() -> None:
    with pytest.raises(StyleNotFoundError):
        session_of(requested(style="polka"))


def test_a_worker_loads_who_writes_once_and_anew_when_another_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[GeneratorSetup] = []

    def making(setup: GeneratorSetup) -> BarWriter:
        made.append(setup)
        return make_writer(setup)

    monkeypatch.setattr("drumigen_daemon.jobs.rendering.make_writer", making)
    bars: list[int] = []
    worker = Renderer(bars.append)
    plain = Assignment(requested(bars=2), BANK)
    first = worker.answer(plain)
    assert isinstance(first, JobDone)
    assert worker.answer(plain) == first
    assert bars == [1, 2, 1, 2]
    choosy = Assignment(requested(bars=2, top_k=3, top_p=0.5), BANK)
    worker.answer(choosy)
    assert [(setup.top_k, setup.top_p) for setup in made] == [(0, 1.0), (3, 0.5)]


def test_a_worker_tells_why_there_is_no_song() -> None:
    answer = Renderer(lambda _: None).answer(Assignment(requested(meter="0/4"), BANK))
    assert isinstance(answer, JobFailed)
    assert "metre" in answer.problem
