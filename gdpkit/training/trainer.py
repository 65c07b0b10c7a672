"""The training loop: a step, the running average, what a checkpoint holds, validation."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdpkit.atomic import whole_file
from gdpkit.errors import GdpkitError
from gdpkit.priors.unet import UNet
from gdpkit.training.feed import Feed
from gdpkit.training.optimizers import optimizers
from gdpkit.training.photos import Photos, scaled
from gdpkit.training.recipe import Recipe

SEED = 0
VALIDATION_SIGMAS = (15, 25, 50)
CLIP = 1.0  # of the gradient's norm; early batches of almost clean crops exceed it
ALLOWED = 0.2  # of mean error in a crop with less noise than was said; in the others 0.07 to 0.5 is usual
USUAL = 10.0  # a crop's error starts near 1; far above this, only its logarithm counts
DIVERGED = 100  # so many steps without a number in a row, and nothing will be learned any more
LONGEST_STEP = 30.0  # a step that takes longer, in seconds, was paused, and the pause is not training time


@dataclass(frozen=True)
class Progress:
    """Where a training is after a step: `loss` is that of the step, None where it was no number: a step skipped."""

    step: int
    seconds: float
    share: float
    loss: float | None


def robust(errors: Tensor) -> Tensor:
    """Mean squared errors of crops, those far above the usual by their logarithm (the Cauchy loss), (B,).

    On a crop with less noise than its level says, a network without normalisation can be wrong by orders of magnitude.
    As it is, such a crop would undo in one step what was learned; left out, it would never be mended.
    """
    return USUAL * (errors / USUAL).log1p()


class Trainer:
    """Everything that a training is made of, and that a checkpoint holds."""

    def __init__(self, recipe: Recipe, photos: Photos, device: torch.device, start: UNet | None = None) -> None:
        """Start from fresh weights, or from those of `start`, whose architecture the recipe must have."""
        self.recipe, self.photos, self.device = recipe, photos, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            self.network = UNet(recipe.widths, recipe.depths, recipe.sigma_data)
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = optimizers(self.network, recipe.learning_rate, recipe.weight_decay)
        cuda = device.type == "cuda"
        # Compiling takes a minute or so, which a GPU earns back; on a CPU it needs a compiler of C++ besides.
        self._raw = torch.compile(self.network.raw) if cuda else self.network.raw
        torch.backends.cudnn.benchmark = cuda  # all batches have one shape
        self.step, self.seconds = 0, 0.0
        self._seed(SEED)

    def _seed(self, seed: int) -> None:
        self.feed = Feed(self.photos, self.recipe, seed)
        self._levels = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(self.device).manual_seed(seed + 1)

    @property
    def share(self) -> float:
        """The share of the training that has gone, 0..1."""
        recipe = self.recipe
        return min(1.0, self.step / recipe.steps if recipe.steps else self.seconds / (60 * recipe.minutes))

    def run(self) -> Iterator[Progress]:
        """Train to the end of the recipe's steps or time, step by step. Time spent between two steps does not count."""
        skipped = 0
        while self.share < 1:
            before = time.monotonic()
            loss = self._train()
            self.seconds += min(time.monotonic() - before, LONGEST_STEP)
            usual = math.isfinite(loss)
            skipped = 0 if usual else skipped + 1
            if skipped == DIVERGED:
                raise GdpkitError(
                    f"the training has diverged: for {DIVERGED} steps the loss was no number; lower the recipe's "
                    f"learning_rate ({self.recipe.learning_rate:g}) and start again"
                )
            yield Progress(self.step, self.seconds, self.share, loss if usual else None)

    def _train(self) -> float:
        recipe = self.recipe
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(self.step, self.share)
        clean = scaled(self.feed.take().to(self.device))  # as bytes, a quarter of the way to a GPU
        sigma = self._noise_levels().to(self.device)
        into, skip, out = self.network.scalings(sigma)
        noisy, less = self._noisy(clean, sigma)
        target = (clean - skip * noisy) / out
        weighed = (noisy * into).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self._raw(weighed, sigma)
        errors = (raw.float() - target).square().flatten(1).mean(1)
        loss = robust(torch.where(less, (errors - ALLOWED).clamp_min(0), errors)).mean()
        self.step += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            return math.inf
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
        self._average()
        return value

    def _noise_levels(self) -> Tensor:
        recipe, draw = self.recipe, self._levels
        levels = torch.randn(recipe.batch, generator=draw) * recipe.sigma_log_deviation + recipe.sigma_log_mean
        least, most = math.log(recipe.sigma_least), math.log(recipe.sigma_most)
        anywhere = least + (most - least) * torch.rand(recipe.batch, generator=draw)
        ends = torch.rand(recipe.batch, generator=draw) < recipe.spread
        return torch.where(ends, anywhere, levels.clamp(least, most)).exp()

    def _noisy(self, clean: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The crops with noise of deviation sigma, (B,), and which of them were given less than that, (B,).

        Those show the network what a restoration does, a picture without the noise that it is told. Without them its
        output there may reach any height; taught to leave such a picture as it is, it would restore nothing. So they
        count only where they are further off than noisy ones are.
        """
        noise = torch.randn(clean.shape, generator=self._noise, device=self.device)
        chosen = torch.rand(len(clean), generator=self._levels) < self.recipe.less_noise
        share = torch.where(chosen, torch.rand(len(clean), generator=self._levels), 1).to(self.device)
        return clean + (share * sigma)[:, None, None, None] * noise, chosen.to(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        kept = min(self.recipe.average, self.step / (self.step + 10))  # early on the average would lag behind
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)

    @torch.no_grad()
    def validate(self) -> tuple[float, ...]:
        """Mean PSNR in dB of the averaged network on the photographs set aside, at sigma 15, 25 and 50 of 255."""
        found = []
        for level in VALIDATION_SIGMAS:
            generator = torch.Generator().manual_seed(level)
            sigma = level / 127.5
            errors = []
            for clean in self.photos.validation:
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
                denoised = self.average(noisy.to(self.device), torch.tensor([sigma], device=self.device)).cpu()
                errors.append(10 * math.log10(4 / float((denoised - clean).square().mean())))
            found.append(float(np.mean(errors)))
        return tuple(found)

    def state(self) -> dict[str, object]:
        """What a checkpoint holds."""
        return {
            "model": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.seconds,
            "recipe": json.dumps(asdict(self.recipe)),
            "photos": self.photos.digest,
            "feed": self.feed.state,
            "levels": self._levels.get_state(),
            "noise": self._noise.get_state(),
            "device": self.device.type,
        }

    def save(self, file: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        with whole_file(file) as temporary:
            torch.save(self.state(), temporary)

    def resume(self, file: Path) -> list[str]:
        """Go on from a checkpoint of the same recipe, and return what there is to say about it.

        A file that is none, or is of another recipe, is a `GdpkitError`.
        """
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            other = self.recipe.differences(json.loads(state.get("recipe", "{}")))
            if not other:
                self.network.load_state_dict(state["model"])
                self.average.load_state_dict(state["ema"])
                for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                    optimizer.load_state_dict(kept)
                self.step, self.seconds = int(state["step"]), float(state["spent"])
                self._continue(state)
        except Exception as error:  # a foreign file can break the unpickler, and the rest, in any way it likes
            raise GdpkitError(
                f"{file} is no checkpoint of this training, or is cut short; --no-resume starts anew and replaces it"
            ) from error
        if other:
            raise GdpkitError(
                f"{file} was made by another recipe: {'; '.join(other)}.\n"
                "Go on with that recipe, or start anew with --no-resume or other --checkpoints."
            )
        same = state.get("photos", self.photos.digest) == self.photos.digest
        return [] if same else ["the photographs are not those that this training began with"]

    def _continue(self, state: dict[str, Any]) -> None:
        """Draw on where the checkpoint was; older ones do not say where, nor does another device."""
        self._seed(self.step)
        if "feed" in state:
            self.feed.state = state["feed"]
            self._levels.set_state(state["levels"])
            if state["device"] == self.device.type:
                self._noise.set_state(state["noise"])
