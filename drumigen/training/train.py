"""Training: one loop for one CPU, one GPU, or several under ``torchrun``."""

import contextlib
import csv
import io
import json
import logging
import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.torch import load_file
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from drumigen.atomic_file import write_atomically
from drumigen.bank.grammars import PERFORMERS
from drumigen.errors import CorpusError
from drumigen.model.checkpoint import (
    Checkpoint,
    detect_device,
    read_texts,
    save_checkpoint,
    write_tensors,
)
from drumigen.model.network import ModelConfig, file_name
from drumigen.model.transformer import (
    DrumPatternTransformer,
    load_weights,
    weights_of,
)
from drumigen.training.corpus import Corpus
from drumigen.training.dataset import (
    BarWindow,
    Example,
    batches,
    collated,
    windows,
)
from drumigen.training.losses import Averages, Teacher, losses_of, on_device
from drumigen.training.style_profiles import profile_of
from drumigen.training.takes import Take

log = logging.getLogger(__name__)

CORPUS_SHARE: Final = 0.35
"""Part of a producer's windows that an epoch shows: there is more of grammars than of people."""
MOMENTS: Final = (("momentum_buffer",), ("step", "exp_avg", "exp_avg_sq"))
"""What each of the two optimizers remembers of a weight."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """How a training run goes; every figure has its unit in its name or here.

    Attributes:
        epochs: passes over the corpus.
        steps: hits and bar lines in a batch, over all processes.
        context: hits and bar lines in a window, at most.
        rate: peak learning rate, after ``warm_up`` updates, down a cosine to a 20th.
        average: decay of the moving average of the weights, which is what is kept.
        plain: last part of the run without augmentation.
        patience: epochs without a better validation after which it stops.
        odd: share of takes that are added in an odd metre.
    """

    epochs: int = 60
    steps: int = 4096
    context: int = 400
    rate: float = 2e-3
    warm_up: int = 200
    decay: float = 0.05
    average: float = 0.998
    plain: float = 0.3
    patience: int = 15
    odd: float = 0.12
    seed: int = 1
    seconds: float = math.inf
    """The learning rate is at its end by then, however many epochs that makes."""


@dataclass
class Run:
    """Where a training run stands; all of it is in its folder after every epoch."""

    epoch: int = 0
    update: int = 0
    best: float = math.inf
    stale: int = 0
    spent: float = 0.0
    """Seconds of training, over all resumptions."""
    log: list[dict[str, float]] = field(default_factory=list)


def train(  # noqa: PLR0913 - what, how, where to and where
    takes: Sequence[Take],
    config: ModelConfig,
    recipe: TrainingRecipe,
    folder: Path,
    *,
    device: str | None = None,
    notes: Mapping[str, Any] | None = None,
    start: Checkpoint | None = None,
) -> Path:
    """Train, or go on where ``folder`` stopped; return the path of the best checkpoint.

    Under ``torchrun`` each process takes its share of every batch.  ``folder`` gets
    ``drummer.safetensors`` (the best so far), ``state.safetensors`` (to go on from) and
    ``log.csv``; ``notes`` go into the checkpoint.  A new training begins with the weights of
    ``start`` if that is given.

    Raises:
        CorpusError: there is nothing to train on, the state in ``folder`` is of another training,
            or ``start`` of other sizes, styles or drummers.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    where = _joined(device, world)
    torch.manual_seed(recipe.seed)
    corpus = Corpus.of(takes, config, recipe.odd, recipe.seed)
    profile = profile_of(takes, config)
    metadata = {"profile": profile, "recipe": asdict(replace(recipe, seconds=0.0)), **(notes or {})}
    place = Place(where, rank, world)
    trainer = _Trainer(corpus, config, recipe, folder, place, metadata)
    if start is not None:
        trainer.begin_with(start)
    try:
        trainer.resume()
        trainer.run()
    finally:
        if world > 1:
            distributed.destroy_process_group()
    return trainer.best_path


def _joined(device: str | None, world: int) -> torch.device:
    """Return this process's device, after joining the others where there are any."""
    where = torch.device(detect_device(device))
    if world == 1:
        return where
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    return where


class Place(NamedTuple):
    """Where a process of a training run is: its device, its number, and how many there are."""

    device: torch.device
    rank: int
    world: int


