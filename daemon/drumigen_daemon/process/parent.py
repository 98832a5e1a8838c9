"""No process of ours outlives the daemon that started it; what one has left is ended.  Linux.

Every child sees its channel close when its parent is gone, and ends by itself.  One that is stopped
or hangs does not see it.  So the system is asked to tell it (the parent-death signal), a thread
ends it that has not ended in time, and a daemon that starts looks for what the last one left.
Elsewhere the channel has to do.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PARENT: Final = "DRUMIGEN_PARENT"
"""The variable that tells a child of ours, and whoever looks at it, which process started it."""
GRACE: Final = 2.0
"""Seconds in which a child must have ended that knows that its parent is gone."""
_LOOK: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


def end_with_parent(*, by: signal.Signals | None = None) -> None:
    """End this process with the one that started it.

    ``by`` is the signal that does it.  Without one it is woken, if it was stopped, so that it can
    end in good order when it sees its channel closed, and killed :data:`GRACE` seconds later.
    """
    parent = int(os.environ.get(PARENT, "0"))
    if not parent or not sys.platform.startswith("linux"):
        return
    number = signal.SIGCONT if by is None else by
    import ctypes  # noqa: PLC0415 - children only

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)  # it was gone before we could ask
    if by is None and hasattr(os, "pidfd_open"):
        watched = os.pidfd_open(parent)
        threading.Thread(target=_outlive, args=(watched,), name="parent", daemon=True).start()


def _outlive(parent: int) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.poll()
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def orphans() -> Iterator[int]:
    """Yield the processes of this user that a daemon started which is no more."""
    proc = Path("/proc")
    if not sys.platform.startswith("linux") or not proc.is_dir():
        return
    mark = f"{PARENT}=".encode()
    for folder in proc.iterdir():
        # others' may not be read, and any may end meanwhile
        with contextlib.suppress(OSError, ValueError, IndexError):
            if not folder.name.isdigit() or folder.stat().st_uid != os.getuid():
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
            mine = [each.removeprefix(mark) for each in variables if each.startswith(mark)]
            if not mine or b"drumigen_daemon" not in (folder / "cmdline").read_bytes():
                continue
            after_name = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            state, parent = after_name.rpartition(")")[2].split()[:2]
            if state != "Z" and int(parent) != int(mine[0]):
                yield int(folder.name)


def end_orphans(patience: float = GRACE) -> int:
    """Wake and then kill what a dead daemon left; return how many would not end by themselves."""
    for pid in orphans():
        _send(pid, signal.SIGCONT)
    end = time.monotonic() + patience
    while left := list(orphans()):
        if time.monotonic() >= end:
            break
        time.sleep(_LOOK)
    for pid in left:
        _send(pid, signal.SIGKILL)
    while left and list(orphans()) and time.monotonic() < end + patience:
        time.sleep(_LOOK)
    return len(left)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)
