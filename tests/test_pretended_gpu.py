"""Whole runs on a GPU that is only pretended: no tensor of the CPU among those of the GPU, and little brought there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gdpkit
from gdpkit import choices, memory
from gdpkit.noise import SeededNoise
from gdpkit.priors import compiling
from gdpkit.priors.adm import AdmPrior
from gdpkit.priors.tiled import TiledPrior
from gdpkit.testing import picture
from gdpkit.testing.pretended_gpu import GPU, PretendedGpu

PHOTO = picture(1, 3, 32, 32)
DARK = (0.2 * PHOTO * 255).round() / 255
HOLE = torch.zeros(1, 32, 32)
HOLE[:, 4:28, 4:28] = 1
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "sr": ("sr", {"image": PHOTO, "scale": 2}),
    "sr bicubic, a sample": ("sr", {"image": PHOTO, "scale": 2, "kernel": "bicubic", "fidelity": 0.3}),
    "deblur": ("deblur", {"image": PHOTO, "kernel": "gaussian:sigma=1", "boundary": "reflect"}),
    "deblur motion": (
        "deblur",
        {"image": PHOTO, "kernel": "motion:length=3,angle=30", "boundary": "reflect", "noise": 9.0},
    ),
    "deblur valid": ("deblur", {"image": PHOTO, "kernel": "gaussian:sigma=1", "boundary": "valid", "noise": 9.0}),
    "deblur blind": ("deblur", {"image": PHOTO, "blind": True, "size": 5}),
    "inpaint": ("inpaint", {"image": PHOTO, "mask": HOLE}),
    "inpaint, guided": ("inpaint", {"image": PHOTO, "mask": HOLE, "hierarchy": "on", "prior": "tv"}),
    "colorize": ("colorize", {"image": PHOTO.mean(1, keepdim=True)}),
    "denoise": ("denoise", {"image": PHOTO, "sigma": 25.0}),
    "denoise jpeg": ("denoise", {"image": PHOTO, "jpeg": "20"}),
    "lowlight": ("lowlight", {"image": DARK}),
    "lowlight, losses": ("lowlight", {"image": DARK, "losses": ("exposure", "tv", "spatial-consistency")}),
    "hdr": ("hdr", {"exposures": (DARK, PHOTO, (2 * PHOTO).clamp(0, 1))}),
    "chain": ("restore", {"image": PHOTO.mean(1, keepdim=True), "stages": ("downsample:scale=2", "gray")}),
    "chain with jpeg": ("restore", {"image": PHOTO, "stages": ("blur:sigma=1", "jpeg:quality=40")}),
    "chain with a mask": ("restore", {"image": PHOTO, "stages": ("blur:sigma=1", "mask:missing=0.2", "noise:sigma=9")}),
    "circular": ("restore", {"image": PHOTO, "stages": ("blur:sigma=1,boundary=circular",)}),
    "blur grid": ("restore", {"image": PHOTO, "stages": ("blur-grid:file=kernels.npy", "noise:sigma=5")}),
    "exposed": ("restore", {"image": DARK, "stages": ("expose:map=smooth",)}),
    "huber": ("restore", {"image": PHOTO, "stages": ("gamma", "noise:sigma=5"), "distance": "huber"}),
}
SAMPLERS = ("daps:steps=2,langevin=2", "ddnm:steps=2", "ddrm:steps=2", "diffpir:steps=2", "dps:steps=2", "gdp:steps=2",
            "gdp-xt:steps=2", "mean:steps=2", "red:steps=2", "snips:steps=2,inner=1")  # fmt: skip


class Event:
    """What `torch.cuda.Event` tells of a GPU that takes a second for everything."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None: ...

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: Event) -> float:
        return 1000.0


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGpu]:
    on_cpu = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype, **given: on_cpu("cpu", dtype, **given))
    monkeypatch.setattr(choices, "device", lambda wanted: GPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**34))
    for name in ("memory_reserved", "memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    for name in ("init", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(compiling, "_reasons", [])
    monkeypatch.setattr(compiling, "_patience", [math.inf])
    monkeypatch.setattr(compiling, "_STATE", "_pretended")  # networks are cached from one test to the next
    with PretendedGpu() as mode:
        yield mode


def brought(gpu: PretendedGpu) -> dict[str, int]:
    """How often each place brought something that is no photograph and no weights."""
    once = ("views.py", "checkpoint.py", "masks.py", "module.py")  # the last: weights that were not there yet
    return {place: count for place, count in gpu.moves.items() if not any(f"/{name}" in place for name in once)}


@pytest.mark.parametrize("case", TASKS)
def test_tasks(gpu: PretendedGpu, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("kernels.npy", np.stack([np.eye(5), np.ones((5, 5)), np.eye(5)[::-1], np.ones((5, 5))]).reshape(2, 2, 5, 5))
    task, options = TASKS[case]
    result = gdpkit.restore(task, steps=2, device="cuda", **options)
    assert not gpu.holds(result.tensor)
    assert result.tensor.isfinite().all()
    assert result.record["device"] == "cuda:0"
    assert max(brought(gpu).values(), default=0) <= 12, brought(gpu)


@pytest.mark.parametrize("stages", [("blur:sigma=1",), ("jpeg:quality=20",)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers(gpu: PretendedGpu, sampler: str, stages: tuple[str, ...]) -> None:
    if stages[0].startswith("jpeg") and sampler.partition(":")[0] in ("ddnm", "ddrm", "snips"):
        pytest.skip("for linear degradations only")
    result = gdpkit.restore("restore", image=PHOTO, stages=stages, sampler=sampler, device="cuda")
    assert not gpu.holds(result.tensor)
    assert result.tensor.isfinite().all()


def test_mixing_is_noticed_and_so_is_an_answer_that_stays_there(gpu: PretendedGpu) -> None:
    there = torch.ones(3).to(GPU)
    assert (there.device, there.is_cuda, torch.ones(3).is_cuda) == (GPU, True, False)
    assert (2 * there).cpu().device == torch.device("cpu")
    with pytest.raises(RuntimeError, match="on the GPU and of"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert there[torch.tensor([0, 2])].device == GPU  # indices may stay


def test_a_prior_in_tiles_with_a_published_network(gpu: PretendedGpu) -> None:
    file = Path(__file__).parent / "data" / "conformance" / "adm_a.safetensors"
    prior = TiledPrior(prior=AdmPrior(file=file), batch=4)
    noisy, sigmas = picture(2, 3, 40, 56).to(GPU), torch.tensor([0.1, 0.3]).to(GPU)
    with torch.no_grad():
        found = prior.denoise(noisy, sigmas)
        one = AdmPrior(file=file).denoise(noisy, 0.1)
    assert gpu.holds(found.clean) and gpu.holds(one.clean)
    assert found.clean.dtype == torch.float32


def test_the_embedded_prior_computes_in_float16_there_and_gradients_in_float32(gpu: PretendedGpu) -> None:
    prior = gdpkit.load_prior(device="cuda")
    noisy = picture(1, 3, 16, 16) + 0.1 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    seen: set[torch.dtype] = set()
    noted = nn.modules.module.register_module_forward_hook(lambda module, given, out: seen.add(out.dtype))
    try:
        with torch.no_grad():
            half, here = prior.denoise(noisy.to(GPU), 0.1).clean, prior.denoise(noisy, 0.1).clean
        assert torch.float16 in seen
        assert half.dtype == torch.float32
        assert 0 < float((half.cpu() - here).abs().max()) < 0.5 / 255
        seen.clear()
        prior.denoise(noisy.to(GPU).requires_grad_(), 0.1)
        assert seen == {torch.float32}
    finally:
        noted.remove()


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_a_network_is_compiled_once_it_has_computed_a_shape_for_long(
    gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.Size] = []

    def compile_(function: Any, dynamic: bool) -> Any:
        assert not dynamic

        def fast(x: Tensor) -> Any:
            compiled.append(x.shape)
            return function(x)

        return fast

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compiling, "_patience", [3.0])
    net, x, other = Net(), torch.ones(1, 3, 4, 4).to(GPU), torch.ones(1, 3, 8, 4).to(GPU)
    for _ in range(5):
        assert torch.equal(compiling.evaluated(net, x), 2 * x)
    compiling.evaluated(net, other)
    assert compiled == [x.shape, x.shape]  # three times as it is, a second each
    compiling.evaluated(net, x.clone().requires_grad_())
    assert len(compiled) == 2  # gradients never
    with compiling.at_once():
        compiling.evaluated(net, other)
    assert compiled[-1] == other.shape


def test_what_cannot_be_compiled_goes_on_and_is_told(gpu: PretendedGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(function: Any, dynamic: bool) -> Any:
        def fail(*given: Tensor) -> Tensor:
            raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

        return fail

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(compiling, "_patience", [0.0])
    result = gdpkit.restore("sr", image=PHOTO[..., :16, :16], scale=2, steps=2, device="cuda")
    assert [note for note in result.notes if "compiled" in note] == [
        "the network could not be compiled, so it is slower than it might be: Failed to find C compiler."
    ]


def test_noise_is_that_of_the_cpu(gpu: PretendedGpu) -> None:
    drawn = [SeededNoise(3, [b"one"]).normal((1, 3, 4, 4), device) for device in (GPU, None)]
    assert gpu.holds(drawn[0]) and not gpu.holds(drawn[1])
    assert torch.equal(drawn[0].cpu(), drawn[1])


@pytest.mark.parametrize(
    "told",
    ["CUDA error: out of memory", "cuFFT error: CUFFT_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when ..."],
)
def test_libraries_of_cuda_tell_of_a_shortage_in_words_of_their_own(told: str) -> None:
    assert memory.is_shortage(RuntimeError(told))
    assert not memory.is_shortage(ValueError(told))
    assert not memory.is_shortage(RuntimeError("CUDA error: an illegal memory access was encountered"))
