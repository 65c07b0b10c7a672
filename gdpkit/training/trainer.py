"""The training loop: a step, the running average, checkpoints, validation."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdpkit.atomic import whole_file
from gdpkit.errors import GdpkitError
from gdpkit.priors.unet import SIGMA_DATA, UNet
from gdpkit.training.photos import Photos
from gdpkit.training.recipe import Recipe

VALIDATION_SIGMAS = (15, 25, 50)
CLIP = 1.0  # of the gradient's norm; early batches of almost clean crops exceed it
OUTLIER = 20.0  # the loss starts near 1; a batch far above it is an instability, and would undo what was learned
LONGEST_STEP = 30.0  # a step that takes longer, in seconds, was paused, and the pause is not training time


class Trainer:
    """Everything that a training is made of, and that a checkpoint holds."""

    def __init__(self, recipe: Recipe, photos: Photos, device: torch.device) -> None:
        """Start from fresh weights."""
        self.recipe, self.photos, self.device = recipe, photos, device
        self.network = UNet(recipe.widths, recipe.depths).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
        self.step, self.seconds = 0, 0.0

    @property
    def passed(self) -> float:
        """The share of the training's time that has gone, 0..1."""
        return min(1.0, self.seconds / (60 * self.recipe.minutes))

    def run(self, checkpoint: Path, every: int, report: Callable[[str], None]) -> None:
        """Train to the end of the recipe's time; validate and save every so many steps, and at the end."""
        random = np.random.default_rng(self.step)
        torch.manual_seed(self.step)
        before = time.monotonic()
        losses = []
        while self.passed < 1:
            if self.passed >= 1 - self.recipe.decay and not self.steady(checkpoint).exists():
                self.save(self.steady(checkpoint))
            losses.append(self._train(random))
            now = time.monotonic()
            self.seconds += min(now - before, LONGEST_STEP)
            before = now
            if self.step % every == 0 or self.passed == 1:
                psnrs = " / ".join(f"{v:.2f}" for v in self.validate())
                report(f"step {self.step}, {self.seconds / 60:.0f} min, loss {np.mean(losses):.4f}, PSNR {psnrs} dB")
                losses.clear()
                self.save(checkpoint)
                before = time.monotonic()

    @staticmethod
    def steady(checkpoint: Path) -> Path:
        """Where the state before the learning rate falls is kept: a longer training goes on from there."""
        return checkpoint.with_name(f"{checkpoint.stem}-steady{checkpoint.suffix}")

    def _train(self, random: np.random.Generator) -> float:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(self.step, self.passed)
        clean = self.photos.batch(recipe.batch, recipe.grey, random).to(self.device)
        sigma = self._noise_levels().to(self.device)
        s = sigma[:, None, None, None]
        norm = (s**2 + SIGMA_DATA**2).rsqrt()
        noisy = clean + s * torch.randn_like(clean)
        target = (clean - SIGMA_DATA**2 * norm**2 * noisy) / (s * SIGMA_DATA * norm)
        scaled = (noisy * norm).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.network.raw(scaled, sigma)
        loss = (raw.float() - target).square().mean()
        self.step += 1
        if not loss < OUTLIER:
            return float(loss.detach())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        self._average()
        return float(loss.detach())

    def _noise_levels(self) -> Tensor:
        recipe = self.recipe
        levels = torch.randn(recipe.batch) * recipe.sigma_log_deviation + recipe.sigma_log_mean
        least, most = math.log(recipe.sigma_least), math.log(recipe.sigma_most)
        anywhere = least + (most - least) * torch.rand(recipe.batch)
        return torch.where(torch.rand(recipe.batch) < recipe.spread, anywhere, levels.clamp(least, most)).exp()

    @torch.no_grad()
    def _average(self) -> None:
        kept = min(self.recipe.average, self.step / (self.step + 10))  # early on the average would lag behind
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - kept)

    @torch.no_grad()
    def validate(self) -> list[float]:
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
            found.append(float(np.mean(errors)) if errors else math.nan)
        return found

    def state(self) -> dict[str, object]:
        """What a checkpoint holds."""
        return {
            "model": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "opt": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.seconds,
        }

    def save(self, file: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        with whole_file(file) as temporary:
            torch.save(self.state(), temporary)

    def resume(self, file: Path) -> None:
        """Go on from a checkpoint of the same recipe. A file that is none is a `GdpkitError`."""
        try:
            state: dict[str, dict[str, Tensor]] = torch.load(file, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["model"])
            self.average.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["opt"])
            self.step, self.seconds = int(state["step"]), float(state["spent"])  # type: ignore[call-overload,arg-type]
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            raise GdpkitError(f"{file} is no checkpoint of this training ({reason})") from error
