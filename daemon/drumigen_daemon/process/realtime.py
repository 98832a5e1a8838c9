"""Realtime permission of this process: scheduling, locked memory, short timers.  Linux, macOS."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

SWITCH_INTERVAL: Final = 0.0001
"""Seconds a Python thread may keep the interpreter lock while another wants it."""

CONTROL_NICENESS: Final = -10
"""Of the control plane, where permitted (RLIMIT_NICE; audio groups usually are)."""

PERMITTED_PRIORITY: Final = 95
"""The priority up to which a user needs permission: as Debian's JACK sets it, and our units do."""

_PR_SET_TIMERSLACK: Final = 29  # <linux/prctl.h>
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # <asm-generic/mman.h>

ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by numpy's and torch's libraries when they load: the other cores are for the beat."""


@dataclass(frozen=True, slots=True)
class Realtime:
    """What this process was granted."""

    scheduling: str
    """``"fifo 70"`` or the reason why not."""
    memory: str
    """``"locked"`` or the reason why not."""

    @property
    def granted(self) -> bool:
        """Whether the thread runs ahead of every ordinary one."""
        return self.scheduling.startswith("fifo")

    def __str__(self) -> str:
        """One line for the log."""
        return f"scheduling {self.scheduling}, memory {self.memory}"


def become_realtime(priority: int) -> Realtime:
    """Ask the system to run this thread at once when it wakes; being refused is no error.

    ``priority`` is that of SCHED_FIFO, 1-99; 0 asks for nothing.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    if not priority:
        _shorten_timers()
        return Realtime("ordinary (switched off)", "not locked")
    return Realtime(_fifo(priority), _lock_memory())


def go_before_others() -> bool:
    """Ask for more than an ordinary share of the processor; tell whether it was granted.

    For the control plane: it is no realtime process, but a switch of style that waits for a busy
    machine misses its beat.  What it starts inherits this, and lowers it where it does not need it.
    """
    if not hasattr(os, "setpriority"):
        return False
    try:
        os.setpriority(os.PRIO_PROCESS, 0, CONTROL_NICENESS)
    except OSError:
        return False
    return True


def own_priority() -> int:
    """Return the SCHED_FIFO or SCHED_RR priority of the calling thread; 0 for an ordinary one."""
    if not hasattr(os, "sched_getparam"):
        return 0
    return os.sched_getparam(0).sched_priority


def settle() -> None:
    """Call when everything is built: what lives now is never looked at by the collector again."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _fifo(priority: int) -> str:
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary (this system offers no SCHED_FIFO)"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        _shorten_timers()
        permitted = max(priority, PERMITTED_PRIORITY)
        return f"ordinary ({error.strerror}: allow rtprio {permitted}, e.g. by the group audio)"
    return f"fifo {priority}"


def _shorten_timers() -> None:
    # those of ordinary threads are rounded by 50 us unless asked otherwise
    if sys.platform.startswith("linux"):
        _libc().prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _lock_memory() -> str:
    if not sys.platform.startswith("linux"):
        return "not locked (only done on Linux)"
    # on fault: only pages that are used, so that the footprint stays what it was
    if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return "locked"
    return f"not locked ({os.strerror(ctypes.get_errno())}: allow memlock)"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def limit_memory(most: int) -> None:
    """Let this process hold ``most`` bytes of data: what outsiders make larger is replaced.

    Where a sandbox or a lower hard limit forbids it, the limit stays as it is.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Windows lacks it

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
