"""`hdr`: exposures are merged, aligned and freed of ghosts; ratios are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from gdpkit_hdr import Hdr, alignment, bracket, motion, response, tone
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import gdpkit
from gdpkit import Problem, Restoration, Result, images
from gdpkit.cli import main
from gdpkit.degradations.expose import Expose
from gdpkit.testing import check_task

Array = NDArray[Any]
HEIGHT, WIDTH = 80, 104
STOPS = (-2.0, 0.0, 2.0)


def scene(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """Radiance of about nine stops: a bright sky, a dark half, textured and coloured."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (height, width, 3)).astype(np.float32)
    texture = sum(cv2.GaussianBlur(coarse, (0, 0), s) * s for s in (1.5, 4.0))
    base = np.linspace(-4.5, 2.5, width)[None, :, None] + 1.2 * texture
    light: Array = (0.18 * 2.0 ** np.clip(base, -6, 3)).astype(np.float32)
    return light


def encoded(light: Array) -> Array:
    return images.encode_srgb(torch.from_numpy(np.ascontiguousarray(light, np.float32))).numpy()


def exposed(light: Array, stops: float, sigma: float = 1.0, seed: int = 1) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed + int(10 * stops) + 100).normal(0, sigma, light.shape)
    levels: NDArray[np.uint8] = np.round(np.clip(255 * encoded(light * 2.0**stops) + noise, 0, 255)).astype(np.uint8)
    return levels


def written(folder: Path, pictures: list[NDArray[np.uint8]], times: list[float] | None = None) -> tuple[Path, ...]:
    """The exposures as PNG files, with EXIF where times are given."""
    paths = []
    for k, picture in enumerate(pictures):
        path = folder / f"e{k}.png"
        exif = Image.Exif()
        if times is not None:
            exif[0x8769] = {0x829A: IFDRational(times[k]), 0x8827: 100, 0x829D: IFDRational(8.0)}
        Image.fromarray(picture).save(path, exif=exif)
        paths.append(path)
    return tuple(paths)


def bracket_files(folder: Path, **how: Any) -> tuple[Path, ...]:
    light = scene()
    return written(folder, [exposed(light, s) for s in STOPS], **how)


def merged(files: tuple[Any, ...], **parameters: Any) -> Restoration:
    return gdpkit.restore("hdr", exposures=files, **{"prior": "tv", "steps": 2, "device": "cpu", **parameters})


def notes(problem: Problem) -> tuple[str, ...]:
    assert problem.source is not None
    return problem.source.notes


def ratios(result: Restoration) -> list[float]:
    """Fitted f of the outer exposures over that of the middle one, whose f is the unit."""
    return [float(np.exp(u.ravel()[0])) for name, u in sorted(result.unknowns.items()) if name.endswith("log_gain")]


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    check_task(Hdr(exposures=bracket_files(tmp_path)))


def test_a_bracket_without_times_is_merged_to_its_radiance(tmp_path: Path) -> None:
    """In any order; the darkest alone is 20 times as far from the truth in the dark, the brightest has no sky."""
    files = bracket_files(tmp_path)
    result = merged((files[2], files[0], files[1]))
    radiance, truth = result.radiance, scene()
    assert radiance is not None
    seen = (encoded(truth * 4) > 0.08) & (encoded(truth / 4) < 0.9)
    ratio = radiance / truth
    scale = float(np.median(ratio[seen]))
    off = np.abs(np.log(ratio[seen] / scale))
    assert float(np.median(off)) < 0.03
    assert float(np.quantile(off, 0.95)) < 0.15
    low, high = ratios(result)
    assert high / low == pytest.approx(16, rel=0.05)
    assert any("no exposure times are known" in note for note in result.notes)
    assert result.image.shape == truth.shape


def test_noise_is_less_than_in_the_exposures(tmp_path: Path) -> None:
    """Of what the shortest exposure alone shows, whose noise is 5 levels."""
    light = scene()
    files = written(tmp_path, [exposed(light, s, sigma=5.0) for s in STOPS])
    radiance = merged(files, prior=None, steps=4).radiance
    assert radiance is not None
    alone = (encoded(light) > 0.99) & (encoded(light / 4) < 0.85)
    assert alone.mean() > 0.005
    scale = float(np.median(radiance / light))
    noisy = np.abs(exposed(light, -2.0, sigma=5.0) / 255 - encoded(light / 4))[alone].mean()
    assert np.abs(encoded(radiance / scale / 4) - encoded(light / 4))[alone].mean() < 0.9 * noisy


