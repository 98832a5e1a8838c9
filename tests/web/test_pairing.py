"""``drumigen web pair``: what a performer reads and scans."""

import os
from pathlib import Path

import pytest

from drumigen_daemon import cli


def pair(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    token = f"web.token_file={tmp_path / 'token'}"
    assert cli.main(["web", "pair", "--set", "web.port=8808", "--set", token, *options]) == 0
    return capsys.readouterr().out


def test_the_code_is_shown_with_the_address_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = pair(tmp_path, capsys)
    control, watch = (line.split()[1] for line in (tmp_path / "token").read_text().splitlines())
    assert f":8808/pair#{control}" in said
    assert watch not in said
    assert "web.lan = true" in said
    assert len(said.splitlines()) > 10  # the code itself


def test_a_bandmate_gets_the_other_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = pair(tmp_path, capsys, "--watch", "--set", "web.lan=on")
    watch = (tmp_path / "token").read_text().splitlines()[1].split()[1]
    assert f"/pair#{watch}" in said
    assert "web.lan = true" not in said


def test_new_tokens_replace_the_old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(tmp_path, capsys)
    before = (tmp_path / "token").read_text()
    pair(tmp_path, capsys, "--new")
    assert (tmp_path / "token").read_text() != before


def test_a_panel_that_is_off_pairs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["web", "pair", "--set", "web.port=0"]) == 78
    assert "web.port is 0" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root only")
def test_root_pairs_for_the_systems_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = tmp_path / "state"
    service.mkdir()
    os.chown(service, 4242, 4243)
    monkeypatch.setattr("drumigen_daemon.commands.web.SERVICE_STATE", service)
    assert cli.main(["web", "pair", "--set", "web.port=8808"]) == 0
    told = (service / "web-token").read_text().split()[1]
    assert f"/pair#{told}" in capsys.readouterr().out
    kept = (service / "web-token").stat()
    assert (kept.st_uid, kept.st_gid, kept.st_mode & 0o777) == (4242, 4243, 0o600)
