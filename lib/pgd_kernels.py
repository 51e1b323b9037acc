"""PGD compiled for the CPU: two ways with the results of `common.plain_pgd`, up to rounding, in a fraction of its time.

Plain PGD takes two matrix products a step. A step turns few neurons on or off, though, and the input gradient changes
only by the rows of W of those that turn. What is left to know is the sign of W x, neuron by neuron.
- `by_neurons` follows W x itself, which a step changes by a multiple of W times the gradient, itself known from W W.T. It
  takes no product a step, but it cannot clip to the pixel box, and W W.T must fit into the caches.
- `by_prediction` is for all else. It predicts W x from the last two products, knows how far off it may be, and takes a
  row of W for each neuron that is in doubt. When these become many, it takes a new product.
"""

import functools
import importlib.util
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib.guard import must_agree, usual_sizes
from lib.progress import warn, warn_once

import numpy as np
import torch

COMPILED = "the compiled code in lib/ (to switch it off, let compiled() in lib/pgd_kernels.py return None)"


def fastest(net, plain, x, y, eps, atk_iters, box):
    """The compiled way that is fastest for PGD on so many examples, or plain where there is none.

    All are functions of (net, x, y, eps, atk_iters, box), and plain is `common.plain_pgd`. Four steps of both are compared.
    Raises RunError where they differ.
    """
    if net.W.device.type != "cpu" or compiled(_follow_neurons) is None:
        return plain
    way = functools.partial(checked, among_compiled(net, len(y) * atk_iters, box), plain)
    few = x[:8].detach()
    found, exact = (steps(net, few, y[:8], eps, 4, box) for steps in (way, plain))
    # Where the gradient or f vanishes, rounding alone decides.
    size = torch.linalg.vector_norm(net.value_and_input_gradient(few + exact[0])[1], dim=1, keepdim=True)
    unit_f, unit_gradient = usual_sizes(net, few)
    must_agree(COMPILED, "plain_pgd", (found[0] - exact[0]) * (size / eps), 10 * unit_gradient)
    must_agree(COMPILED, "plain_pgd", (found[1] ^ exact[1]) * net.f(few).abs(), unit_f)
    return way


def among_compiled(net, steps: int, box: bool):
    """`by_neurons` or `by_prediction`, whichever is faster for so many steps of single examples.

    Measured at eps 0.2 and 1, `by_neurons` is four times as fast at m = d, and no faster near m = 40 d or from 8,192 neurons
    on. With few steps W W.T does not pay.
    """
    if box or net.width > min(40 * net.d, 8192, steps):
        return by_prediction
    W = net.W[:, : net.d].detach()
    return functools.partial(by_neurons, K=W @ W.T)


def checked(way, plain, net, x, y, eps, atk_iters, box):
    """What a compiled way returns, but for the examples that rounding makes it unsure of: plain has the last word there."""
    delta, robust, unsure = way(net, x, y, eps, atk_iters, box)
    unsure |= ~(torch.linalg.vector_norm(delta, dim=1) <= (1 + 1e-5) * eps)
    if unsure.any():
        again = plain(net, x[unsure], y[unsure], eps, atk_iters, box)
        delta[unsure], robust[unsure] = again
    return delta, robust


def by_prediction(net, x, y, eps, atk_iters, box):
    """PGD in which products W x predict those to come: a product for several steps, and a row of W for neurons in doubt."""
    W, a, output_bias = net.W.detach(), net.a, net.output_bias
    lengths = torch.linalg.vector_norm(W[:, : net.d], dim=1)
    noise = (4 + 0.1 * math.sqrt(net.width)) * rounding(W)
    shared = W, lengths, a, output_bias, eps, box, 2.5 * eps / atk_iters, atk_iters, noise, 1e3 * noise

    def attack(x, y):
        inputs, delta, robust = net.weighted_input(x).clone(), torch.zeros_like(x), torch.ones_like(y, dtype=torch.bool)
        at_x, unsure = inputs @ W.T, torch.zeros_like(robust)
        active = (at_x > 0).to(x.dtype)
        gradient, sides, length = (active * a) @ W, 2 * active - 1, torch.linalg.vector_norm(inputs, dim=1)
        steps, past_delta, past_z = torch.zeros(len(y), dtype=torch.int64), torch.zeros_like(x), torch.zeros_like(at_x)
        examples = at_x, past_z, past_delta, sides, gradient, inputs, length, x, delta, y, robust, unsure, steps
        going, z = torch.arange(len(y)), at_x
        while len(going):
            call_compiled(_advance, going, z, *examples, *shared, torch.finfo(x.dtype).eps)
            going = (steps <= atk_iters).nonzero().squeeze(1)
            z = inputs[going] @ W.T
        return delta, robust, unsure

    return in_threads(attack, x, y.to(x.dtype))


