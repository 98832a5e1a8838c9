"""What the running processes must not load: memory, start-up time and the beat depend on it."""

import subprocess
import sys

import pytest


def loaded_by(module: str) -> set[str]:
    script = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "drumigen_daemon.commands.run",
            {
                "torch",
                "rich",
                "numpy",
                "rtmidi",
                "jack",
                "alsa_midi",
                "aiomqtt",
                "paho",
                "http",
                "mido",
            },
        ),
        (
            "drumigen_daemon.engine.process",
            {"torch", "rich", "numpy", "asyncio", "mido", "paho", "tempfile", "random"},
        ),
        ("drumigen_daemon.commands.play", {"torch", "rich", "numpy", "http"}),
        ("drumigen_daemon.mqtt.process", {"torch", "rich", "numpy", "rtmidi", "jack", "alsa_midi"}),
        (
            "drumigen_daemon.web.process",
            {"torch", "rich", "numpy", "rtmidi", "jack", "alsa_midi", "zeroconf", "celery", "mido"},
        ),
        ("drumigen_daemon.cli", {"torch", "rich", "numpy", "asyncio", "mido"}),
        ("drumigen_daemon.generator.process", {"torch", "rich", "asyncio", "mido"}),
        ("drumigen", {"torch", "numpy", "msgspec", "mido", "dataclasses", "json", "logging"}),
    ],
)
def test_a_process_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    assert loaded_by(module) & unwanted == set()
