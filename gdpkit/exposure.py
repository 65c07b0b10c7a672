"""What a camera does with light: tone curves, responses, and the gain that explains how bright a picture is.

Radiance is linear light, 1 what the clean image's white stands for. Every curve goes on beyond [0, 1], so that an
estimate may leave the range and find back: solvers move where a clipped curve would tell them nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import functional

TOE = 2.0**-12
"""Below this a power is a straight line: its slope at 0 is infinite."""
HALVINGS = 30
TURN, LINE, CURVE = 0.0031308, 12.92, 1.055 / 2.4 * 0.0031308 ** (1 / 2.4 - 1)
"""The light where sRGB's straight line ends, how steep that is, and how steep the curve that goes on."""
KNEE = 0.6  # of white in linear light, 0.80 encoded: below, the shoulder changes nothing
MOST_STOPS = 24.0
"""Gains lie between 2^-24 and 2^24."""


decoded, encoded = functional.srgb_decoded, functional.srgb_encoded


def to_radiance(x: Tensor, tone: str, stops: float) -> Tensor:
    """T^-1: the radiance that a clean image stands for; beyond [0, 1] the curve goes on.

    "srgb" and "linear": white is 1.
    "shoulder": white is 2^stops; "srgb" up to KNEE, and above, light from KNEE to 2^stops goes smoothly to KNEE to 1.
    "log": white is 1; r = (2^(stops x) - 1) / (2^stops - 1), whose slope at white is 2^stops times that at black. With
    stops = log2(1 + mu) it is the mu-law with which HDR pictures are compared (Kalantari and Ramamoorthi, "Deep high
    dynamic range imaging of dynamic scenes", SIGGRAPH 2017, equation 1).
    """
    if tone == "linear":
        return x
    if tone == "srgb":
        return decoded(x)
    if tone == "shoulder":
        return unrolled(decoded(x), stops)
    rate, top = stops * math.log(2), 2**stops - 1
    inside = x.clamp(0, 1)
    grown = torch.exp2(stops * inside)
    return torch.addcmul((grown - 1) / top, grown, x - inside, value=rate / top)


def from_radiance(radiance: Tensor, tone: str, stops: float) -> Tensor:
    """T, the inverse of `to_radiance`, also beyond [0, 1]."""
    if tone == "linear":
        return radiance
    if tone == "srgb":
        return encoded(radiance)
    if tone == "shoulder":
        return encoded(rolled_off(radiance, stops))
    rate, top = stops * math.log(2), 2**stops - 1
    inside = radiance.clamp(0, 1)
    return torch.log1p(top * inside) / rate + (radiance - inside) / (rate * (inside + 1 / top))


def rolled_off(radiance: Tensor, stops: float) -> Tensor:
    """Linear light from 0 to 2^stops brought to 0 to 1: t = u (1 + u / m^2) / (1 + u) above KNEE.

    The extended curve of Reinhard et al. ("Photographic tone reproduction for digital images", SIGGRAPH 2002, equation
    4), here of u = (r - KNEE) / (1 - KNEE), with m that of the brightest light: slope 1 at the knee, and m becomes 1.
    """
    most = (2**stops - KNEE) / (1 - KNEE)
    u = ((radiance - KNEE) / (1 - KNEE)).clamp_min(0)
    return radiance.clamp_max(KNEE) + (1 - KNEE) * u * (1 + u / most**2) / (1 + u)


def unrolled(light: Tensor, stops: float) -> Tensor:
    """The inverse of `rolled_off`: the positive root of u^2 / m^2 + (1 - t) u = t."""
    most = (2**stops - KNEE) / (1 - KNEE)
    t = ((light - KNEE) / (1 - KNEE)).clamp_min(0)
    u = 2 * t / ((1 - t) + ((1 - t).square() + 4 * t / most**2).sqrt())
    return light.clamp_max(KNEE) + (1 - KNEE) * u


def recorded(light: Tensor, response: str, log_gamma: Tensor | float) -> Tensor:
    """The camera's response to light, not clipped: "srgb", "linear", or light^(1 / gamma) for any other."""
    if response == "linear":
        return light
    if response == "srgb":
        return encoded(light)
    exponent = torch.as_tensor(log_gamma, dtype=light.dtype, device=light.device).neg().exp()
    line = TOE ** (exponent - 1) * light
    return torch.where(light < TOE, line, light.clamp_min(TOE) ** exponent)


def radiance_slope(x: Tensor, tone: str, stops: float) -> tuple[Tensor, Tensor]:
    """`to_radiance` and its derivative, each value's; no graph is made of them."""
    if tone == "linear":
        return x, torch.ones_like(x)
    if tone == "log":
        rate, top = stops * math.log(2), 2**stops - 1
        inside = x.clamp(0, 1)
        grown = (stops * inside).exp2_()  # in a third of the time of expm1, and of x to as many digits
        slope = grown * (rate / top)
        return grown.sub_(1).div_(top).addcmul_(slope, inside.neg_().add_(x)), slope
    root = ((x.clamp_min(0.04045) + 0.055) / 1.055).pow_(1.4)
    light = decoded(x)
    slope = torch.where(x <= 0.04045, 1 / 12.92, root.mul_(2.4 / 1.055))
    if tone == "srgb":
        return light, slope
    radiance = unrolled(light, stops)
    most, t, u = (2**stops - KNEE) / (1 - KNEE), (light - KNEE) / (1 - KNEE), (radiance - KNEE) / (1 - KNEE)
    return radiance, torch.where(t < 0, slope, slope * (1 + u) / (2 * u / most**2 + 1 - t))


