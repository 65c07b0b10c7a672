"""The shape of an ADM network, in the flag names of the field's training scripts, or read off a checkpoint.

Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gdpkit.errors import GdpkitError, UnknownNameError, did_you_mean

Shapes = Mapping[str, tuple[int, ...]]

DEFAULT_CHANNEL_MULT: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}
"""Channels of each level, by image size, where the flags do not say."""

WITHOUT_EFFECT = (
    "use_checkpoint",
    "dropout",
    "use_kl",
    "rescale_learned_sigmas",
    "timestep_respacing",
    "rescale_timesteps",  # refused by from_flags where it would have one,
    "predict_xstart",  # and this one too
)
"""Flags that training and sampling scripts write beside the others; they do not change a network that samples."""


@dataclass(frozen=True)
class AdmConfig:
    """What defines an ADM network; the defaults are those of the published flags."""

    image_size: int = 64
    """Side of the images it was trained on; `attention_resolutions` counts from here."""
    num_channels: int = 128
    num_res_blocks: int = 2
    channel_mult: tuple[float, ...] = ()
    """Channels of each level in units of `num_channels`; empty: by `image_size`."""
    attention_resolutions: tuple[int, ...] = (16, 8)
    """Sides, in pixels at `image_size`, of the levels that have attention."""
    num_heads: int = 4
    """Attention heads, where `num_head_channels` is -1."""
    num_heads_upsample: int = -1
    """Heads on the way up, where they differ from `num_heads`; -1: they do not."""
    num_head_channels: int = -1
    """Channels of one attention head; -1: `num_heads` decides."""
    use_new_attention_order: bool = False
    """Whether `qkv` holds all q, then all k, then all v, rather than head by head."""
    use_scale_shift_norm: bool = True
    resblock_updown: bool = False
    learn_sigma: bool = False
    """Three more output channels, for the variance."""
    class_cond: bool = False
    num_classes: int = 1000
    use_fp16: bool = False
    """Compute the torso in float16."""
    noise_schedule: str = "linear"
    """"linear" or "cosine": the schedule it was trained with, see `gdpkit.schedule`."""
    diffusion_steps: int = 1000
    """The steps of that schedule."""
    label: int = -1
    """The class to restore with, of a network that has classes; -1: none, the mean of all stands in for it."""

    def __post_init__(self) -> None:
        if not self.channel_mult:
            if self.image_size not in DEFAULT_CHANNEL_MULT:
                known = ", ".join(str(size) for size in sorted(DEFAULT_CHANNEL_MULT))
                raise GdpkitError(f"image_size={self.image_size} has no default channel_mult (only {known}); give one.")
            object.__setattr__(self, "channel_mult", DEFAULT_CHANNEL_MULT[self.image_size])
        if self.num_res_blocks < 1:
            raise GdpkitError(f"num_res_blocks={self.num_res_blocks} must be at least 1.")
        if any(width < 32 or width % 32 for width in self.widths):
            raise GdpkitError(f"Widths {self.widths} (num_channels x channel_mult) must be multiples of 32.")
        if any(side < 1 for side in self.attention_resolutions):
            raise GdpkitError(f"attention_resolutions={self.attention_resolutions} are sides in pixels, 1 or more.")
        if self.noise_schedule not in ("linear", "cosine"):
            raise GdpkitError(f"noise_schedule={self.noise_schedule!r} must be linear or cosine.")
        for width, attends in zip(self.widths, (*self.attends[:-1], True), strict=True):  # the lowest always does
            for upward in (False, True):
                if attends and (self.heads(width, upward) < 1 or width % self.heads(width, upward)):
                    raise GdpkitError(
                        f"{width} channels do not divide into attention heads with {self._headed(upward)}."
                    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, the finest first."""
        return tuple(int(factor * self.num_channels) for factor in self.channel_mult)

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention, the finest first."""
        strides = {self.image_size // side for side in self.attention_resolutions}
        return tuple(2**level in strides for level in range(len(self.channel_mult)))

    def heads(self, channels: int, upward: bool = False) -> int:
        """Attention heads of a layer with so many channels, on the way down or up; 0 where they do not divide."""
        if self.num_head_channels != -1:
            whole = self.num_head_channels > 0 and channels % self.num_head_channels == 0
            return channels // self.num_head_channels if whole else 0
        return self.num_heads_upsample if upward and self.num_heads_upsample != -1 else self.num_heads

    def _headed(self, upward: bool) -> str:
        """The flag that decides how many heads there are."""
        if self.num_head_channels != -1:
            return f"num_head_channels={self.num_head_channels}"
        other = upward and self.num_heads_upsample != -1
        return f"num_heads_upsample={self.num_heads_upsample}" if other else f"num_heads={self.num_heads}"

    @classmethod
    def from_flags(cls, flags: Mapping[str, object]) -> AdmConfig:
        """From the flags of the published scripts, as JSON or a command line gives them ("1,2,2", "True", 64).

        >>> AdmConfig.from_flags({"image_size": 64, "channel_mult": "1,2", "learn_sigma": "True"}).channel_mult
        (1.0, 2.0)
        """
        known = {field.name: field.default for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in flags.items():
            if name in known:
                values[name] = _parse(name, value, known[name])
            elif name not in WITHOUT_EFFECT:
                raise UnknownNameError(f"{name!r} is not a flag of ADM networks.{did_you_mean(name, known)}")
        config = cls(**values)
        if _truth(flags.get("predict_xstart", False)):
            raise GdpkitError("predict_xstart: only networks that predict the noise are understood.")
        if _truth(flags.get("rescale_timesteps", False)) and config.diffusion_steps != 1000:
            raise GdpkitError("rescale_timesteps is understood only with diffusion_steps=1000, where it does nothing.")
        return config


def _truth(value: object) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _parse(name: str, value: object, default: object) -> object:
    """A flag's value as the type of its default."""
    try:
        if isinstance(default, bool):
            if str(value).lower() not in ("true", "false", "1", "0", "yes", "no"):
                raise ValueError
            return _truth(value)
        if isinstance(default, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            number = float if name == "channel_mult" else int
            return tuple(number(part) for part in parts if str(part).strip())  # type: ignore[attr-defined]
        if isinstance(default, int):
            return int(str(value))
    except (TypeError, ValueError):
        kind = {bool: "True or False", tuple: 'numbers, as in "32,16,8"', int: "a whole number"}[type(default)]
        raise GdpkitError(f"{name} must be {kind}, not {value!r}.") from None
    return str(value)


# Attention heads leave no trace in the shapes. What the training commands of the public checkpoints say, by
# (num_channels, channel_mult, num_res_blocks, sides with attention):
_PUBLIC: dict[tuple[int, tuple[float, ...], int, tuple[int, ...]], dict[str, object]] = {
    (256, DEFAULT_CHANNEL_MULT[512], 2, (32, 16, 8)): {"num_head_channels": 64},
    (256, DEFAULT_CHANNEL_MULT[256], 2, (32, 16, 8)): {"num_head_channels": 64},
    (256, DEFAULT_CHANNEL_MULT[128], 2, (32, 16, 8)): {"num_heads": 4},
    (192, DEFAULT_CHANNEL_MULT[64], 3, (32, 16, 8)): {
        "num_head_channels": 64,
        "use_new_attention_order": True,
        "noise_schedule": "cosine",
    },
    (128, DEFAULT_CHANNEL_MULT[256], 1, (16,)): {"num_head_channels": 64},
}


def infer_flags(shapes: Shapes, given: Mapping[str, object]) -> dict[str, object]:
    """The flags of the network whose parameters have these shapes; those `given` win.

    The image size is taken from the channel multipliers (any size gives the same network). Heads are known for the
    public checkpoints only: elsewhere `num_head_channels` or `num_heads` must be given.
    """

    def shape(key: str) -> tuple[int, ...]:
        if not shapes.get(key):
            raise GdpkitError(f"it is not an ADM network: it has no {key}.")
        return shapes[key]

    if "input_blocks.0.0.weight" in shapes and shapes["input_blocks.0.0.weight"][1:2] != (3,):
        raise GdpkitError("its first layer does not take 3 channels (an upsampler?); only image priors are understood.")
    num_channels = shape("time_embed.0.weight")[-1]
    # On the way up each level ends in a layer that doubles the size: their spacing tells levels and blocks.
    matches = (re.match(r"output_blocks\.(\d+)\.[012]\.(conv|in_layers\.2)\.weight", key) for key in shapes)
    upward = [(int(match[1]), match[0]) for match in matches if match]
    doubling = {index: key for index, key in upward if f"output_blocks.{index}.0." not in key}
    num_res_blocks = min(doubling, default=len(dict(upward)) - 1)
    starts = [1 + level * (num_res_blocks + 1) for level in range(len(doubling) + 1)]
    widths = [shape(f"input_blocks.{start}.0.out_layers.3.weight")[0] for start in starts]
    mult = tuple(width / max(num_channels, 1) for width in widths)
    size = next((side for side, default in DEFAULT_CHANNEL_MULT.items() if default == mult), max(64, 2 ** len(mult)))
    size = given.get("image_size", size)
    size = int(str(size)) if str(size).isdecimal() else 0
    attending = [level for level, start in enumerate(starts) if f"input_blocks.{start}.1.qkv.weight" in shapes]
    attention = tuple(size // 2**level for level in attending)
    first = "input_blocks.1.0."
    flags: dict[str, object] = {
        "image_size": size,
        "num_channels": num_channels,
        "num_res_blocks": num_res_blocks,
        "channel_mult": mult,
        "attention_resolutions": attention,
        "use_scale_shift_norm": shape(f"{first}emb_layers.1.weight")[0] == 2 * shape(f"{first}out_layers.3.weight")[0],
        "resblock_updown": any("in_layers" in key for key in doubling.values()),
        "learn_sigma": shape("out.2.weight")[0] == 6,
        "class_cond": "label_emb.weight" in shapes,
        "num_classes": shape("label_emb.weight")[0] if "label_emb.weight" in shapes else 1000,
    }
    flags |= _PUBLIC.get((num_channels, mult, num_res_blocks, attention), {})
    flags |= given
    if "num_heads" not in flags and "num_head_channels" not in flags:
        raise GdpkitError("its number of attention heads cannot be read off its weights.")
    return flags
