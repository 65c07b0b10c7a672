"""Where a picture is written: what is refused, and what stays of the files that were there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gdpkit import images
from gdpkit.errors import ImageError


def test_refusals_come_before_the_work(tmp_path: Path) -> None:
    taken = tmp_path / "taken.png"
    taken.write_bytes(b"mine")
    cases = {
        "a.gif": r"'\.gif' cannot be written; \.png, .* can",
        "a": "suffix is missing",
        "no/where/a.png": "does not exist",
        "taken.png": "overwrite=True",
    }
    (tmp_path / "folder.png").mkdir()
    cases["folder.png"] = "folder"
    for name, reason in cases.items():
        for refuse in (images.check_writable, lambda path: images.save(path, torch.rand(3, 4, 4))):
            with pytest.raises(ImageError, match=reason):
                refuse(tmp_path / name)
    with pytest.raises(ImageError, match="16383"):
        images.check_writable(tmp_path / "wide.webp", size=(10, 20000))
    assert taken.read_bytes() == b"mine"
    images.save(taken, torch.rand(3, 4, 4), overwrite=True)
    assert images.read_image(taken).shape == (1, 3, 4, 4)


def test_a_folder_that_takes_no_file_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read_only(**options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(ImageError, match=r"a\.png: the folder .* cannot be written to \(Read-only file system\)"):
        images.check_writable(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".exr", ".hdr"])
def test_nothing_stays_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"mine")

    def full_disk(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(ImageError, match="No space left"):
        images.save(target, torch.rand(3, 4, 4), overwrite=True)
    assert target.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [target]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gdpkit.images import writing

    monkeypatch.setattr(writing, "check_writable", lambda *args, **options: None)
    target = tmp_path / "a.png"
    target.write_bytes(b"theirs")

    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    for _ in range(2):  # with hard links, then on a file system without
        with pytest.raises(ImageError, match="exists already"):
            images.save(target, torch.rand(3, 4, 4))
        assert target.read_bytes() == b"theirs" and list(tmp_path.iterdir()) == [target]
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    images.save(tmp_path / "b.png", torch.rand(3, 4, 4))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    images.save(tmp_path / "link.png", torch.rand(3, 4, 4), overwrite=True)
    assert (tmp_path / "link.png").is_symlink() and images.read_image(tmp_path / "real.png").shape == (1, 3, 4, 4)
