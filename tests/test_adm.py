from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gdpkit.errors import GdpkitError
from gdpkit.priors import adm
from gdpkit.priors.adm_config import infer_flags

DATA = Path(__file__).parent / "data/conformance"
CONFIGS = json.loads((DATA / "configs.json").read_text())
SMALL = ["adm_a", "adm_b", "adm_c_classcond"]
PUBLIC = {"256x256_diffusion_uncond": 552_814_086, "512x512_diffusion": 558_997_638, "ffhq_10m": 93_563_910}


def config(name: str) -> adm.AdmConfig:
    return adm.AdmConfig.from_flags(CONFIGS[name])


def recorded(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in np.load(DATA / f"{name}.npz").items()}


def run(network: Callable[..., torch.Tensor], data: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return network(data["x"], data["t"], data.get("y"))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """adm_a without anything beside it."""
    return Path(shutil.copy(DATA / "adm_a.safetensors", tmp_path))


@pytest.mark.parametrize("name", SMALL)
def test_output_is_the_published_one(name):
    network = adm.load(DATA / f"{name}.safetensors", config(name))
    data = recorded(name)
    out = run(network, data)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, data["out"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PUBLIC)
def test_keys_are_the_public_checkpoints(name):
    with torch.device("meta"):
        network = adm.build(config(name))
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    theirs = json.loads((DATA / f"{name}.keys.json").read_text())
    assert list(ours.items()) == list(theirs.items())
    assert sum(value.numel() for value in network.parameters()) == PUBLIC[name]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_checkpoints_are_recognised(name):
    shapes = {key: tuple(shape) for key, shape in json.loads((DATA / f"{name}.keys.json").read_text()).items()}
    assert adm.AdmConfig.from_flags(infer_flags(shapes, {})) == config(name)


@pytest.mark.parametrize("name", SMALL)
def test_heads_alone_suffice(name):
    """All but the heads (and their order) is read off the shapes."""
    shapes = {key: tuple(value.shape) for key, value in load_file(DATA / f"{name}.safetensors").items()}
    heads = {key: CONFIGS[name][key] for key in ("num_head_channels", "num_heads", "use_new_attention_order")}
    inferred = adm.AdmConfig.from_flags(infer_flags(shapes, heads))
    wanted = config(name)
    assert (inferred.widths, inferred.attends) == (wanted.widths, wanted.attends)
    for field in ("num_res_blocks", "learn_sigma", "class_cond", "use_scale_shift_norm", "resblock_updown"):
        assert getattr(inferred, field) == getattr(wanted, field), field


def test_one_level_is_recognised():
    wanted = adm.AdmConfig(channel_mult=(1,), num_channels=32, num_res_blocks=3, attention_resolutions=())
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in adm.build(wanted).state_dict().items()}
    assert adm.AdmConfig.from_flags(infer_flags(shapes, {"num_heads": 4})) == wanted


@pytest.mark.parametrize(
    "beside", ["adm_a.safetensors.json", "adm_a.json", "configs.json", "argument", "metadata", "flat"]
)
def test_configuration_is_found(bare, beside):
    heads = {"num_head_channels": 16}
    argument = None
    if beside == "argument":
        argument = heads
    elif beside == "metadata":
        save_file(load_file(bare), bare, metadata={"config": json.dumps(heads)})
    elif beside == "flat":
        save_file(load_file(bare), bare, metadata={"num_head_channels": "16", "format": "pt"})
    else:
        content = {"adm_a": heads} if beside == "configs.json" else heads
        bare.with_name(beside).write_text(json.dumps(content))
    network = adm.load(bare, argument)
    data = recorded("adm_a")
    torch.testing.assert_close(run(network, data), data["out"], atol=1e-4, rtol=0)


