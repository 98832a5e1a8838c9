"""When the control plane looks for garbage: hardly ever while that could make a switch late."""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

GARBAGE_PERIOD: Final = 0.5
"""Seconds between two looks at what is new; each takes some 0.1 ms."""
AT_REST: Final = 60.0
"""Seconds between two looks at everything while nothing plays.

With the banks that is 50,000 objects, and more after hours: 20 ms, by ``gc.callbacks`` while it
plays.
"""
ROLLING: Final = 1800.0
"""The same while the song rolls: only what has lived through a look and died in a cycle is left."""


async def sweep(rolling: Callable[[], bool]) -> None:
    """Collect the garbage of this process, in place of Python's own choice of moments.

    Runs until cancelled; then Python chooses again.  ``rolling`` tells whether the song rolls.
    """
    loop = asyncio.get_running_loop()
    looked = loop.time()
    gc.disable()
    try:
        while True:
            await asyncio.sleep(GARBAGE_PERIOD)
            if loop.time() - looked >= (ROLLING if rolling() else AT_REST):
                looked = loop.time()
                gc.collect()
            else:
                gc.collect(1)
    finally:
        gc.enable()
