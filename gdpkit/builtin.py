"""What gdpkit itself registers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Sequence

from gdpkit.components import Degradation, Metric, Prior, QualityLoss, Sampler
from gdpkit.degradations.blind_blur import BlindBlur
from gdpkit.degradations.blur import Blur
from gdpkit.degradations.blur_grid import BlurGrid
from gdpkit.degradations.crop import Crop
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.expose import Expose
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.degradations.mask import Mask
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.degradations.poisson import PoissonGaussian
from gdpkit.degradations.tone import Gain, Gamma
from gdpkit.hookspecs import hookimpl
from gdpkit.losses.color import ColorConstancy
from gdpkit.losses.exposure import ExposureControl
from gdpkit.losses.illumination import IlluminationSmoothness
from gdpkit.losses.spatial import SpatialConsistency
from gdpkit.losses.tv import TotalVariation
from gdpkit.metrics.consistency import Consistency
from gdpkit.metrics.fid import Fid
from gdpkit.metrics.loe import LightnessOrderError
from gdpkit.metrics.lpips import Lpips
from gdpkit.metrics.mef_ssim import MefSSIM
from gdpkit.metrics.ms_ssim import MultiScaleSSIM
from gdpkit.metrics.niqe import Niqe
from gdpkit.metrics.pi import PerceptualIndex
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.psnr_mu import PsnrMu
from gdpkit.metrics.ssim import SSIM
from gdpkit.priors.adm import AdmPrior
from gdpkit.priors.diffusers import DiffusersPrior
from gdpkit.priors.embedded import EmbeddedPrior
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.priors.tv import TotalVariationPrior
from gdpkit.samplers.gdp import Gdp, GdpXt
from gdpkit.samplers.hqs import Hqs


@hookimpl
def gdpkit_degradations() -> Sequence[type[Degradation]]:
    """The stages of chains."""
    return [
        BlindBlur, Blur, BlurGrid, Crop, Downsample, Expose, Gain, Gamma, GaussianNoise, Gray, Jpeg, Mask,
        PoissonGaussian,
    ]  # fmt: skip


@hookimpl
def gdpkit_losses() -> Sequence[type[QualityLoss]]:
    """The quality losses."""
    return [ColorConstancy, ExposureControl, IlluminationSmoothness, SpatialConsistency, TotalVariation]


@hookimpl
def gdpkit_metrics() -> Sequence[type[Metric]]:
    """The metrics."""
    return [
        Consistency, Fid, LightnessOrderError, Lpips, MefSSIM, MultiScaleSSIM, Niqe, PerceptualIndex, PSNR, PsnrMu,
        SSIM,
    ]  # fmt: skip


@hookimpl
def gdpkit_priors() -> Sequence[type[Prior]]:
    """The priors."""
    return [AdmPrior, DiffusersPrior, EmbeddedPrior, GaussianPrior, TotalVariationPrior]


@hookimpl
def gdpkit_samplers() -> Sequence[type[Sampler]]:
    """The samplers."""
    return [Gdp, GdpXt, Hqs]
