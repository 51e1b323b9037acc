"""What the three scripts share, in reading order: the data, the network, the lazy ball, the two attacks,
the two training loops, the results file, the command line. Nothing here reads the command line or writes a
file unless a script asks it to.

The paper is "Adversarial Robustness is at Odds with Lazy Training" (Wang, Ullah, Mianjy and Arora, NeurIPS
2022); sections, definitions and theorems named below are its own. Shapes: n examples, d = size * size pixels.
"""

import argparse
import contextlib
import csv
import functools
import glob
import io
import math
import os
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import nn
from torchvision.datasets import MNIST
from torchvision.datasets.utils import check_integrity
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize
from tqdm import tqdm

DATA_DIR = Path(__file__).resolve().parent / "data"
FLOAT32_EPS = torch.finfo(torch.float32).eps


class RunError(Exception):
    """A run that cannot start or go on, in one line for the user; scripts end with exit code 1."""


# ---------------------------------------------------------------------------------------------------- data

UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class Digits(NamedTuple):
    """Two digits of MNIST: x of shape (n, d), y of shape (n,) with -1 for num1 and +1 for num2."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


def load_digits(num1, num2, size, data_dir=DATA_DIR, normalize=False, seed=None, device="cpu"):
    """The `Digits` num1 and num2 of MNIST, downsampled to size x size (Section 5, "Datasets").

    Downsampling is bilinear WITHOUT antialiasing, as the paper's was; pixels lie in [0, 1]. With normalize,
    every image is scaled to ||x|| = 1 (Section 5.2); an image that downsampling left all zero has no direction
    and stays zero: f is 0 there without bias, and it counts as misclassified. With a seed, the training
    examples are shuffled once, the order in which every epoch then takes them.

    Raises RunError where MNIST's files are missing or corrupt and cannot be downloaded.
    """
    unpack_mnist(data_dir)
    train_x, train_y = _two_digits(MNIST(data_dir, train=True), num1, num2, size, normalize)
    test_x, test_y = _two_digits(MNIST(data_dir, train=False), num1, num2, size, normalize)
    if seed is not None:
        order = torch.randperm(len(train_y), generator=torch.Generator().manual_seed(seed))
        train_x, train_y = train_x[order], train_y[order]
    return Digits(*(tensor.to(device) for tensor in (train_x, train_y, test_x, test_y)))


def _two_digits(mnist, num1, num2, size, normalize):
    chosen = (mnist.targets == num1) | (mnist.targets == num2)
    images = mnist.data[chosen].unsqueeze(1).float() / 255
    x = resize(images, [size, size], InterpolationMode.BILINEAR, antialias=False).flatten(1)
    y = torch.where(mnist.targets[chosen] == num2, 1.0, -1.0)
    return (F.normalize(x, dim=1) if normalize else x), y


def unpack_mnist(data_dir):
    """Leave MNIST's four unpacked files in data_dir/MNIST/raw, from the .gz files there or downloaded.

    Files that are whole are not touched, so a read-only folder serves. Unpacking holds a lock, and half-unpacked
    files of an interrupted run are unpacked again. Raises RunError.
    """
    raw = Path(data_dir) / "MNIST" / "raw"

    def damaged():
        return [raw / name for name, md5 in UNPACKED_MD5.items() if not check_integrity(raw / name, md5)]

    if not damaged():
        return
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(raw / "unpacking.lock"), contextlib.redirect_stdout(io.StringIO()):
            for path in damaged():
                path.unlink(missing_ok=True)
            MNIST(data_dir, download=True)
    except (OSError, EOFError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"cannot unpack or download MNIST in {raw} ({reason}); put the four official .gz files there")


# ------------------------------------------------------------------------------------------------- network


class TwoLayerNet(nn.Module):
    """f(x; a, W) = m^(-1/2) sum_s a_s relu(w_s . x), a two-layer ReLU network with a fixed top (Section 2.1).

    W0 and a are drawn as Definition 2.1 says, w_{s,0} ~ N(0, I_d) and a_s uniform on {-1, +1}, on the CPU from
    the seed, so that every device starts alike.

    With bias=True it is the network of the authors' scripts, m^(-1/2) (sum_s a_s relu(w_s . x + b_s) + c) with
    b ~ N(0, I_m) and a fixed c uniform on {-1, +1}. The bias b is then one more column of W and W0: trained,
    counted in the deviation, projected and saved with them. It is no part of the input x.

    Attributes: W (width, d or d + 1) the only parameter; W0 of the same shape; a (width,).
    """

    def __init__(self, d, width, seed=0, bias=False):
        super().__init__()
        self.d, self.width, self.bias = d, width, bias
        generator = torch.Generator().manual_seed(seed)
        W0 = torch.randn(width, d, generator=generator)
        a = torch.randint(2, (width,), generator=generator) * 2.0 - 1.0
        output_bias = torch.zeros(())
        if bias:
            W0 = torch.cat([W0, torch.randn(width, 1, generator=generator)], dim=1)
            output_bias = torch.randint(2, (), generator=generator) * 2.0 - 1.0
        self.W = nn.Parameter(W0.clone())
        self.register_buffer("W0", W0)
        self.register_buffer("a", a)
        self.register_buffer("output_bias", output_bias, persistent=bias)

    def forward(self, x):
        """Logits (n, 2) of the classes num1 and num2 for images or rows x, as attack libraries expect them.

        They are -f/2 and f/2: their cross-entropy is the logistic loss log(1 + exp(-y f)) and their argmax the
        sign of f.
        """
        f = self.f(x.flatten(1))
        return torch.stack([-f / 2, f / 2], dim=1)

    def f(self, x):
        """f(x; a, W) of shape (n,) for x of shape (n, d); works under autograd."""
        return (torch.relu(self.weighted_input(x) @ self.W.T) @ self.a + self.output_bias) / math.sqrt(self.width)

    def weighted_input(self, x):
        """What W's columns multiply: x itself, or x with a one appended where the last column is the bias."""
        return torch.cat([x, x.new_ones(len(x), 1)], dim=1) if self.bias else x

    @torch.no_grad()
    def value_and_input_gradient(self, x):
        """f (n,) and its gradient in x (n, d), in closed form: two matrix products and one mask.

        relu(z) = 1[z > 0] z, so f comes out of the gradient's own product: f = gradient . x, where nothing is biased.
        """
        x = self.weighted_input(x)
        active = (x @ self.W.T).gt_(0).mul_(self.a)
        gradient = active @ self.W
        f = (gradient * x).sum(dim=1) + self.output_bias
        return f / math.sqrt(self.width), gradient[:, : self.d] / math.sqrt(self.width)

    def deviation(self):
        """||W - W0||_{2,inf}, a scalar tensor: see `deviation`."""
        return deviation(self.W, self.W0)


