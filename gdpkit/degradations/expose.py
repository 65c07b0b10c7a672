"""An exposure: how a camera records light, too dark or too bright, with gain and offset known or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Noise, Shape, Unknowns
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

FARTHEST = 0.5  # of the recorded white: no stray light is more


@dataclass(frozen=True)
class Expose(Degradation):
    """Expose: y = clip(crf(f r + M)), r = T^-1(x) the radiance of the clean image x.

    The light model of Fei et al. ("Generative diffusion prior for unified image restoration and enhancement", CVPR
    2023, section 4.3): f is a positive factor, M a smooth map. Here they act on light, before the camera's response,
    where an exposure is a product and stray light a sum. f is known where `gain` is given; else its logarithm is
    fitted, from `start`, or from the gain that explains how bright the observation is. M, with `map=smooth`, is a few
    cells brought smoothly to the size of the image; its penalty is the squared difference of neighbours (the
    illumination smoothness of the paper without its mixed term), over a deviation of `smoothness`. One photograph
    alone does not tell M from a scene that is less dark; several exposures of one scene do.

    A clipped value says that the light was at least that much, and nothing else: whatever the prior makes of it, the
    result is no darker than that, within twice the noise. What is nearly black or clipped in one
    of several exposures should weigh nothing in its `Observation` (`gdpkit.exposure.well_exposed`).
    """

    name = "expose"
    clips: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True

    gain: float | None = param(None, help="f, known; fitted by default.", min=2**-24, max=2**24)
    start: float | None = param(None, help="First guess of f; from the brightness by default.", min=2**-24, max=2**24)
    target: float = param(0.4, help="Mean of the clean image that f is guessed for.", min=0.01, max=0.99)
    per_channel: bool = param(False, help="Fit one f for each channel.")
    map: str = param("none", help="M: none, or smooth and fitted.", choices=("none", "smooth"))
    cells: int = param(6, help="Cells of M along the shorter side.", min=2, max=64)
    smoothness: float = param(0.01, help="How much cells of M beside each other may differ.", min=1e-6, max=1)
    response: str = param("srgb", help="The camera's curve; fitted is a gamma that is not known.",
                          choices=("srgb", "gamma", "linear", "fitted"))  # fmt: skip
    gamma: float = param(2.2, help="Of response=gamma; of fitted, the first guess.", min=0.2, max=5)
    tone: str = param("srgb", help="T: how the clean image encodes radiance.",
                      choices=("srgb", "linear", "shoulder", "log"))  # fmt: skip
    stops: float = param(8.0, help="Of log: how much steeper white is than black. Of shoulder: how far beyond white.",
                         min=0.01, max=24, unit="doublings")  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gain is not None and self.start is not None:
            raise GdpkitError("expose: give gain where f is known, or start where it is to be fitted, not both")
        if self.gain is not None and self.per_channel:
            raise GdpkitError("expose: per-channel fits f, so it does not go with gain, which says that f is known")

    def __call__(  # type: ignore[override]
        self,
        image: Tensor,
        *,
        log_gain: Tensor | None = None,
        light: Tensor | None = None,
        log_gamma: Tensor | None = None,
    ) -> Tensor:
        """(B, C, H, W) -> the same shape, not clipped: a solver must find back from beyond white."""
        from gdpkit import exposure

        seen = exposure.to_radiance(image, self.tone, self.stops)
        seen = seen * self._gain({} if log_gain is None else {"log_gain": log_gain})
        if light is not None:
            seen = seen + exposure.spread(light, *image.shape[-2:])
        return exposure.recorded(seen, self.response, math.log(self.gamma) if log_gamma is None else log_gamma)

    def slope(self, image: Tensor, **unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """D(x) and dD/dx of each value."""
        radiance, bend = self.inner(image)
        mean, slope = self.outer_slope(radiance, **unknowns)
        return mean, slope.mul_(bend)

    def inner(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """r and dr/dx of each value."""
        from gdpkit import exposure

        return exposure.radiance_slope(image, self.tone, self.stops)

    def shares_inner(self, other: Degradation) -> bool:
        """Whether another degradation has the same T."""
        return isinstance(other, Expose) and (other.tone, other.stops) == (self.tone, self.stops)

    def outer_slope(self, radiance: Tensor, **unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """D(x) and dD/dr of each value."""
        from gdpkit import exposure

        mean, slope = exposure.recorded_slope(self._light(radiance, unknowns), self.response, self._log_gamma(unknowns))
        return mean, slope.mul_(self._gain(unknowns))

    def slope_of_unknowns(self, image: Tensor, **unknowns: Tensor) -> tuple[Tensor, Unknowns]:
        """D(x), and of each value its derivative in f's logarithm, in M there and in gamma's logarithm."""
        from gdpkit import exposure

        radiance = exposure.to_radiance(image, self.tone, self.stops)
        light = self._light(radiance, unknowns)
        log_gamma = self._log_gamma(unknowns)
        mean, slope = exposure.recorded_slope(light, self.response, log_gamma)
        found: Unknowns = {}
        if "log_gain" in unknowns:
            found["log_gain"] = slope * radiance * self._gain(unknowns)
        if "light" in unknowns:
            found["light"] = slope
        if "log_gamma" in unknowns:
            exponent = unknowns["log_gamma"].neg().exp()
            found["log_gamma"] = -exponent * mean * light.clamp_min(exposure.TOE).log()
        return mean, found

    def inverse(self, observed: Tensor, **unknowns: Tensor) -> Tensor:
        """The clean image that is recorded as these values, (B, C, H, W); of a clipped value, its bound."""
        from gdpkit import exposure

        light = exposure.light_of(observed, self.response, self._log_gamma(unknowns))
        if "light" in unknowns:
            light = light - exposure.spread(unknowns["light"], *observed.shape[-2:])
        return exposure.from_radiance(light / self._gain(unknowns), self.tone, self.stops)

    def inverse_slope(self, observed: Tensor, **unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """`inverse`, and dD/dx there."""
        from gdpkit import exposure

        light, slope = exposure.light_of_slope(observed, self.response, self._log_gamma(unknowns))
        if "light" in unknowns:
            light = light - exposure.spread(unknowns["light"], *observed.shape[-2:])
        gain = self._gain(unknowns)
        image, bend = exposure.from_radiance_slope(light / gain, self.tone, self.stops)
        return image, (slope * gain).mul_(bend)

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """Clipped to [0, 1]."""
        return self(image, **unknowns).clamp(0, 1)

    def _light(self, radiance: Tensor, unknowns: Mapping[str, Tensor]) -> Tensor:
        from gdpkit import exposure

        light = radiance * self._gain(unknowns)
        return light.add_(exposure.spread(unknowns["light"], *light.shape[-2:])) if "light" in unknowns else light

    def _gain(self, unknowns: Mapping[str, Tensor]) -> Tensor | float:
        return unknowns["log_gain"].exp() if "log_gain" in unknowns else self.gain or 1.0

    def _log_gamma(self, unknowns: Mapping[str, Tensor]) -> Tensor | float:
        return unknowns.get("log_gamma", math.log(self.gamma))

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        """What is not known of `log_gain` (B, 1 or C, 1, 1), `light` (B, 1, h, w) and `log_gamma` (B, 1, 1, 1)."""
        from gdpkit import exposure

        batch, one = len(observed), observed.new_ones(len(observed), 1, 1, 1)
        found: Unknowns = {}
        if self.gain is None:
            if self.start is not None:
                guess = math.log(self.start) * one
            else:
                light = exposure.light_of(observed, self.response, math.log(self.gamma))
                guess = exposure.gain_for(light, self.target, self.tone, self.stops).view(-1, 1, 1, 1)
            found["log_gain"] = guess.repeat(1, shape[0] if self.per_channel else 1, 1, 1)
        if self.map == "smooth":
            side = min(shape[1:])
            rows, columns = (min(s, max(2, round(self.cells * s / side))) for s in shape[1:])
            found["light"] = observed.new_zeros(batch, 1, rows, columns)
        if self.response == "fitted":
            found["log_gamma"] = math.log(self.gamma) * one
        return found

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        """Gains, gammas and stray light that a camera may have."""
        from gdpkit import exposure

        limits = {"log_gain": exposure.MOST_STOPS * math.log(2), "light": FARTHEST, "log_gamma": math.log(5)}
        return {name: value.clamp(-limits[name], limits[name]) for name, value in unknowns.items()}

    def penalty(self, **unknowns: Tensor) -> Tensor | float:
        """That of M: it is smooth, and little."""
        from gdpkit import exposure

        if "light" not in unknowns:
            return 0.0
        cells = unknowns["light"]
        level = cells.square().flatten(1).mean(1) / FARTHEST**2
        return exposure.roughness(cells) / self.smoothness**2 + level

    def propagate(self, sigma: float) -> float:
        """Noise before it, at middle grey, before or after it, whichever is darker; unchanged where f is not known.

        Middle grey before a large gain is clipped after it, where no noise is left; in the dark there is much.
        """
        import torch

        from gdpkit import exposure

        if self.gain is None or not sigma:
            return sigma
        middle = min(0.5, float(self.inverse(torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64))))
        step = 1e-3 * middle
        pair = torch.tensor([middle - step, middle + step], dtype=torch.float64)
        light = self.gain * exposure.to_radiance(pair, self.tone, self.stops)
        dark, bright = exposure.recorded(light, self.response, math.log(self.gamma))
        return sigma * float(bright - dark) / (2 * step)

    def at_scale(self, s: int) -> Degradation:
        """The same: light is a mean of light, and the curves bend little within a pixel."""
        return self
