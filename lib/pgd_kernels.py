"""PGD compiled for the CPU: two ways with the results of `common.plain_pgd`, up to rounding, in a fraction of its time.

Plain PGD takes two matrix products a step. A step turns few neurons on or off, though, and the input gradient changes
only by the rows of W of those that turn. `by_one_product` needs the product W x alone, to see which turn. `by_neurons`
needs none: it follows W x itself, which a step changes by a multiple of W times the gradient. Both want numba, and are
held against plain PGD by the tests.
"""

import contextlib
import functools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch


def fastest(net, steps: int, box: bool):
    """The compiled way that is fastest for so many steps of single examples, or None where there is none.

    It is a function of (net, x, y, eps, atk_iters, box, stop_once_wrong), as `common.plain_pgd` is. Measured at eps 0.2
    and 1: without products it is up to 20 times as fast as with two at m = d, and no faster near m = 40 d, where turned
    neurons cost as much as products. Beyond 8,192 neurons K = W W.T leaves the caches for good.
    """
    if net.W.device.type != "cpu" or compiled(_follow_neurons) is None:
        return None
    if box or net.width > min(40 * net.d, 8192, steps):
        return by_one_product
    W = net.W[:, : net.d]
    return functools.partial(by_neurons, K=W @ W.T)


def by_one_product(net, x, y, eps, atk_iters, box, stop_once_wrong):
    """PGD with one product a step; the gradient follows the few neurons that turn."""
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


def by_neurons(net, x, y, eps, atk_iters, box, stop_once_wrong, K):
    """PGD without a product a step, for l2 balls without a box; K (m, m) is W W.T without the bias."""
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
def compiled(function):
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
        yield lambda *more: list(pool.map(lambda part: compiled(function)(*part, *shared, *more), parts))


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
