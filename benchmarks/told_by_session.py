"""Whether a classifier tells drumigen from people less than it tells people from other people.

``python benchmarks/told_by_session.py PATH`` takes a folder of takes, such as the Groove MIDI
Dataset: of its training split the takes that keep time.  It draws halves that share no recording
session (the first two folders of a take's name), so that one half's drummers are not in the other
under another number, and prints the AUC of two-bar windows of half against half, and of what is
played in their styles and tempi, as the daemon plays it, against each half.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drumigen.training.classifiers import auc
from drumigen.training.features import Excerpts
from drumigen.training.groove_measures import VIEWS, groove_takes, seen, windows_of
from drumigen.training.takes import Take, read_takes
from drumigen_daemon.commands.evaluate import played_takes

SHOWN = ("all", "hits")
SESSION_FOLDERS = 2


def main() -> None:
    """Print a line a drawing, and the means."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path, help="folder of takes")
    options.add_argument("--drawings", type=int, default=3)
    options.add_argument("--songs", type=int, default=120)
    options.add_argument("--windows", type=int, default=490, help="of each side")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    people = groove_takes([take for take in read_takes(asked.folder) if take.split == "train"])
    played = windows_of(list(played_takes(None, people, asked.seed, asked.songs)))
    rng = np.random.default_rng(asked.seed)

    def some(windows: Excerpts) -> Excerpts:
        return windows[rng.permutation(len(windows))[: asked.windows]]

    found: dict[str, list[tuple[float, float]]] = {view: [] for view in SHOWN}
    for number in range(asked.drawings):
        one, two = (some(windows_of(half)) for half in halves(people, rng))
        for view in SHOWN:
            shown = [seen(windows, VIEWS[view]) for windows in (one, two, some(played))]
            between = auc(shown[0], shown[1], asked.seed)
            told = [auc(half, shown[2], asked.seed) for half in shown[:2]]
            found[view].append((between, sum(told) / 2))
            print(f"{number + 1}, {view}: people {between:.2f}, drumigen {sum(told) / 2:.2f}")
    for view, rows in found.items():
        between, told_mean = np.mean(rows, axis=0)
        print(f"mean, {view}: people {between:.3f}, drumigen {told_mean:.3f}")


def halves(takes: Sequence[Take], rng: np.random.Generator) -> tuple[list[Take], list[Take]]:
    """Return the takes of half of the sessions, drawn, and those of the others."""
    sessions = sorted({session(take) for take in takes})
    drawn = {sessions[place] for place in rng.permutation(len(sessions))[: len(sessions) // 2]}
    return (
        [take for take in takes if session(take) in drawn],
        [take for take in takes if session(take) not in drawn],
    )


def session(take: Take) -> str:
    """Return the folders that name the session of a take."""
    return "/".join(take.name.split("/")[:SESSION_FOLDERS])


if __name__ == "__main__":
    main()
