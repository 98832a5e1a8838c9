"""drumigen's engine process on JACK, with the frame that each note was meant for kept.

``python -m output_jack_engine DESCRIPTOR SETUP``: to be given as ``engine_module``, with this
folder on PYTHONPATH.  The folder named by OUTPUT_JITTER gets ``handed.json`` when the engine ends.
"""

import json
import os
import sys
from pathlib import Path

import msgspec

from drumigen.units import Seconds
from drumigen_daemon.engine.messages import AnyCommand, EngineSetup
from drumigen_daemon.engine.process import EngineProcess
from drumigen_daemon.ports.jack import JackBackend
from drumigen_daemon.process.channel import Channel


class RecordingJackBackend(JackBackend):
    """Notes the intended frame of each note-on before it hands it over."""

    def __init__(self, folder: Path) -> None:
        """Write to ``folder`` what was handed over."""
        super().__init__()
        self._folder = folder
        self._handed: list[tuple[Seconds, int]] = []

    def send(self, port: str, data: bytes, at: Seconds) -> None:
        """Queue ``data`` for the frame at ``at``."""
        if data[0] & 0xF0 == 0x90 and self._session is not None:
            # the map is refined while the note waits: as it is now is what was intended
            frame = self._session.queue.timebase.to_base(at)
            self._handed.append((at, round(frame)))
        super().send(port, data, at)

    def withdraw(self) -> Seconds:
        """Take back what has not left; it will be handed over anew."""
        horizon = super().withdraw()
        while self._handed and self._handed[-1][0] >= horizon:
            self._handed.pop()
        return horizon

    def close(self) -> None:
        """Leave the server, and write the intended frames."""
        super().close()
        frames = [frame for _, frame in self._handed]
        (self._folder / "handed.json").write_text(json.dumps(frames))


def main() -> int:
    """Run the engine of the control plane that started this process."""
    channel: Channel[AnyCommand] = Channel.inherited(sys.argv[1], AnyCommand)
    setup = msgspec.json.decode(sys.argv[2], type=EngineSetup)
    EngineProcess(channel, setup, RecordingJackBackend(Path(os.environ["OUTPUT_JITTER"]))).run()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
