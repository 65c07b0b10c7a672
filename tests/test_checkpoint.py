"""The file of a prior: what it says of itself, and that nothing damaged, foreign or hostile comes through."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdpkit import load_prior
from gdpkit.cli import main
from gdpkit.errors import GdpkitError
from gdpkit.priors import checkpoint
from gdpkit.priors.embedded import EmbeddedPrior
from gdpkit.priors.unet import UNet
from gdpkit.testing import picture


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small network."""
    path = tmp_path_factory.mktemp("prior") / "small.safetensors"
    checkpoint.save_unet(path, UNet((8, 12), (1, 1)), {"licence": "MIT", "trained_on": "nothing"})
    return path


def test_a_file_says_what_it_is_and_holds_half_precision(file: Path) -> None:
    loaded = checkpoint.load_unet(file, "cpu")
    assert (loaded.metadata["licence"], loaded.metadata["format"]) == ("MIT", checkpoint.FORMAT)
    assert (loaded.network.widths, loaded.network.depths) == ((8, 12), (1, 1))
    assert {t.dtype for t in load_file(file).values()} == {torch.float16}
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    assert EmbeddedPrior(file=file).sha256 == checkpoint.sha256(file)
    assert checkpoint.is_ours(file)


def test_the_same_network_is_the_same_file(file: Path, tmp_path: Path) -> None:
    network = checkpoint.load_unet(file, "cpu").network
    about = dict.fromkeys("abcdefgh", "x")
    for i, written in enumerate((about, about, dict(reversed(about.items())))):
        checkpoint.save_unet(tmp_path / f"{i}", network, {**written, "licence": "frei für alle"})
    assert len({(tmp_path / f"{i}").read_bytes() for i in range(3)}) == 1
    assert checkpoint.load_unet(tmp_path / "0", "cpu").metadata["licence"] == "frei für alle"
    assert checkpoint.is_intact(tmp_path / "0")


def test_a_file_that_changes_is_read_again(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    path.write_bytes(file.read_bytes())
    noisy = picture(1, 3, 16, 16)
    first = EmbeddedPrior(file=path).denoise(noisy, 0.3).clean
    with torch.no_grad():
        changed = UNet((8, 12), (1, 1))
        changed.last.bias.add_(1)
    checkpoint.save_unet(path, changed, {})
    stamp = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(stamp, stamp))
    assert not torch.allclose(EmbeddedPrior(file=path).denoise(noisy, 0.3).clean, first)
    assert list(tmp_path.iterdir()) == [path]


class Payload:
    """Would write a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def rewrite(file: Path, path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str) -> None:
    weights = load_file(file) if tensors is None else tensors
    about = {"format": checkpoint.FORMAT, "architecture": json.dumps({"widths": [8, 12], "depths": [1, 1]})}
    save_file(weights, path, {**about, **metadata})


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ('{"widths": [8, 13], "depths": [1, 1]}', "size mismatch"),
        ('{"widths": [8, 12], "depths": [1, 2]}', "Missing key"),
        ('{"widths": [8, 12], "depths": [1]}', "one depth a level"),
        ('{"widths": [], "depths": []}', "declares"),
        ('{"widths": 8, "depths": 1}', "declares"),
        ('{"width": [8]}', "width"),
        ('{"widths": [1000000000000000000000000], "depths": [1]}', "declares"),
        ("[8, 12]", "declares"),
        ("{", "declares"),
    ],
)
def test_weights_that_are_not_the_declared_network_are_refused(
    file: Path, tmp_path: Path, architecture: str, reason: str
) -> None:
    path = tmp_path / "wrong.safetensors"
    rewrite(file, path, architecture=architecture)
    with pytest.raises(GdpkitError) as caught:
        EmbeddedPrior(file=path).load("cpu")
    assert str(path) in str(caught.value) and reason in str(caught.value)


def test_a_tensor_of_another_shape_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    rewrite(file, path, {**load_file(file), "first.weight": torch.zeros(8, 12, 5, 5)})
    with pytest.raises(GdpkitError, match=r"wrong\.safetensors: does not hold .*first\.weight"):
        EmbeddedPrior(file=path).load("cpu")


def test_another_format_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    rewrite(file, path, format="gdpkit-prior-2")
    with pytest.raises(GdpkitError, match=r"other\.safetensors: is no prior of gdpkit's own format \(gdpkit-prior-1\)"):
        EmbeddedPrior(file=path).load("cpu")


@pytest.mark.parametrize("keep", [0, 4, 8, 9, 300, 0.5, -1])
def test_a_file_cut_short_is_refused(file: Path, tmp_path: Path, keep: float) -> None:
    path, whole = tmp_path / "short.safetensors", file.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else int(keep)])
    with pytest.raises(GdpkitError, match=r"short\.safetensors"):
        load_prior(path, device="cpu")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_a_flipped_bit_in_the_header_is_refused_or_changes_nothing(file: Path, tmp_path: Path, mask: int) -> None:
    """Only a flip in the name of the SHA-256 itself cannot be seen: the file is then one without.

    Whatever it hits, nothing but a GdpkitError that names the file comes out.
    """
    path, whole = tmp_path / "flipped.safetensors", file.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    refused = 0
    for at in [*range(8), *range(8, 8 + size, 7)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
        os.utime(path, ns=(at, at))  # a stamp of its own: the cache goes by it
        try:
            loaded = checkpoint.load_unet(path, "cpu")
        except GdpkitError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert (loaded.network.widths, loaded.network.depths) == ((8, 12), (1, 1))
    assert refused > size / 7 - 8


def test_a_flipped_byte_of_the_weights_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, whole = tmp_path / "flipped.safetensors", bytearray(file.read_bytes())
    whole[-100] ^= 1
    path.write_bytes(whole)
    message = "flipped.safetensors: is damaged: its content differs from the SHA-256 that it carries"
    with pytest.raises(GdpkitError, match=message):
        load_prior(path, device="cpu")
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    words = ("run", "sr", str(tmp_path / "photo.png"), "--scale", "2", "-o", str(tmp_path / "out.png"))
    assert main([*words, "--prior", str(path), "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.png").exists()


def test_a_file_of_another_kind_is_refused_without_the_unpicklers_own_words(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    for content in (b"exactly this", b"e"):
        path.write_bytes(content)
        with pytest.raises(GdpkitError) as caught:
            load_prior(path, device="cpu")
        assert str(caught.value) == f"{path}: is cut short, damaged or not a checkpoint."


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "evil.pt", tmp_path / "touched"
    torch.save({"weight": Payload(touched)}, path)
    with pytest.raises(GdpkitError, match=r"evil\.pt: refused, because loading it would run code"):
        load_prior(path, device="cpu")
    path.write_bytes(pickle.dumps(Payload(touched)))
    with pytest.raises(GdpkitError, match=r"evil\.pt"):
        load_prior(path, device="cpu")
    assert not touched.exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(GdpkitError, match=tmp_path.name):
            EmbeddedPrior(file=path).load("cpu")