def test_radiance_is_written_and_other_libraries_read_it(tmp_path: Path) -> None:
    import OpenEXR

    result = merged(bracket_files(tmp_path, times=[1 / 60, 1 / 15, 1 / 4]))
    assert result.radiance is not None
    assert result.radiance.max() > 1.2  # brighter than the white of the middle exposure
    result.save(tmp_path / "scene.exr")
    exact = OpenEXR.File(str(tmp_path / "scene.exr")).channels()["RGB"].pixels
    np.testing.assert_array_equal(exact, result.radiance)
    result.save(tmp_path / "shared.hdr")
    shared = np.asarray(cv2.imread(str(tmp_path / "shared.hdr"), cv2.IMREAD_UNCHANGED))[..., ::-1]
    np.testing.assert_allclose(shared, result.radiance, rtol=0.02, atol=0.02)
    assert "0.light" in result.unknowns and not list(tmp_path.glob("*.npy"))  # a map of stray light serves nobody
    assert not any("exposure times" in note for note in result.notes)
    assert result.image.max() <= 1


def test_a_handheld_bracket_is_aligned_to_the_middle_and_not_cropped(tmp_path: Path) -> None:
    large = scene(height=HEIGHT + 40, width=WIDTH + 40)
    pictures = []
    for stops, (dx, dy, turn) in zip(STOPS, [(7, -4, 1.0), (0, 0, 0), (-6, 5, -0.8)], strict=True):
        warp = cv2.getRotationMatrix2D(((WIDTH + 40) / 2, (HEIGHT + 40) / 2), turn, 1)
        warp[:, 2] += dx, dy
        moved = cv2.warpAffine(large, warp, large.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        pictures.append(exposed(moved.clip(1e-4)[20:-20, 20:-20], stops))
    floats = [(p / 255).astype(np.float32) for p in pictures]
    placed = alignment.align(floats, 1)
    truth = large[20:-20, 20:-20]
    for k in (0, 2):
        both = (encoded(truth * 2.0 ** STOPS[k]) > 0.1) & (encoded(truth * 2.0 ** STOPS[k]) < 0.9)
        both &= placed[k].valid[..., None]
        error = np.abs(placed[k].image - encoded(truth * 2.0 ** STOPS[k]))[both].mean()
        before = np.abs(floats[k] - encoded(truth * 2.0 ** STOPS[k]))[both].mean()
        assert error < 0.35 * before
    files = written(tmp_path, pictures)
    problem = Hdr(exposures=files).problem()
    assert problem.observations[0].image.shape == (1, 3, HEIGHT, WIDTH)
    assert any("the camera moved" in note for note in notes(problem))
    assert not any("the camera moved" in note for note in notes(Hdr(exposures=files, align=False).problem()))


def test_a_shift_of_less_than_a_pixel_loses_no_line_at_the_end() -> None:
    """The noise of the darkest exposure alone would be a line of colours there."""
    large = scene(height=2 * HEIGHT + 8, width=2 * WIDTH + 8)
    still, moved = (
        cv2.resize(large[y : y + 2 * HEIGHT, y : y + 2 * WIDTH], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        for y in (0, 1)
    )
    frames = [(exposed(p, s, sigma=0.5) / 255).astype(np.float32) for p, s in ((still, 0.0), (moved, 1.0))]
    placed = alignment.align(frames, 0)[1]
    assert placed.shift == pytest.approx((-0.5, -0.5), abs=0.15)
    assert placed.valid.all()


def test_a_picture_larger_than_the_finest_level_is_aligned_too() -> None:
    light = scene(height=220, width=1720)
    frames = [
        (exposed(light[10 + y : 210 + y, 10 + x : 1710 + x], s, sigma=0.5) / 255).astype(np.float32)
        for s, x, y in ((0.0, 0, 0), (1.0, 6, -4))
    ]
    assert max(frames[0].shape) > alignment.FINEST
    assert alignment.align(frames, 0)[1].shift == pytest.approx((-6, 4), abs=0.3)


def test_a_large_frame_that_is_mostly_dark_noise_is_aligned() -> None:
    """Fine noise fills most of what both see; what is larger tells the shift all the same."""
    light = scene(height=500, width=1000)
    light[:, 100:] = 0.01 * (light[:, 100:] / light[:, 100:].mean()) ** 0.2
    frames = [
        (exposed(light[10 + y : 490 + y, 10 + x : 990 + x], s, sigma=4.0) / 255).astype(np.float32)
        for s, x, y in ((0.0, 0, 0), (2.0, 5, -4))
    ]
    placed = alignment.align(frames, 0)[1]
    assert placed.trusted
    assert placed.shift == pytest.approx((-5, 4), abs=0.5)


def test_a_nearly_black_frame_of_a_tripod_is_not_moved() -> None:
    """Where `cv2.AlignMTB` answers with its largest shift."""
    light = scene()
    frames = [(exposed(light, s, sigma=0.5) / 255).astype(np.float32) for s in (-9.0, 0.0, 2.0)]
    assert max(max(map(abs, p.shift)) for p in alignment.align(frames, 1)) < 1


def test_what_moves_is_taken_from_the_middle_alone(tmp_path: Path) -> None:
    pictures, lights = [], []
    for k, stops in enumerate(STOPS):
        light = scene()
        light[30:50, 20 + 30 * k : 40 + 30 * k] = 0.4
        lights.append(light)
        pictures.append(exposed(light, stops))
    result = merged(written(tmp_path, pictures, times=[1.0, 4.0, 16.0]))
    radiance = result.radiance
    assert radiance is not None
    for k in (0, 2):  # where only the outer exposures show the thing
        place = (slice(33, 47), slice(23 + 30 * k, 37 + 30 * k))
        off = np.abs(np.log(radiance[place] / lights[1][place]))
        assert float(np.median(off)) < 0.25
    assert any("something moved" in note for note in result.notes)


def test_nothing_moves_in_a_still_scene() -> None:
    light = scene()
    frames = [(exposed(light, s, sigma=2.0) / 255).astype(np.float32) for s in STOPS]
    alike = [encoded(response.decoded(f) / 2.0**s) for f, s in zip(frames, STOPS, strict=True)]
    found = motion.moved(frames, alike, [np.ones(f.shape[:2], bool) for f in frames], 1)
    assert max(float(m.mean()) for m in found) < 0.01


def test_the_response_of_a_camera_is_found_when_times_are_known() -> None:
    """A curve of more contrast than sRGB's, which alone would make the steps look like 2.6 stops."""
    light = scene()
    frames = [(encoded(light * 2.0**s) ** 1.3).astype(np.float32) for s in STOPS]
    frames = [(np.round(255 * f) / 255).astype(np.float32) for f in frames]
    fit = response.fit(frames, [np.ones(f.shape[:2], bool) for f in frames], STOPS, [1 / 255] * 3)
    merged_light = [fit.response.light(f) / 2.0**s for f, s in zip(frames, STOPS, strict=True)]
    both = (frames[0] > 0.15) & (frames[2] < 0.9)
    ratio = np.log(merged_light[2][both] / merged_light[0][both])
    assert float(np.abs(ratio).mean()) < 0.08


def test_times_that_contradict_the_pixels_are_not_followed(tmp_path: Path) -> None:
    """A camera that wrote one time into all files."""
    result = merged(bracket_files(tmp_path, times=[0.1, 0.1, 0.1]))
    low, high = ratios(result)
    assert high / low == pytest.approx(16, rel=0.05)
    assert any("by the files, but the pixels say" in note for note in result.notes)
    told = Hdr(exposures=bracket_files(tmp_path), times=(1.0, 1.1, 1000.0)).problem()
    assert any("by --times" in note for note in notes(told))


def test_times_are_followed_where_the_pixels_tell_nothing(tmp_path: Path) -> None:
    """The second of three contradicts its time; the third shares no pixel with them."""
    light = np.full((HEIGHT, WIDTH, 3), 0.0005, np.float32)
    light[:, WIDTH // 2 :] = 0.2 * 2.0 ** np.random.default_rng(0).uniform(-1, 1, (HEIGHT, WIDTH // 2, 3))
    files = written(tmp_path, [exposed(light, s) for s in (0.0, 1.0, 9.0)])
    made, _, told = bracket.prepare(files, (1.0, 16.0, 512.0), align=False, half=False)
    assert made.fit.seen == (True, False)
    assert np.diff(made.fit.stops) == pytest.approx([1.0, 5.0], abs=0.05)
    assert any("but the pixels say" in note for note in told)


def test_files_of_which_one_has_no_time_are_told(tmp_path: Path) -> None:
    files = bracket_files(tmp_path, times=[0.01, 0.04, 0.16])
    Image.fromarray(exposed(scene(), 2.0)).save(files[2])
    assert any("e2.png tells no exposure time" in note for note in notes(Hdr(exposures=files).problem()))


def test_a_black_middle_exposure_changes_little(tmp_path: Path) -> None:
    light = scene()
    pictures = [exposed(light, s) for s in STOPS]
    whole = merged(written(tmp_path, pictures))
    without = merged(written(tmp_path, [pictures[0], np.zeros_like(pictures[1]), pictures[2]]))
    seen = [(p > 13) & (p < 242) for p in (pictures[0], pictures[2])]
    known = seen[0] | seen[1]
    assert 255 * float(np.abs(whole.image - without.image)[known].mean()) < 2
    assert any("holds nothing but black" in note for note in without.notes)


def test_one_exposure_is_accepted(tmp_path: Path) -> None:
    files = bracket_files(tmp_path)
    result = merged(files[1:2])
    assert result.image.shape == (HEIGHT, WIDTH, 3)
    assert result.radiance is not None and result.radiance.max() >= 0.99


def test_every_tone_reaches_the_target(tmp_path: Path) -> None:
    """Of the radiance of the middle exposure."""
    problem = Hdr(exposures=bracket_files(tmp_path)).problem()
    middle = problem.observations[1]
    assert isinstance(middle.degradation, Expose)
    result = Result(middle.degradation.inverse(middle.image).clamp(0, 1), {}, problem)
    for how in ("fusion", "photographic", "log", "reference"):
        picture = Hdr(exposures=(Path("a.png"),), tone=how, target=0.5).finish(result)
        assert float(picture.mean()) == pytest.approx(0.5, abs=0.03), how


def test_fusion_shows_what_each_exposure_shows() -> None:
    """Detail that one exposure alone has is in the result, and one exposure is itself."""
    light = scene()
    frames = [encoded(light * 2.0**s) for s in STOPS]
    fused = tone.fused(frames)
    dark, bright = fused[:, :20].std(), fused[:, -20:].std()
    assert dark > frames[0][:, :20].std()
    assert bright > 2 * frames[2][:, -20:].std()
    np.testing.assert_array_equal(tone.fused(frames[:1]), frames[0])


def test_the_papers_preset_is_the_papers_sampler(tmp_path: Path) -> None:
    result = merged(bracket_files(tmp_path), preset="paper", steps=3)
    assert (result.record["sampler"], result.record["network_evaluations"]) == ("gdp", 3)
    assert np.isfinite(result.image).all()


def test_sixteen_bits_stay(tmp_path: Path) -> None:
    import tifffile

    light = scene()
    paths = []
    for k, stops in enumerate(STOPS):
        paths.append(tmp_path / f"deep{k}.tif")
        tifffile.imwrite(paths[-1], np.round(65535 * encoded(light * 2.0**stops)).astype(np.uint16), photometric="rgb")
    merged(tuple(paths)).save(tmp_path / "out.tif")
    assert tifffile.imread(tmp_path / "out.tif").dtype == np.uint16


def test_the_command_takes_several_files_and_times(tmp_path: Path) -> None:
    files = [str(f) for f in bracket_files(tmp_path)]
    out = tmp_path / "out.exr"
    options = ["--times", "1/30", "2/15", "0.5333", "--prior", "tv", "--steps", "2", "-o", str(out)]
    assert main(["run", "hdr", "--exposures", *files, *options]) == 0
    assert images.read_linear(out).shape == (1, 3, HEIGHT, WIDTH)


def test_radiance_is_not_toned_and_a_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(f) for f in bracket_files(tmp_path)]
    command = ["run", "hdr", "--exposures", *files, "--prior", "tv", "--steps", "2"]
    plain, toned = tmp_path / "plain.hdr", tmp_path / "toned.exr"
    assert main([*command, "-o", str(plain)]) == 0
    assert "does nothing" not in capsys.readouterr().err
    assert main([*command, "--tone", "photographic", "--target", "0.5", "-o", str(toned)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "toned.exr holds radiance, for which --tone photographic --target 0.5 does nothing" in told
    torch.testing.assert_close(images.read_linear(toned), images.read_linear(plain), rtol=0.02, atol=0.02)
    assert main([*command, "--tone", "photographic", "-o", str(tmp_path / "toned.png")]) == 0
    assert "does nothing" not in capsys.readouterr().err