def test_unknown_heads_are_asked_for(bare):
    with pytest.raises(GdpkitError, match=r"heads.*\n.*adm_a\.safetensors\.json.*num_head_channels"):
        adm.load(bare)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_load(bare, tmp_path, zipped):
    file = tmp_path / "net.pt"
    torch.save(load_file(bare), file, _use_new_zipfile_serialization=zipped)
    data = recorded("adm_a")
    network = adm.load(file, CONFIGS["adm_a"])
    torch.testing.assert_close(run(network, data), data["out"], atol=1e-4, rtol=0)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_float32_arithmetic_unless_asked(bare):
    bare.with_suffix(".json").write_text(json.dumps(CONFIGS["adm_a"] | {"use_fp16": True}))
    seen = []
    data = {key: value[1:2] for key, value in recorded("adm_a").items()}
    data["x"] = data["x"][..., :16, :16]  # float16 is slow on a CPU
    answers = []
    for given in ({}, {"use_fp16": True}):
        network = adm.load(bare, given)
        network.middle_block.register_forward_hook(lambda _, inputs, out: seen.append(out.dtype))
        answers.append(run(network, data))
    assert seen == [torch.float32, torch.float16]
    assert answers[1].dtype == torch.float32
    torch.testing.assert_close(*answers, atol=0.02, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    network = adm.load(DATA / "adm_b.safetensors").to(dtype)
    data = recorded("adm_b")
    data["x"] = data["x"].to(dtype)
    out = run(network, data)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), data["out"], atol=0.1 if dtype == torch.bfloat16 else 1e-4, rtol=0)


def test_fresh_network_predicts_zero_and_trains():
    network = adm.build(adm.AdmConfig(num_channels=32, channel_mult=(1, 2), num_res_blocks=1))
    out = network(torch.randn(2, 3, 16, 24), torch.tensor([0, 999]))
    assert out.shape == (2, 3, 16, 24)
    assert not out.any()
    out.sum().backward()
    assert network.out[2].weight.grad.any()


def test_network_says_what_it_takes():
    network = adm.load(DATA / "adm_c_classcond.safetensors")
    x, t = torch.zeros(1, 3, 16, 16), torch.tensor([5])
    with pytest.raises(GdpkitError, match="needs classes"):
        network(x, t)
    with pytest.raises(GdpkitError, match=r"multiples of 2 .* 15 x 16"):
        network(x[..., :15], t, t)
    with pytest.raises(GdpkitError, match="shape"):
        network(x[:, :1], t, t)
    with pytest.raises(GdpkitError, match="one timestep an image"):
        network(x, torch.tensor(5), t)
    with pytest.raises(GdpkitError, match="knows no classes"):
        adm.load(DATA / "adm_b.safetensors")(x, t, t)


