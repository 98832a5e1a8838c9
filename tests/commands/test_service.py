"""drumigen under systemd: the units are sound, and they are put in place and taken away."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from drumigen_daemon import cli
from drumigen_daemon.commands import service

EXPOSURE_MAX = 25
"""In tenths, as ``systemd-analyze security`` has it: 2.5 of 10."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: apt-get install --no-install-recommends systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["service", "install", "--print", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "drumigen"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("kind", [(), ("--user",), ("--worker",), ("--worker", "--user")])
def test_systemd_finds_nothing_wrong_with_the_unit(
    kind: tuple[str, ...], program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / "drumigen.service"
    unit.write_text(printed(capsys, *kind, "--program", str(program)))
    done = analyze("verify", "--man=no", str(unit))
    # it leaves with 0 even where it complains of a key it does not know
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_systemd_would_complain_of_a_wrong_unit(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / "drumigen.service"
    text = printed(capsys, "--program", str(program))
    unit.write_text(text.replace("WatchdogSec=10", "WatchdogSecs=10"))
    assert "WatchdogSecs" in analyze("verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("kind", [(), ("--worker",)])
def test_the_system_unit_is_exposed_to_little(
    kind: tuple[str, ...], program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = tmp_path / "drumigen.service"
    unit.write_text(printed(capsys, *kind, "--program", str(program)))
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_unit_starts_this_very_program_with_these_settings(
    program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "my $ettings 100%.toml"
    odd.write_text("")
    unit = printed(capsys, "--program", str(program), "--config", str(odd))
    quoted = str(odd).replace("$", "$$").replace("%", "%%")
    assert f'ExecStart={program} run --config "{quoted}"\n' in unit
    assert "/opt/drumigen" not in unit


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes down what it was asked; it says what ``answer`` holds."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    stand_in = folder / "systemctl"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\ncat {folder}/answer 2>/dev/null\n'
        f"[ ! -e {folder}/refuse ] || {{ echo 'Access denied' >&2; exit 1; }}\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("USER", raising=False)
    return folder


def asked(systemctl: Path) -> list[str]:
    return (systemctl / "asked").read_text().splitlines()


def test_install_writes_the_unit_and_has_it_start_now_and_always(
    systemctl: Path, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["service", "install", "--user", "--program", str(program)]
    assert cli.main(arguments) == 0
    unit = tmp_path / "config/systemd/user/drumigen.service"
    assert f"ExecStart={program} run" in unit.read_text()
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644
    assert asked(systemctl) == [
        "--user daemon-reload",
        "--user enable drumigen.service",
        "--user restart drumigen.service",
    ]
    assert "enable-linger" in capsys.readouterr().out
    assert cli.main(arguments) == 0  # once more is no harm


def test_the_worker_has_a_service_of_its_own(
    systemctl: Path, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--worker", "--user"]
    assert cli.main(["service", "install", *arguments, "--program", str(program)]) == 0
    unit = tmp_path / "config/systemd/user/drumigen-worker.service"
    assert f"ExecStart={program} worker" in unit.read_text()
    assert "--user restart drumigen-worker.service" in asked(systemctl)
    said = capsys.readouterr().out
    assert "the drumigen worker runs now" in said
    assert "journalctl --user -u drumigen-worker\n" in said
    assert not (tmp_path / "config/systemd/user/drumigen.service").exists()
    assert cli.main(["service", "uninstall", *arguments]) == 0
    assert not unit.exists()


@pytest.mark.parametrize("kind", [("--worker",), ("--worker", "--user")])
def test_a_worker_without_a_broker_is_not_started_again_and_again(
    kind: tuple[str, ...], program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = printed(capsys, *kind, "--program", str(program))
    status = cli.main(["worker"])
    assert "set workers.broker" in capsys.readouterr().err
    assert f"\nRestartPreventExitStatus={status}\n" in unit


def test_the_systems_service_is_let_at_a_gpu_by_a_drop_in(
    systemctl: Path, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "UNITS_FOLDER", tmp_path)
    monkeypatch.setattr(service, "HIDDEN", ())
    assert cli.main(["service", "install", "--gpu", "--program", str(program)]) == 0
    drop_in = tmp_path / "drumigen.service.d/gpu.conf"
    allowed = [line for line in drop_in.read_text().splitlines() if line.startswith("DeviceAllow")]
    assert "DeviceAllow=char-nvidia-uvm rw" in allowed
    assert stat.S_IMODE(drop_in.stat().st_mode) == 0o644
    assert asked(systemctl)[-1] == "restart drumigen.service"
    assert cli.main(["service", "uninstall"]) == 0
    assert not drop_in.parent.exists()
    assert cli.main(["service", "install", "--program", str(program)]) == 0
    assert not drop_in.exists()


def test_uninstall_takes_away_what_install_wrote_and_nothing_else(
    systemctl: Path, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["service", "uninstall", "--user"]) == 1
    assert "nothing to take away" in capsys.readouterr().err
    cli.main(["service", "install", "--user", "--program", str(program)])
    settings = tmp_path / "config/drumigen/drumigen.toml"
    settings.parent.mkdir()
    settings.write_text("")
    assert cli.main(["service", "uninstall", "--user"]) == 0
    assert "--user disable --now drumigen.service" in asked(systemctl)
    assert not (tmp_path / "config/systemd/user/drumigen.service").exists()
    assert settings.exists()


def test_a_refusal_of_systemd_is_one_line(
    systemctl: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemctl / "refuse").touch()
    assert cli.main(["service", "install", "--user", "--program", str(program)]) == 1
    assert capsys.readouterr().err == "drumigen: systemctl daemon-reload: Access denied\n"


def test_an_install_that_nobody_answers_leaves_no_unit(
    systemctl: Path, program: Path, tmp_path: Path
) -> None:
    unit = tmp_path / "config/systemd/user/drumigen.service"
    arguments = ["service", "install", "--user", "--program", str(program)]
    (systemctl / "refuse").touch()
    assert cli.main(arguments) == 1
    assert not unit.exists()
    # and one that was there stays as it was
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("another\n")
    assert cli.main(arguments) == 1
    assert unit.read_text() == "another\n"


def test_uninstall_needs_nobody_who_answers(
    systemctl: Path, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["service", "install", "--user", "--program", str(program)])
    unit = tmp_path / "config/systemd/user/drumigen.service"
    link = unit.parent / "default.target.wants/drumigen.service"
    link.parent.mkdir()
    link.symlink_to(unit)
    (systemctl / "refuse").touch()
    assert cli.main(["service", "uninstall", "--user"]) == 0
    assert not unit.exists()
    assert not link.is_symlink()
    assert "whether it still runs is unknown" in capsys.readouterr().out


def test_a_users_service_finds_the_jack_that_install_was_run_with(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/${LIB}/pipewire-0.3/jack:/opt/my libs")
    monkeypatch.setenv("PIPEWIRE_QUANTUM", "128/48000")
    arguments = ("--program", str(program))
    unit = printed(capsys, "--user", *arguments)
    path = "LD_LIBRARY_PATH=/usr/${LIB}/pipewire-0.3/jack:/opt/my libs"
    assert f'\nEnvironment="{path}"\nEnvironment=PIPEWIRE_QUANTUM=128/48000\nExecStart=' in unit
    assert "Environment=" not in printed(capsys, *arguments)  # JACK belongs to a user


def test_the_system_service_is_not_put_where_its_sandbox_cannot_see(
    systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "/home/someone/.venv/bin/drumigen"
    assert cli.main(["service", "install", "--program", program]) == 1
    assert "does not see /home" in capsys.readouterr().err
    assert not (systemctl / "asked").exists()


def test_without_systemd_nothing_is_written(
    program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert cli.main(["service", "install", "--user", "--program", str(program)]) == 1
    assert "no systemd" in capsys.readouterr().err
    assert not (tmp_path / "systemd").exists()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("LoadState=not-found\nActiveState=inactive\n", 3, "not installed"),
        (
            "LoadState=loaded\nActiveState=active\nStatusText=rolling: funk\nNRestarts=2\n",
            0,
            "says    rolling: funk\nso far  restarted 2 times\n",
        ),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\n", 3, "failed (failed)"),
    ],
)
def test_status_says_how_it_goes(
    systemctl: Path, answer: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemctl / "answer").write_text(answer)
    assert cli.main(["service", "status", "--user"]) == status
    assert said in capsys.readouterr().out


def test_the_shipped_units_have_the_line_that_install_writes_anew() -> None:
    for user in (False, True):
        for worker in (False, True):
            manager = service.Manager(user, worker)
            assert "ExecStart=/x run\n" in service.unit_text(manager, "/x run")
