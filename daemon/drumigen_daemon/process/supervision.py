"""Parts that the beat does not depend on: kept running beside it, whatever happens to them."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

log = logging.getLogger(__name__)

PAUSE_FIRST: Final = 0.5
PAUSE_MOST: Final = 60.0
"""Seconds; the pause before another try is drawn from zero to a bound that doubles up to this."""
TASK_HEALTHY_SECONDS: Final = 30.0
"""Seconds of life after which a failure counts as the first again."""

Runner = Callable[[], Awaitable[None]]


def full_jitter(failures: int, most: float = PAUSE_MOST) -> float:
    """Return the seconds to wait after so many failures in a row, the first being 1.

    Drawn from the whole range: who lost the same broker at the same moment does not come back at
    the same moment.  ("Full jitter", M. Brooker, AWS Architecture Blog, 2015.)
    """
    return random.uniform(0.0, min(most, PAUSE_FIRST * 2.0 ** min(failures, 30)))  # noqa: S311


@contextlib.asynccontextmanager
async def beside(runners: Mapping[str, Runner]) -> AsyncIterator[None]:
    """Keep ``runners`` running, by name, while the block lasts."""
    tasks = [asyncio.create_task(_kept(name, part), name=name) for name, part in runners.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(name: str, part: Runner) -> None:
    """Run ``part`` until it ends by itself; when it fails, say so and run it again."""
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        born = loop.time()
        try:
            await part()
        except OSError as error:
            reason = str(error)
        except Exception as error:
            log.exception("%s failed", name)
            reason = repr(error)
        else:
            return
        failures = 1 if loop.time() - born > TASK_HEALTHY_SECONDS else failures + 1
        pause = full_jitter(failures)
        log.warning("%s: %s; the music plays on, trying again in %.1f s", name, reason, pause)
        await asyncio.sleep(pause)
