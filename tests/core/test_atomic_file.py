import os
import subprocess
import sys
from pathlib import Path

import pytest

from drumigen.atomic_file import write_atomically


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [found.name for found in tmp_path.iterdir()] == ["song.mid"]


def test_a_reader_sees_the_old_file_or_the_new_one_whenever_the_writer_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "song.mid"
    old, new = b"a" * 1_000_000, b"b" * 2_000_000
    script = (
        "import sys; from pathlib import Path; from drumigen.atomic_file import write_atomically\n"
        "print(flush=True)\n"
        "while True:\n"
        f"    for data in (b'a' * {len(old)}, b'b' * {len(new)}):\n"
        "        write_atomically(Path(sys.argv[1]), data)\n"
    )
    for _ in range(5):
        path.write_bytes(old)
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            for _ in range(20):
                assert path.read_bytes() in (old, new)
            writer.kill()
        assert path.read_bytes() in (old, new)


def test_what_cannot_be_written_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["song.mid"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "real.mid", tmp_path / "link.mid"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_stays_one() -> None:
    write_atomically(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()
