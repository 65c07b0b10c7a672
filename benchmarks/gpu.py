"""What a GPU makes of the networks: ADM-256 beside a plain float16 forward in the style of the reference, and ours.

python benchmarks/gpu.py [--batch 8] [--size 256] [--calls 20] [--no-compile]

The plain one has its convolutions in float16, the rest in float32, contiguous channels, and attention as two products
with a softmax in float32 between them; both have the same random weights. Without CUDA it says so and measures nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import click
import torch
from torch import Tensor

import gdpkit
from gdpkit.priors import adm, compiling
from gdpkit.priors.adm_network import AdmNetwork, AttentionBlock

FLAGS = {"image_size": 256, "num_channels": 256, "num_res_blocks": 2, "num_head_channels": 64, "learn_sigma": True,
         "attention_resolutions": "32,16,8", "resblock_updown": True, "use_scale_shift_norm": True}  # fmt: skip


def plain_attention(block: AttentionBlock, x: Tensor) -> Tensor:
    flat = x.flatten(2)
    layout = (3, block.heads, -1) if block.new_order else (block.heads, 3, -1)
    q, k, v = block.qkv(block.norm(flat)).unflatten(1, layout).unbind(1 if block.new_order else 2)
    scale = q.shape[2] ** -0.25
    weights = torch.einsum("bhct,bhcs->bhts", q * scale, k * scale).float().softmax(-1).to(q.dtype)
    attended = torch.einsum("bhts,bhcs->bhct", weights, v).flatten(1, 2)
    out: Tensor = x + block.proj_out(attended).view_as(x)
    return out


def a_second(network: Callable[..., Tensor], x: Tensor, t: Tensor, calls: int) -> float:
    for _ in range(3):
        network(x, t)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(calls):
        network(x, t)
    torch.cuda.synchronize()
    return calls * len(x) / (time.perf_counter() - started)


@click.command()
@click.option("--batch", default=8, show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--calls", default=20, show_default=True)
@click.option("--compile/--no-compile", "compiled", default=True, help="Compiling takes a minute or two each.")
def main(batch: int, size: int, calls: int, compiled: bool) -> None:
    """Print evaluations of one image a second."""
    if not torch.cuda.is_available():
        click.echo("There is no CUDA device here: nothing was measured.")
        return
    device = torch.device("cuda")
    click.echo(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, {batch} of {size}x{size} at once")
    x, t = torch.randn(batch, 3, size, size, device=device), torch.full((batch,), 500, device=device)

    def network(**flags: object) -> AdmNetwork:
        return adm.build(adm.AdmConfig.from_flags({**FLAGS, **flags})).to(device).eval().requires_grad_(False)

    with torch.no_grad():
        ours, forward = network().to(torch.bfloat16), AttentionBlock.forward
        ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ours.compute = torch.bfloat16
        AttentionBlock.forward = plain_attention  # type: ignore[assignment, method-assign]
        base = a_second(network(use_fp16=True), x, t, calls)
        AttentionBlock.forward = forward  # type: ignore[method-assign]
        click.echo(f"ADM-256, plain float16     {base:8.1f} a second")
        for name, how in (("as it is", nullcontext()), ("compiled", compiling.at_once()))[: 1 + compiled]:
            with how:
                found = a_second(lambda x, t: compiling.evaluated(ours, x, t), x, t, calls)
            click.echo(f"ADM-256, bfloat16, {name}{found:8.1f} a second, {found / base:.2f} times as many")
        prior = gdpkit.load_prior(device="cuda")
        for name, how in (("as it is", nullcontext()), ("compiled", compiling.at_once()))[: 1 + compiled]:
            with how:
                found = a_second(lambda x, t: prior.denoise(x, 0.1).clean, x, t, calls)
            click.echo(f"embedded, float16, {name}{found:8.1f} a second")
        for note in compiling.notes():
            click.echo(f"Note: {note}")


if __name__ == "__main__":
    main()
