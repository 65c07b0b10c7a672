"""Public checkpoints as priors: their precision, their classes, their memory, and one of full size."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from gdpkit import load_prior, memory
from gdpkit.cli import main
from gdpkit.errors import GdpkitError
from gdpkit.priors import adm, filling, layers
from gdpkit.priors.adm import AdmPrior
from gdpkit.testing import picture

DATA = Path(__file__).parent / "data" / "conformance"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """adm_a, in float16, without anything beside it."""
    return Path(shutil.copy(DATA / "adm_a.safetensors", tmp_path))


@pytest.fixture
def classes() -> Path:
    return DATA / "adm_c_classcond.safetensors"


def test_the_size_of_the_training_is_told_by_flags_or_by_the_levels_of_a_public_network(bare: Path) -> None:
    prior = AdmPrior(file=bare, num_head_channels=16)
    assert prior.training_size is None
    bare.with_name(bare.name + ".json").write_text(json.dumps({"image_size": 96}))
    assert prior.training_size == 96
    public = adm.AdmConfig(image_size=128, num_channels=32, num_res_blocks=1, num_heads=1)  # with the default levels
    with torch.device("meta"):
        shapes = {name: torch.empty(p.shape, device="cpu") for name, p in adm.build(public).state_dict().items()}
    save_file(shapes, bare)
    bare.with_name(bare.name + ".json").unlink()
    assert AdmPrior(file=bare, num_heads=1).training_size == 128


# -- precision --------------------------------------------------------------------------------------------------------


def test_float16_stays_float16_and_loses_nothing() -> None:
    file = DATA / "adm_a.safetensors"
    half = adm.load(file)
    assert {p.dtype for p in half.parameters()} == {torch.float16}
    x, t = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([400])
    before = x.clone().requires_grad_()
    out = half(before, t)
    other = x.clone().requires_grad_()
    wanted = adm.load(file).float()(other, t)
    torch.testing.assert_close(out, wanted, atol=1e-6, rtol=0)
    # And so does the gradient, for which the weights are widened anew.
    found, there = (torch.autograd.grad(o.square().sum(), leaf)[0] for o, leaf in ((out, before), (wanted, other)))
    torch.testing.assert_close(found, there, atol=1e-5, rtol=1e-5)


def test_a_gradient_keeps_no_widened_weight() -> None:
    weight, x = torch.randn(4, 4, 3, 3).half(), torch.randn(1, 4, 8, 8, requires_grad=True)
    with layers.widened(weight, torch.float32) as widened:
        out = F.conv2d(x, widened)
        gone = weakref.ref(widened)
    del widened
    assert gone() is None
    (found,) = torch.autograd.grad(out.sum(), x)
    (wanted,) = torch.autograd.grad(F.conv2d(x, weight.float()).sum(), x)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("precision", "held", "near"),
    [("auto", torch.float32, 0), ("float32", torch.float32, 0), ("float16", torch.float16, 1e-3),
     ("bfloat16", torch.bfloat16, 2e-2)],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_precision_is_a_choice(bare: Path, precision: str, held: torch.dtype, near: float, suffix: str) -> None:
    file = bare.with_name(f"net.{suffix}")
    generator = torch.Generator().manual_seed(0)
    tensors = {n: t.float() + 1e-4 * torch.randn(t.shape, generator=generator) for n, t in load_file(bare).items()}
    (save_file if suffix == "safetensors" else torch.save)(tensors, file)
    exact = AdmPrior(file=file, num_head_channels=16)
    prior = AdmPrior(file=file, num_head_channels=16, precision=precision)
    assert {p.dtype for p in prior._network("cpu")[0].parameters()} == {held}
    noisy = picture(1, 3, 16, 16)
    with torch.no_grad():
        wanted, found = exact.denoise(noisy, 0.2).clean, prior.denoise(noisy, 0.2).clean
    assert found.dtype == torch.float32
    assert float((found - wanted).square().mean().sqrt()) <= near
    assert torch.equal(found, wanted) == (near == 0)


@pytest.mark.parametrize("shape", [(3, 6), (2, 5, 6)])
@pytest.mark.parametrize("out", [6, 4])
def test_a_gradient_through_a_linear_layer_in_half_precision_is_that_of_its_weight(
    shape: tuple[int, ...], out: int
) -> None:
    """Square ones above all: their weight and its transpose, which torch remembers, have one shape."""
    generator = torch.Generator().manual_seed(0)
    layer = layers.Linear(6, out).half().requires_grad_(False)
    x = torch.randn(shape, generator=generator).requires_grad_()
    given = torch.randn(*shape[:-1], out, generator=generator)
    (found,) = torch.autograd.grad(layer(x), x, given)
    torch.testing.assert_close(found, given @ layer.weight.float())


# -- what the shapes cannot tell --------------------------------------------------------------------------------------


def test_options_tell_what_the_shapes_cannot(bare: Path) -> None:
    noisy = picture(1, 3, 16, 16)

    def clean(options: str) -> torch.Tensor:
        return load_prior(f"adm:file={bare},{options}", device="cpu").denoise(noisy, 0.2).clean

    wanted = clean("num_head_channels=16")
    for options in ("use_new_attention_order=true,num_head_channels=16", "noise_schedule=cosine,num_head_channels=16",
                    "num_heads=1"):  # fmt: skip
        assert not torch.allclose(clean(options), wanted)
    bare.with_name("adm_a.safetensors.json").write_text('{"num_head_channels": 32}')
    torch.testing.assert_close(clean("num_head_channels=16"), wanted)
    assert not torch.allclose(clean("noise_schedule=linear"), wanted)


def test_classes(classes: Path, tmp_path: Path) -> None:
    noisy = picture(1, 3, 16, 16)
    network = adm.load(classes)
    count = network.config.num_classes
    told, other = (AdmPrior(file=classes, label=label) for label in (3, 5))
    untold = load_prior(classes, device="cpu")
    assert told.notes == ()
    assert len(untold.notes) == 1 and f"{count} classes" in untold.notes[0]
    answers = [prior.denoise(noisy, 0.2).clean for prior in (told, other, untold)]
    assert not torch.allclose(answers[0], answers[1]) and not torch.allclose(answers[0], answers[2])
    # What stands in for a class is the mean of all.
    mean = network.label_emb.weight.float().mean(0, keepdim=True)
    torch.testing.assert_close(network.label_emb(torch.tensor([-1])).float(), mean, atol=1e-3, rtol=0)
    with pytest.raises(GdpkitError, match=f"label={count}, but it has the classes 0 to {count - 1}"):
        AdmPrior(file=classes, label=count).load("cpu")
    with pytest.raises(GdpkitError, match="label=3, but it has no classes"):
        AdmPrior(file=DATA / "adm_a.safetensors", label=3).load("cpu")
    # A JSON beside the file tells it as well.
    copy = Path(shutil.copy(classes, tmp_path))
    flags = json.loads((DATA / "configs.json").read_text())["adm_c_classcond"]
    copy.with_name(copy.name + ".json").write_text(json.dumps({**flags, "label": 3}))
    prior = load_prior(copy, device="cpu")
    assert prior.notes == ()
    assert torch.equal(prior.denoise(noisy, 0.2).clean, answers[0])


def test_a_class_that_was_not_told_is_said_once_after_a_run(
    classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (16, 16), (90, 120, 200)).save(tmp_path / "photo.png")
    words = ["run", "sr", str(tmp_path / "photo.png"), "--scale", "2", "--steps", "2", "--device", "cpu"]
    assert main([*words, "--prior", str(classes), "-o", str(tmp_path / "out.png")]) == 0
    assert capsys.readouterr().err.count("the mean of all stands in for it") == 1


# -- memory -----------------------------------------------------------------------------------------------------------


def test_too_little_memory_is_told_before_a_weight_is_read(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("a weight was read")

    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    words = ["run", "sr", str(tmp_path / "photo.png"), "--scale", "2", "--steps", "2", "--device", "cpu"]
    with monkeypatch.context() as little:
        little.setattr(memory, "free", lambda device: 3 * 2**20)
        little.setattr(filling, "each_weight", read)
        prior = f"adm:file={bare},num_head_channels=16"
        assert main([*words, "--prior", prior, "-o", str(tmp_path / "out.png")]) == 2
        said = capsys.readouterr().err
    assert "its network of 1.4 million weights needs" in said and "and 3 MiB are free" in said
    assert "precision=float16" not in said, "its weights are in half already"
    assert main([*words, "--prior", prior, "-o", str(tmp_path / "out.png")]) == 0


def test_free_memory_heeds_a_limit_of_the_process() -> None:
    pytest.importorskip("resource")
    code = (
        "import resource, torch; from gdpkit import memory; used = int(open('/proc/self/statm').read().split()[0])\n"
        "most = used * resource.getpagesize() + 2**28; resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "print(memory.free(torch.device('cpu')))"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system does not tell how large a process is")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 <= int(done.stdout) <= 2**28


def test_the_memory_of_an_evaluation_is_that_of_its_weights_and_layers(bare: Path) -> None:
    half = AdmPrior(file=bare, num_head_channels=16)
    single = bare.with_name("single.safetensors")
    save_file({n: t.float() for n, t in load_file(bare).items()}, single)
    full = AdmPrior(file=single, num_head_channels=16)
    count = sum(p.numel() for p in half.outline().parameters())
    widest = 4 * max(p.numel() for p in half.outline().parameters())
    # Half the weights, but for the one layer that is widened at a time.
    assert 2 * count - widest <= full.work(64, 64)[1] - half.work(64, 64)[1] <= 2 * count
    assert full.work(256, 256)[1] - 4 * count == pytest.approx(16 * (full.work(64, 64)[1] - 4 * count), rel=0.05)


# -- full size --------------------------------------------------------------------------------------------------------

FULL = """
import json, resource, sys, torch, gdpkit
torch.set_num_threads(1)
prior = gdpkit.load_prior(sys.argv[1], device="cpu")
with torch.no_grad():
    clean = prior.denoise(torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)), 0.5).clean
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([peak, bool(clean.isfinite().all()), list(clean.shape), prior.work(256, 256)[1]]))
"""


@pytest.mark.slow
def test_the_network_of_full_size_runs_in_little_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """552.8 million random weights under the public checkpoint's keys, in float16: 1.1 GB in the file and in memory."""
    pytest.importorskip("resource")
    shapes = json.loads((DATA / "256x256_diffusion_uncond.keys.json").read_text())
    block = (0.02 * torch.randn(2**20, generator=torch.Generator().manual_seed(0))).half().numpy().tobytes()
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    file, photo = tmp_path / "net.safetensors", tmp_path / "photo.png"
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for left in range(at, 0, -len(block)):
            stream.write(block[:left])
    assert at == 2 * 552_814_086
    done = subprocess.run([sys.executable, "-c", FULL, str(file)], capture_output=True, text=True, check=True)
    peak, finite, shape, told = json.loads(done.stdout)
    assert finite and shape == [1, 3, 256, 256]
    # The limit asked for is 8 GiB. With a float32 copy of the network it would be 4.2 GiB and more.
    assert peak < 3 * 2**30
    assert told < peak < 1.6 * told
    Image.new("RGB", (64, 64)).save(photo)
    words = ["run", "sr", str(photo), "--scale", "4", "--steps", "20", "--device", "cpu", "--prior", str(file)]
    assert main([*words, "--dry-run", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["network_evaluations"] == 20 and record["seconds"] > 1
    assert record["memory_mib"] * 2**20 == pytest.approx(peak, rel=0.4)
