"""python benchmarks/speed.py

Times the exact step, PGD and an SGD step against the plain ways to compute them and against their bare matrix
products, all sides by turns in one process, and takes the peak memory of ntk_normal.py at width 100,000. Takes about
ten minutes on two cores and prints a Markdown table; the ratios are what to read, since machines differ.
With --device cuda it does so on a GPU, where nothing is compiled, in two or three minutes.
"""

import contextlib
import functools
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
EPOCH = "ntk_normal.py --width 100000 --size 28 --C0 10 --T 1"
sys.path.insert(0, str(ROOT))

import common  # noqa: E402, from the folder above
import ntk_normal  # noqa: E402
from lib import command_line, sgd_kernels  # noqa: E402


def main():
    parser = command_line.bare_parser(__doc__)
    command_line.add_options(parser, [("--device", command_line.device, "cpu", "auto, cpu or cuda")])
    device = parser.parse_args().device
    grid = [(width, size) for width in (1_000, 10_000, 100_000) for size in (5, 14, 28)]
    print("| | m | d | here | the plain way | speed-up | bare products | here / bare |\n" + "|---" * 8 + "|")
    for what, benchmark, shapes in [
        ("exact step", exact_step, [(1_000, 5), (1_000, 28), (10_000, 28), (100_000, 28)]),
        ("PGD", pgd, [(1_000, 5), (1_000, 10), (1_000, 28), (4_000, 28)]),
        ("PGD with `--box`", functools.partial(pgd, box=True), [(1_000, 5), (1_000, 28), (4_000, 28)]),
        ("20 steps, `--box`", functools.partial(pgd, box=True, atk_iters=20), [(1_000, 5), (1_000, 28), (4_000, 28)]),
        ("SGD step of 64", functools.partial(sgd_step, bs=64, sparse=True), grid),
        ("SGD step of 32", functools.partial(sgd_step, bs=32, sparse=False), grid),
    ]:
        for width, size in shapes:
            times = benchmark(width, size, device)
            here, plain, bare = times["here"], times["plain"], times["bare"]
            faster = (duration(plain), f"{plain / here:,.{0 if plain > 20 * here else 1}f}") if plain else ("–", "–")
            cells = what, f"{width:,}", size**2, duration(here), *faster, duration(bare), f"{here / bare:.2f}"
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    with contextlib.suppress(ModuleNotFoundError):  # Windows has no resource
        if device == "cpu":
            print(f"\nPeak memory of `{EPOCH}`: {peak_memory():.1f} GB.")


def duration(seconds):
    """Seconds for people to read, in the unit that fits."""
    if seconds >= 1000:
        return f"{seconds:,.0f} s"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"


def by_turns(rounds, **sides):
    """The seconds that one call of each side takes, the fastest of as many rounds, in each of which all sides run.

    What is quick is called many times a round. Each side is called before the first round, where it may compile.
    """
    repeats = {name: max(1, int(0.2 / min(seconds(side), seconds(side)))) for name, side in sides.items()}
    best = dict.fromkeys(sides, math.inf)
    for _ in range(rounds):
        for name, side in sides.items():
            best[name] = min(best[name], seconds(side, repeats[name]))
    return best


def seconds(side, repeats=1):
    """The seconds that one call of side takes, the mean of some repeats."""
    started = time.perf_counter()
    for _ in range(repeats):
        side()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def lazy_network(width, size, normalize, device):
    """The digits and a network trained on them for at most an epoch, inside the lazy ball of C0 = 10."""
    digits = common.load_digits(0, 1, size, normalize=normalize, seed=0, device=device)
    net = common.TwoLayerNet(size**2, width).to(device)
    radii = [10 / math.sqrt(width)]
    list(ntk_normal.train_until_exit(net, digits.train_x, digits.train_y, radii=radii, lr=0.1, bs=64, T=1))
    return digits, net


# ---------------------------------------------------------------------------------------------- the exact step


