"""ADM networks: the public diffusion checkpoints and their kin (Dhariwal and Nichol, NeurIPS 2021).

>>> network = load("256x256_diffusion_uncond.pt")  # doctest: +SKIP
>>> noise, v = network(x, t).chunk(2, dim=1)  # doctest: +SKIP
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.errors import GdpkitError
from gdpkit.params import param
from gdpkit.priors.adm_config import AdmConfig, infer_flags

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gdpkit.priors.adm_network import AdmNetwork
    from gdpkit.schedule import Schedule

Stamps = tuple[int, ...]

__all__ = ["AdmConfig", "AdmPrior", "build", "load"]


def build(config: AdmConfig) -> AdmNetwork:
    """A fresh, untrained network; under `torch.device("meta")` it has shapes and no memory."""
    from gdpkit.priors.adm_network import AdmNetwork

    return AdmNetwork(config)


def load(
    file: str | Path,
    config: AdmConfig | Mapping[str, object] | None = None,
    *,
    device: str | torch.device = "cpu",
    hold: torch.dtype | None = None,
) -> AdmNetwork:
    """The network of a checkpoint, on a device, in evaluation mode and without gradients for its parameters.

    The file is safetensors or a state_dict by torch.save (read without running code). Its configuration is, the
    first that there is: `config`; the flags in `FILE.json` (either "net.pt.json" or "net.json") or under "net" in a
    `configs.json` in the same folder; the file's own safetensors metadata (flags, or JSON of them as "config").
    What they leave out is inferred from the shapes.

    Weights are held as the file has them, float16 as float16 (`hold`: what to hold wider ones in), and computed with in
    float32, layer by layer, unless `network.compute` says otherwise; `config={"use_fp16": True}` holds and computes
    the torso in float16. A flag `use_fp16` beside the file says how it was trained, and is ignored.

    Raises `GdpkitError` where the file is damaged, needs code, or does not fit its configuration or the memory.
    """
    from gdpkit.priors.filling import fill

    network = outline(file, config, hold=hold)
    return fill(network, Path(file), device=device, rest=_rest(network))


def outline(
    file: str | Path, config: AdmConfig | Mapping[str, object] | None = None, *, hold: torch.dtype | None = None
) -> AdmNetwork:
    """What `load` would give, on the `meta` device: shapes and precisions, without reading the weights."""
    from gdpkit.priors import filling
    from gdpkit.priors.weights import describe_weights

    path = Path(file)
    found = config if isinstance(config, AdmConfig) else _find_config(path, *describe_weights(path), config or {})
    return filling.outline(lambda: build(found), path, hold=hold)


def _rest(network: AdmNetwork) -> tuple[Tensor, ...]:
    """What the network is called with besides an image: a timestep, and a class where it has classes."""
    import torch

    return (torch.zeros(1, dtype=torch.long),) * (2 if network.config.class_cond else 1)


def _find_config(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], given: Mapping[str, object]
) -> AdmConfig:
    """The configuration of a checkpoint, as `load` describes."""
    source, flags = _flags_beside(path, metadata)
    flags = {name: value for name, value in flags.items() if name != "use_fp16"} | dict(given)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        flags = infer_flags(shapes, flags)
    except GdpkitError as error:
        hint = ""
        if "heads" in str(error):
            sidecar = path.with_name(path.name + ".json").name
            hint = f'\nWrite {sidecar} beside it, with at least {{"num_head_channels": 64}} or {{"num_heads": 4}}.'
        raise GdpkitError(f"{path}: {error}{hint}") from None
    try:
        return AdmConfig.from_flags(flags)
    except GdpkitError as error:
        # What was given wins, so a flag that it names is at fault, not what stands beside the file.
        own = ", ".join(name for name in given if re.search(rf"\b{name}\b", str(error)))
        raise type(error)(f"{path} with the {own} given: {error}" if own else f"{source}: {error}") from None


def _beside(path: Path) -> tuple[Path, ...]:
    """Where flags may be written."""
    return path.with_name(path.name + ".json"), path.with_suffix(".json"), path.with_name("configs.json")


def _flags_beside(path: Path, metadata: Mapping[str, str]) -> tuple[Path, dict[str, object]]:
    """The flags written beside a checkpoint or in it, and the file they are from; none: {}."""
    for beside in _beside(path):
        if not beside.is_file():
            continue
        flags = _read_json(beside, beside.read_bytes())
        if beside.name != "configs.json":
            return beside, flags
        entry = flags.get(path.stem)
        if isinstance(entry, dict):
            return beside, entry
    if "config" in metadata:
        return path, _read_json(path, metadata["config"])
    return path, {name: value for name, value in metadata.items() if name in asdict(AdmConfig())}


def _read_json(source: Path, text: str | bytes) -> dict[str, object]:
    try:
        flags = json.loads(text)
    except ValueError as error:
        raise GdpkitError(f"{source}: is not JSON ({error}).") from None
    if not isinstance(flags, dict):
        raise GdpkitError(f'{source}: must be an object of flags, such as {{"num_head_channels": 64}}.')
    return flags


@dataclass(frozen=True)
class AdmPrior(Prior):
    """A public guided-diffusion checkpoint (`256x256_diffusion_uncond.pt` and its kin), read from a file.

    Works at any size: the image is extended by reflection to the next multiple the network needs. What the weights
    cannot tell is, the first that says it: an option here, the JSON beside the file, or its metadata
    (docs/checkpoints.md).
    """

    name = "adm"
    file: Path = param(help="Checkpoint: safetensors, or what torch.save wrote.")
    num_head_channels: int | None = param(None, help="Width of an attention head, where nothing beside the file says.",
                                          min=1)  # fmt: skip
    num_heads: int | None = param(None, help="Attention heads, where they are not of one width.", min=1)
    use_new_attention_order: bool | None = param(None, help="q, k and v of all heads apart (true) or head by head.")
    noise_schedule: str | None = param(None, help="Noise schedule it was trained with, where nothing says.",
                                       choices=("linear", "cosine"))  # fmt: skip
    label: int | None = param(None, help="The class shown, of a network with classes; else the mean of all.", min=0)
    precision: str = param("auto", help="Of weights and arithmetic (docs/checkpoints.md); auto: weights as they come.",
                           choices=("auto", "float32", "float16", "bfloat16"))  # fmt: skip

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """One evaluation at the timestep whose noise level is nearest to sigma."""
        from gdpkit.priors import ddpm

        network, schedule = self._network(noisy.device)
        label = network.config.label if network.config.class_cond else None
        return ddpm.denoise(network, schedule, noisy, sigma, multiple=network.multiple, label=label)

    def load(self, device: str | torch.device) -> None:
        """Read and check the file."""
        self._network(device)

    def work(self, height: int, width: int) -> tuple[float, float]:
        """Counted from the network's shapes."""
        return _work(self, self._stamps(), height, width)

    @property
    def weight_bytes(self) -> int:
        """Counted from the network's shapes."""
        return _weight_bytes(self, self._stamps())

    def outline(self, device: str | torch.device = "cpu") -> AdmNetwork:
        """The network on the `meta` device, with the shapes and precisions that it has on `device`."""
        from gdpkit.priors import ddpm

        network = outline(self.file, self._given(), hold=ddpm.held(self._precision(device)))
        network.compute = self._compute(device, network)
        classes = network.config.num_classes if network.config.class_cond else 0
        ddpm.check_label(network.config.label, classes, str(self.file))
        return network

    @property
    def notes(self) -> tuple[str, ...]:
        """Says so where a class is wanted and was not given."""
        from gdpkit.priors import ddpm

        config, _ = _described(self, self._stamps())
        told = not config.class_cond or config.label >= 0
        return () if told else (ddpm.note_on_classes(config.num_classes, self.file.name),)

    @property
    def training_size(self) -> int | None:
        """The side of its images, where the flags say it or the public checkpoint of such levels tells it."""
        return _described(self, self._stamps())[1]

    @property
    def sha256(self) -> str:
        """Of the file."""
        from gdpkit.priors.checkpoint import sha256

        return sha256(self.file)

    def _given(self) -> dict[str, object]:
        """The flags that the options say."""
        names = ("num_head_channels", "num_heads", "use_new_attention_order", "noise_schedule", "label")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        # Beside a width, a number of heads would count for nothing.
        return given if "num_head_channels" in given or "num_heads" not in given else {**given, "num_head_channels": -1}

    def _compute(self, device: str | torch.device, network: AdmNetwork) -> torch.dtype | None:
        import torch

        from gdpkit.priors import ddpm

        return ddpm.computed(self._precision(device), torch.device(device), network.held)

    def _precision(self, device: str | torch.device) -> str:
        """On a GPU float16, as these networks were trained and are published to be used (`use_fp16`)."""
        import torch

        return "float16" if self.precision == "auto" and torch.device(device).type == "cuda" else self.precision

    def _network(self, device: str | torch.device) -> tuple[AdmNetwork, Schedule]:
        return _cached(self, self._stamps(), str(device))

    def _stamps(self) -> Stamps:
        """When the file and what stands beside it changed: what was read of them serves until then."""
        try:
            stamps = [self.file.stat().st_mtime_ns]
        except OSError as error:
            raise GdpkitError(f"cannot read the prior {self.file}: {error.strerror}") from error
        return (*stamps, *(f.stat().st_mtime_ns if f.is_file() else 0 for f in _beside(self.file)))


