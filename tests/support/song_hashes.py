"""What every style plays from its bank, as a hash of the MIDI file: ``python song_hashes.py``.

Only what is meant to change a song may change its hash; whoever means to writes the new ones with
``python tests/support/song_hashes.py > tests/stage/song_hashes.json`` and says why.
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator

import msgspec

from drumigen.midi.file import song_to_bytes
from drumigen.styles import load_styles
from drumigen.timeline import Meter
from drumigen.units import Bpm
from drumigen_daemon.generator.writers import BankWriter
from drumigen_daemon.offline import planned_bars, rendered
from drumigen_daemon.session import Session

BARS = 17
METERS = ("4/4", "7/8")
SEEDS = (7, 8)


def songs() -> Iterator[tuple[str, Session]]:
    """Every style in every metre, by every seed, at both ends of its tempi; by name."""
    for style in load_styles():
        for meter, seed, tempo in itertools.product(METERS, SEEDS, style.tempo):
            parameters = msgspec.structs.replace(Session().parameters, tempo=Bpm(tempo))
            session = Session(
                style=style.name, seed=seed, meter=Meter.parse(meter), parameters=parameters
            )
            yield f"{style.name} {meter} seed {seed} {tempo:g} BPM", session


def hash_of(session: Session) -> str:
    """Play a song from the bank, through planner and feel, and hash the file that is written."""
    song = rendered(planned_bars(session, BankWriter(), BARS), session)
    return hashlib.sha256(song_to_bytes(song)).hexdigest()


if __name__ == "__main__":
    json.dump({name: hash_of(session) for name, session in songs()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
