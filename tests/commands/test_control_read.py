"""What `drumigen control` says of the daemon's answers, as the user reads it."""

from collections.abc import Callable
from typing import Any

import pytest

from drumigen_daemon.cli import main
from drumigen_daemon.commands import remote

Answer = Callable[..., list[Any]]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Return what has a daemon answer so; it returns the list of what was asked."""

    def answer(**reply: Any) -> list[Any]:  # noqa: ANN401 - JSON
        asked: list[Any] = []

        def ask(_: object, request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
            asked.append(request)
            return reply

        monkeypatch.setattr(remote, "_ask", ask)
        return asked

    return answer


@pytest.mark.parametrize(
    ("arguments", "values", "said"),
    [
        (("tempo",), {"tempo": "99.5"}, "tempo                 99.5 BPM\n"),
        (("bpm",), {"tempo": "120"}, "tempo                 120 BPM\n"),
        (
            ("--show",),
            {"tempo": "120", "hold": "off"},
            "tempo                 120 BPM\nhold                  off\n",
        ),
    ],
)
def test_a_control_without_a_value_is_shown(
    answered: Answer,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    values: dict[str, str],
    said: str,
) -> None:
    answered(values=values)
    assert main(["control", *arguments]) == 0
    assert capsys.readouterr() == (said, "")


def test_a_tempo_that_waits_for_a_master_is_said(
    answered: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answered(ok=True, note="Live leads at 120.0 BPM, so the tempo waits")
    assert main(["control", "tempo", "96"]) == 0
    assert asked == [{"control": "tempo", "value": "96"}]
    assert capsys.readouterr() == ("", "drumigen: Live leads at 120.0 BPM, so the tempo waits\n")


def test_what_was_learned_is_listed_and_nothing_is_said_to_be_nothing(
    answered: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(learned=[{"control": "swing", "source": "cc 20 on channel 1, 14 bits"}])
    assert main(["control", "--learned"]) == 0
    assert capsys.readouterr().out == "swing                 cc 20 on channel 1, 14 bits\n"
    answered(learned=[])
    assert main(["control", "--learned"]) == 0
    assert "drumigen control learn NAME" in capsys.readouterr().out


def test_what_was_learned_is_removed(answered: Answer) -> None:
    asked = answered(ok=True)
    assert main(["control", "forget", "swing"]) == 0
    assert asked == [{"control": "forget", "value": "swing"}]


def test_an_action_is_carried_out_in_silence(
    answered: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answered(ok=True)
    assert main(["control", "fill"]) == 0
    assert asked == [{"control": "fill", "value": None}]
    assert capsys.readouterr() == ("", "")
