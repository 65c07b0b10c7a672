"""Networks of Hugging Face diffusers: folders of a UNet2DModel, such as `google/ddpm-celebahq-256`.

>>> network = load("ddpm-celebahq-256")  # doctest: +SKIP
>>> noise = network(x, t)  # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.errors import GdpkitError
from gdpkit.params import param
from gdpkit.priors.unet2d_config import CONFIG, Folder, Training, read_folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gdpkit.priors.unet2d_network import UNet2DNetwork
    from gdpkit.schedule import Schedule

__all__ = ["DiffusersPrior", "load"]


def load(folder: str | Path, *, device: str | torch.device = "cpu", hold: torch.dtype | None = None) -> UNet2DNetwork:
    """The network of a folder, or of a file of weights in one, on a device, in evaluation mode and without gradients.

    Weights are held as the file has them (`hold`: what to hold wider ones in) and computed with in float32, layer by
    layer, unless `network.compute` says otherwise. Raises `GdpkitError` where the folder is damaged, holds another kind
    of network, needs code, or does not fit its configuration or the memory.
    """
    found = read_folder(Path(folder))
    return _filled(outline(found, hold), found, device)


def outline(folder: Folder, hold: torch.dtype | None = None) -> UNet2DNetwork:
    """What `load` would give, on the `meta` device: shapes and precisions, without reading the weights."""
    from gdpkit.priors import filling
    from gdpkit.priors.unet2d_network import UNet2DNetwork

    return filling.outline(lambda: UNet2DNetwork(folder.config), folder.weights, hold=hold, names=_names(folder))


def _filled(network: UNet2DNetwork, folder: Folder, device: str | torch.device) -> UNet2DNetwork:
    from gdpkit.priors import filling

    return filling.fill(network, folder.weights, device=device, names=_names(folder), rest=_rest(folder))


def _names(folder: Folder) -> dict[str, str]:
    from gdpkit.priors.unet2d_network import newer_names
    from gdpkit.priors.weights import describe_weights

    return newer_names(describe_weights(folder.weights)[0])


def _rest(folder: Folder) -> tuple[Tensor, ...]:
    """What the network is called with besides an image: a timestep, and a class where it has classes."""
    import torch

    return (torch.zeros(1, dtype=torch.long),) * (1 if folder.config.num_class_embeds is None else 2)


def schedule_of(training: Training) -> Schedule:
    """The noise schedule that a scheduler's file describes."""
    import torch

    from gdpkit.schedule import Schedule

    if training.trained_betas is not None:
        return Schedule.from_betas(torch.tensor(training.trained_betas, dtype=torch.float64))
    first, last, steps = training.beta_start, training.beta_end, training.num_train_timesteps
    if training.beta_schedule == "squaredcos_cap_v2":
        return Schedule.cosine(steps)
    if training.beta_schedule == "sigmoid":
        rise = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
        return Schedule.from_betas(first + rise * (last - first))
    power = 2 if training.beta_schedule == "scaled_linear" else 1
    roots = torch.linspace(first ** (1 / power), last ** (1 / power), steps, dtype=torch.float64)
    return Schedule.from_betas(roots**power)


@dataclass(frozen=True)
class DiffusersPrior(Prior):
    """A UNet2DModel of Hugging Face diffusers (`google/ddpm-celebahq-256` and its kin), read from its folder.

    Works at any size: the image is extended by reflection to the next multiple the network needs. How it was trained
    says `scheduler_config.json` (docs/checkpoints.md); without one, a linear schedule of 1000 steps is assumed.
    """

    name = "diffusers"
    file: Path = param(help="The folder with config.json and the weights, or the file of weights in it.")
    label: int | None = param(None, help="The class shown, of a network with classes; else the mean of all.", min=0)
    precision: str = param("auto", help="Of weights and arithmetic (docs/checkpoints.md); auto: weights as they come.",
                           choices=("auto", "float32", "float16", "bfloat16"))  # fmt: skip

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """One evaluation at the timestep whose noise level is nearest to sigma."""
        from gdpkit.priors import ddpm

        folder, network, schedule = self._loaded(noisy.device)
        label = None if folder.config.num_class_embeds is None else (-1 if self.label is None else self.label)
        return ddpm.denoise(
            network, schedule, noisy, sigma, multiple=network.multiple, label=label,
            prediction=folder.training.prediction_type,
        )  # fmt: skip

    def load(self, device: str | torch.device) -> None:
        """Read and check the folder."""
        self._loaded(device)

    def work(self, height: int, width: int) -> tuple[float, float]:
        """Counted from the network's shapes."""
        from gdpkit.priors import filling

        folder, network = self.outline()
        height, width = height + -height % network.multiple, width + -width % network.multiple
        return filling.evaluation(network, height, width, _rest(folder))

    @property
    def weight_bytes(self) -> int:
        """Counted from the network's shapes."""
        from gdpkit.priors import filling

        return filling.weight_bytes(self.outline()[1])

    def outline(self) -> tuple[Folder, UNet2DNetwork]:
        """What the folder says, and its network on the `meta` device, which has its shapes and its precision."""
        from gdpkit.priors import ddpm

        folder = read_folder(self.file)
        network = outline(folder, ddpm.held(self.precision))
        network.compute = self._compute("cpu", network)
        classes = folder.config.num_class_embeds
        if self.label is not None:
            ddpm.check_label(self.label, classes or 0, str(self.file))
        return folder, network

    @property
    def notes(self) -> tuple[str, ...]:
        """Says so where a class is wanted and was not given, and where nothing told the schedule."""
        from gdpkit.priors import ddpm

        folder = read_folder(self.file)
        told = []
        if folder.config.num_class_embeds is not None and self.label is None:
            told.append(ddpm.note_on_classes(folder.config.num_class_embeds, self.file.name))
        if folder.scheduler is None:
            told.append(f"{self.file.name} has no scheduler_config.json: a linear schedule of 1000 steps is assumed")
        return tuple(told)

    @property
    def training_size(self) -> int | None:
        """The `sample_size` of its configuration, of two the smaller."""
        size = read_folder(self.file).config.sample_size
        return min(size) if isinstance(size, tuple) else size

    @property
    def sha256(self) -> str:
        """Of the file of weights."""
        from gdpkit.priors.checkpoint import sha256

        return sha256(read_folder(self.file).weights)

    def _compute(self, device: str | torch.device, network: UNet2DNetwork) -> torch.dtype | None:
        import torch

        from gdpkit.priors import ddpm

        return ddpm.computed(self.precision, torch.device(device), network.held)

    def _loaded(self, device: str | torch.device) -> tuple[Folder, UNet2DNetwork, Schedule]:
        folder = read_folder(self.file)
        try:
            read = [folder.weights, folder.weights.with_name(CONFIG), *filter(None, [folder.scheduler])]
            stamps = tuple(file.stat().st_mtime_ns for file in read)
        except OSError as error:
            raise GdpkitError(f"cannot read the prior {self.file}: {error.strerror}") from error
        return _cached(self, stamps, str(device))


@lru_cache(maxsize=2)
def _cached(prior: DiffusersPrior, stamps: tuple[int, ...], device: str) -> tuple[Folder, UNet2DNetwork, Schedule]:
    folder, network = prior.outline()
    network = _filled(network, folder, device)
    network.compute = prior._compute(device, network)
    return folder, network, schedule_of(folder.training)
