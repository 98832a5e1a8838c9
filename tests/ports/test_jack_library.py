"""Which libjack is used: the installed one, or PipeWire's, which is in no list of the loader."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drumigen.errors import PortError
from drumigen_daemon.ports import jack_client

SCRIPT = """
import ctypes.util
ctypes.util.find_library = lambda name: None  # where only PipeWire's is installed
from drumigen_daemon.ports import jack_client
print(jack_client.made_by(jack_client.jack_library()))
"""


def maker(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.pipewire
def test_under_pw_jack_pipewires_library_is_found_though_the_loader_lists_none() -> None:
    assert maker(LD_LIBRARY_PATH="/usr/${LIB}/pipewire-0.3/jack").startswith("PipeWire ")


@pytest.mark.pipewire
def test_without_pw_jack_it_is_found_where_distributions_put_it() -> None:
    (path,) = jack_client._pipewire_libraries()
    assert path.endswith("pipewire-0.3/jack/libjack.so.0")


def test_whoever_has_pipewire_but_another_library_is_told_of_pw_jack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PIPEWIRE_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    assert "start jackd" in jack_client._no_server("JACK")
    (tmp_path / "pipewire-0").touch()
    assert "pw-jack drumigen" in jack_client._no_server("JACK")
    assert "systemctl --user start pipewire" in jack_client._no_server("PipeWire 1.2.3")


def test_no_library_at_all_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jack", None)
    with pytest.raises(PortError, match="pipewire-jack where PipeWire runs"):
        jack_client.jack_library()
