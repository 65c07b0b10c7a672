"""Folders of Hugging Face diffusers: the same numbers as its own UNet2DModel and schedulers, and clear errors."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdpkit import load_prior
from gdpkit.cli import main
from gdpkit.errors import GdpkitError
from gdpkit.priors import ddpm, diffusers, known, unet2d_network
from gdpkit.priors.diffusers import DiffusersPrior
from gdpkit.priors.unet2d_config import Training, UNet2DConfig

DATA = Path(__file__).parent / "data" / "conformance"
RECORD = json.loads((DATA / "unet2d.json").read_text())
NUMBERS = {name: torch.from_numpy(value) for name, value in np.load(DATA / "unet2d.npz").items()}


def weights(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that the numbers were recorded with: sines, so that any version of any library makes the same."""
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    with torch.device("meta"):
        network = unet2d_network.UNet2DNetwork(UNet2DConfig(**arguments))
    made = {}
    for n, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * (1.7 + 0.11 * (n % 13)) + n)
        if tensor.ndim > 1:
            wave = wave * math.sqrt(2 * tensor.shape[0] / tensor.numel())
        else:
            wave = 0.2 * wave + ("norm" in name and name.endswith("weight"))
        made[name] = wave.float().reshape(tensor.shape)
    return made


def write(folder: Path, case: str, scheduler: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """A model's folder, as diffusers writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "UNet2DModel", "sample_size": 16, **RECORD["networks"][case], **changes}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights(RECORD["networks"][case]), folder / "diffusion_pytorch_model.safetensors")
    if scheduler is not None:
        content = {"_class_name": "DDPMScheduler", "clip_sample": True, **scheduler}
        (folder / "scheduler_config.json").write_text(json.dumps(content))
    return folder


def asked() -> tuple[Tensor, Tensor]:
    k = torch.arange(2 * 3 * 16 * 8, dtype=torch.float64)
    return torch.sin(k * 0.7 + k**1.3 * 0.01).float().reshape(2, 3, 16, 8), torch.tensor([3, 870])


@pytest.mark.parametrize("case", RECORD["networks"])
def test_output_is_that_of_diffusers(tmp_path: Path, case: str) -> None:
    network = diffusers.load(write(tmp_path, case))
    y = torch.tensor([1, 4]) if "num_class_embeds" in RECORD["networks"][case] else None
    with torch.no_grad():
        out = network(*asked(), y)
    torch.testing.assert_close(out, NUMBERS[case], atol=2e-4, rtol=0)


def test_the_older_names_of_attention_are_understood(tmp_path: Path) -> None:
    folder = write(tmp_path, "heads")
    file = folder / "diffusion_pytorch_model.safetensors"
    older = {new: old for old, new in unet2d_network.OLDER.items()}
    renamed = {}
    for name, tensor in load_file(file).items():
        for new, old in older.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = tensor
    assert "mid_block.attentions.0.proj_attn.weight" in renamed
    save_file(renamed, file)
    with torch.no_grad():
        out = diffusers.load(folder)(*asked())
    torch.testing.assert_close(out, NUMBERS["heads"], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", RECORD["schedulers"])
def test_schedules_are_those_of_diffusers(name: str) -> None:
    told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in RECORD["schedulers"][name].items()}
    found = diffusers.schedule_of(Training(**told)).alphas_cumprod
    wanted = NUMBERS[f"abar_{name}"].double()
    # Theirs is a product in float32, whose digits wear off as abar falls.
    torch.testing.assert_close(found[:: 100 if len(found) > 100 else 1], wanted, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("prediction", ddpm.PREDICTIONS)
def test_the_clean_image_is_that_of_diffusers(prediction: str) -> None:
    schedule = diffusers.schedule_of(Training())
    sigma = schedule.sigma(400)
    x_t, said = NUMBERS["x_t"].expand(1, 3, 4, 4), NUMBERS["said"].expand(1, 3, 4, 4)
    seen: list[Tensor] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        seen.extend((x, t))
        return said

    noisy = (x_t * math.sqrt(1 + sigma**2) + 1) / 2
    clean = ddpm.denoise(network, schedule, noisy, sigma / 2, multiple=1, prediction=prediction).clean
    torch.testing.assert_close(seen[0], x_t)
    assert seen[1].tolist() == [400]
    torch.testing.assert_close(2 * clean - 1, NUMBERS[f"x0_{prediction}"].expand(1, 3, 4, 4), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["folder", "weights", "unet", "bin", "fp16"])
def test_it_is_recognised_by_its_contents(tmp_path: Path, layout: str) -> None:
    scheduler = {"beta_schedule": "scaled_linear"}
    folder = write(tmp_path / "unet" if layout == "unet" else tmp_path, "bare", None if layout == "unet" else scheduler)
    file = folder / "diffusion_pytorch_model.safetensors"
    if layout == "unet":
        (tmp_path / "scheduler").mkdir()
        (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    elif layout == "bin":
        torch.save(load_file(file), folder / "diffusion_pytorch_model.bin")
        file.unlink()
    elif layout == "fp16":
        half = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(half, folder / "diffusion_pytorch_model.fp16.safetensors")
        file.unlink()
    prior = load_prior(file if layout == "weights" else tmp_path, device="cpu")
    assert isinstance(prior, DiffusersPrior) and prior.notes == ()
    with torch.no_grad():
        clean = prior.denoise(torch.rand(1, 3, 9, 14), 0.1).clean
    assert clean.shape == (1, 3, 9, 14) and clean.isfinite().all()
    folder_, network, schedule = prior._loaded(torch.device("cpu"))
    assert {p.dtype for p in network.parameters()} == {torch.float16 if layout == "fp16" else torch.float32}
    assert folder_.training.beta_schedule == "scaled_linear"
    assert prior.sha256 == known.sha256(folder_.weights)
    torch.testing.assert_close(schedule.betas.sqrt().diff().std() / schedule.betas.sqrt().diff().mean(),
                               torch.tensor(0.0, dtype=torch.float64), atol=1e-9, rtol=0)  # fmt: skip


@pytest.mark.parametrize(("told", "size"), [(256, 256), ([64, 48], 48), (None, None)])
def test_the_size_of_the_training_is_told_by_the_configuration(tmp_path: Path, told: Any, size: int | None) -> None:
    assert DiffusersPrior(file=write(tmp_path, "adm", sample_size=told)).training_size == size


def test_what_was_not_told_is_said(tmp_path: Path) -> None:
    prior = load_prior(write(tmp_path, "adm"), device="cpu")
    assert any("5 classes" in note for note in prior.notes)
    assert any("linear schedule of 1000 steps is assumed" in note for note in prior.notes)
    noisy = torch.rand(1, 3, 16, 16)
    told = DiffusersPrior(file=tmp_path, label=4)
    assert not any("classes" in note for note in told.notes)
    assert not torch.allclose(told.denoise(noisy, 0.3).clean, prior.denoise(noisy, 0.3).clean)
    with pytest.raises(GdpkitError, match="label=5, but it has the classes 0 to 4"):
        DiffusersPrior(file=tmp_path, label=5).load("cpu")
    with pytest.raises(GdpkitError, match="label=0, but it has no classes"):
        DiffusersPrior(file=write(tmp_path / "without", "bare"), label=0).load("cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, r"config\.json: is of a UNet2DConditionModel"),
        ({"sample_size": "large"}, r"config\.json: sample_size='large' must be a number of pixels, or two"),
        ({"time_embedding_type": "fourier"}, r"config\.json: time_embedding_type='fourier' is not understood"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "down_block_types='SkipDownBlock2D'"),
        ({"block_out_channels": [8]}, "as many as block_out_channels"),
        ({"in_channels": 4}, "in_channels=4 is not understood, only 3"),
        ({"attention_head_dim": 7}, "do not divide"),
        ({"layers_per_block": "two"}, "a value of a wrong kind"),
        ({"layers_per_block": 2}, r"diffusion_pytorch_model\.safetensors: its parameters do not fit"),
    ],
)
def test_what_is_not_understood_names_its_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GdpkitError, match=message):
        load_prior(write(tmp_path, "bare", **changes), device="cpu")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GdpkitError, match=r"is a folder, not a checkpoint .*config\.json"):
        load_prior(tmp_path, device="cpu")
    folder = write(tmp_path / "model", "bare", {"prediction_type": "flow"})
    with pytest.raises(GdpkitError, match=r"scheduler_config\.json: prediction_type='flow' is not understood"):
        load_prior(folder, device="cpu")
    (folder / "scheduler_config.json").write_text("{")
    with pytest.raises(GdpkitError, match=r"scheduler_config\.json: is not JSON"):
        load_prior(folder, device="cpu")
    weights_ = folder / "diffusion_pytorch_model.safetensors"
    alone = weights_.rename(tmp_path / "alone.safetensors")
    with pytest.raises(GdpkitError, match="has no weights"):
        load_prior(folder, device="cpu")
    with pytest.raises(GdpkitError, match=r"alone\.safetensors: are the weights of a diffusers model"):
        load_prior(alone, device="cpu")


class Harm:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    folder, trace = write(tmp_path / "model", "bare"), tmp_path / "trace"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": Harm(trace)}, folder / "diffusion_pytorch_model.bin")
    with pytest.raises(GdpkitError, match=r"\.bin: refused, because loading it would run code"):
        load_prior(folder, device="cpu")
    assert not trace.exists()


def test_the_command_line_knows_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "model", "bare", {})
    assert main(["prior", "info", str(folder), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    file = folder / "diffusion_pytorch_model.safetensors"
    assert (record["format"], record["sha256"]) == ("diffusers", known.sha256(file))
    assert record["parameters"] == sum(t.numel() for t in load_file(file).values())
    assert record["architecture"]["training"]["beta_schedule"] == "linear"
    assert main(["prior", "verify", str(folder)]) == 2
    assert "no SHA-256 of it is known" in capsys.readouterr().err
    assert main(["prior", "verify", str(folder), "--sha256", known.sha256(file)]) == 0
    Image.new("RGB", (16, 16), (90, 120, 200)).save(tmp_path / "photo.png")
    capsys.readouterr()
    words = ["run", "sr", str(tmp_path / "photo.png"), "--scale", "2", "-o", str(tmp_path / "out.png")]
    assert main([*words, "--device", "cpu", "--prior", str(folder), "--steps", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["prior"], record["prior_sha256"]) == ("diffusers", known.sha256(file))
    with Image.open(tmp_path / "out.png") as result:
        assert result.size == (32, 32)
