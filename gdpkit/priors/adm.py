"""ADM networks: the public diffusion checkpoints and their kin (Dhariwal and Nichol, NeurIPS 2021).

>>> network = load("256x256_diffusion_uncond.pt")  # doctest: +SKIP
>>> noise, v = network(x, t).chunk(2, dim=1)  # doctest: +SKIP
"""

from __future__ import annotations

import json
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

__all__ = ["AdmConfig", "AdmPrior", "build", "load"]


def build(config: AdmConfig) -> AdmNetwork:
    """A fresh, untrained network; under `torch.device("meta")` it has shapes and no memory."""
    from gdpkit.priors.adm_network import AdmNetwork

    return AdmNetwork(config)


def load(file: str | Path, config: AdmConfig | Mapping[str, object] | None = None) -> AdmNetwork:
    """The network of a checkpoint, on the CPU, in evaluation mode and without gradients for its parameters.

    The file is safetensors or a state_dict by torch.save (read without running code). Its configuration is, the
    first that there is: `config`; the flags in `FILE.json` (either "net.pt.json" or "net.json") or under "net" in a
    `configs.json` in the same folder; the file's own safetensors metadata (flags, or JSON of them as "config").
    What they leave out is inferred from the shapes.

    Weights are computed with in float32, whatever the file stores; `config={"use_fp16": True}` keeps the torso in
    float16. A flag `use_fp16` beside the file says how it was trained, and is ignored.

    Raises `GdpkitError` where the file is damaged, needs code, or does not fit its configuration.
    """
    import torch

    from gdpkit.priors.weights import read_weights

    path = Path(file)
    tensors, metadata = read_weights(path)
    if not isinstance(config, AdmConfig):
        config = _find_config(path, tensors, metadata, config or {})
    with torch.device("meta"):  # no time or memory for weights that are replaced at once
        network = build(config)
    wanted = network.state_dict()
    _check_fit(path, tensors, wanted)
    state = {name: tensors.pop(name).detach().to(wanted[name].dtype) for name in wanted}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


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
        raise type(error)(f"{source}: {error}") from None


def _flags_beside(path: Path, metadata: Mapping[str, str]) -> tuple[Path, dict[str, object]]:
    """The flags written beside a checkpoint or in it, and the file they are from; none: {}."""
    for beside in (path.with_name(path.name + ".json"), path.with_suffix(".json"), path.with_name("configs.json")):
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


def _check_fit(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Every parameter, no other, each of its shape; or an error that names the first few that differ."""
    faults = []
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    differ = [
        f"{name} is {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", differ)):
        if names:
            faults.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    if faults:
        raise GdpkitError(f"{path}: its parameters do not fit its configuration: {'; '.join(faults)}.")


@dataclass(frozen=True)
class AdmPrior(Prior):
    """A public guided-diffusion checkpoint (`256x256_diffusion_uncond.pt` and its kin), read from a file.

    Works at any size: the image is extended by reflection to the next multiple the network needs.
    """

    name = "adm"
    file: Path = param(help="Checkpoint: safetensors, or what torch.save wrote.")
    num_head_channels: int | None = param(None, help="Width of an attention head, where nothing beside the file says.",
                                          min=1)  # fmt: skip
    noise_schedule: str | None = param(None, help="Noise schedule it was trained with, where nothing says.",
                                       choices=("linear", "cosine"))  # fmt: skip

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """One evaluation at the timestep whose noise level is nearest to sigma, in float32."""
        import torch

        from gdpkit import functional
        from gdpkit.priors.evaluate import one_by_one

        network, schedule = self._network(noisy.device)
        sigmas = 2 * torch.as_tensor(sigma, dtype=torch.float64, device=noisy.device).expand(len(noisy))
        steps = schedule.timesteps.to(noisy.device)[schedule.nearest(sigmas)]
        wide = sigmas.float()[:, None, None, None]
        x = 2 * noisy - 1
        height, width = noisy.shape[-2:]
        below, right = -height % network.multiple, -width % network.multiple
        x_t = functional.pad_reflect(x * (1 + wide**2).rsqrt(), 0, right, 0, below)
        out = one_by_one(network, x_t, steps)
        out = out[..., :height, :width]
        clean = (x - wide * out[:, :3] + 1) / 2
        return Denoised(clean, (out[:, 3:] + 1) / 2 if out.shape[1] == 6 else None)

    def load(self, device: str | torch.device) -> None:
        """Read and check the file."""
        network, _ = self._network(device)
        if network.config.class_cond:
            raise GdpkitError(f"{self.file}: is class-conditional; restoring needs an unconditional network")

    def work(self, height: int, width: int) -> tuple[float, float]:
        """Counted from the network's shapes."""
        import torch

        from gdpkit.priors import cost

        network, _ = self._network("cpu")
        height, width = height + -height % network.multiple, width + -width % network.multiple
        return cost.evaluation(lambda: build(network.config), height, width, torch.zeros(1, dtype=torch.long))

    @property
    def sha256(self) -> str:
        """Of the file."""
        from gdpkit.priors.checkpoint import sha256

        return sha256(self.file)

    def _network(self, device: str | torch.device) -> tuple[AdmNetwork, Schedule]:
        try:
            stamp = self.file.stat().st_mtime_ns
        except OSError as error:
            raise GdpkitError(f"cannot read the prior {self.file}: {error.strerror}") from error
        return _cached(self, stamp, str(device))


@lru_cache(maxsize=2)
def _cached(prior: AdmPrior, stamp: int, device: str) -> tuple[AdmNetwork, Schedule]:
    from gdpkit.schedule import Schedule

    given = {"num_head_channels": prior.num_head_channels, "noise_schedule": prior.noise_schedule}
    network = load(prior.file, {key: value for key, value in given.items() if value is not None})
    schedule = getattr(Schedule, network.config.noise_schedule)(network.config.diffusion_steps)
    return network.to(device), schedule