def by_neurons(net, x, y, eps, atk_iters, box, K):
    """PGD without a product a step, for l2 balls without a box; K (m, m) is W W.T without the bias."""
    W, a, output_bias, noise = net.W[:, : net.d].detach(), net.a, net.output_bias, 4 * rounding(net.W.detach())
    # The norm of g comes from a sum that rounding spoils sooner than g itself.
    least = 100 * math.sqrt(noise * torch.linalg.vector_norm(W).item())
    shared = K, a, output_bias, eps, 2.5 * eps / atk_iters, atk_iters, noise, least

    def attack(x, y):
        z = net.weighted_input(x) @ net.W.detach().T
        h = ((z > 0) * a) @ W @ W.T
        robust, unsure = torch.ones_like(y, dtype=torch.bool), torch.zeros_like(y, dtype=torch.bool)
        length = torch.linalg.vector_norm(net.weighted_input(x), dim=1)
        call_compiled(_follow_neurons, z, h, length, y, robust, unsure, *shared)
        return z @ W, robust, unsure

    return in_threads(attack, x, y.to(x.dtype))


def rounding(W):
    """The length that a sum of all rows of W typically gets from rounding each of them once.

    g, a running sum of rows, was measured to be off by up to 1.7 of that by neurons, and by up to 2 + 0.05 sqrt(m) by
    prediction. What is shorter than twice as much, or an f that such a g can make, may be nothing but rounding.
    """
    return torch.finfo(W.dtype).eps * torch.linalg.vector_norm(W).item()


