"""What pairs of exposures say of the response and the ratios, and what is most likely of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr.curves import BENDS, basis, decoded

POWERS = np.exp(np.linspace(np.log(0.45), np.log(1.5), 25))
"""Of light as the most likely curve tells it, among which that of a camera is sought that tells no times."""
USUAL, RARE = 0.85, 0.35  # such a power, and the deviation of its logarithm: cameras add contrast
TOLD = 1000  # samples that count where the power is sought: neighbouring cells are not independent
WHOLE = 0.3  # stops from whole ones; where all guessed steps are nearer, their sum is taken for whole
ROUNDS = 8
SETTLED = 1e-5  # of a logarithm of light: solutions that move less stand still

Solved = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]
"""Bends, logs, balance and spread as of `response.Fit`."""


@dataclass(frozen=True, eq=False)
class Equations:
    """What every pair of values says: matrix @ unknowns = target, each to within its size.

    ratio: the logarithm of the one value over the other, which a plain power of light only scales.

    The unknowns are the bends, the log of each exposure, and the balance of two channels of each against green.
    """

    count: int
    matrix: NDArray[np.float64]
    target: NDArray[np.float64]
    ratio: NDArray[np.float64]
    size: NDArray[np.float64]


def equations(
    rows: Sequence[tuple[int, int, int, NDArray[np.float64], NDArray[np.float64]]], count: int, noise: Sequence[float]
) -> Equations:
    """Of rows: two exposures, a channel, and the values of samples in the one and in the other.

    noise: deviation of each exposure, in encoded units.
    """
    matrix = np.zeros((sum(len(low) for *_, low, _ in rows), BENDS + 3 * count))
    targets, ratios, sizes = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    start = 0
    for j, k, c, low, high in rows:
        block = matrix[start : start + len(low)]
        start += len(low)
        block[:, :BENDS] = basis(high) - basis(low)
        block[:, BENDS + j], block[:, BENDS + k] = 1, -1
        if c != 1:
            at = BENDS + count + (c // 2) * count
            block[:, at + j], block[:, at + k] = 1, -1
        targets.append(np.log(decoded(low)) - np.log(decoded(high)))
        ratios.append(np.log(low / high))
        sizes.append(np.hypot(2.2 / low * noise[j], 2.2 / high * noise[k]) + 0.03)
    return Equations(count, matrix, *(np.concatenate(parts) for parts in (targets, ratios, sizes)))


def ridge_of(hold: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse covariance of bends, logs and balances before any pixel is seen."""
    bends = len(precision)
    ridge = np.diag(np.concatenate([np.zeros(bends), hold, np.full(2 * len(hold), 1 / 0.05**2)]))
    ridge[:bends, :bends] = precision
    return ridge


def trust_of(misfit: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root of a weight: what is many times farther off than most moved."""
    trust: NDArray[np.float64] = 1 / (1 + (misfit / max(1.0, 2 * float(np.median(misfit)))) ** 2)
    return trust


def solve(
    told: Equations,
    gauge: NDArray[np.float64],
    hold: NDArray[np.float64],
    centre: NDArray[np.float64],
    precision: NDArray[np.float64] | None,
) -> Solved:
    """Bends, logs, balance and spread as of `Fit`.

    gauge: what the logs are near to, with a precision of `hold`, (K,).
    centre: what the bends are near to, (BENDS,), with `precision`, (BENDS, BENDS); where that is None they are these.
    """
    count, size = told.count, told.size
    if not len(size):
        return np.zeros(BENDS), gauge, np.zeros((count, 3)), 0.0
    target = told.target - told.matrix[:, :BENDS] @ centre
    first = BENDS if precision is None else 0
    matrix = told.matrix if not first else np.ascontiguousarray(told.matrix[:, BENDS:])
    ridge = ridge_of(hold, np.zeros((0, 0)) if precision is None else precision)
    near = np.zeros(len(ridge))
    near[BENDS - first : BENDS - first + count] = gauge
    share = min(1.0, 3000 / len(target))  # neighbouring cells are not independent: they do not outvote the ridge
    solution: NDArray[np.floating] = near
    root = math.sqrt(share) / size  # of the weights: a product with its own transpose is the quicker one
    trust = np.ones(len(target))
    residual = np.abs(target)
    for _ in range(ROUNDS):
        w = trust * root
        weighed = matrix * w[:, None]
        before = solution
        solution = np.linalg.solve(weighed.T @ weighed + ridge, weighed.T @ (w * target) + ridge @ near)
        residual = np.abs(matrix @ solution - target)
        if np.abs(solution - before).max() < SETTLED:
            break
        trust = trust_of(residual / size)
    found = np.concatenate([np.zeros(first), solution])
    balance = np.zeros((count, 3))
    balance[:, 0], balance[:, 2] = found[BENDS + count :].reshape(2, count)
    balance -= balance.mean(axis=1, keepdims=True)
    return centre + found[:BENDS], found[BENDS : BENDS + count], balance, float(np.median(residual))


def apart(solved: Solved) -> float:
    """How far exposures are apart after a fit: in proportion, for a smaller range makes every distance smaller."""
    _, logs, _, spread = solved
    return spread / max(float(np.ptp(logs)), 1e-6)


def guessed(
    told: Equations, hold: NDArray[np.float64], centre: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The logs of exposures that nothing tells but the pixels and what curves are likely.

    The likeliest power of those that the mean curve tells: for each, the bends that it needs are found and judged.
    Where all steps are near to whole stops, as cameras make them, their sum is taken for whole.
    """
    count, target = told.count, told.target - told.matrix[:, :BENDS] @ centre
    logs = solve(told, np.zeros(count), np.full(count, 1e-6), centre, None)[1]
    if not len(target) or count < 2 or np.ptp(logs) < 0.1:
        return logs
    solved = solve(told, logs, hold, centre, precision)
    unknowns = np.concatenate([solved[0] - centre, solved[1], (solved[2] - solved[2][:, 1:2])[:, ::2].T.ravel()])
    root = trust_of(np.abs(told.matrix @ unknowns - target) / told.size) / told.size
    root *= math.sqrt(min(1.0, TOLD / len(target)))
    weighed, wanted = told.matrix * root[:, None], target * root
    normal, toward, whole = weighed.T @ weighed, weighed.T @ wanted, float(wanted @ wanted)
    ridge = ridge_of(hold, precision)
    losses = []
    for power in POWERS:
        start = np.zeros(len(ridge))
        start[BENDS : BENDS + count] = power * logs
        x = np.linalg.solve(normal / power**2 + ridge, toward / power**2 + ridge @ start)
        misfit = (x @ normal @ x - 2 * x @ toward + whole) / power**2
        losses.append(misfit + (x - start) @ ridge @ (x - start) + (math.log(power / USUAL) / RARE) ** 2)
    at = int(np.argmin(losses))
    logs = float(POWERS[at]) * logs
    if 0 < at < len(POWERS) - 1:  # the lowest point of the parabola through three
        low, middle, high = losses[at - 1 : at + 2]
        share = (low - high) / max(2 * (low - 2 * middle + high), 1e-12)
        logs = logs * math.exp(share * math.log(POWERS[1] / POWERS[0]))
    steps = np.diff(logs) / np.log(2)
    stepped = np.round(steps)
    if (np.abs(steps - stepped) < WHOLE).all() and stepped.min() >= 1:
        logs = logs * (stepped.sum() / steps.sum())
    return logs
