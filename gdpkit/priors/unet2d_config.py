"""What a folder of Hugging Face diffusers says of its UNet2DModel and of its noise. Nothing here imports torch.

A folder holds `config.json` and the weights; a pipeline's folder holds those in `unet/`. How it was trained to be
asked says `scheduler_config.json`, beside them or in `scheduler/`. Keys and defaults are those of diffusers 0.42.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gdpkit.errors import GdpkitError

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
           "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")  # fmt: skip
CONFIG, SCHEDULER = "config.json", "scheduler_config.json"
DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")


@dataclass(frozen=True)
class UNet2DConfig:
    """The arguments of a UNet2DModel under their own names; the defaults are theirs."""

    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: str | None = "UNetMidBlock2D"
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True
    class_embed_type: str | None = None
    num_class_embeds: int | None = None
    sample_size: int | tuple[int, int] | None = None
    """Sides of the images it was trained on; the network takes any."""

    def __post_init__(self) -> None:
        _one_of("time_embedding_type", self.time_embedding_type, ("positional",))
        _one_of("mid_block_type", self.mid_block_type, ("UNetMidBlock2D", None))
        _one_of("class_embed_type", self.class_embed_type, (None,))
        _one_of("act_fn", self.act_fn, ACTIVATIONS)
        _one_of("resnet_time_scale_shift", self.resnet_time_scale_shift, ("default", "scale_shift"))
        _one_of("downsample_padding", self.downsample_padding, (0, 1))
        _one_of("in_channels", self.in_channels, (3,))
        _one_of("out_channels", self.out_channels, (3, 6))
        for name, known in (("down_block_types", DOWN), ("up_block_types", UP)):
            if len(getattr(self, name)) != len(self.block_out_channels):
                raise GdpkitError(f"{name} must be as many as block_out_channels, {len(self.block_out_channels)}.")
            for kind in getattr(self, name):
                _one_of(name, kind.removeprefix("UNetRes"), known)
        for name in ("downsample_type", "upsample_type"):
            _one_of(name, getattr(self, name), ("conv", "resnet"))
        sides = self.sample_size if isinstance(self.sample_size, tuple) else (self.sample_size or 1,)
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise GdpkitError(f"sample_size={self.sample_size!r} must be a number of pixels, or two.")
        if not self.block_out_channels or self.layers_per_block < 1:
            raise GdpkitError("block_out_channels and layers_per_block must not be empty.")
        for width in self.block_out_channels:
            if width < 1 or width % self.norm_num_groups or width % (self.attention_head_dim or width):
                raise GdpkitError(
                    f"{width} channels do not divide into norm_num_groups={self.norm_num_groups} and heads of "
                    f"attention_head_dim={self.attention_head_dim}."
                )


@dataclass(frozen=True)
class Training:
    """How the network was trained to be asked, as a DDPM scheduler's file says it."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    prediction_type: str = "epsilon"
    rescale_betas_zero_snr: bool = False

    def __post_init__(self) -> None:
        _one_of("beta_schedule", self.beta_schedule, BETAS)
        _one_of("prediction_type", self.prediction_type, ("epsilon", "v_prediction", "sample"))
        _one_of("rescale_betas_zero_snr", self.rescale_betas_zero_snr, (False,))
        if not (self.num_train_timesteps > 1 and 0 < self.beta_start <= self.beta_end < 1):
            raise GdpkitError("num_train_timesteps must be 2 or more, and 0 < beta_start <= beta_end < 1.")


@dataclass(frozen=True)
class Folder:
    """The files of one model; `scheduler` is None where nothing says how it was trained."""

    weights: Path
    config: UNet2DConfig
    training: Training = field(default_factory=Training)
    scheduler: Path | None = None


def is_folder(path: Path) -> bool:
    """Whether a path is, or lies in, what this module reads: a folder with a config.json, or weights beside one."""
    return any((place / CONFIG).is_file() for place in _places(path))


def read_folder(path: Path) -> Folder:
    """What is in a model's folder, or in the one that holds this file of weights.

    Raises `GdpkitError` where something is missing, or is not what is understood.
    """
    for place in _places(path):
        if (place / CONFIG).is_file():
            break
    else:
        raise GdpkitError(f"{path}: is no folder of a diffusers model: it has no {CONFIG}, and no unet/{CONFIG}.")
    content = _json(place / CONFIG)
    kind = content.get("_class_name", "UNet2DModel")
    if kind not in ("UNet2DModel", "UNetUnconditionalModel"):
        raise GdpkitError(
            f"{place / CONFIG}: is of a {kind}; of diffusers' networks only UNet2DModel is an image prior."
        )
    weights = path if path.is_file() else next((place / name for name in WEIGHTS if (place / name).is_file()), None)
    if weights is None:
        raise GdpkitError(f"{place}: has no weights: {WEIGHTS[0]} or {WEIGHTS[2]} (one file, not in shards).")
    near = (place / SCHEDULER, place / "scheduler" / SCHEDULER, place.parent / "scheduler" / SCHEDULER)
    scheduler = next((file for file in near if file.is_file()), None)
    training = _build(Training, scheduler, _json(scheduler)) if scheduler else Training()
    return Folder(weights, _build(UNet2DConfig, place / CONFIG, content), training, scheduler)


def _places(path: Path) -> tuple[Path, ...]:
    return (path, path / "unet") if path.is_dir() else (path.parent,)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise GdpkitError(f"{file}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise GdpkitError(f"{file}: is not JSON ({error}).") from None
    if not isinstance(content, dict):
        raise GdpkitError(f"{file}: must be an object, as diffusers writes it.")
    return content


def _build(cls: Any, file: Path, content: Mapping[str, Any]) -> Any:
    """A configuration out of its file; keys that it does not name (of samplers, of newer versions) have no effect."""
    values = {}
    for f in fields(cls):
        if f.name in content:
            value = content[f.name]
            values[f.name] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**values)
    except GdpkitError as error:
        raise GdpkitError(f"{file}: {error}") from None
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise GdpkitError(f"{file}: holds a value of a wrong kind ({error}).") from None


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        choices = " or ".join("null" if each is None else str(each) for each in known)
        raise GdpkitError(f"{name}={value!r} is not understood, only {choices}.")
