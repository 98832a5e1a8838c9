"""The process that renders songs on request: ``python -m drumigen_daemon.jobs.process HANDLE``."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from drumigen.arrange import Section
from drumigen.errors import DrumigenError
from drumigen.midi.file import song_to_bytes
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.controls.values import TEMPERATURE, known_styles, one_line
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.generator.writers import BarWriter, make_writer
from drumigen_daemon.jobs.messages import JobDone, JobFailed, JobProgress, JobRequest
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
    default = Session()
    tuned = replace(default, style=style.name)
    return replace(
        tuned,
        seed=request.seed,
        meter=Meter.parse(request.meter),
        density=request.density,
        intensity=request.intensity,
        temperature=TEMPERATURE.take(request.temperature),
        blend=styles.find(request.blend).name if request.blend else "",
        share=request.share,
        section=Section(request.section),
        variation=request.variation,
        fill_every=default.fill_every if request.fill_every is None else request.fill_every,
        fill_amount=default.fill_amount if request.fill_amount is None else request.fill_amount,
        feel=FeelKnobs(request.swing, request.push, humanize=request.humanize),
        parameters=type(default.parameters)(tempo=Bpm(tempo), kit=request.kit),
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


def main() -> int:
    """Render what comes down the channel until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    unpacker: Unpacker[JobRequest] = Unpacker(JobRequest)
    writer: BarWriter | None = None
    while data := sock.recv(65536):
        for request in unpacker.feed(data):
            if writer is None:
                writer = make_writer(GeneratorSetup("model"))
            try:
                done = rendered_job(
                    request, writer, lambda bars: sock.sendall(packed(JobProgress(bars)))
                )
                sock.sendall(packed(done))
            except DrumigenError as error:
                sock.sendall(packed(JobFailed(one_line(str(error)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