@torch.no_grad()
def factored_gradient(W, a, output_bias, x, y):
    """The gradient in W of the logistic losses of (x, y), summed, as a product that is never formed.

    Returns (hidden (width, n), slope (n,)), where hidden holds only +-1 and 0, and slope lies between 0 and
    -y / sqrt(width). The gradient is hidden @ (x * slope[:, None]), so that an SGD step is
    `W.addmm_(hidden, x * slope[:, None], alpha=-lr / n)`, without a second tensor of W's size.
    """
    scale = y * -(len(a) ** -0.5)
    # Neurons by examples: BLAS multiplies W @ x.T up to twice as fast as x @ W.T.
    hidden = (W @ x.T).relu_()
    slope = (a @ hidden).add_(output_bias).mul_(scale).sigmoid_().mul_(scale)
    return hidden.sign_().mul_(a[:, None]), slope


# The lazy ball (Definition 2.1)


@torch.no_grad()
def deviation(W, W0):
    """||W - W0||_{2,inf} = max_s ||w_s - w_{s,0}||, a scalar tensor (Section 2, "Notation")."""
    return torch.stack([torch.linalg.vector_norm(moved, dim=1).max() for _, moved in _moved(W, W0)]).max()


@torch.no_grad()
def project(W, W0, V, aim):
    """Project W in place onto the lazy ball B_{2,inf}(W0, V) (Section 5.2).

    Rows inside stay as they are, bit for bit. A row outside moves along its difference to the distance aim, which
    is V less `rounding`, so that it lies inside when looked at again.
    """
    for w, moved in _moved(W, W0):
        distance = torch.linalg.vector_norm(moved, dim=1)
        # In float64, since float32 would round V, up as often as down.
        outside = distance.double() > V
        # 0 * distance: a row whose distance overflows becomes NaN, and is not put back on W0 as if nothing were wrong.
        shorten = torch.where(outside, aim / distance - 1, 0) + 0 * distance
        w.addcmul_(moved, shorten[:, None])


def _moved(W, W0):
    """Blocks of W's rows and of W - W0, the latter in one small buffer: whole, it would be as large as W."""
    rows = 2**18 // max(1, W.shape[1])
    buffer = torch.empty_like(W0[:rows])
    for w, w0 in zip(W.split(rows), W0.split(rows)):
        yield w, torch.sub(w, w0, out=buffer[: len(w)])


def rounding(W0, V):
    """How far rounding to float32 can move a row of W in one update, at most, while W lies in B_{2,inf}(W0, V)."""
    return FLOAT32_EPS * (torch.linalg.vector_norm(W0, dim=1).max().item() + V)


