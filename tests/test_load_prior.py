"""`load_prior`: the prior that a run would use, by name or by what is in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gdpkit import load_prior
from gdpkit.errors import GdpkitError, UnknownNameError
from gdpkit.priors import checkpoint
from gdpkit.priors.adm import AdmPrior
from gdpkit.priors.embedded import EmbeddedPrior
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.priors.tv import TotalVariationPrior
from gdpkit.priors.unet import UNet

DATA = Path(__file__).parent / "data" / "conformance"


def test_priors_by_name_and_by_what_is_in_the_file(tmp_path: Path) -> None:
    small = tmp_path / "anything.bin"
    checkpoint.save_unet(small, UNet((4,), (1,)), {})
    assert load_prior("tv", device="cpu") == TotalVariationPrior()
    assert load_prior("gaussian:length=3") == GaussianPrior(length=3)
    assert load_prior(small, device="cpu") == EmbeddedPrior(file=small)
    assert isinstance(load_prior(str(DATA / "adm_a.safetensors"), device="cpu"), AdmPrior)
    default = load_prior(device="cpu")
    assert isinstance(default, EmbeddedPrior)
    assert default.sha256 is not None and len(default.sha256) == 64


def test_a_prior_is_read_and_checked_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(GdpkitError, match=r"text\.safetensors"):
        load_prior(tmp_path / "text.safetensors")
    with pytest.raises(UnknownNameError, match=r"texts\.safetensors: there is no .* Did you mean 'text.safetensors'\?"):
        load_prior(tmp_path / "texts.safetensors")
    with pytest.raises(UnknownNameError, match=r"models/ddpm: there is no such file or folder\.$"):
        load_prior("models/ddpm")
    with pytest.raises(UnknownNameError, match=r"missing\.pt: there is no such file or folder\.$"):
        load_prior("missing.pt")
    with pytest.raises(UnknownNameError, match="neither a prior nor a checkpoint's file"):
        load_prior("missing")