class Harm:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("how", ["pickle", "opaque", "zip", "legacy"])
def test_code_is_refused_and_not_run(tmp_path, how):
    file, trace = tmp_path / "net.pt", tmp_path / "trace"
    content = {"time_embed.0.weight": Harm(trace)}
    if how in ("pickle", "opaque"):  # the second in a pickle protocol that torch.load does not read at all
        file.write_bytes(pickle.dumps(content, protocol=2 if how == "pickle" else 4))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "zip")
    said = "tensors alone" if how == "opaque" else r"refused, because loading it would run code \(.*mkdir\)"
    with pytest.raises(GdpkitError, match=said):
        adm.load(file)
    assert not trace.exists()


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("share", [0.0, 0.00001, 0.5, 0.999])
def test_files_cut_short_are_refused(bare, tmp_path, kind, share):
    file = tmp_path / "net.bin"
    if kind == "safetensors":
        shutil.copy(bare, file)
    else:
        torch.save(load_file(bare), file, _use_new_zipfile_serialization=kind == "zip")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(GdpkitError, match=r"net\.bin.*cut short"):
        adm.load(file, CONFIGS["adm_a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "not a state_dict"),
        ({"state_dict": {}}, "not a state_dict, 'state_dict' is not a tensor"),
        ({"weight": torch.zeros(1)}, "not an ADM network"),
        ({"time_embed.0.weight": torch.zeros(())}, "not an ADM network"),
        ({"input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}, "3 channels"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(GdpkitError, match=message):
        adm.load(tmp_path / "net.pt")


def test_absent_file_is_refused(tmp_path):
    with pytest.raises(GdpkitError, match="No such file"):
        adm.load(tmp_path / "net.pt")
    with pytest.raises(GdpkitError, match="cannot be read"):
        adm.load(tmp_path)


def test_misfit_names_the_first_parameters(bare):
    tensors = load_file(bare)
    for key in [key for key in tensors if key.startswith("middle_block.1")]:
        del tensors[key]
    tensors["spare"] = torch.zeros(1)
    tensors["out.0.bias"] = torch.zeros(7)
    save_file(tensors, bare)
    with pytest.raises(GdpkitError) as caught:
        adm.load(bare, CONFIGS["adm_a"])
    message = str(caught.value)
    assert "6 missing (middle_block.1.norm.weight, middle_block.1.norm.bias" in message
    assert "1 unexpected (spare)" in message
    assert "out.0.bias is (7,) instead of (32,)" in message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"num_chanels": 32}, "Did you mean 'num_channels'"),
        ({"num_channels": "many"}, "whole number"),
        ({"learn_sigma": "perhaps"}, "True or False"),
        ({"attention_resolutions": "16;8"}, "32,16,8"),
        ({"image_size": 100}, "no default channel_mult"),
        ({"num_channels": 40}, "multiples of 32"),
        ({"num_head_channels": 48}, "do not divide"),
        ({"num_head_channels": 0}, "do not divide"),
        ({"num_heads": 0}, "do not divide"),
        ({"num_heads_upsample": 3}, "do not divide"),
        ({"num_res_blocks": 0}, "at least 1"),
        ({"attention_resolutions": "0"}, "sides in pixels"),
        ({"noise_schedule": "sqrt"}, "linear or cosine"),
        ({"predict_xstart": "True"}, "predict_xstart"),
        ({"rescale_timesteps": True, "diffusion_steps": 4000}, "rescale_timesteps"),
    ],
)
def test_wrong_flags_are_explained(flags, message):
    with pytest.raises(GdpkitError, match=message):
        adm.AdmConfig.from_flags(flags)


def test_wrong_flags_beside_the_file_name_their_file(bare):
    beside = bare.with_suffix(".json")
    for text, message in (('{"num_heads": "x"}', "whole number"), ("[]", "an object"), ("{", "not JSON")):
        beside.write_text(text)
        with pytest.raises(GdpkitError, match=rf"adm_a\.json.*{message}"):
            adm.load(bare)


@pytest.mark.parametrize("given", [{"num_head_channels": 7}, {"num_heads": 5}])
def test_a_wrong_option_is_blamed_not_the_flags_beside_the_file(bare, given):
    bare.with_name("configs.json").write_text(json.dumps({"adm_a": CONFIGS["adm_a"]}))
    ((name, value),) = given.items()
    with pytest.raises(GdpkitError) as caught:
        adm.AdmPrior(file=bare, **given).load("cpu")
    assert f"{bare} with the {name} given: " in str(caught.value)
    assert f"do not divide into attention heads with {name}={value}." in str(caught.value)
    assert "configs.json" not in str(caught.value)
    # Where both are wrong, each error is told of what made it.
    bare.with_name("configs.json").write_text(json.dumps({"adm_a": {**CONFIGS["adm_a"], "num_res_blocks": 0}}))
    with pytest.raises(GdpkitError, match=r"configs\.json: num_res_blocks"):
        adm.AdmPrior(file=bare, **given).load("cpu")


def test_declaration_does_not_import_torch():
    code = "import sys, gdpkit.priors.adm; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_what_a_file_says_is_read_once_until_it_changes(bare, monkeypatch):
    beside = bare.with_suffix(".json")
    beside.write_text(json.dumps(CONFIGS["adm_a"]))
    read = []
    whole = adm.outline
    monkeypatch.setattr(adm, "outline", lambda *given, **named: read.append(given) or whole(*given, **named))
    prior = adm.AdmPrior(file=bare)
    told = [(prior.training_size, prior.notes, prior.work(32, 32)) for _ in range(3)]
    assert told == 3 * told[:1]
    assert len(read) == 2
    os.utime(beside, ns=(1, 1))
    assert prior.training_size == told[0][0]
    assert len(read) == 3
