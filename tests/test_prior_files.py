"""`gdpkit prior list | info | verify`: what is here, what it is, and that no changed byte passes."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gdpkit import load_prior
from gdpkit.cli import main
from gdpkit.errors import GdpkitError, UnknownNameError
from gdpkit.priors import checkpoint, inspection, known
from gdpkit.priors.embedded import EMBEDDED, EmbeddedPrior
from gdpkit.priors.unet import UNet

ADM = Path(__file__).parent / "data" / "conformance" / "adm_a.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setenv("GDPKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The checkpoint of a small network, as training writes it."""
    path = tmp_path / "small.safetensors"
    about = {"licence": "MIT", "recipe": '{"batch": 2}', "trained_with": 'a "quoted" \\ machine'}
    checkpoint.save_unet(path, UNet((4,), (1,)), about)
    return path


def flip(file: Path, at: int, mask: int = 1) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= mask
    file.write_bytes(content)


# -- verify -----------------------------------------------------------------------------------------------------------


def test_the_list_is_in_step_with_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails after a training, put into known.json what `gdpkit prior train` printed."""
    entry = known.table()["embedded"]
    assert (entry.sha256, entry.bytes) == (known.sha256(EMBEDDED), EMBEDDED.stat().st_size)
    assert main(["prior", "verify", "embedded"]) == 0
    assert capsys.readouterr().out == f"{EMBEDDED}: ok, its SHA-256 is that of gdpkit's list\n"


def test_a_flipped_byte_of_the_embedded_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / EMBEDDED.name
    copy.write_bytes(EMBEDDED.read_bytes())
    assert inspection.verify(copy) == "its content has the SHA-256 that it carries"
    flip(copy, copy.stat().st_size // 2)
    with pytest.raises(GdpkitError, match=r"embedded\.safetensors"):
        inspection.verify(copy)
    monkeypatch.setattr(known, "__file__", str(tmp_path / "known.py"))  # as if it were the one inside the package
    with pytest.raises(GdpkitError, match="is damaged or another file: its SHA-256 is"):
        inspection.verify(copy)


def test_any_flipped_byte_is_told_without_a_list(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspection.verify(file) == "its content has the SHA-256 that it carries"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    draw = random.Random(0)
    places = [*range(0, header, 11), *range(header - 8, header), *draw.sample(range(header, len(whole)), 50), -1]
    for at in places:
        for mask in (1, 0x20, 0x2A):  # 0x2A turns the blanks behind the header into line ends, which JSON allows
            flip(file, at, mask)
            with pytest.raises(GdpkitError, match=r"small\.safetensors"):
                inspection.verify(file)
            file.write_bytes(whole)
    flip(file, -1)
    assert main(["prior", "verify", str(file)]) == 2
    assert "is damaged: its content differs from the SHA-256 that it carries" in capsys.readouterr().err
    assert main(["prior", "verify", str(file), "--json"]) == 2
    record = json.loads(capsys.readouterr().out)
    assert record["ok"] is False and record["file"] == str(file) and "is damaged" in record["error"]


def test_a_given_sha256_decides(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = checkpoint.sha256(file)
    assert main(["prior", "verify", str(file), "--sha256", digest.upper(), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["ok"], record["sha256"], record["file"]) == (True, digest, str(file))
    assert main(["prior", "verify", str(file), "--sha256", "0" * 64]) == 2
    assert f"its SHA-256 is\n{digest}, that of --sha256 is\n{'0' * 64}" in capsys.readouterr().err
    assert main(["prior", "verify", str(file), "--sha256", "abc"]) == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err


def test_a_file_of_which_nothing_is_known_is_not_called_intact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prior", "verify", str(ADM)]) == 2
    assert f"whether it is intact cannot be told: no SHA-256 of it is known.\nIts own is {known.sha256(ADM)}" in (
        capsys.readouterr().err
    )
    assert main(["prior", "verify", str(ADM), "--sha256", known.sha256(ADM)]) == 0


def test_a_file_without_its_seal_is_not_called_intact(file: Path) -> None:
    about = {"format": checkpoint.FORMAT, "architecture": '{"widths": [4], "depths": [1]}'}
    save_file(load_file(file), file, about)
    EmbeddedPrior(file=file).load("cpu")
    with pytest.raises(GdpkitError, match="no SHA-256 of it is known"):
        inspection.verify(file)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_file_cut_short(file: Path, capsys: pytest.CaptureFixture[str], keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    assert main(["prior", "verify", str(file)]) == 2
    assert "small.safetensors: is cut short" in capsys.readouterr().err


def test_a_wrong_shape(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"format": checkpoint.FORMAT, "architecture": '{"widths": [4], "depths": [1]}'}
    save_file({**load_file(file), "first.weight": torch.zeros(4, 12, 5, 5)}, file, about)
    assert main(["prior", "verify", str(file), "--sha256", known.sha256(file)]) == 2
    assert "does not hold the network that it declares" in capsys.readouterr().err


class Payload:
    """Would write a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lora_unet_down_blocks_0.lora_up.weight"], "holds a LoRA"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "a latent diffusion model, as Stable Diffusion is"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], r"an autoencoder \(VAE\)"),
        (["module.time_embed.0.weight"], r"save model\.module\.state_dict\(\) instead"),
        (["classifier.weight"], "holds no network that is understood"),
    ],
)
def test_a_checkpoint_of_something_else_is_told_by_its_names(tmp_path: Path, names: list[str], message: str) -> None:
    file = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(1) for name in names}, file)
    with pytest.raises(GdpkitError, match=rf"other\.safetensors: .*{message}"):
        load_prior(file, device="cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is cut short: it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"PK\x03\x04" + bytes(200), "is cut short: its end is missing"),
        (b"hello, no network", "is cut short, damaged or not a checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told_by_its_bytes(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "net.pt"
    file.write_bytes(content)
    with pytest.raises(GdpkitError, match=rf"net\.pt: {message}"):
        load_prior(file, device="cpu")


def test_a_pickle_with_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil, touched = tmp_path / "evil.pt", tmp_path / "touched"
    torch.save({"weight": Payload(touched)}, evil)
    for command in ("verify", "info"):
        assert main(["prior", command, str(evil)]) == 2
        assert "evil.pt: refused, because loading it would run code" in capsys.readouterr().err
    evil.write_bytes(pickle.dumps(Payload(touched)))
    assert main(["prior", "verify", str(evil), "--sha256", known.sha256(evil)]) == 2
    assert not touched.exists()


# -- info and list ----------------------------------------------------------------------------------------------------


def test_info_says_what_a_prior_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prior", "info", str(file), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    network = UNet((4,), (1,))
    assert record["architecture"] == {"widths": [4], "depths": [1], "sigma_data": 0.5}
    assert record["parameters"] == sum(p.numel() for p in network.parameters())
    assert record["receptive_field"] == network.receptive_field
    assert (record["licence"], record["recipe"]) == ("MIT", {"batch": 2})
    assert record["trained_with"] == 'a "quoted" \\ machine'
    assert (record["sha256"], record["bytes"]) == (known.sha256(file), file.stat().st_size)
    assert main(["prior", "info", "embedded"]) == 0
    text = capsys.readouterr().out
    for fact in ("parameters", "receptive field", "licence", "recipe", "trained with", "(as it should be)"):
        assert fact in text


def test_info_tells_the_steps_once_and_fits_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "timed.safetensors"
    recipe = {"minutes": 5.0, "steps": 0, **{f"number_{i}": i for i in range(20)}}
    checkpoint.save_unet(path, UNet((4,), (1,)), {"recipe": json.dumps(recipe), "steps": "77"})
    assert main(["prior", "info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "minutes 5.0, number_0 0" in text and "steps 0" not in text
    assert "steps taken      77" in text.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["prior", "info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith("recipe "))
    assert len(lines[at]) <= 80 and len(lines[at + 1]) <= 80
    assert lines[at + 1].startswith(" " * 17) and "number" in lines[at + 1]


def test_info_of_an_adm_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prior", "info", str(ADM)]) == 0
    text = capsys.readouterr().out
    assert "num_channels 32" in text and "1 422 278" in text and "the whole image" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tv", "tv has no checkpoint of its own"),
        ("embeded", "Did you mean 'embedded'"),
        ("256x256_diffusion_uncond", "fetch it first: gdpkit prior fetch 256x256_diffusion_uncond"),
        (".", "is a folder, not a checkpoint"),
    ],
)
def test_a_prior_that_has_no_file(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("info", "verify"):
        assert main(["prior", command, name]) == 2
        assert message in capsys.readouterr().err


def test_the_list_holds_what_is_installed_fetched_and_public(
    file: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    file.rename(cache / "mine.safetensors")
    (cache / "256x256_diffusion_uncond.pt.part").write_bytes(bytes(3_000_000))
    assert main(["prior", "list", "--json"]) == 0
    priors = {p["name"]: p for p in json.loads(capsys.readouterr().out)["priors"]}
    assert priors["embedded"]["state"] == "installed" and priors["embedded"]["bytes"] == EMBEDDED.stat().st_size
    assert priors["mine"]["state"] == "fetched" and priors["mine"]["file"] == str(cache / "mine.safetensors")
    assert priors["256x256_diffusion_uncond"]["state"] == "public"
    assert "3 MB are here" in priors["256x256_diffusion_uncond"]["about"]
    assert main(["prior", "list"]) == 0
    text = capsys.readouterr().out
    assert "--prior mine" in text and str(cache) in text and "tv" in text


# -- by name ----------------------------------------------------------------------------------------------------------


def test_a_fetched_prior_is_found_by_name(file: Path, cache: Path) -> None:
    cache.mkdir()
    file.rename(cache / "mine.safetensors")
    (cache / "net.safetensors").write_bytes(ADM.read_bytes())
    (cache / "net.safetensors.json").write_bytes(b'{"num_head_channels": 16}')
    for name in ("mine", "mine.safetensors"):
        assert load_prior(name, device="cpu") == EmbeddedPrior(file=cache / "mine.safetensors")
    assert load_prior("net", device="cpu").name == "adm"
    assert set(known.cached()) == {"mine", "net"}
    with pytest.raises(UnknownNameError, match="Did you mean 'mine'"):
        load_prior("nine")
    with pytest.raises(UnknownNameError, match="gdpkit prior fetch 256x256_diffusion_uncond"):
        load_prior("256x256_diffusion_uncond")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert known.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GDPKIT_CACHE")
    assert known.cache_folder() == tmp_path / "xdg" / "gdpkit"
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert known.cache_folder() == tmp_path / ".cache" / "gdpkit"


def test_json_tells_of_a_file_that_is_refused_before_it_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = tmp_path / "net.pt"
    refused.write_text("no checkpoint")
    for prior in (str(refused), str(tmp_path / "missing.pt")):
        assert main(["prior", "verify", prior, "--json"]) == 2
        record = json.loads(capsys.readouterr().out)
        assert record["ok"] is False and record["file"] == prior and prior in record["error"]
