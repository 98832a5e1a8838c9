"""A decoder of whole bars in numpy: what a device would write, without torch and its seconds."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drumigen.model.kv_cache import KVCache
from drumigen.model.network import COUNT_MAX, ModelConfig
from drumigen.model.numpy_decoder import Decoder
from drumigen.model.sampling import draw, draw_events, draw_offsets
from drumigen.model.stepper import LINE
from drumigen.model.tokens import BinnedNote
from drumigen.model.vocabulary import BAR_LINE, OFFSETS, VOICE_ORDER
from drumigen.model.whole_bars import Draft, Drawn, UnreadBar


class BarsByNumpy:
    """One bar after another, by the decoder that plays on the CPU."""

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, NDArray[np.generic]], device: str
    ) -> None:
        self.device = device
        self._stepper = Decoder(config, weights)

    def cache(self) -> KVCache:
        return self._stepper.cache()

    def read(self, pasts: Sequence[tuple[KVCache, Sequence[UnreadBar]]]) -> list[KVCache]:
        found = []
        for cache, bars in pasts:
            found.append(cache.copied())
            for bar in bars:
                told = self._stepper.condition_embedding(bar.told.conditions, bar.told.shares)
                for nth, note in enumerate((LINE, *bar.notes)):
                    self._step(found[-1], note, bar.start, told[min(nth, COUNT_MAX - 1)])
        return found

    def write(self, drafts: Sequence[Draft]) -> list[Drawn]:
        return [self._written(draft) for draft in drafts]

    def _written(self, draft: Draft) -> Drawn:
        cache, stepper, sampling = draft.cache.copied(), self._stepper, [draft.sampling]
        told = stepper.condition_embedding(draft.told.conditions, draft.told.shares)
        last, notes, left = LINE, list[BinnedNote](), list(draft.events)
        while True:
            count = len(notes)
            hidden = self._step(cache, last, draft.start, told[min(count, COUNT_MAX - 1)])
            one, two, three = draft.chances[count].tolist()
            logits, details = stepper.events(hidden)
            (event,) = draw_events(logits, [last], [draft.sixteenths], [one], sampling)
            if draft.events:
                while left and left[0] == last.event and last.offset >= OFFSETS - 1:
                    del left[0]
                event = left.pop(0) if left else BAR_LINE
            if event == BAR_LINE or count >= draft.most:
                return Drawn(notes, cache)
            logits, details = stepper.velocities(details, [event])
            (velocity,) = draw(logits, [two], [draft.sampling.of_velocity])
            logits = stepper.offsets(details, [velocity])
            (offset,) = draw_offsets(logits, [event], [last], [three], sampling)
            last = BinnedNote(event, velocity, offset)
            notes.append(last)

    def _step(
        self, cache: KVCache, note: BinnedNote, start: int, told: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        time = start + (0 if note.event == BAR_LINE else note.event // len(VOICE_ORDER))
        return self._stepper.read([cache], [note], [float(time)], told[None])