def exact_step(width, size, device):
    """The smallest flipping step of all 2,115 test examples, against the walk of the authors' scripts.

    The walk is timed on a random sample of them and scaled up. At width 100,000, where it would take hours, it is
    left out, and the exact step and its three products are timed on the first quarter of the test examples.
    """
    digits, net = lazy_network(width, size, normalize=False, device=device)
    x = digits.test_x if width < 100_000 else digits.test_x[:512]
    walked = digits.test_x[torch.randperm(len(digits.test_x), generator=torch.Generator().manual_seed(0))]
    walked = walked[: min(30, 30_000 // width)]

    def products():
        W = net.W.detach().double()
        for (part,) in common.in_chunks(width, x):
            ((part.double() @ W.T) @ W) @ W.T

    sides = {"here": lambda: common.smallest_step(net, x), "bare": products}
    if len(walked):
        sides["plain"] = lambda: walk(net, walked)
    best = by_turns(3, **sides)
    examples = {"here": len(x), "bare": len(x), "plain": len(walked)}
    return {"plain": None} | {side: best[side] * len(digits.test_x) / examples[side] for side in best}


@torch.no_grad()
def walk(net, x):
    """Steps of length 0.001 along the gradient until the sign of f flips, 5,000 at most, one example at a time."""
    f, gradient = net.value_and_input_gradient(x)
    direction = F.normalize(-f.sign()[:, None] * gradient, dim=1)
    for example, start, along in zip(x.split(1), f, direction.split(1)):
        for step in range(1, 5001):
            if net.f(example + 0.001 * step * along) * start < 0:
                break


# --------------------------------------------------------------------------------------------------------- PGD


def pgd(width, size, device, box=False, atk_iters=100):
    """PGD on 2,000 training examples, against autograd and against two products a step."""
    digits, net = lazy_network(width, size, normalize=True, device=device)
    x, y = digits.train_x[:2000], digits.train_y[:2000]

    @torch.no_grad()
    def products():
        hidden, back = x.new_empty(len(x), width), torch.empty_like(x)
        for _ in range(atk_iters):
            torch.mm(x, net.W.T, out=hidden)
            torch.mm(hidden, net.W, out=back)

    return by_turns(
        3,
        here=lambda: common.pgd(net, x, y, 0.2, atk_iters, box),
        plain=lambda: autograd_pgd(net, x, y, 0.2, atk_iters, box),
        bare=products,
    )


def autograd_pgd(net, x, y, eps, atk_iters, box):
    delta = torch.zeros_like(x)
    for _ in range(atk_iters):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(F.softplus(-y * net.f(x + delta)).sum(), delta)
        delta = delta.detach() + 2.5 * eps / atk_iters * F.normalize(gradient, dim=1)
        if box:
            delta = (x + delta).clamp(0, 1) - x
        delta = delta * (eps / delta.norm(dim=1, keepdim=True)).clamp(max=1)


# --------------------------------------------------------------------------------------------------------- SGD


def sgd_step(width, size, device, bs, sparse):
    """A step of SGD as training takes it, against autograd with torch.optim.SGD and against two products.

    sparse: as in Section 5.1, with the bound on the deviation; pixels that are 0 are left out where that pays. Else as in
    Section 5.2, with the projection.
    """
    digits = common.load_digits(0, 1, size, seed=0, device=device)
    x, y = digits.train_x[:bs], digits.train_y[:bs]
    lengths = torch.linalg.vector_norm(x, dim=1)
    net, plain_net = (common.TwoLayerNet(size**2, width).to(device) for _ in range(2))
    W, still, batch, way = net.W.detach(), net.W0.clone(), x, common
    if sparse and sgd_kernels.pays(x, width):
        W, (batch,), way = sgd_kernels.neurons_side_by_side(W), sgd_kernels.sparse_batches(x, bs, width), sgd_kernels
    optimizer = torch.optim.SGD(plain_net.parameters(), lr=1e-3)
    hidden, nothing = x.new_empty(width, bs), x.new_zeros(width, bs)
    ball = common.LazyBall(net.W0, 10 / math.sqrt(width))

    def here():
        gradient = way.loss_gradient(W, net.a, net.output_bias, batch, y)
        if sparse:
            ball.longest_move(gradient, lengths, lr=1e-3)
        way.sgd_step(W, gradient, lr=1e-3)
        if not sparse:
            ball.project(W)

    def plain():
        optimizer.zero_grad()
        F.softplus(-y * plain_net.f(x)).mean().backward()
        optimizer.step()

    def bare():
        torch.mm(still, x.T, out=hidden)
        still.addmm_(nothing, x)

    return by_turns(5, here=here, plain=plain, bare=bare)


# ------------------------------------------------------------------------------------------------------ memory


def peak_memory():
    """The peak memory of an EPOCH of training and the attack on its network, in GB."""
    import resource

    script, *options = EPOCH.split()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / script), *options, "--device", "cpu", "--out", f"{folder}/rows.csv"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    command_line.run(main, __file__)
