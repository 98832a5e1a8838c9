"""The process that renders songs on request: ``python -m drumigen_daemon.jobs.process HANDLE``."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace as replaced

from drumigen.errors import DrumigenError
from drumigen.midi.file import song_to_bytes
from drumigen.mix import Mix
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.controls.values import (
    TEMPERATURE,
    known_styles,
    one_line,
    use_styles,
)
from drumigen_daemon.engine.messages import EngineParameters
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.generator.writers import BarWriter, make_writer
from drumigen_daemon.jobs.messages import Assignment, JobDone, JobFailed, JobProgress, JobRequest
from drumigen_daemon.offline import planned_bars, rendered
from drumigen_daemon.process.channel import Unpacker, packed
from drumigen_daemon.session import FeelKnobs, Session

NICENESS: Final = 15


def session_of(request: JobRequest) -> Session:
    """Return what ``drumigen render`` would play for ``request``.

    Raises:
        DrumigenError: there is no such style, metre or kit; one line.
    """
    styles = known_styles()
    style = styles.find(request.style)
    tempo = request.tempo
    if tempo is None:
        tempo = float(round(sum(style.tempo) / 2)) if style.tempo_advice(120.0) else 120.0
    return Session(
        style=style.name,
        seed=request.seed,
        meter=Meter.parse(request.meter),
        density=request.density,
        intensity=request.intensity,
        busy=request.busy,
        temperature=TEMPERATURE.take(request.temperature),
        blend=styles.find(request.blend).name if request.blend else "",
        share=request.share,
        section=request.section,
        form=request.form,
        phrase=request.phrase,
        variation=request.variation,
        fill_every=request.fill_every,
        fill_amount=request.fill_amount,
        count_in=request.count_in,
        mix=Mix(muted=request.mute),
        feel=FeelKnobs(request.swing, request.push, humanize=request.humanize),
        parameters=EngineParameters(tempo=Bpm(tempo), kit=request.kit),
    )


def rendered_job(
    request: JobRequest, writer: BarWriter, progress: Callable[[int], None]
) -> JobDone:
    """Return the song of ``request``; call ``progress`` with the bars that are written.

    Raises:
        DrumigenError: it cannot be rendered; one line.
    """
    session = session_of(request)
    bars = planned_bars(session, writer, request.bars, progress)
    song = rendered(bars, session)
    return JobDone(song_to_bytes(song), session.style, session.parameters.tempo)


class Worker:
    """Renders songs; a writer that it has loaded writes the next song too, if it is to."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        """Call ``progress`` with the bars that are written."""
        self._progress = progress
        self._setup: GeneratorSetup | None = None
        self._writer: BarWriter | None = None

    def answer(self, assignment: Assignment) -> JobDone | JobFailed:
        """Return the song, or why there is none."""
        request = assignment.request
        setup = replaced(assignment.setup, top_k=request.top_k, top_p=request.top_p)
        try:
            return rendered_job(request, self._writer_of(setup), self._progress)
        except DrumigenError as error:
            return JobFailed(one_line(str(error)))

    def _writer_of(self, setup: GeneratorSetup) -> BarWriter:
        if self._writer is None or setup != self._setup:
            use_styles(
                Path(setup.styles) if setup.styles else None,
                Path(setup.model) if setup.model else None,
            )
            self._setup, self._writer = setup, make_writer(setup)
        return self._writer


def main() -> int:
    """Render what comes down the channel until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    unpacker: Unpacker[Assignment] = Unpacker(Assignment)
    worker = Worker(lambda bars: sock.sendall(packed(JobProgress(bars))))
    while data := sock.recv(65536):
        for assignment in unpacker.feed(data):
            sock.sendall(packed(worker.answer(assignment)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