def in_threads(attack, x, y):
    """What attack(x, y) returns, with the examples split between threads that multiply by themselves.

    After a product of its own, PyTorch's threads keep waiting busily for the next, and would be in the way.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return attack(x, y)
    rows = -(-len(y) // threads)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            parts = list(pool.map(attack, x.split(rows), y.split(rows)))
    finally:
        torch.set_num_threads(threads)  # for threads that others start later
    return tuple(torch.cat(column) for column in zip(*parts))


def call_compiled(function, *arguments):
    """Call the compiled function, with arrays for tensors."""
    arrays = (argument.numpy() if isinstance(argument, torch.Tensor) else argument for argument in arguments)
    compiled(function)(*arrays)


@functools.cache
def numba_or_none():
    """The module numba, or None where it is not installed, is switched off or, with a warning, does not work."""
    try:
        import numba
    except Exception as error:  # whatever an installation that does not fit leads to
        if importlib.util.find_spec("numba"):
            reason = " ".join([type(error).__name__, *str(error).split()])
            warn(f"numba is installed, but does not work ({reason}): PGD takes up to 15 times as long")
        return None
    return None if numba.config.DISABLE_JIT else numba


@functools.cache
def compiled(function):
    """The function compiled by numba, or None without numba; with a warning where it cannot be kept for other runs."""
    numba = numba_or_none()
    if numba is None:
        return None
    # Sums in another order are faster, but _follow_neurons needs its two looks at a neuron to agree to the bit.
    options = {"nogil": True, "fastmath": False if function is _follow_neurons else {"reassoc", "contract"}}
    lock, kernels = threading.Lock(), {}

    def call(*arguments):
        kind = tuple(argument.dtype for argument in arguments if isinstance(argument, np.ndarray))
        with lock:  # threads come here together
            if kind not in kernels:
                try:
                    kernels[kind] = numba.njit(function, cache=True, **options)
                    kernels[kind].compile(tuple(map(numba.typeof, arguments)))
                except Exception:  # whatever a cache that is damaged, full or not to be written leads to
                    folder = os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).with_name("__pycache__")
                    warn_once(
                        f"numba's cache in {folder} does not work: runs compile anew, for seconds, until it is deleted"
                    )
                    kernels[kind] = numba.njit(function, **options)
        kernels[kind](*arguments)

    return call


def _advance(
    going, z, at_x, past_z, past_delta, sides, gradient, inputs, length, x, delta, y, robust, unsure, steps,
    W, lengths, a, output_bias, eps, box, step, atk_iters, noise, least, epsilon,
):  # fmt: skip
    """As many PGD steps of each example as are cheap without a product, from z = W inputs.

    It updates past_z to gradient, inputs, delta and robust to steps in place.

    Two products, W delta and that of an earlier delta, predict W delta for the deltas to come: as that of the nearest
    vector in the plane of the two. What is left of delta, of length `off`, moves neuron s by lengths[s] * off at most.
    A neuron whose prediction is further from 0 has a certain sign; the few others take their row of W.

    going (k,): which examples. z (k, m): their products. The others have a row for each of the n examples: at_x (n, m)
    is W x, past_z and past_delta are W delta and delta at the last product, sides (n, m) is 1 for neurons that are on
    and -1 for others, gradient (n, d or d + 1) that of sqrt(m) f, length (n,) the input's, and steps (n,) counts the steps
    taken, atk_iters + 1 when all is done. Where the gradient's error, noise, may decide the sign of f, or the gradient is
    shorter than least, unsure (n,) is set, and the example left.
    """
    m, d = z.shape[1], x.shape[1]
    number = z.dtype.type
    flags = np.zeros(-(-m // 8) * 8, np.uint8)
    groups = flags.view(np.uint64)  # eight neurons at a look
    found = np.empty(m, np.int64)
    along, across = np.empty_like(x[0]), np.empty_like(x[0])
    z_along, z_across = np.empty_like(z[0]), np.empty_like(z[0])
    for j in range(len(going)):
        i = going[j]
        base, side, g, moving, start, moved = at_x[i], sides[i], gradient[i], inputs[i], x[i], delta[i]
        z_then, delta_then = past_z[i], past_delta[i]

        # The product tells all signs.
        for s in range(m):
            flags[s] = z[j, s] * side[s] <= 0
        for group in range(len(groups)):
            if groups[group]:
                for s in range(8 * group, min(8 * group + 8, m)):
                    if flags[s] and (z[j, s] > 0) != (side[s] > 0):
                        side[s] = -side[s]
                        sign = a[s] * side[s]
                        for k in range(len(g)):
                            g[k] += sign * W[s, k]

        # The plane of this delta and the last one: orthonormal vectors, and what W makes of them.
        squares, dot = number(0), number(0)
        for k in range(d):
            squares += moved[k] * moved[k]
            dot += moved[k] * delta_then[k]
        size = math.sqrt(squares)
        height, known, plane, overlap = 0.0, squares > 0, False, 0.0
        if known:
            scale, overlap = number(1 / size), number(dot / size)
            squares = number(0)
            for k in range(d):
                along[k] = scale * moved[k]
                across[k] = delta_then[k] - overlap * along[k]
                squares += across[k] * across[k]
            height = math.sqrt(squares)
            plane = height > 1e-3 * max(size, abs(overlap))
            lift = number(1 / height if plane else 0.0)
            for k in range(d):
                across[k] *= lift
                delta_then[k] = moved[k]
            for s in range(m):
                z_delta = z[j, s] - base[s]
                z_along[s] = scale * z_delta
                z_across[s] = lift * (z_then[s] - overlap * z_along[s])
                z_then[s] = z_delta

        rows = 0
        while True:
            f, squares = output_bias.item(), number(0)
            dot = number(0)
            for k in range(len(g)):
                dot += g[k] * moving[k]
            for k in range(d):
                squares += g[k] * g[k]
            f += dot
            # Where rounding may decide the sign, it is left open: most examples are wrong for certain soon after.
            close, lost = abs(f) < noise * (length[i] + eps), squares < least * least
            robust[i] &= close or y[i] * f > 0
            unsure[i] = lost or (robust[i] and (unsure[i] or close))
            if steps[i] == atk_iters or lost:
                steps[i] = atk_iters + 1
                break
            steps[i] += 1
            move = number(step * y[i] / math.sqrt(squares) if squares > 0 else 0.0)
            squares = number(0)
            for k in range(d):
                pixel = moved[k] - move * g[k]
                if box:
                    pixel = min(max(start[k] + pixel, number(0)), number(1)) - start[k]
                moved[k] = pixel
                squares += pixel * pixel
            shrink = number(eps / math.sqrt(squares) if squares > eps * eps else 1.0)
            first, second = number(0), number(0)
            for k in range(d):
                moved[k] *= shrink
                moving[k] = start[k] + moved[k]
                first += along[k] * moved[k]
                second += across[k] * moved[k]
            if not known:
                break

            squares = number(0)
            for k in range(d):
                rest = moved[k] - first * along[k] - second * across[k]
                squares += rest * rest
            # The products are rounded, which a small delta, or a small height between the two, makes larger.
            grown = abs(first) / size + (abs(second) / height * (1 + abs(overlap) / size) if plane else 0.0)
            off = number(math.sqrt(squares) + 4 * epsilon * (1 + grown))
            for s in range(m):
                predicted = base[s] + first * z_along[s] + second * z_across[s]
                flags[s] = predicted * side[s] <= off * lengths[s]
            count = 0
            for group in range(len(groups)):
                if groups[group]:
                    for s in range(8 * group, min(8 * group + 8, m)):
                        if flags[s]:
                            found[count] = s
                            count += 1
            rows += count
            if 4 * rows > m:  # by now a product would have cost as much
                break
            for doubtful in range(count):
                s = found[doubtful]
                exact = number(0)
                for k in range(len(g)):
                    exact += W[s, k] * moving[k]
                if (exact > 0) != (side[s] > 0):
                    side[s] = -side[s]
                    sign = a[s] * side[s]
                    for k in range(len(g)):
                        g[k] += sign * W[s, k]


def _follow_neurons(z, h, length, y, robust, unsure, K, a, output_bias, eps, step, atk_iters, noise, least):
    """PGD in activation space, one example after the other: m operations a step, and m for each neuron that turns.

    An example is known by z = W x, r = W delta and h = W g, where g = sum_s a_s w_s over the active neurons is
    sqrt(m) times the input gradient; the norms and f follow from sums over active neurons, which change only with those
    that turn. K (m, m) is W W.T, length (n,) the input's. Writes robust and, as `_advance` does, unsure (n,), and over
    z (n, m) the c with delta = W.T c; h is lost.
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
        for s in range(m):
            if zi[s] > 0:
                f_x += a[s] * zi[s]
                g_norm2 += a[s] * hi[s]
        # delta = shrunk * (sum of all steps so far, each by its length times its g); c counts in the same way.
        shrunk, travelled = 1.0, 0.0
        for taken in range(atk_iters + 1):
            f = f_x + g_delta
            close, lost = abs(f) < noise * (length[i] + eps), g_norm2 < least * least
            robust[i] &= close or y[i] * f > 0
            unsure[i] = lost or (robust[i] and (unsure[i] or close))
            if taken == atk_iters or lost:
                break
            move = -step * y[i] / math.sqrt(g_norm2) if g_norm2 > 0 else 0.0
            travelled += move / shrunk
            delta_norm2 += move * (2 * g_delta + move * g_norm2)
            g_delta += move * g_norm2
            shrink = 1.0
            if delta_norm2 > eps * eps:
                shrink = eps / math.sqrt(delta_norm2)
                delta_norm2 = eps * eps
            shrunk *= shrink
            g_delta *= shrink

            # In the precision of z, since the loop runs at the speed of the memory.
            keep, push = z.dtype.type(shrink), z.dtype.type(shrink * move)
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
                            c[s] -= sign * travelled
                            f_x += sign * zi[s]
                            g_delta += sign * r[s]
                            g_norm2 += 2 * sign * hi[s] + K[s, s]
                            row = K[s]
                            for k in range(m):
                                hi[k] += sign * row[k]
        for s in range(m):
            if zi[s] + r[s] > 0:
                c[s] += a[s] * travelled
            zi[s] = shrunk * c[s]
