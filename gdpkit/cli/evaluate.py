"""`gdpkit eval`: what pictures score against what they should be."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gdpkit import options, params, registry, report
from gdpkit.cli import files
from gdpkit.cli.base import Command
from gdpkit.errors import GdpkitError, ImageError, did_you_mean
from gdpkit.params import Declared, Param

if TYPE_CHECKING:
    from gdpkit.components import Metric
    from gdpkit.evaluation.measuring import Comparison
    from gdpkit.evaluation.tables import Results

PROTOCOLS = ("gdp-imagenet",)

_HELP = """
Measure pictures against what they should be.

OUTPUTS are files or folders. Each is compared with the picture of its name in --reference, --input and --exposures:
b_sr.png, as gdpkit run names it, with b.jpg or b_sr.jpg. A single file is compared with every output.

With --protocol gdp-imagenet, OUTPUTS are photographs instead: each is made 256x256, degraded as in the tables of the
GDP paper (reduced 4 times, blurred, 25 % of its pixels lost, without colour), restored, and measured beside the
published rows. All pictures are kept in the folder -o, and the same command goes on after an interruption.
"""


def eval_command() -> click.Command:
    """The command `gdpkit eval`."""
    file = options.File()
    stage = "The chain that made the input, for metrics of the picture degraded again; first stage first. Repeatable."
    metric = "NAME[:key=value,...]; repeatable. See gdpkit list metrics.  [default: psnr and ssim]"
    exposures = "The bracket the output was made from: files, or a folder, or a folder of folders for several outputs."
    out = "Also write the results: a .csv or .json file. With --protocol the folder of the pictures."
    settings = (
        Declared("prior", str, None, Param("The diffusion prior: NAME[:key=value,...], or a checkpoint's FILE.")),
        Declared("sampler", str, None, Param("How images are drawn from the prior: NAME[:key=value,...].")),
        Declared("steps", int, None, Param("Steps of the sampler.", min=1)),
        Declared("seed", int, None, Param("Seed of the noise.", min=0)),
        Declared("device", str, None, Param("auto, cpu, cuda or cuda:N.")),
    )
    task = "Only this of sr, deblur, inpaint and colorize; repeatable."
    return Command(
        "eval",
        _eval,
        help=_HELP,
        examples=(
            "gdpkit eval restored/ --reference originals/ --metric psnr --metric ssim",
            "gdpkit eval scene.png --exposures a.jpg b.jpg c.jpg --metric mef-ssim",
            "gdpkit eval photos/ --protocol gdp-imagenet -o trial",
        ),
        own=[
            click.Argument(["outputs"], type=file, nargs=-1, required=True),
            click.Option(["--reference"], type=file, metavar="TRUTHS", help="The truth: a file or a folder."),
            click.Option(["--input"], type=file, metavar="INPUTS", help="What was restored: a file or a folder."),
            click.Option(["--exposures"], type=file, multiple=True, metavar="FILE...", help=exposures),
            click.Option(["metrics", "-m", "--metric"], multiple=True, metavar="METRIC", help=metric),
            click.Option(["stages", "-d", "--degradation"], multiple=True, metavar="STAGE", help=stage),
            click.Option(["out", "-o", "--output"], type=file, metavar="OUT", help=out),
            click.Option(["as_csv", "--csv"], is_flag=True, help="Print CSV, and only that."),
            click.Option(["as_json", "--json"], is_flag=True, help="Print JSON, and only that."),
            click.Option(["--overwrite"], is_flag=True, help="Replace a file that exists; start a protocol anew."),
        ],
        common=[
            click.Option(["--protocol"], metavar="NAME", help=f"Degrade, restore and measure: {', '.join(PROTOCOLS)}."),
            click.Option(["tasks", "-t", "--task"], multiple=True, metavar="TASK", help=task),
            *(options.option(declared) for declared in settings),
        ],
        title="Options of --protocol",
    )


def _eval(
    outputs: tuple[Path, ...],
    *,
    protocol: str | None,
    metrics: tuple[str, ...],
    stages: tuple[str, ...],
    out: Path | None,
    as_csv: bool,
    as_json: bool,
    overwrite: bool,
    tasks: tuple[str, ...],
    reference: Path | None,
    input: Path | None,
    exposures: tuple[Path, ...],
    **settings: Any,
) -> None:
    if as_csv and as_json:
        raise GdpkitError("--csv and --json both ask for standard output; use -o FILE.csv for one of them")
    for spec in metrics:
        _known(spec)
    given = options.given(settings)
    if protocol is None:
        if given or tasks:
            raise GdpkitError(f"--{next(iter(given), 'task')} is about restoring, so it needs --protocol")
        _check_output(out, overwrite)
        results = _compared(outputs, metrics, stages, reference, input, exposures)
        _print(results, as_csv, as_json)
        if out is not None:
            _write(out, results, overwrite)
        _finish(results)
        return
    if protocol not in PROTOCOLS:
        raise GdpkitError(f"--protocol: unknown protocol {protocol!r}.{did_you_mean(protocol, PROTOCOLS)}")
    others = {"--reference": reference, "--input": input, "--exposures": exposures, "-d": stages}
    for option, value in others.items():
        if value:
            raise GdpkitError(f"{option} and --protocol exclude each other: the protocol makes its own inputs")
    from gdpkit.cli import protocols

    protocols.run(outputs, metrics, tasks, out, given, overwrite=overwrite, as_csv=as_csv, as_json=as_json)


def _known(spec: str) -> None:
    """Fail on a metric that there is not, before torch is loaded."""
    name = params.parse(spec)[0]
    if name not in registry.load().names("metrics") and Path(spec).exists():
        raise GdpkitError(f"--metric {spec}: this is a file; name a metric, such as psnr, and put OUTPUTS first")
    registry.load().get("metrics", name)


def _compared(
    outputs: Sequence[Path],
    specs: Sequence[str],
    stages: Sequence[str],
    reference: Path | None,
    input: Path | None,
    exposures: Sequence[Path],
) -> Results:
    if not specs and reference is None:
        raise GdpkitError("nothing to measure: give --reference TRUTHS, or --metric, e.g. --metric niqe")
    from gdpkit.evaluation import measuring

    metrics = _metrics(specs or ("psnr", "ssim"))
    given = {"truth": reference, "input": input, "exposures": exposures}
    measuring.check(metrics, {kind for kind, value in given.items() if value}, bool(stages))
    unused = [measuring.OPTIONS[kind] for kind, value in given.items() if value and not _uses(metrics, kind)]
    unused += ["-d"] if stages and not any(one.degraded for one in metrics.values()) else []
    if unused:
        report.warn(f"Note: no metric here is about {' or '.join(unused)}; --metric names others")
    degradation = registry.chain(stages) if stages else None
    comparisons = _comparisons(outputs, reference, input, exposures)

    def on_error(comparison: Comparison, error: Exception) -> str:
        about = "" if str(comparison.output) in str(error) else f"{comparison.output.name}: "
        report.failure(error, debug=bool(click.get_current_context().obj), about=about)
        return report.explain(error)[0]

    # A component may print; standard output belongs to results.
    with redirect_stdout(sys.stderr):
        if len(comparisons) == 1:
            try:
                return measuring.evaluate(metrics, comparisons, degradation)
            except ImageError as error:
                if str(comparisons[0].output) in str(error):
                    raise
                raise ImageError(f"{comparisons[0].output}: {error}") from error
        with report.counting("eval", "picture") as show:
            return measuring.evaluate(metrics, comparisons, degradation, show, on_error)


def _uses(metrics: Mapping[str, Metric], kind: str) -> bool:
    return any(one.reference == kind for one in metrics.values())


def _metrics(specs: Sequence[str]) -> dict[str, Metric]:
    from gdpkit.evaluation import measuring

    return {spec: measuring.metric(spec) for spec in dict.fromkeys(specs)}


def _comparisons(
    outputs: Sequence[Path], reference: Path | None, input: Path | None, exposures: Sequence[Path]
) -> list[Comparison]:
    from gdpkit.evaluation import pairing
    from gdpkit.evaluation.measuring import Comparison

    found, _ = files.expand(outputs)
    for option, paths in (("--reference", [reference]), ("--input", [input]), ("--exposures", exposures)):
        for path in paths:
            if path is not None and not path.exists():
                near = get_close_matches(path.name, (p.name for p in path.parent.glob("*")), n=1)
                hint = f". Did you mean {near[0]!r}?" if near else ""
                raise GdpkitError(f"{option} {path}: there is no such file or folder{hint}")
    endings = {*registry.load().names("tasks"), "degraded"}

    def partners(given: Path | None, option: str) -> Sequence[Path | None]:
        if given is None or not given.is_dir():
            return [given] * len(found)
        return pairing.paired(found, files.expand([given])[0], endings, f"{option} {given}")

    truths, inputs = partners(reference, "--reference"), partners(input, "--input")
    brackets = pairing.brackets(found, *_brackets(exposures), endings)
    return [Comparison(*four) for four in zip(found, truths, inputs, brackets, strict=True)]


def _brackets(exposures: Sequence[Path]) -> tuple[list[Path], dict[str, list[Path]]]:
    """The exposures of one bracket, and brackets by the name of their folder."""
    if len(exposures) != 1 or not exposures[0].is_dir():
        return (files.expand(exposures)[0] if exposures else []), {}
    inside = sorted(path for path in exposures[0].iterdir() if path.is_dir() and not path.name.startswith("."))
    if not inside:
        return files.expand(exposures)[0], {}
    return [], {folder.name: files.expand([folder])[0] for folder in inside}


def _check_output(out: Path | None, overwrite: bool) -> None:
    """Raise now what would spoil the results after the work."""
    if out is None:
        return
    if out.suffix.lower() not in (".csv", ".json"):
        raise ImageError(f"-o {out}: results are written as .csv or .json; let its name end so")
    if not out.parent.is_dir():
        raise ImageError(f"-o {out}: the folder {out.parent} does not exist; make it first")
    if out.exists() and not overwrite:
        raise ImageError(f"-o {out}: it exists already; --overwrite replaces it")


def _write(out: Path, results: Results, overwrite: bool) -> None:
    from gdpkit.atomic import whole_file

    content = results.csv() if out.suffix.lower() == ".csv" else json.dumps(results.record(), indent=2) + "\n"
    with whole_file(out, overwrite) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="surrogateescape")


def _print(results: Results, as_csv: bool, as_json: bool) -> None:
    if as_json:
        report.as_json(results.record())
    elif as_csv:
        click.echo(os.fsencode(results.csv()), nl=False)
    else:
        report.table(*results.table())


def _finish(results: Results) -> None:
    """The exit status where some pictures could not be measured: 1, or 2 where nothing could."""
    failed = sum(row.error is not None for row in results.rows)
    if failed:
        report.warn(f"{failed} of {len(results.rows)} could not be measured, or not by every metric.")
        nothing = failed == len(results.rows) and not any(row.values for row in results.rows)
        click.get_current_context().exit(2 if nothing else 1)
