"""How a job becomes a song: in the process beside the API, or in a worker on another machine."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace as replaced

from drumigen.errors import DrumigenError
from drumigen.midi.file import song_to_bytes
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen.voice_mixer import Mix
from drumigen_daemon.controls.values import TEMPERATURE, known_styles, one_line, use_styles
from drumigen_daemon.engine.messages import EngineParameters
from drumigen_daemon.generator.messages import GeneratorSetup
from drumigen_daemon.generator.writers import BarWriter, make_writer
from drumigen_daemon.jobs.messages import (
    JOB_BARS_MAX,
    Assignment,
    JobDone,
    JobError,
    JobFailed,
    JobRequest,
)
from drumigen_daemon.offline import planned_bars, rendered
from drumigen_daemon.session import FeelKnobs, Session


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


NOT_OFFLINE: Final = ("bars", "parameters", "quantum")
"""What of a session is nothing to a song without ports and clock."""


def request_of(session: Session, bars: int, setup: GeneratorSetup) -> JobRequest:
    """Return the request for ``bars`` bars of ``session``: the reverse of :func:`session_of`.

    They are drawn as ``setup`` says.

    Raises:
        JobError: a request cannot say all of it; one line.
    """
    parameters, feel = session.parameters, session.feel
    told = {
        "style": session.style,
        "bars": bars,
        "tempo": parameters.tempo,
        "meter": str(session.meter),
        "seed": session.seed,
        "kit": parameters.kit,
        "density": session.density,
        "intensity": session.intensity,
        "busy": session.busy,
        "temperature": session.temperature,
        "top_k": setup.top_k,
        "top_p": setup.top_p,
        "blend": session.blend,
        "share": session.share,
        "section": session.section,
        "form": session.form,
        "phrase": session.phrase,
        "count_in": session.count_in,
        "mute": session.mix.muted,
        "fill_every": session.fill_every,
        "fill_amount": session.fill_amount,
        "variation": session.variation,
        "swing": feel.swing,
        "push": feel.push_ms,
        "humanize": feel.humanize,
    }
    try:
        request = msgspec.convert(told, JobRequest)
    except msgspec.ValidationError as error:
        message = (
            f"a worker renders at most {JOB_BARS_MAX} bars, of shipped styles and kits: {error}"
        )
        raise JobError(message) from error
    said = session_of(request)
    lost = [
        each.name
        for each in fields(Session)
        if each.name not in NOT_OFFLINE and getattr(said, each.name) != getattr(session, each.name)
    ]
    if lost:
        message = f"a worker cannot be told {', '.join(lost)}: leave --remote out"
        raise JobError(message)
    return request


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


class Renderer:
    """Renders songs; a writer that it has loaded writes the next song too, if it is to."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        """Call ``progress`` with the bars that are written."""
        self._progress = progress
        self._setup: GeneratorSetup | None = None
        self._writer: BarWriter | None = None

    def answer(self, assignment: Assignment) -> JobDone | JobFailed:
        """Return the song, or why there is none."""
        try:
            return self.rendered(assignment)
        except DrumigenError as error:
            return JobFailed(one_line(str(error)))

    def rendered(self, assignment: Assignment) -> JobDone:
        """Return the song.

        Raises:
            DrumigenError: it cannot be rendered; one line.
        """
        request = assignment.request
        setup = replaced(assignment.setup, top_k=request.top_k, top_p=request.top_p)
        return rendered_job(request, self._writer_of(setup), self._progress)

    def _writer_of(self, setup: GeneratorSetup) -> BarWriter:
        if self._writer is None or setup != self._setup:
            use_styles(
                Path(setup.styles) if setup.styles else None,
                Path(setup.model) if setup.model else None,
            )
            self._setup, self._writer = setup, make_writer(setup)
        return self._writer