class _Trainer:
    """One process of a training run."""

    def __init__(  # noqa: PLR0913, PLR0917 - put together in one place
        self,
        corpus: Corpus,
        config: ModelConfig,
        recipe: TrainingRecipe,
        folder: Path,
        place: Place,
        metadata: Mapping[str, Any],
    ) -> None:
        self.corpus, self.config, self.recipe, self.folder = corpus, config, recipe, folder
        self.device, self.rank, self.world = device, _, world = place
        self.metadata = metadata
        self.model = DrumPatternTransformer(config).to(device)
        self.kept = DrumPatternTransformer(config).to(device).eval()
        self.kept.load_state_dict(self.model.state_dict())
        self.teacher: torch.nn.Module = Teacher(self.model)
        if world > 1:
            self.teacher = DistributedDataParallel(
                self.teacher, [device] if device.type == "cuda" else None
            )
        named = dict(self.model.named_parameters())
        # the layers' matrices learn by orthogonal steps (Muon, Jordan et al. 2024): lower after
        # as many updates than AdamW, at the same rate
        layers = [p for name, p in named.items() if name.startswith("blocks.")]
        rest = [p for name, p in named.items() if not name.startswith("blocks.")]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                layers, recipe.rate, recipe.decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay),
        )
        self.state = Run()

    @property
    def best_path(self) -> Path:
        return self.folder / "drummer.safetensors"

    @property
    def state_path(self) -> Path:
        return self.folder / "state.safetensors"

    def run(self) -> None:
        recipe, state = self.recipe, self.state
        with Progress(disable=self.rank > 0) as progress:
            while (
                state.epoch < recipe.epochs
                and state.stale < recipe.patience
                and state.spent < recipe.seconds
            ):
                spent = state.spent
                learnt = self._epoch(progress)
                judged = self._validated()
                state.epoch += 1
                better = judged["nll"] < state.best
                state.best = min(state.best, judged["nll"])
                state.stale = 0 if better else state.stale + 1
                row = {
                    "epoch": state.epoch,
                    "updates": state.update,
                    "seconds": round(state.spent, 1),
                    "rate": round(self._rate(), 7),
                    **{f"train_{name}": round(value, 4) for name, value in learnt.items()},
                    **{f"validation_{name}": round(value, 4) for name, value in judged.items()},
                }
                state.log.append(row)
                if self.rank == 0:
                    self._keep(better=better)
                    progress.console.print(
                        f"epoch {state.epoch}: {learnt['nll']:.3f} nats a hit, validation "
                        f"{judged['nll']:.3f}{' (best)' if better else ''}, "
                        f"{state.spent - spent:.0f} s"
                    )

    def _rate(self) -> float:
        """Return the learning rate: up a line, down a cosine over epochs or seconds."""
        recipe, state = self.recipe, self.state
        done = min(1.0, max(self._epochs_done / recipe.epochs, state.spent / recipe.seconds))
        rise = min(1.0, (state.update + 1) / recipe.warm_up)
        return recipe.rate * rise * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * done)))

    def _epoch(self, progress: Progress) -> dict[str, float]:
        recipe, state = self.recipe, self.state
        rng = random.Random(f"{recipe.seed}/{state.epoch}")  # noqa: S311
        chance = np.random.default_rng((recipe.seed, state.epoch, self.rank))
        shown = [
            window
            for window in windows(self.corpus.train, recipe.context, rng)
            if self._is_shown(window, rng)
        ]
        made = batches(shown, recipe.steps, rng)
        done = max(state.epoch / recipe.epochs, state.spent / recipe.seconds)
        averages = Averages()
        self.model.train()
        task = progress.add_task(f"epoch {state.epoch + 1}", total=len(made))
        for number, batch in enumerate(made):
            began = time.monotonic()
            self._epochs_done = state.epoch + number / len(made)
            share = batch[self.rank :: self.world] or batch[:1]
            example = collated(share, self.config, chance, augmented=done < 1 - recipe.plain)
            averages.add(self._update(on_device(example, self.device)))
            state.spent += time.monotonic() - began
            progress.advance(task)
            if state.spent >= recipe.seconds:
                break
        progress.remove_task(task)
        return self._shared(averages).result()

    def _is_shown(self, window: BarWindow, rng: random.Random) -> bool:
        written = self.config.styles[window.sequence.style] in PERFORMERS
        return rng.random() < (CORPUS_SHARE if written else 1.0)

    def _update(self, example: Example) -> Tensor:
        with self._precision():
            losses = losses_of(self.teacher, example)
        loss = (losses[0] + losses[1] + losses[2]) / losses[3].clamp(min=1.0)
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate()
            optimizer.step()
        self.state.update += 1
        keep = min(self.recipe.average, (self.state.update + 1) / (self.state.update + 20))
        with torch.no_grad():
            for kept, new in zip(self.kept.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 1 - keep)
        return losses

    def _precision(self) -> contextlib.AbstractContextManager[None]:
        """Return bfloat16 where the device has it in hardware."""
        fast = {
            "cuda": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
            "cpu": torch.ops.mkldnn._is_mkldnn_bf16_supported(),  # noqa: SLF001 - no public name
        }.get(self.device.type, False)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=fast)

    @torch.inference_mode()
    def _validated(self) -> dict[str, float]:
        averages = Averages()
        recipe = self.recipe
        for example in self.corpus.judged(self.config, recipe.context, recipe.steps):
            averages.add(losses_of(Teacher(self.kept), on_device(example, self.device)))
        return averages.result()

    def _shared(self, averages: Averages) -> Averages:
        if self.world > 1:
            sums = averages.sums.to(self.device, torch.float32)
            distributed.all_reduce(sums)
            averages.sums = sums.cpu().double()
        return averages

    def _keep(self, *, better: bool) -> None:
        if better:
            metadata = {**self.metadata, "training": self.state.log[-1]}
            save_checkpoint(self.config, arrays(self.kept), self.best_path, metadata)
        tensors: dict[str, Tensor] = {}
        names = {id(p): file_name(name) for name, p in self.model.named_parameters()}
        for name, tensor in weights_of(self.model).items():
            tensors[f"model.{name}"] = tensor
        for name, tensor in weights_of(self.kept).items():
            tensors[f"kept.{name}"] = tensor
        for optimizer in self.optimizers:
            for parameter, moments in optimizer.state.items():
                for moment, tensor in moments.items():
                    tensors[f"{moment}.{names[id(parameter)]}"] = torch.as_tensor(tensor)
        whole = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        texts = {
            "run": json.dumps(asdict(self.state)),
            "config": json.dumps(msgspec.to_builtins(self.config)),
        }
        write_tensors(whole, self.state_path, texts)
        table = io.StringIO()
        writer = csv.DictWriter(table, list(self.state.log[0]))
        writer.writeheader()
        writer.writerows(self.state.log)
        write_atomically(self.folder / "log.csv", table.getvalue().encode())

    def begin_with(self, start: Checkpoint) -> None:
        """Take the weights of a checkpoint: what is learnt next is learnt on top of them."""
        if msgspec.structs.replace(start.config, dropout=self.config.dropout) != self.config:
            message = (
                f"{start.path}: of other sizes, styles or drummers than this training; "
                "train on the same folder with the same options, or leave out --start"
            )
            raise CorpusError(message)
        weights = {name: torch.tensor(array) for name, array in start.weights.items()}
        load_weights(self.model, weights)
        load_weights(self.kept, weights)

    def resume(self) -> None:
        if not self.state_path.is_file():
            return
        texts = read_texts(self.state_path)
        config = json.loads(json.dumps(msgspec.to_builtins(self.config)))
        if json.loads(texts.get("config", "{}")) != config:
            message = (
                f"{self.state_path}: of a training with other sizes or styles; use another folder"
            )
            raise CorpusError(message)
        tensors = load_file(self.state_path)
        load_weights(self.model, _part(tensors, "model."))
        load_weights(self.kept, _part(tensors, "kept."))
        self.state = Run(**json.loads(texts["run"]))
        names = {id(p): file_name(name) for name, p in self.model.named_parameters()}
        for optimizer, kinds in zip(self.optimizers, MOMENTS, strict=True):
            for parameter in chain.from_iterable(g["params"] for g in optimizer.param_groups):
                optimizer.state[parameter] = {
                    kind: tensors[f"{kind}.{names[id(parameter)]}"] for kind in kinds
                }
        log.info("going on after epoch %d", self.state.epoch)

    _epochs_done = 0.0


def arrays(model: DrumPatternTransformer) -> dict[str, NDArray[np.generic]]:
    """Return the weights as numpy arrays, by their names in files."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in weights_of(model).items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