def in_chunks(width, *tensors):
    """Split tensors of equal length n into chunks of examples, to bound the memory of n x width intermediates.

    Half a million activations stay close to the caches; fewer than 128 examples would spend the time on reading W.
    """
    return zip(*(tensor.split(max(128, 2**19 // width)) for tensor in tensors))


@torch.no_grad()
def mean_loss(net, x, y):
    """The mean logistic loss log(1 + exp(-y f)) over all n examples, a float. Raises RunError if not finite."""
    losses = [F.softplus(-part_y * net.f(part_x)) for part_x, part_y in in_chunks(net.width, x, y)]
    return _finite(torch.cat(losses).double().mean().item())


@torch.no_grad()
def accuracy(net, x, y):
    """The share of the n examples with y f > 0, a float: f = 0 is an error, as in Section 2.1."""
    right = [part_y * net.f(part_x) > 0 for part_x, part_y in in_chunks(net.width, x, y)]
    return torch.cat(right).double().mean().item()


def _finite(value):
    if not math.isfinite(value):
        raise RunError(f"training diverged, the loss or W became {value}: no row is written (try a smaller --lr)")
    return value


# ---------------------------------------------------------------------------- attack 1: the smallest single step


class SmallestStep(NamedTuple):
    """The smallest single step that flips f's sign, example by example: float64 tensors of shape (n,).

    f: f(x).  grad_norm: ||grad f(x)||.  eta: the step with delta = eta grad f(x), signed (it is negative where
    f > 0).  delta_norm: ||delta||.  flips: False where no step along the ray flips the sign, or f(x) = 0, or
    grad f(x) = 0; eta and delta_norm are infinite there.
    """

    f: torch.Tensor
    grad_norm: torch.Tensor
    eta: torch.Tensor
    delta_norm: torch.Tensor
    flips: torch.Tensor


@torch.no_grad()
def smallest_step(net, x):
    """The exact `SmallestStep` with f(x) f(x + delta) < 0 for every row of x (Section 5.1).

    Along delta = eta grad f the network is piecewise linear in eta. A step past the first sign change is found by
    trying; the kinks before it, sorted, and running sums of slope and intercept then give the FIRST sign change, also
    where f is not monotone along the ray. eta is the infimum of the flipping steps, at which f is 0. All in
    float64: where |f| is small, float32 would not resolve the crossing.
    """
    W, a, output_bias = net.W.double(), net.a.double(), net.output_bias.double()
    parts = [
        _smallest_step(W, a, output_bias, net.weighted_input(part_x.double()), net.d)
        for (part_x,) in in_chunks(net.width, x)
    ]
    return SmallestStep(*(torch.cat(column) for column in zip(*parts)))


def _smallest_step(W, a, output_bias, x, d):
    p = x @ W.T
    gradient = ((p > 0) * a) @ W
    f = (gradient * x).sum(dim=1) + output_bias
    gradient = gradient[:, :d]
    grad_norm, sign = torch.linalg.vector_norm(gradient, dim=1), f.sign()

    # At x - t sign(f) gradient, f is sum_s a_s relu(p_s + t q_s) + output_bias, all times sqrt(m) until the end.
    q = (-sign[:, None] * gradient) @ W[:, :d].T
    # A neuron at its kink is off, and turns on at once if q > 0.
    p.masked_fill_(p == 0, -1e-200)
    end, flips = _past_a_flip(p, q, a, output_bias, f, grad_norm)

    # The kinks before the end, example by example, and how much the slope changes at each.
    kinks = p.div(q).neg_()
    inside = (kinks > 0) & (kinks < end[:, None])
    example, neuron = inside.nonzero(as_tuple=True)
    count = inside.sum(dim=1)
    place = torch.arange(len(example), device=x.device) - (count.cumsum(0) - count)[example]
    packed = end[:, None].repeat(1, int(count.max()))
    packed[example, place] = kinks[example, neuron]
    bends = torch.zeros_like(packed)
    bends[example, place] = a[neuron] * q[example, neuron].abs()
    kinks, order = packed.sort(dim=1)
    bends = bends.gather(1, order)

    # Segment k ends at kink k, the last one at the end, and lies on intercept[k] + slope[k] t.
    slope = torch.cat([(-sign * grad_norm.square())[:, None], bends], dim=1).cumsum(dim=1)
    intercept = torch.cat([f[:, None], -bends * kinks], dim=1).cumsum(dim=1)
    # Rounding may leave a ray that only touches zero this far below: not a flip.
    tiny = 1e-13 * (torch.linalg.vector_norm(p, ord=1, dim=1) + output_bias.abs())
    flipped = (intercept[:, :-1] + slope[:, :-1] * kinks) * sign[:, None] < -tiny[:, None]
    # At the end itself, where rows with fewer kinks are filled up, only a sum of its own is exact enough.
    flipped = torch.cat([flipped & (kinks < end[:, None]), flips[:, None]], dim=1)
    segment = flipped.byte().argmax(dim=1, keepdim=True)
    crossing = -(intercept.gather(1, segment) / slope.gather(1, segment)).squeeze(1)

    # t counts steps of sqrt(m) grad f.
    flips = flipped.any(dim=1) & (sign != 0) & (grad_norm > 0)
    eta = torch.where(flips, -sign * crossing * math.sqrt(len(a)), math.inf)
    f, grad_norm = f / math.sqrt(len(a)), grad_norm / math.sqrt(len(a))
    return SmallestStep(f, grad_norm, eta, torch.where(flips, eta.abs() * grad_norm, math.inf), flips)


def _past_a_flip(p, q, a, output_bias, f, grad_norm):
    """For each ray a t at which f has flipped, and whether it has: the t of a ray that comes to none is past all kinks.

    In the lazy regime f is nearly linear, so that the first try, a quarter past the root of its linearisation, does for
    almost all rays.
    """

    def past(p, q, t, sign):
        z = torch.addcmul(p, q, t[:, None]).relu_()
        return (z @ a + output_bias) * sign < -1e-13 * (z.sum(dim=1) + output_bias.abs())

    t = torch.where((f != 0) & (grad_norm > 0), 1.25 * f.abs() / grad_norm.square(), 1.0)
    flips = past(p, q, t, f.sign())
    for growth in [2] * 8 + [2**40]:
        waiting = (~flips).nonzero().squeeze(1)
        if len(waiting) == 0:
            break
        t[waiting] *= growth
        flips[waiting] = past(p[waiting], q[waiting], t[waiting], f[waiting].sign())
    return t, flips


# ------------------------------------------------------------------------------------------ attack 2: PGD


@torch.no_grad()
def pgd(net, x, y, eps, atk_iters, box=False, stop_once_wrong=False):
    """Projected gradient descent against (x, y) on the l2 ball of radius eps (Section 5.2, Madry et al. 2018).

    From delta = 0, atk_iters steps of length 2.5 eps / atk_iters along the normalised input gradient of the
    logistic loss, which is -y grad f / ||grad f||, each followed by the projection onto ||delta|| <= eps. With
    box, x + delta is clipped to the pixel range [0, 1] before the projection, as in the authors' scripts. With
    stop_once_wrong an example is left alone once an iterate misclassifies it.

    Returns (delta (n, d), the last iterates; robust (n,) bool, True where y f(x + delta) > 0 at EVERY iterate,
    delta = 0 included).

    It takes the cheapest of three ways, which give the same up to rounding: two matrix products a step, everywhere;
    with numba on a CPU one product a step, or none where the width allows it.
    """
    way = _cheapest_way(net, len(y) * atk_iters, box)
    parts = [way(*part, eps, atk_iters, box, stop_once_wrong) for part in in_chunks(net.width, x.detach(), y)]
    delta, robust = (torch.cat(column) for column in zip(*parts))
    return delta, robust


def _cheapest_way(net, steps, box):
    """The way of `pgd` that is fastest for so many steps of single examples, as a function of the examples.

    Measured at eps 0.2 and 1: without products it is up to 20 times as fast as with two at m = d, and no faster near
    m = 40 d, where turned neurons cost as much as products. Beyond 8,192 neurons K leaves the caches for good.
    """
    if net.W.device.type != "cpu" or _compiled(_follow_neurons) is None:
        return functools.partial(_pgd_by_two_products, net)
    if box or net.width > min(40 * net.d, 8192, steps):
        return functools.partial(_pgd_by_one_product, net)
    W = net.W[:, : net.d]
    return functools.partial(_pgd_by_neurons, net, W @ W.T)


def _pgd_by_two_products(net, x, y, eps, atk_iters, box, stop_once_wrong):
    delta = torch.zeros_like(x)
    robust = torch.ones_like(y, dtype=torch.bool)
    going = torch.arange(len(y), device=x.device)
    for iteration in range(atk_iters + 1):
        now = delta[going]
        f, gradient = net.value_and_input_gradient(x[going] + now)
        right = y[going] * f > 0
        robust[going] &= right
        if stop_once_wrong:
            going, now, gradient = going[right], now[right], gradient[right]
        if iteration == atk_iters or len(going) == 0:
            return delta, robust
        now -= 2.5 * eps / atk_iters * y[going, None] * F.normalize(gradient, dim=1)
        if box:
            now = (x[going] + now).clamp(0, 1) - x[going]
        delta[going] = now * (eps / torch.linalg.vector_norm(now, dim=1, keepdim=True)).clamp(max=1)


def _pgd_by_one_product(net, x, y, eps, atk_iters, box, stop_once_wrong):
    """The gradient follows the few neurons that turn in a step, so that only f's product is left."""
    W, y, delta, inputs = net.W.detach(), y.to(x.dtype), torch.zeros_like(x), net.weighted_input(x).clone()
    z = inputs @ W.T
    active, robust = z > 0, torch.ones_like(y, dtype=torch.bool)
    gradient = (active * net.a) @ W
    examples = z, active, gradient, inputs, x, delta, y, robust
    shared = W, net.a, net.output_bias, eps, box, stop_once_wrong
    with _threads(_step_in_the_ball, examples, *shared) as step_in_the_ball:
        for iteration in range(atk_iters + 1):
            torch.mm(inputs, W.T, out=z)
            step_in_the_ball(2.5 * eps / atk_iters if iteration < atk_iters else 0.0)
            if stop_once_wrong and not robust.any():
                break
    return delta, robust


def _pgd_by_neurons(net, K, x, y, eps, atk_iters, box, stop_once_wrong):
    W, y = net.W[:, : net.d], y.to(x.dtype)
    z = net.weighted_input(x) @ net.W.T
    h = ((z > 0) * net.a) @ W @ W.T
    robust = torch.empty_like(y, dtype=torch.bool)
    step = 2.5 * eps / atk_iters
    shared = K, net.a, net.output_bias, eps, step, atk_iters, stop_once_wrong
    with _threads(_follow_neurons, (z, h, y, robust), *shared) as follow_neurons:
        follow_neurons()
    return z @ W, robust


@functools.cache
def _compiled(function):
    """The function compiled by numba, or None where numba is not installed."""
    try:
        from numba import njit
    except ImportError:
        return None
    # Sums in another order are faster, but _follow_neurons needs its two looks at a neuron to agree to the bit.
    options = {"nogil": True, "fastmath": {"reassoc", "contract"} if function is _step_in_the_ball else False}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # no folder to keep the compiled code in
        return njit(function, **options)


@contextlib.contextmanager
def _threads(function, examples, *shared):
    """The compiled function of the tensors, in threads: those of the examples are split between them, as views."""
    shared = [argument.numpy() if isinstance(argument, torch.Tensor) else argument for argument in shared]
    threads = torch.get_num_threads()
    rows = -(-len(examples[0]) // (4 * threads))
    parts = [[part.numpy() for part in parts] for parts in zip(*(tensor.split(rows) for tensor in examples))]
    with ThreadPoolExecutor(threads) as pool:
        yield lambda *more: list(pool.map(lambda part: _compiled(function)(*part, *shared, *more), parts))


def _step_in_the_ball(
    z, active, gradient, inputs, x, delta, y, robust, W, a, output_bias, eps, box, stop_once_wrong, step
):
    """One PGD step, example by example: from z = W inputs to the next delta and inputs, all updated in place.

    gradient (n, d or d + 1), here that of sqrt(m) f, changes by a row of W for each neuron that turned since the
    last step.
    """
    n, m = z.shape
    d = x.shape[1]
    turned = np.zeros(-(-m // 8) * 8, np.uint8)
    groups = turned.view(np.uint64)  # eight neurons at a look
    for i in range(n):
        zi, on, g, moving, start, moved = z[i], active[i], gradient[i], inputs[i], x[i], delta[i]
        for s in range(m):
            turned[s] = (zi[s] > 0) != on[s]
        for group in range(len(groups)):
            if groups[group]:
                for s in range(8 * group, min(8 * group + 8, m)):
                    if turned[s]:
                        on[s] = not on[s]
                        sign = a[s] if on[s] else -a[s]
                        w = W[s]
                        for k in range(len(w)):
                            g[k] += sign * w[k]
        f, squares = output_bias.item(), 0.0
        for k in range(len(g)):
            f += g[k] * moving[k]
        for k in range(d):
            squares += g[k] * g[k]
        robust[i] &= y[i] * f > 0
        if step == 0 or squares == 0 or (stop_once_wrong and not robust[i]):
            continue
        length, squares = step * y[i] / math.sqrt(squares), 0.0
        for k in range(d):
            moved[k] -= length * g[k]
            if box:
                moved[k] = min(max(start[k] + moved[k], 0), 1) - start[k]
            squares += moved[k] * moved[k]
        shrink = eps / math.sqrt(squares) if squares > eps * eps else 1.0
        for k in range(d):
            moved[k] *= shrink
            moving[k] = start[k] + moved[k]


def _follow_neurons(z, h, y, robust, K, a, output_bias, eps, step, atk_iters, stop_once_wrong):
    """PGD in activation space, one example after the other: m operations a step, and m for each neuron that turns.

    An example is known by z = W x, r = W delta and h = W g, where g = sum_s a_s w_s over the active neurons is
    sqrt(m) times the input gradient; the norms and f follow from sums over active neurons, which change only with those
    that turn. K (m, m) is W W.T. Writes robust (n,), and over z (n, m) the c with delta = W.T c; h is lost.
    """
    n, m = z.shape
    r = np.empty_like(z[0])
    turned = np.zeros(-(-m // 8) * 8, np.uint8)
    groups = turned.view(np.uint64)  # eight neurons at a look
    for i in range(n):
        zi, hi = z[i], h[i]
        r[:] = 0
        c = np.zeros(m)
        # f(x + delta) = f_x + g_delta, in units of sqrt(m): f_x is the part of z, g_delta = g . delta that of r.
        f_x, g_delta, g_norm2, delta_norm2 = output_bias.item(), 0.0, 0.0, 0.0
        active = 0
        for s in range(m):
            if zi[s] > 0:
                active += 1
                f_x += a[s] * zi[s]
                g_norm2 += a[s] * hi[s]
        # delta = shrunk * (sum of all steps so far, each by its length times its g); c counts in the same way.
        shrunk, travelled = 1.0, 0.0
        robust[i] = y[i] * f_x > 0
        for _ in range(atk_iters):
            if stop_once_wrong and not robust[i]:
                break
            length = -step * y[i] / math.sqrt(g_norm2) if active and g_norm2 > 0 else 0.0
            travelled += length / shrunk
            delta_norm2 += length * (2 * g_delta + length * g_norm2)
            g_delta += length * g_norm2
            shrink = 1.0
            if delta_norm2 > eps * eps:
                shrink = eps / math.sqrt(delta_norm2)
                delta_norm2 = eps * eps
            shrunk *= shrink
            g_delta *= shrink

            # In the precision of z, since the loop runs at the speed of the memory.
            keep, push = z.dtype.type(shrink), z.dtype.type(shrink * length)
            for s in range(m):
                before = zi[s] + r[s]
                r[s] = keep * r[s] + push * hi[s]
                turned[s] = (before > 0) != (zi[s] + r[s] > 0)
            for group in range(len(groups)):
                if groups[group]:
                    for s in range(8 * group, min(8 * group + 8, m)):
                        if turned[s]:
                            on = zi[s] + r[s] > 0
                            sign = a[s] if on else -a[s]
                            active += 1 if on else -1
                            c[s] -= sign * travelled
                            f_x += sign * zi[s]
                            g_delta += sign * r[s]
                            g_norm2 += 2 * sign * hi[s] + K[s, s]
                            row = K[s]
                            for k in range(m):
                                hi[k] += sign * row[k]
            robust[i] &= y[i] * (f_x + g_delta) > 0
        for s in range(m):
            if zi[s] + r[s] > 0:
                c[s] += a[s] * travelled
            zi[s] = shrunk * c[s]


def robust_accuracy(net, x, y, eps, atk_iters, box=False):
    """The share of examples that `pgd` leaves rightly classified at every iterate, a float."""
    return pgd(net, x, y, eps, atk_iters, box, stop_once_wrong=True)[1].double().mean().item()


# ------------------------------------------------------------------------------------------------ training


class Exit(NamedTuple):
    """Where training stood when it left the lazy ball of radius V, or when T epochs were over."""

    epochs: int  # whole epochs behind the kept iterate
    steps: int  # SGD steps behind the kept iterate
    left_ball: bool  # False where T ended the run inside the ball
    seconds: float  # of training since its start


@torch.no_grad()
def train_until_exit(net, x, y, radii, lr, bs, T, checkpoint=None):
    """SGD on the logistic loss until net leaves the largest of the lazy balls, or for T epochs (Section 5.1).

    Yields an `Exit` for each of the radii V, ascending, of the balls B_{2,inf}(W0, V). While the caller handles
    it, net is the last iterate INSIDE that ball; training then goes on from the iterate outside. Batches of bs
    examples are taken in the order of x (n, d) and y (n,), the same every epoch. With a `Checkpoint` it saves its
    state now and then, and goes on from the one it finds.

    Raises RunError where a weight becomes NaN or infinite.
    """
    radii = list(radii)
    x = net.weighted_input(x)
    # The weights of a pixel that is zero in every training example never move: training can do without them.
    pixels = (x != 0).any(dim=0).nonzero().squeeze(1)
    x, W, W0 = x[:, pixels], net.W[:, pixels], net.W0[:, pixels]
    inside = torch.empty_like(W)
    batches = list(zip(x.split(bs), y.split(bs), (y * torch.linalg.vector_norm(x, dim=1)).split(bs)))
    # No row of W is further than reach from W0, so W0 needs no look before reach gets to V. It is a number on the
    # device, which is waited for once an epoch and when bound, the most that it can be, gets to V.
    slack = rounding(W0, radii[-1])
    stride = _longest_step(x, net.width, lr) + slack
    reach, bound = torch.zeros((), dtype=torch.float64, device=W.device), 0.0
    first, paused, started = 0, 0.0, time.perf_counter()
    state = checkpoint.load({"W": W, "radii": radii}) if checkpoint else None
    if state:
        W.copy_(state["W"])
        reach.fill_(state["reach"])
        first, bound, started = state["step"], state["reach"], started - state["seconds"]
    with tqdm(total=T * len(batches), initial=first, unit="step", disable=None) as bar:
        for step in range(first, T * len(batches)):
            if checkpoint and checkpoint.is_due():
                seconds = time.perf_counter() - started - paused
                checkpoint.save(W=W, radii=radii, reach=reach.item(), step=step, seconds=seconds)
            batch_x, batch_y, lengths = batches[step % len(batches)]
            hidden, slope = factored_gradient(W, net.a, net.output_bias, batch_x, batch_y)
            reach -= torch.dot(slope, lengths) * (lr / len(batch_y)) - slack
            bound += stride
            if bound > radii[0] or step % len(batches) == 0:
                bound = _finite(reach.item())
            look = bound > radii[0]
            if look:
                inside.copy_(W)
            W.addmm_(hidden, batch_x * slope[:, None], alpha=-lr / len(batch_y))
            if look:
                bound = _finite(deviation(W, W0).item())
                reach.fill_(bound)
            if bound > radii[0]:
                seconds = time.perf_counter() - started - paused
                net.W[:, pixels] = inside
                while radii and bound > radii[0]:
                    yield Exit(step // len(batches), step, True, seconds)
                    radii.pop(0)
                if not radii:
                    return
                paused = time.perf_counter() - started - seconds
            if not bar.disable:
                bar.set_postfix_str(f"deviation <= {bound / radii[0]:.2f} V", refresh=False)
            bar.update()
    seconds = time.perf_counter() - started - paused
    net.W[:, pixels] = W
    for _ in radii:
        yield Exit(T, T * len(batches), False, seconds)


def _longest_step(x, width, lr):
    """How far one SGD step can move a row of W: lr mean_i |loss'_i| ||x_i|| / sqrt(m), where |loss'_i| <= 1."""
    return lr * torch.linalg.vector_norm(x, dim=1).max().item() / math.sqrt(width)


class AdversarialRun(NamedTuple):
    """How adversarial training ended; both measures are the final network's, on its own PGD examples."""

    epochs: int
    steps: int
    seconds: float  # of training
    train_loss: float  # the mean logistic loss at the last PGD iterates of the training set
    train_robust_acc: float  # the share of training examples right at every PGD iterate


@torch.no_grad()
def adversarial_training(net, x, y, V, eps, atk_iters, lr, bs, T, patience, box=False, checkpoint=None):
    """Projected adversarial training in the lazy ball B_{2,inf}(W0, V) (Section 5.2); net is trained in place.

    Every epoch attacks the whole training set x (n, d), y (n,) with `pgd`, then takes one pass of SGD over the
    last iterates in batches of bs, in the order of x, projecting W onto the ball after each step. It ends after T
    epochs, or once more than `patience` epochs in a row raised the robust training accuracy by 1e-4 or less. With
    a `Checkpoint` it saves its state before an epoch now and then, and goes on from the one it finds.

    Returns an `AdversarialRun`. Raises RunError where the loss becomes NaN or infinite.
    """
    W, W0 = net.W.detach(), net.W0
    slack = rounding(W0, V)
    first, bound, stalled, accuracy, started = 0, 0.0, 0, -math.inf, time.perf_counter()
    state = checkpoint.load({"W": W}) if checkpoint else None
    if state:
        W.copy_(state["W"])
        first, bound, stalled, accuracy = (state[name] for name in ("epoch", "bound", "stalled", "accuracy"))
        started -= state["seconds"]
    with tqdm(total=T, initial=first, unit="epoch", disable=None) as bar:
        for epoch in range(first, T + 1):
            if checkpoint and checkpoint.is_due():
                seconds = time.perf_counter() - started
                checkpoint.save(W=W, epoch=epoch, bound=bound, stalled=stalled, accuracy=accuracy, seconds=seconds)
            delta, robust = pgd(net, x, y, eps, atk_iters, box)
            before, accuracy = accuracy, robust.double().mean().item()
            stalled = stalled + 1 if accuracy - before <= 1e-4 else 0
            if epoch == T or stalled > patience:
                break
            attacked = net.weighted_input(x + delta)
            stride = _longest_step(attacked, net.width, lr) + slack
            for batch_x, batch_y in zip(attacked.split(bs), y.split(bs)):
                hidden, slope = factored_gradient(W, net.a, net.output_bias, batch_x, batch_y)
                W.addmm_(hidden, batch_x * slope[:, None], alpha=-lr / len(batch_y))
                # No row of W is further than bound from W0: before that gets to V, projecting would change nothing.
                bound += stride
                if bound > V:
                    project(W, W0, V, max(V - slack, 0))
            bound = min(bound, _finite(deviation(W, W0).item()))
            bar.set_postfix_str(f"robust {accuracy:.3f}, deviation {bound / V:.2f} V", refresh=False)
            bar.update()
    seconds = time.perf_counter() - started
    return AdversarialRun(epoch, epoch * len(y.split(bs)), seconds, mean_loss(net, x + delta, y), accuracy)


class Checkpoint:
    """The state of an unfinished run in a file of its own, from which the same command goes on after a kill.

    The file lies in folder and is named after script and configuration; config must say which run it is. A new one is
    due when so many seconds went by since the last, or since the start.
    """

    def __init__(self, folder, config, device, seconds):
        self.path, self.seconds, self.saved_at = Path(folder) / run_name(config), seconds, time.monotonic()
        self.run = config | {"device": device, "torch": str(torch.__version__)}

    def is_due(self):
        return time.monotonic() - self.saved_at >= self.seconds

    def save(self, **state):
        """Replace the file, whole or not at all; a folder that cannot be written costs a warning, not the run."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, {"run": self.run, "checksum": _checksum(state["W"]), **state})
        except (RunError, OSError) as error:
            tqdm.write(f"warning: {error}; the run goes on without a new checkpoint", file=sys.stderr)
        self.saved_at = time.monotonic()

    def load(self, like):
        """The state that was saved, or None.

        A file that is damaged, is another run's or another device's or PyTorch's, has a W of another shape than in
        like, or is past one of the radii there, is set aside with a warning.
        """
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            fits = state["run"] == self.run and state["W"].shape == like["W"].shape
            fits = fits and set(like.get("radii", ())) <= set(state.get("radii", ()))
            reason = "is another run's"
            if _checksum(state["W"]) != state["checksum"]:  # torch.load does not look
                raise ValueError
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a damaged file makes torch.load stumble over
            fits, reason = False, f"cannot be read ({type(error).__name__})"
        if fits:
            tqdm.write(f"going on from {self.path}", file=sys.stderr)
            return state
        aside = self.path.with_suffix(".aside")
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
        tqdm.write(
            f"warning: the checkpoint {self.path} {reason}; it is now {aside.name}, and the run starts anew",
            file=sys.stderr,
        )
        return None

    def remove(self):
        """Remove the file of a run that has ended, and what kills left of those being written."""
        with contextlib.suppress(OSError):
            for path in self.path.parent.glob(f"{glob.escape(self.path.name)}*"):
                path.unlink()


def _checksum(tensor):
    return zlib.crc32(tensor.detach().cpu().contiguous().numpy())


# ------------------------------------------------------------------------------------------------- results
# A script's columns up to and including `seed` say which run a row is; the rest say what came out.


def configuration_columns(columns):
    """The columns that say which run a row is: those up to and including `seed`."""
    return columns[: columns.index("seed") + 1]


def read_rows(path, columns):
    """The rows of a results CSV as dicts of strings.

    Raises RunError where the file cannot be read, has other columns than these, or a row is torn or not of numbers.
    """
    try:
        text = Path(path).read_text()
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"cannot read {path}: {error}")
    if lines and lines[0] != columns:
        raise RunError(f"{path} has other columns than this script writes; choose another --out, or move it away")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(columns) or (number == len(lines) and not text.endswith("\n")):
            raise RunError(f"{path}, line {number}: a torn row; complete or remove the line")
    rows = [dict(zip(columns, line)) for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        try:
            numbers(row)
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {error}")
    return rows


def numbers(row):
    """The row's cells as floats, but for those that say what it ran on. Raises ValueError."""
    return {column: float(value) for column, value in row.items() if column not in ("device", "torch")}


def open_results(path, columns):
    """The rows of the results CSV at path, which is made with its header where there is none.

    Called before training, so that a file that cannot be written is found out then. Raises RunError.
    """
    with _locked(path, columns):
        return read_rows(path, columns)


def results_files(folder, name):
    """The results CSVs of a script in folder: name.csv and what starts alike, such as name-2.csv, but not name2.csv."""
    return sorted(path for path in Path(folder).glob(f"{name}*.csv") if not path.stem[len(name) :][:1].isalnum())


def append_row(path, columns, row):
    """Append the dict row to the results CSV under a lock, whole or not at all. Raises RunError.

    Where something else has torn the last line meanwhile, the row starts a line of its own, with a warning.
    """
    with _locked(path, columns) as file:
        if not Path(path).read_bytes().endswith(b"\n"):
            tqdm.write(f"warning: the last line of {path} is torn; the new row comes after it", file=sys.stderr)
            file.write(b"\n")
        _write_line(file, [row[column] for column in columns])


@contextlib.contextmanager
def _locked(path, columns):
    """The file with its header, open for appending while no other process has it so."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Refuses a path that cannot be written, where FileLock alone would wait until its timeout.
        open(path, "a").close()
        with FileLock(f"{path}.lock", timeout=60), open(path, "ab", buffering=0) as file:
            if file.tell() == 0:
                _write_line(file, columns)
            yield file
    except OSError as error:
        raise RunError(f"cannot write {path}: {error}")


def _write_line(file, values):
    """Write one CSV line and see it on disk; a line that does not fit there is taken back."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    line, end = line.getvalue().encode(), file.tell()
    try:
        if file.write(line) < len(line):
            raise OSError("no space left for the row")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def find_row(rows, config):
    """The latest of the rows that has the configuration config, or None."""
    for row in reversed(rows):
        if all(float(row[column]) == float(value) for column, value in config.items()):
            return row
    return None


def check_folder(folder):
    """Make the folder and see that it can be written. Raises RunError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error}")


def save_network(save_dir, net, config):
    """Save net to a file named after the script and its configuration, as a dict that torch.load reads back.

    The dict holds `state_dict`, with W, W0 and a (and output_bias if there is one), and `config`, the row's
    configuration. Raises RunError where the file cannot be written.
    """
    path = Path(save_dir) / run_name(config)
    write_whole(path, {"state_dict": net.state_dict(), "config": config})
    return path


def load_network(path):
    """The `TwoLayerNet` that `save_network` saved at path, on the CPU, and its run's configuration, a dict.

    Raises RunError where the file is not such a one.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config = dict(saved)["config"]
        net = TwoLayerNet(config["d"], config["width"], config["seed"], bool(config["bias"]))
        net.load_state_dict(saved["state_dict"])
    except Exception as error:  # whatever a file that is something else leads to
        reason = " ".join([type(error).__name__, *str(error).split()])
        raise RunError(f"cannot load a network from {path} ({reason})")
    return net, config


def run_name(config):
    """The name of a file that belongs to one run of the script that is running."""
    return "-".join([Path(sys.argv[0]).stem, *(f"{column}={value}" for column, value in config.items())]) + ".pt"


def write_whole(path, content):
    """torch.save the content at path, so that a kill or a full disk leaves the old file. Raises RunError."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            os.remove(part)
        raise RunError(f"cannot write {path}: {error}")


# -------------------------------------------------------------------------------------------- command line


def whole_number(at_least, at_most=2**31 - 1):
    """An argparse type: a whole number in the given range, ends included; 1e5 is one, too."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not value.is_integer():
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
        if not at_least <= value <= at_most:
            raise argparse.ArgumentTypeError(f"must be from {at_least} to {at_most}, not {text}")
        return int(value)

    return parse


def positive(text):
    """An argparse type: a number above 0 that float32 can hold."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not torch.finfo(torch.float32).tiny <= value <= torch.finfo(torch.float32).max:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def device(text):
    """An argparse type: auto, cpu or cuda, made cpu or cuda."""
    if text not in ("auto", "cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"must be auto, cpu or cuda, not {text!r}")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("no CUDA device is available here")
    return "cuda" if text != "cpu" and torch.cuda.is_available() else "cpu"


def bare_parser(documentation):
    """An argparse parser whose help starts with documentation's first line, a command; its errors are one line."""
    command, _, description = documentation.partition("\n")
    made = argparse.ArgumentParser(
        usage=f"%(prog)s [options], as in\n\n  {command}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.error = lambda message: made.exit(2, f"{made.prog}: error: {message} (see --help)\n")
    return made


def parser(documentation, bs, lr, out):
    """The `bare_parser` with the options that all three training scripts share."""
    made = bare_parser(documentation)
    options = [
        ("--num1", whole_number(0, 9), 0, "the digit labelled y = -1"),
        ("--num2", whole_number(0, 9), 1, "the digit labelled y = +1"),
        ("--size", whole_number(1, 28), 28, "downsample the images to size x size, so that d = size^2"),
        ("--width", whole_number(1), 1000, "m, the number of hidden neurons"),
        ("--bs", whole_number(1), bs, "mini-batch size of SGD"),
        ("--lr", positive, lr, "learning rate of SGD"),
        ("--T", whole_number(1), 1000, "the most epochs to train for"),
        ("--seed", whole_number(0), 0, "draws W0, a and the order of the training examples"),
        ("--device", device, "auto", "auto, cpu or cuda"),
        ("--data-dir", Path, DATA_DIR, "the folder with MNIST/raw; MNIST is downloaded to it if it has none"),
        ("--out", Path, out, "the CSV that the row is appended to"),
        ("--checkpoint-seconds", positive, 180, "how often to save the state of a long run, from which it goes on"),
    ]
    add_options(made, options)
    made.add_argument("--checkpoint-dir", type=Path, metavar="", help="where (default: checkpoints, beside --out)")
    made.add_argument("--save-dir", type=Path, metavar="", help="a folder to save the trained network in")
    made.add_argument(
        "--bias", action="store_true", help="the authors' network: a trained hidden bias, a fixed output one"
    )
    made.add_argument("--force", action="store_true", help="run again, although --out has the row already")
    return made


def add_options(made, options):
    """Add (name, type, default, explanation) options to the parser; their help ends with the default."""
    for name, kind, default, explanation in options:
        made.add_argument(name, type=kind, default=default, metavar="", help=f"{explanation} (default: %(default)s)")


def parse(made):
    """The command line as a namespace; ends the program with exit code 2 where it makes no sense."""
    args = made.parse_args()
    if args.num1 == args.num2:
        made.error(f"--num1 and --num2 must be two digits, not {args.num1} twice")
    return args


def configuration(args, C0, V):
    """The configuration columns that every results file has, as a dict."""
    return {
        "num1": args.num1,
        "num2": args.num2,
        "size": args.size,
        "d": args.size**2,
        "width": args.width,
        "C0": C0,
        "V": V,
        "bias": int(args.bias),
        "bs": args.bs,
        "lr": args.lr,
        "T": args.T,
        "seed": args.seed,
    }


def prepare(args, columns, configs, summary):
    """See that the folders and args.out can be written, before anything takes time. Raises RunError.

    Returns those of the configurations that args.out and its siblings have no row of, and prints the other rows.
    """
    for folder in (args.save_dir, args.checkpoint_dir):
        if folder:
            check_folder(folder)
    files = {args.out: None} | dict.fromkeys(results_files(args.out.parent, Path(sys.argv[0]).stem))
    rows = [row for path in sorted(files) for row in open_results(path, columns)]
    missing = []
    for config in configs:
        row = None if args.force else find_row(rows, config)
        if row is None:
            missing.append(config)
        else:
            unsaved = " and saves its network" if args.save_dir else ""
            print(f"skipped: it has its row already (--force runs it again{unsaved})\n{summary(row)}")
    return missing


def checkpoint(args, config):
    """The `Checkpoint` of the run that config says."""
    folder = args.checkpoint_dir or args.out.parent / "checkpoints"
    return Checkpoint(folder, config, args.device, args.checkpoint_seconds)


def finish(args, columns, row, config, net, summary):
    """Save the network if asked to, append the row to args.out and print its summary. Raises RunError."""
    if args.save_dir:
        save_network(args.save_dir, net, config)
    row = {column: str(row[column]) for column in columns}
    append_row(args.out, columns, row)
    tqdm.write(summary(row))  # print would run into the progress bar
    sys.stdout.flush()


def run(main):
    """Call a script's main, ending with one line on stderr and exit code 1 on a RunError, 130 on Ctrl-C."""
    try:
        main()
    except RunError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: error: {error}")
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error):
            raise
        sys.exit(f"{Path(sys.argv[0]).name}: error: out of memory ({' '.join(str(error).split())})")
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted; rows written before are kept", file=sys.stderr)
        sys.exit(130)


# ----------------------------------------------------------------- what advtrain.py and advtraingap.py both do

ADVERSARIAL_COLUMNS = (
    "num1,num2,size,d,width,C0,V,eps,atk_iters,bias,box,bs,lr,T,patience,seed,epochs,steps,train_loss,"
    "train_robust_acc,test_acc,robust_test_acc,max_deviation,seconds,device,torch"
).split(",")


def adversarial_parser(documentation, out):
    """The `parser` of the two scripts of Section 5.2; each adds the option that gives the ball's radius V."""
    made = parser(documentation, bs=32, lr=0.01, out=out)
    options = [
        ("--eps", positive, 0.2, "the largest ||delta|| of the attack, for inputs of norm 1"),
        ("--atk_iters", whole_number(1), 100, "PGD steps, each 2.5 eps / atk_iters long"),
        ("--patience", whole_number(0), 20, "stop once more epochs than this in a row gained 1e-4 or less"),
    ]
    add_options(made, options)
    made.add_argument("--box", action="store_true", help="clip attacked images to [0, 1], as the authors' scripts do")
    return made


def run_adversarial(args, C0, V):
    """Train adversarially in the lazy ball of radius V, attack the test set, write the row (Section 5.2, Figure 4)."""
    config = configuration(args, C0, V) | {
        "eps": args.eps,
        "atk_iters": args.atk_iters,
        "box": int(args.box),
        "patience": args.patience,
    }
    state = checkpoint(args, config)
    if not prepare(args, ADVERSARIAL_COLUMNS, [config], adversarial_summary):
        state.remove()
        return
    digits = load_digits(args.num1, args.num2, args.size, args.data_dir, True, args.seed, args.device)
    train_set, test_set = (digits.train_x, digits.train_y), (digits.test_x, digits.test_y)
    net = TwoLayerNet(args.size**2, args.width, args.seed, args.bias).to(args.device)
    attack, sgd = (args.eps, args.atk_iters), (args.lr, args.bs, args.T, args.patience)
    trained = adversarial_training(net, *train_set, V, *attack, *sgd, args.box, state)
    started = time.perf_counter()
    row = config | trained._asdict()
    row |= {
        "test_acc": accuracy(net, *test_set),
        "robust_test_acc": robust_accuracy(net, *test_set, *attack, args.box),
        "max_deviation": net.deviation().item(),
        "seconds": round(trained.seconds + time.perf_counter() - started, 3),
        "device": args.device,
        "torch": torch.__version__,
    }
    finish(args, ADVERSARIAL_COLUMNS, row, config, net, adversarial_summary)
    state.remove()


def adversarial_summary(row):
    """A row of advtrain.csv or advtraingap.csv for people to read."""
    number = numbers(row)
    protocol = ", ".join(name for name in ("bias", "box") if number[name]) or "no bias, no box"
    return (
        "digits {num1:g}/{num2:g}, d {d:g}, width {width:g}, C0 {C0:.4g} (V {V:.4g}), eps {eps:g}, seed {seed:g}, "
        f"{protocol}:\n"
        "  {epochs:g} epochs, deviation {max_deviation:.4g}, adversarial train loss {train_loss:.4f}, {seconds:.1f} s\n"
        "  accuracy: robust train {train_robust_acc:.2%}, test {test_acc:.2%}, robust test {robust_test_acc:.2%}"
    ).format(**number)
