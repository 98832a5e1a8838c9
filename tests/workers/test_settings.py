"""Settings of workers: no password where it could be read, and a missing extra is one line."""

import logging
import sys
from pathlib import Path

import pytest

from drumigen.errors import SettingsError
from drumigen_daemon import cli
from drumigen_daemon.generator.messages import GeneratorSetup, WorkersAddress
from drumigen_daemon.generator.writers import AsksWorkers, make_writer
from drumigen_daemon.settings.loading import Given, load_settings
from drumigen_daemon.workers.broker import celery_application, connected, url_of
from drumigen_daemon.workers.settings import WORKERS_PASSWORD_VARIABLE


def broker(url: str) -> WorkersAddress | None:
    return load_settings(None, {}, [Given("workers.broker", url, "--set")]).workers.address


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@host/0",
        "redis://me:secret@host/0",
        "http://host",
        "host:6379",
        "redis://",
        "redis://host:port",
        "redis://host/0?password=secret",
        "redis://host/drums",
        "redis://host/0/1",
    ],
)
def test_a_url_that_is_none_or_holds_a_password_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        broker(url)
    said = str(refused.value)
    assert "workers.password_file" in said
    assert "\n" not in said


def test_without_a_broker_there_are_no_workers() -> None:
    assert broker("") is None
    assert load_settings(None, {}).generator_setup.workers is None


def test_the_password_is_found_and_put_into_the_url_in_memory_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = broker("rediss://drummer@host:6380/2")
    assert address is not None
    assert url_of(address) == "rediss://drummer@host:6380/2"
    monkeypatch.setenv(WORKERS_PASSWORD_VARIABLE, "p@ss:w/rd")
    assert url_of(address) == "rediss://drummer:p%40ss%3Aw%2Frd@host:6380/2"
    (tmp_path / "workers_password").write_text("of systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert "of%20systemd" in url_of(address)
    own = tmp_path / "own"
    own.write_text("first line\nsecond\n")
    assert "first%20line@" in url_of(WorkersAddress("redis://host", password_file=str(own)))
    with pytest.raises(SettingsError, match=r"workers\.password_file .*gone"):
        url_of(WorkersAddress("redis://host", password_file=str(tmp_path / "gone")))
    own.write_bytes(b"\xff\x00")
    with pytest.raises(SettingsError, match=r"workers\.password_file .*own: it is no text"):
        url_of(WorkersAddress("redis://host", password_file=str(own)))


def test_a_file_of_authorities_that_is_none_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone.crt"
    with pytest.raises(SettingsError, match=r"workers\.ca_file .*gone\.crt: No such file"):
        connected(WorkersAddress("rediss://host", ca_file=str(gone)), 1.0)
    gone.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"workers\.ca_file .*: it holds no certificate"):
        celery_application(WorkersAddress("rediss://host", ca_file=str(gone)), results=True)


def test_the_password_in_the_environment_is_no_setting() -> None:
    assert load_settings(None, {WORKERS_PASSWORD_VARIABLE: "x"}).workers.broker == ""


def test_without_the_extra_the_cpu_here_writes_and_one_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.startswith("drumigen_daemon.workers.")]:
        if not name.endswith(".settings"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("celery", "kombu", "redis"):
        monkeypatch.setitem(sys.modules, name, None)
    with caplog.at_level(logging.WARNING):
        made = make_writer(GeneratorSetup("celery", workers=WorkersAddress("redis://host")))
    assert not isinstance(made, AsksWorkers)
    (line,) = caplog.messages
    assert "pip install 'drumigen[workers]'" in line
    capsys.readouterr()  # of what other tests have left to log to
    assert cli.main(["worker", "--set", "workers.broker=redis://host"]) == 1
    said = capsys.readouterr().err
    assert "pip install 'drumigen[workers]'" in said
    assert said.count("\n") == 1
