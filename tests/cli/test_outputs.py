"""Where results go, under which names, and the picture that shows both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gdpkit import images, report
from gdpkit.cli import files
from gdpkit.errors import GdpkitError

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


def test_output_goes_where_it_is_asked_to(cli: Cli, fast: tuple[str, ...]) -> None:
    assert cli("run", "brighten", "photo.png", "-o", "out.jpg", *fast).out == "out.jpg\n"
    assert cli("run", "brighten", "photo.png", "-o", "folder", *fast).out == "folder/photo_brighten.png\n"


def test_a_suffix_that_cannot_be_written_becomes_png(cli: Cli, fast: tuple[str, ...]) -> None:
    Image.open("photo.png").save("old.gif")
    result = cli("run", "brighten", "old.gif", *fast)
    assert result.out == "old_brighten.png\n"
    assert "Note: old.gif: the result is old_brighten.png, as .gif cannot be written" in result.err


def test_two_inputs_of_one_name_do_not_overwrite_each_other(cli: Cli, fast: tuple[str, ...]) -> None:
    Path("folder/photo.png").write_bytes(Path("photo.png").read_bytes())
    result = cli("run", "brighten", "photo.png", "folder/photo.png", *fast)
    assert result.status == 2
    assert "photo.png and folder/photo.png would both be written to photo_brighten.png" in result.error


@pytest.mark.parametrize(
    "args",
    [
        "run brighten photo.png -o photo.png",
        "run brighten photo.png -o folder/../photo.png",
        "run brighten photo.png -o link.png",
        "run brighten photo.png -o out.png --compare photo.png",
        "run brighten photo.png -o out.png --compare link.png",
        "run brighten folder/a.png photo.png -o folder --compare folder",
        "run brighten folder -o folder",
        "degrade photo.png -d dim -o link.png",
        "degrade folder/a.png -d dim:factor=photo.png -o photo.png",
    ],
)
def test_an_input_is_never_replaced(cli: Cli, fast: tuple[str, ...], args: str) -> None:
    Path("link.png").symlink_to("photo.png")
    Path("folder/a_brighten.png").write_bytes(Path("photo.png").read_bytes())
    Path("folder/photo_brighten_compare.png").hardlink_to("folder/a.png")
    before = {path: path.read_bytes() for path in Path().rglob("*.png")}
    result = cli(*args.split(), "--overwrite", *(fast if args.startswith("run") else ()))
    assert result.status == 2
    assert "which is never replaced; give another name" in result.error
    assert {path: path.read_bytes() for path in Path().rglob("*.png")} == before


def test_result_and_comparison_may_not_be_one_file(cli: Cli, fast: tuple[str, ...]) -> None:
    args = ("run", "brighten", "photo.png", "-o", "x.png", "--compare", "folder/../x.png", *fast)
    assert cli(*args).error == "folder/../x.png: the result and --compare need different names"


def test_a_folder_that_does_not_exist_is_called_one(cli: Cli, fast: tuple[str, ...]) -> None:
    told = "-o new: there is no such folder; make it first, or name a file such as new.png"
    for name in ("new/", "new"):
        assert cli("run", "brighten", "photo.png", "-o", name, *fast).error == told
        assert cli("degrade", "photo.png", "-d", "dim", "-o", name).error == told


def test_suffixes_agree_with_what_is_written(tmp_path: Path) -> None:
    for suffix in files.READABLE:
        try:
            images.check_writable(tmp_path / f"x{suffix}")
        except GdpkitError:
            assert suffix not in files.WRITABLE or suffix == ".avif"
        else:
            assert suffix in files.WRITABLE


def test_compare_shows_both_at_the_size_of_the_result(cli: Cli, fast: tuple[str, ...]) -> None:
    assert cli("run", "brighten", "photo.png", "--compare", "pair.png", *fast).status == 0
    with Image.open("pair.png") as pair:
        assert pair.format == "PNG"
        assert pair.width > 2 * 24
        assert pair.height > 16
        left, right = pair.crop((0, pair.height - 16, 24, pair.height)), pair.crop((pair.width - 24, 0, pair.width, 99))
    assert np.array_equal(np.asarray(left), np.asarray(Image.open("photo.png")))
    assert np.asarray(right).mean() > np.asarray(left).mean()
    assert cli("run", "brighten", "photo.png", "-o", "x.png", "--compare", "pair.png", *fast).status == 2


def test_side_by_side_enlarges_the_input_and_takes_grey() -> None:
    pair = report.side_by_side(np.zeros((10, 20), np.float32), np.ones((40, 80, 3), np.float32) * 2)
    assert pair.shape[0] == 1
    assert pair.shape[1] == 3
    assert pair.shape[3] > 160
    assert float(pair[0, :, -1, 0].max()) == 0
    assert float(pair[0, :, -1, -1].min()) == 1
