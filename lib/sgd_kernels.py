"""SGD steps compiled for the CPU: `loss_gradient` and `sgd_step` of common.py for inputs that are mostly 0, as digits are.

Three of four pixels of a digit are 0, and a product that leaves them out takes a quarter of the operations. W is laid out
with neighbouring neurons side by side, so that one pixel meets many neurons at once, and what belongs to a block of
neurons stays in the caches. Results are those of common.py, up to rounding, and do not depend on the number of threads.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lib.guard import must_agree
from lib.pgd_kernels import COMPILED, compiled

import numpy as np
import torch

BLOCK = 512  # neurons
UNROLLED = 4  # pixels, or inputs, at a time


class SparseBatch(NamedTuple):
    """A batch of n inputs, by what is not 0 in it.

    by_input and by_pixel are lists in three arrays: where each input's (pixel's) entries begin, the pixel (input) of
    each entry, and its value. Entries of value 0 fill them up to whole UNROLLED.  on (n, m), sums (blocks, n): memory
    that the batches share, for which neurons are active and for the blocks' parts of f.
    """

    by_input: tuple
    by_pixel: tuple
    on: np.ndarray
    sums: np.ndarray


class SparseGradient(NamedTuple):
    """The gradient in W of the mean logistic loss, as `common.LossGradient`; it holds until the next one is taken."""

    a: np.ndarray
    slope: torch.Tensor
    batch: SparseBatch


class Descent(NamedTuple):
    """What SGD works on, in the form in which its steps are fastest; put_back gives net such a W."""

    W: torch.Tensor
    W0: torch.Tensor
    batches: list
    loss_gradient: Callable
    sgd_step: Callable
    put_back: Callable[[torch.Tensor], None]


@torch.no_grad()
def fastest(net, x: torch.Tensor, y: torch.Tensor, bs: int, dense_gradient, dense_step) -> Descent:
    """SGD by `common.loss_gradient` and `common.sgd_step`, the two last arguments, or compiled, on batches of bs of x, y.

    The weights of a pixel that is zero in every example never move. So W and W0 are those of the other pixels, and of
    those that have moved before. Raises RunError where the compiled steps are those of another network.
    """
    x = net.weighted_input(x)
    pixels = ((x != 0).any(dim=0) | (net.W != net.W0).any(dim=0)).nonzero().squeeze(1)
    W, W0, x = net.W[:, pixels], net.W0[:, pixels], x[:, pixels]

    def put_back(W):
        net.W.detach()[:, pixels] = W

    if not pays(x, net.width):
        return Descent(W, W0, x.split(bs), dense_gradient, dense_step, put_back)
    # Steps on a few examples and neurons, as far as the inputs are long: three, since one may depend on those before it.
    few_W, few_a, few_x, lr = W[:1024], net.a[:1024], x[:8], min(1024, net.width) ** 0.5
    dense, sparse = few_W.clone(), neurons_side_by_side(few_W)
    for _ in range(3):
        dense_step(dense, dense_gradient(dense, few_a, net.output_bias, few_x, y[:8]), lr)
        sgd_step(
            sparse, loss_gradient(sparse, few_a, net.output_bias, *sparse_batches(few_x, 8, len(few_a)), y[:8]), lr
        )
    unit = few_x.norm(dim=1).mean() + few_W.norm(dim=1).mean() / 100  # W rounds what it moves by
    must_agree(COMPILED, "loss_gradient and sgd_step", sparse - dense, unit)
    W, W0 = neurons_side_by_side(W), neurons_side_by_side(W0)
    return Descent(W, W0, sparse_batches(x, bs, net.width), loss_gradient, sgd_step, put_back)


def pays(x: torch.Tensor, m: int) -> bool:
    """Whether steps on x (n, d) are faster here than by dense products, which make more of threads where m is small."""
    if x.device.type != "cpu" or (m < 4096 and torch.get_num_threads() > 1):
        return False
    return 2 * (x != 0).sum().item() < x.numel() and compiled(_forward) is not None


def neurons_side_by_side(W: torch.Tensor) -> torch.Tensor:
    """A copy of W (m, d) in the layout that the steps want."""
    return W.T.clone(memory_format=torch.contiguous_format).T


def sparse_batches(x: torch.Tensor, bs: int, m: int) -> list[SparseBatch]:
    """The inputs x (n, d) in batches of bs, for a network of m neurons."""
    most = min(bs, len(x))
    on, sums = np.empty((most, m), np.bool_), np.empty((-(-m // BLOCK), most), x.numpy().dtype)
    parts = [part.numpy() for part in x.split(bs)]
    return [SparseBatch(_entries(part), _entries(part.T), on[: len(part)], sums[:, : len(part)]) for part in parts]


def _entries(values):
    counts = (values != 0).sum(axis=1)
    start = np.concatenate([[0], np.cumsum(-(-counts // UNROLLED) * UNROLLED)])
    row, column = np.nonzero(values)
    at = np.arange(len(row)) + np.repeat(start[:-1] - (np.cumsum(counts) - counts), counts)
    columns, kept = np.zeros(start[-1], np.int64), np.zeros(start[-1], values.dtype)
    columns[at], kept[at] = column, values[row, column]
    return start, columns, kept


def loss_gradient(W, a, output_bias, batch: SparseBatch, y: torch.Tensor) -> SparseGradient:
    """`common.loss_gradient` at a `SparseBatch` with the labels y (n,), for a W that lies `neurons_side_by_side`."""
    a = a.numpy()
    _by_blocks(_forward, W, batch, a, *batch.by_input, batch.on, batch.sums)
    scale = y * -(len(a) ** -0.5)
    slope = torch.from_numpy(batch.sums.sum(axis=0)).add_(output_bias).mul_(scale).sigmoid_().mul_(scale)
    return SparseGradient(a, slope, batch)


def sgd_step(W, gradient: SparseGradient, lr: float) -> None:
    """`common.sgd_step`: W, in place, less lr times the gradient."""
    moves = gradient.slope.mul(-lr / len(gradient.slope)).numpy()
    _by_blocks(_update, W, gradient.batch, gradient.a, *gradient.batch.by_pixel, gradient.batch.on, moves)


def _by_blocks(kernel, W, batch, *arguments):
    """Call the kernel on all blocks of neurons, each thread on its part."""
    function, W = compiled(kernel), W.detach().numpy().T
    parts = in_parts(W.shape[1], entries=len(batch.by_input[1]))
    if len(parts) == 1:
        function(*parts[0], W, *arguments)
        return
    for running in [_pool(len(parts)).submit(function, *part, W, *arguments) for part in parts]:
        running.result()


def in_parts(m: int, entries: int) -> list[tuple]:
    """The neurons from 0 to m in (first, last) for each thread; in one part where to wake others would take longer."""
    threads = torch.get_num_threads() if m * entries > 2**24 else 1
    rows = -(-m // (threads * BLOCK)) * BLOCK
    return [(first, min(first + rows, m)) for first in range(0, m, rows)]


@functools.cache
def _pool(threads):
    return ThreadPoolExecutor(threads)


def _forward(first, last, W, a, start, pixel, value, on, sums):
    """Write which of the neurons from first to last are on at each input, and the blocks' sums of a_s relu(w_s . x)."""
    near, z = np.zeros((len(W), BLOCK), W.dtype), np.empty(BLOCK, W.dtype)
    zero = W.dtype.type(0)
    for b in range(first, last, BLOCK):
        size = min(BLOCK, last - b)
        top = a[b : b + size]
        for p in range(len(W)):
            # Neuron by neuron: as one slice it takes numba longer.
            row, copy = W[p, b : b + size], near[p]
            for s in range(size):
                copy[s] = row[s]
        for i in range(len(start) - 1):
            z[:] = 0
            for k in range(start[i], start[i + 1], UNROLLED):
                w0, w1, w2, w3 = near[pixel[k]], near[pixel[k + 1]], near[pixel[k + 2]], near[pixel[k + 3]]
                v0, v1, v2, v3 = value[k], value[k + 1], value[k + 2], value[k + 3]
                for s in range(BLOCK):
                    z[s] += v0 * w0[s] + v1 * w1[s] + v2 * w2[s] + v3 * w3[s]
            active = on[i, b : b + size]
            total = zero
            for s in range(size):
                off = z[s] <= 0  # what is not a number is on, and goes into the sum
                active[s] = not off
                total += zero if off else top[s] * z[s]
            sums[b // BLOCK, i] = total


def _update(first, last, W, a, start, example, value, on, moves):
    """Add to the rows of W from first to last moves_i a_s x_i for each input i at which neuron s is on."""
    step, change = np.zeros((len(moves), BLOCK), W.dtype), np.empty(BLOCK, W.dtype)
    zero = W.dtype.type(0)
    for b in range(first, last, BLOCK):
        size = min(BLOCK, last - b)
        top = a[b : b + size]
        for i in range(len(moves)):
            active, move, push = on[i, b : b + size], moves[i], step[i]
            for s in range(size):
                push[s] = move * top[s] if active[s] else zero
        for p in range(len(start) - 1):
            # Summed up before it meets W, or W would be rounded several times.
            change[:] = 0
            for k in range(start[p], start[p + 1], UNROLLED):
                s0, s1, s2, s3 = step[example[k]], step[example[k + 1]], step[example[k + 2]], step[example[k + 3]]
                v0, v1, v2, v3 = value[k], value[k + 1], value[k + 2], value[k + 3]
                for s in range(BLOCK):
                    change[s] += v0 * s0[s] + v1 * s1[s] + v2 * s2[s] + v3 * s3[s]
            w = W[p, b : b + size]
            for s in range(size):
                w[s] += change[s]
