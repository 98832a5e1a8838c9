"""What a network is trained on, and what it is judged by."""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from drumigen.errors import CorpusError
from drumigen.model.network import ModelConfig
from drumigen.training.dataset import (
    Example,
    Line,
    batches,
    collated,
    in_odd_meters,
    sequence_of,
    windows,
)
from drumigen.training.losses import TEACHER_TOLD
from drumigen.training.takes import Take

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """What is trained on, and what is judged by."""

    train: Sequence[Line]
    validation: Sequence[Line]
    styles: Sequence[str]

    @classmethod
    def of(cls, takes: Sequence[Take], config: ModelConfig, odd: float, seed: int) -> "Corpus":
        """Return takes as sequences; with odd metres added to the training split.

        Raises:
            CorpusError: there is nothing to train on.
        """
        known = [take for take in takes if take.style in config.styles]
        train = [take for take in known if take.split == "train"]
        if not train:
            message = f"no take to train on in {', '.join(config.styles)}; check the folder"
            raise CorpusError(message)
        if len(known) < len(takes):
            log.warning("%d takes left out: of an unknown style", len(takes) - len(known))
        more = in_odd_meters(train, random.Random(seed), odd)  # noqa: S311
        return cls(
            [sequence_of(take, config) for take in chain(train, more)],
            [sequence_of(take, config) for take in known if take.split == "validation"],
            config.styles,
        )

    def judged(self, config: ModelConfig, context: int, steps: int) -> Iterator[Example]:
        """Yield what is judged by in the same batches each time, uncorrupted.

        Where no take was left for that, it is the first of what is trained on.  ``context`` is
        the longest window, and ``steps`` the size of a batch, in steps.
        """
        lines = self.validation or self.train[:64]
        rng = random.Random(0)  # noqa: S311
        for batch in batches(windows(lines, context, rng), steps, rng):
            yield collated(batch, config, told=TEACHER_TOLD)
