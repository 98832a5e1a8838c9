"""The daemon's side of the engine: it is started, spoken to, watched and replaced."""

from collections.abc import Callable
from typing import Final

import msgspec

from drumigen_daemon.engine.messages import AnyReport, EngineSetup, Ready
from drumigen_daemon.process.child import Child, Patience

ENGINE_MODULE: Final = "drumigen_daemon.engine.process"
HEARTBEAT_MAX: Final = 2.0
"""Seconds without a report after which an engine hangs; it makes one at least every second."""
PORTS_MAX: Final = 60.0
"""Seconds in which it must have opened its ports."""


def engine_child(
    setup: EngineSetup,
    *,
    on_report: Callable[[AnyReport], None],
    on_start: Callable[[], None],
    on_loss: Callable[[], None],
    module: str = ENGINE_MODULE,
) -> Child[AnyReport]:
    """Return the child process that keeps time, run as ``python -m module``."""
    return Child(
        module,
        msgspec.json.encode(setup).decode(),
        kind=AnyReport,
        on_message=on_report,
        on_start=on_start,
        on_loss=on_loss,
        patience=Patience(start=PORTS_MAX, silence=HEARTBEAT_MAX),
        started=lambda report: isinstance(report, Ready),
    )