@lru_cache(maxsize=4)
def _described(prior: AdmPrior, stamps: Stamps) -> tuple[AdmConfig, int | None]:
    """The configuration, and the side of the images it was trained on where that is known."""
    from gdpkit.priors.adm_config import DEFAULT_CHANNEL_MULT
    from gdpkit.priors.weights import describe_weights

    config = prior.outline().config
    told = "image_size" in _flags_beside(prior.file, describe_weights(prior.file)[1])[1]
    public = DEFAULT_CHANNEL_MULT.get(config.image_size) == config.channel_mult
    return config, config.image_size if told or public else None


@lru_cache(maxsize=32)
def _work(prior: AdmPrior, stamps: Stamps, height: int, width: int) -> tuple[float, float]:
    from gdpkit.priors import filling

    network = prior.outline()
    height, width = height + -height % network.multiple, width + -width % network.multiple
    return filling.evaluation(network, height, width, _rest(network))


@lru_cache(maxsize=4)
def _weight_bytes(prior: AdmPrior, stamps: Stamps) -> int:
    from gdpkit.priors import filling

    return filling.weight_bytes(prior.outline())


@lru_cache(maxsize=2)
def _cached(prior: AdmPrior, stamps: Stamps, device: str) -> tuple[AdmNetwork, Schedule]:
    from gdpkit.priors.filling import fill
    from gdpkit.schedule import Schedule

    network = prior.outline(device)
    schedule = getattr(Schedule, network.config.noise_schedule)(network.config.diffusion_steps)
    return fill(network, prior.file, device=device, rest=_rest(network)), schedule