def from_radiance_slope(radiance: Tensor, tone: str, stops: float) -> tuple[Tensor, Tensor]:
    """`from_radiance`, and the derivative of `to_radiance` there, each value's; no graph is made of them."""
    if tone == "linear":
        return radiance, torch.ones_like(radiance)
    if tone != "log":
        x = from_radiance(radiance, tone, stops)
        return x, radiance_slope(x, tone, stops)[1]
    rate, top = stops * math.log(2), 2**stops - 1
    inside = radiance.clamp(0, 1)
    slope = (inside + 1 / top).mul_(rate)
    beyond = (radiance - inside).div_(slope)
    return inside.mul_(top).log1p_().div_(rate).add_(beyond), slope


def recorded_slope(light: Tensor, response: str, log_gamma: Tensor | float) -> tuple[Tensor, Tensor]:
    """`recorded` and its derivative in the light, each value's; no graph is made of them."""
    if response == "linear":
        return light, torch.ones_like(light)
    if response == "srgb":
        above = light.clamp_min(TURN)
        beyond = light - above
        value = functional.power(above, 1 / 2.4)
        slope = above.reciprocal_().mul_(value).mul_(1.055 / 2.4)
        return value.sub_(1).mul_(1.055).add_(1).add_(beyond, alpha=LINE), _with_line(slope)
    exponent = torch.as_tensor(log_gamma, dtype=light.dtype, device=light.device).neg().exp()
    value = recorded(light, response, log_gamma)
    return value, torch.where(light < TOE, TOE ** (exponent - 1), exponent * value / light)


def light_of(observed: Tensor, response: str, log_gamma: Tensor | float) -> Tensor:
    """The light that was recorded as these values: the inverse of `recorded`."""
    if response == "linear":
        return observed
    if response == "srgb":
        return decoded(observed)
    gamma = torch.as_tensor(log_gamma, dtype=observed.dtype, device=observed.device).exp()
    return torch.where(observed < TOE ** (1 / gamma), TOE ** (1 - 1 / gamma) * observed, observed.clamp_min(0) ** gamma)


def light_of_slope(observed: Tensor, response: str, log_gamma: Tensor | float) -> tuple[Tensor, Tensor]:
    """`light_of`, and the derivative of `recorded` there, each value's; no graph is made of them."""
    if response != "srgb":
        light = light_of(observed, response, log_gamma)
        return light, recorded_slope(light, response, log_gamma)[1]
    above = observed.clamp_min(LINE * TURN)
    beyond = observed - above
    base = above.add_(0.055).div_(1.055)
    root = functional.power(base, 1.4)
    light = base.mul_(root).add_(beyond, alpha=1 / LINE)
    return light, _with_line(root.reciprocal_().mul_(1.055 / 2.4))


def _with_line(slope: Tensor) -> Tensor:
    """In place: that of sRGB's line where the slope is the curve's where they meet, which nowhere is steeper."""
    return F.threshold(slope.neg_(), -CURVE * (1 - 1e-5), -LINE, inplace=True).neg_()


def gain_for(light: Tensor, target: float, tone: str, stops: float) -> Tensor:
    """log f with which light / f, clipped at T's white and encoded by T, has this mean, (B, C, H, W) -> (B,).

    Found by halving an interval, for the mean falls with f. Of nothing but black it is the smallest gain.
    """
    low = light.new_full((len(light),), -MOST_STOPS * math.log(2))
    high = -low
    light = light.clamp_min(0)
    white = 2**stops if tone == "shoulder" else 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        radiance = (light / middle.exp().view(-1, 1, 1, 1)).clamp_max(white)
        bright = from_radiance(radiance, tone, stops).mean(dim=(1, 2, 3)) > target
        low, high = torch.where(bright, middle, low), torch.where(bright, high, middle)
    return (low + high) / 2


def well_exposed(observed: Tensor, low: float = 0.02, high: float = 0.98) -> Tensor:
    """1 where a value is neither nearly black nor nearly white, 0 at 0 and 1, straight between, (B, C, H, W).

    The weight of one of several exposures: where it is 0, another one has seen the pixel better.
    """
    return (observed / low).clamp(0, 1) * ((1 - observed) / (1 - high)).clamp(0, 1)


def spread(cells: Tensor, height: int, width: int) -> Tensor:
    """A map given by few cells, (B, C, h, w), brought smoothly to (B, C, height, width)."""
    if cells.shape[-2:] == (height, width):
        return cells
    return F.interpolate(cells, (height, width), mode="bilinear", align_corners=True)


def roughness(cells: Tensor) -> Tensor:
    """The sum of squared differences of neighbouring cells, (B, C, h, w) -> (B,)."""
    across, down = cells.diff(dim=3), cells.diff(dim=2)
    return across.square().flatten(1).sum(1) + down.square().flatten(1).sum(1)
