"""What is said of the sound by the daemon's side of the process that sounds."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drumigen_daemon.listen.link import DaemonForListening, ListenLink
from drumigen_daemon.listen.messages import DrumSet, Sounding, Unheard
from drumigen_daemon.listen.settings import SoundSettings


@pytest.fixture
def daemon() -> Any:  # noqa: ANN401 - a namespace
    return SimpleNamespace(sound="")


@pytest.fixture
def link(daemon: Any, caplog: pytest.LogCaptureFixture) -> ListenLink:  # noqa: ANN401
    caplog.set_level(logging.WARNING)
    return ListenLink(SoundSettings(listen=True), cast(DaemonForListening, daemon))


def test_what_sounds_is_named(link: ListenLink, daemon: Any) -> None:  # noqa: ANN401
    link._heard(Sounding("pulseaudio", "TimGM6mb.sf2"))
    link._heard(DrumSet("Jazz"))
    assert daemon.sound == "FluidSynth through PulseAudio: TimGM6mb.sf2, Jazz"
    assert link.sounds


def test_where_nothing_ever_sounded_the_status_says_why_and_the_log_warns_of_nothing(
    link: ListenLink,
    daemon: Any,  # noqa: ANN401
    caplog: pytest.LogCaptureFixture,
) -> None:
    link._heard(Unheard("no sound card"))
    assert daemon.sound == "none live: no sound card"
    assert link.decided.is_set()
    assert not caplog.messages


def test_who_heard_something_is_told_when_it_ends_and_until_it_is_back(
    link: ListenLink,
    daemon: Any,  # noqa: ANN401
    caplog: pytest.LogCaptureFixture,
) -> None:
    link._heard(Sounding("pulseaudio", "TimGM6mb.sf2"))
    link._heard(Unheard("PulseAudio takes no sound any more"))
    assert caplog.messages == ["sound: none live: PulseAudio takes no sound any more"]
    link._lost()
    assert "does not answer" in daemon.sound
    assert not link.sounds
    link._heard(Sounding("pulseaudio", "TimGM6mb.sf2"))
    assert "FluidSynth through PulseAudio" in daemon.sound


def test_a_process_that_dies_while_it_sounds_is_told(
    link: ListenLink,
    daemon: Any,  # noqa: ANN401
    caplog: pytest.LogCaptureFixture,
) -> None:
    link._heard(Sounding("alsa", "TimGM6mb.sf2"))
    link._lost()
    (line,) = caplog.messages
    assert "does not answer" in line
    assert daemon.sound.startswith("none live: ")
