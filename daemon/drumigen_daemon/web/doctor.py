"""What ``drumigen doctor`` finds, for the API: the command itself, in a process of its own."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final

RESULT_SECONDS: Final = 60.0
"""Seconds for which a result is told again."""
DOCTOR_SECONDS_MAX: Final = 45.0
OUTPUT_MAX: Final = 64_000


class Doctor:
    """Runs the doctor when it is asked for, at most once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet."""
        self._clock = clock
        self._looking: asyncio.Task[dict[str, Any]] | None = None
        self._at = -RESULT_SECONDS

    async def result(self) -> dict[str, Any]:
        """Return the last result, or a new one: ``ok``, and the lines that the command printed.

        Many who ask at once get the same one.
        """
        now = self._clock()
        if self._looking is None or (self._looking.done() and now - self._at >= RESULT_SECONDS):
            self._at = now
            self._looking = asyncio.create_task(_look(), name="doctor")
        found = await asyncio.shield(self._looking)
        return {**found, "age_s": round(self._clock() - self._at, 1)}


async def _look() -> dict[str, Any]:
    command = (sys.executable, "-m", "drumigen_daemon.cli", "doctor")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DOCTOR_SECONDS_MAX):
            output, _ = await process.communicate()
    except TimeoutError:
        return {
            "ok": False,
            "lines": [f"the doctor did not answer within {DOCTOR_SECONDS_MAX:g} s"],
        }
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    lines = output[:OUTPUT_MAX].decode("utf-8", "replace").splitlines()
    return {"ok": process.returncode == 0, "lines": lines}
