"""The paper in code: the digits, the network, the lazy ball, Sections 3 and 4, the smallest step, PGD.

ntk_normal.py trains until the lazy ball is left (Section 5.1), advtrain.py trains against PGD inside it (Section 5.2). Both
use what is defined here. Files, options, compiled code and the checks of closed forms are in lib/.

The paper is "Adversarial Robustness is at Odds with Lazy Training" (Wang, Ullah, Mianjy and Arora, NeurIPS 2022);
sections, definitions and theorems named below are its own. Shapes: n examples, d = size * size pixels, m = width.
"""

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lib import RunError, files, finite, guard, mnist, pgd_kernels

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.datasets import MNIST
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

# ---------------------------------------------------------------------------------------------------- data


class Digits(NamedTuple):
    """Two digits of MNIST, or classes of another data set: x (n, d), and y (n,) with -1 for num1 and +1 for num2."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


def load_digits(
    num1: int,
    num2: int,
    size: int,
    data_dir: Path = mnist.DATA_DIR,
    normalize: bool = False,
    seed: int | None = None,
    device: str = "cpu",
    dataset: str = "MNIST",
    antialias: bool = False,
) -> Digits:
    """The `Digits` num1 and num2 of MNIST, downsampled to size x size (Section 5, "Datasets & Model specification").

    Downsampling is bilinear WITHOUT antialiasing, as in the authors' scripts, unless antialias asks for it; pixels lie in
    [0, 1]. dataset is one of `lib.mnist.DATASETS`, num1 and num2 two of its ten classes. With normalize, every image is
    scaled to ||x|| = 1 (Section 5.2); an image that downsampling left all zero has no direction and stays zero: f is 0
    there without bias, and it counts as misclassified. With a seed, the training examples are shuffled once, the order
    in which every epoch then takes them.

    Raises RunError where the data set's files are missing or others, or do not have both digits.
    """
    train, test = mnist.read(data_dir, dataset)
    train_x, train_y = two_digits(train, num1, num2, size, normalize, antialias)
    test_x, test_y = two_digits(test, num1, num2, size, normalize, antialias)
    if seed is not None:
        order = torch.randperm(len(train_y), generator=torch.Generator().manual_seed(seed))
        train_x, train_y = train_x[order], train_y[order]
    return Digits(*(tensor.to(device) for tensor in (train_x, train_y, test_x, test_y)))


def two_digits(
    images: MNIST, num1: int, num2: int, size: int, normalize: bool = False, antialias: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (n, size * size) and y (n,) of the two digits: see `load_digits`. Other data like MNIST's, uint8 (n, h, w), will do.

    Raises RunError where the images do not have both digits, or are not uint8 (n, h, w).
    """
    pixels, label = torch.as_tensor(images.data), torch.as_tensor(images.targets)
    if pixels.dtype != torch.uint8 or pixels.dim() != 3:
        raise RunError(f"images must be uint8, of shape (n, h, w), not {pixels.dtype}, {tuple(pixels.shape)}")
    label = label.reshape(len(label), -1)[:, 0]  # QMNIST has more columns, of who wrote the digit
    chosen = (label == num1) | (label == num2)
    if len(label[chosen].unique()) < 2:
        raise RunError(f"{num1} and {num2} are no two digits of these images")
    pixels = pixels[chosen].unsqueeze(1).float() / 255
    x = resize(pixels, [size, size], InterpolationMode.BILINEAR, antialias=antialias).flatten(1)
    y = torch.where(label[chosen] == num2, 1.0, -1.0)
    return (F.normalize(x, dim=1) if normalize else x), y


# ------------------------------------------------------------------------------------------------- network


class TwoLayerNet(nn.Module):
    """f(x; a, W) = m^(-1/2) sum_s a_s relu(w_s . x), a two-layer ReLU network with a fixed top (Section 2.1).

    W here is the paper's transposed: its rows are the neurons' w_s.

    W0 and a are drawn as Definition 2.1 says, w_{s,0} ~ N(0, I_d) and a_s uniform on {-1, +1}, on the CPU from
    the seed, so that every device starts alike.

    With bias=True it is the network of the authors' scripts, m^(-1/2) (sum_s a_s relu(w_s . x + b_s) + c) with
    b ~ N(0, I_m) and a fixed c uniform on {-1, +1}. The bias b is then one more column of W and W0: trained,
    counted in the deviation, projected and saved with them. It is no part of the input x.

    Attributes: W (width, d or d + 1) the only parameter; W0 of the same shape; a (width,); output_bias, c or 0, a
    scalar; d, width and bias as given.
    """

    def __init__(self, d: int, width: int, seed: int = 0, bias: bool = False):
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
        return ((self.weighted_input(x) @ self.W.T).relu_() @ self.a + self.output_bias) / math.sqrt(self.width)

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

    def deviation(self) -> torch.Tensor:
        """||W - W0||_{2,inf}, a scalar tensor: see `LazyBall`."""
        return LazyBall(self.W0).deviation(self.W)


def in_chunks(width: int, *tensors: torch.Tensor):
    """Split tensors of equal length n into chunks of examples, to bound the memory of n x width intermediates.

    On a CPU half a million activations stay close to the caches; fewer than 128 examples would spend the time on reading
    W. On a GPU chunks are as large as its free memory allows, with 25 intermediates of 8 bytes. Raises RunError where n
    differs.
    """
    if len({len(tensor) for tensor in tensors}) > 1:
        raise RunError("there must be as many labels y as inputs x")
    activations = torch.cuda.mem_get_info(tensors[0].device)[0] // 200 if tensors[0].is_cuda else 2**19
    return zip(*(tensor.split(max(128, activations // width)) for tensor in tensors))


def loss(f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The logistic loss log(1 + exp(-y f)) of each example, of shape (n,) (Section 5.1).

    It is what is measured; SGD takes `loss_gradient`, its gradient in closed form.
    """
    return F.softplus(-y * f)


@torch.no_grad()
def mean_loss(net: TwoLayerNet, x: torch.Tensor, y: torch.Tensor) -> float:
    """The mean `loss` over all n examples. Raises RunError where it is not finite, and as `guard.check_labels`."""
    guard.check_labels(y)
    losses = [loss(net.f(part_x), part_y) for part_x, part_y in in_chunks(net.width, x, y)]
    return finite(torch.cat(losses).double().mean().item())


@torch.no_grad()
def accuracy(net: TwoLayerNet, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of the n examples with y f > 0: f = 0 is an error, as in Section 2.1. Raises RunError as `guard.check_labels`."""
    guard.check_labels(y)
    right = [part_y * net.f(part_x) > 0 for part_x, part_y in in_chunks(net.width, x, y)]
    return torch.cat(right).double().mean().item()


class LossGradient(NamedTuple):
    """The gradient in W of the mean `loss` of n examples, as the product active @ (slope[:, None] * x) / n.

    active (m, n): a_s where neuron s is active at x_i, else 0.  slope (n,): the loss's derivative in f, times
    m^(-1/2); it lies between 0 and -y m^(-1/2).  x (n, d or d + 1): what W's columns multiply. SGD adds the product to W
    without storing it, which saves a second tensor of W's size.
    """

    active: torch.Tensor
    slope: torch.Tensor
    x: torch.Tensor


def loss_gradient(
    W: torch.Tensor, a: torch.Tensor, output_bias: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> LossGradient:
    """The `LossGradient` at (x, y), in closed form; x is `weighted_input`, W a tensor that autograd does not follow."""
    # To switch autograd off here would take as long as a small product.
    scale = y * -(len(a) ** -0.5)
    # Neurons by examples: BLAS multiplies W @ x.T up to twice as fast as x @ W.T.
    active = (W @ x.T).relu_()
    slope = (a @ active).add_(output_bias).mul_(scale).sigmoid_().mul_(scale)
    return LossGradient(active.sign_().mul_(a[:, None]), slope, x)


def sgd_step(W: torch.Tensor, gradient: LossGradient, lr: float) -> None:
    """One step of SGD: W, in place, less lr times the gradient."""
    W.addmm_(gradient.active, gradient.x * gradient.slope[:, None], alpha=-lr / len(gradient.x))


def check_closed_forms(net: TwoLayerNet, x: torch.Tensor, y: torch.Tensor) -> None:
    """Check by a few examples that the closed forms fit net.f and `loss`: see `guard.check_closed_forms`. Raises RunError."""
    guard.check_closed_forms(net, x, y, loss, loss_gradient)


# ------------------------------------------------------------------------------------------- the lazy ball


class LazyBall:
    """The lazy regime, B_{2,inf}(W0, V): all W with ||W - W0||_{2,inf} = max_s ||w_s - w_{s,0}|| <= V (Definition 2.1).

    There V is C0/sqrt(m). W0 has shape (m, d) or (m, d + 1).
    """

    def __init__(self, W0: torch.Tensor, V: float = math.inf):
        self.W0, self.V = W0, V

    @torch.no_grad()
    def distances(self, W: torch.Tensor) -> torch.Tensor:
        """||w_s - w_{s,0}|| of each neuron s: (m,). By blocks of rows, since all of W - W0 would be as large as W.

        On a CPU a block stays in its caches; on a GPU small ones would wait for each other.
        """
        rows = (2**26 if W.is_cuda else 2**18) // max(1, W.shape[1])
        buffer = torch.empty_like(self.W0[:rows])
        blocks = zip(W.split(rows), self.W0.split(rows))
        return torch.cat([torch.linalg.vector_norm(torch.sub(w, w0, out=buffer[: len(w)]), dim=1) for w, w0 in blocks])

    def deviation(self, W: torch.Tensor) -> torch.Tensor:
        """||W - W0||_{2,inf}, a scalar tensor (Section 2, "Notation")."""
        return self.distances(W).max()

    @torch.no_grad()
    def project(self, W: torch.Tensor) -> None:
        """Project W in place onto the ball (Section 5.2): a row outside moves along its difference to the border.

        Rows inside stay as they are, bit for bit. A row outside stops short of the border by `rounding`, so that its
        distance, measured again, is V at most.
        """
        distance = self.distances(W)
        # In float64, since float32 would round V, up as often as down.
        outside = distance.double() > self.V
        share = torch.where(outside, max(self.V - self.rounding, 0) / distance, 1)
        # A row whose distance overflows becomes NaN, and is not put back on W0 as if nothing were wrong.
        share += 0 * distance
        # lerp counts from the nearer end: exact for rows inside, and no larger than W0 and V for those far outside.
        torch.lerp(self.W0, W, share[:, None], out=W)

    def longest_move(self, gradient: LossGradient, lengths: torch.Tensor, lr: float) -> float:
        """The furthest that a step of SGD may move a row of W; lengths (n,) are the ||x_i||, ones of a bias included.

        Row s moves by (lr / n) ||sum_i slope_i 1[w_s . x_i > 0] a_s x_i||, at most by (lr / n) sum_i |slope_i| ||x_i||,
        whatever s, and by rounding. Raises RunError where this is not finite.
        """
        return finite(lr / len(lengths) * torch.dot(gradient.slope.abs(), lengths).item() + self.rounding)

    @functools.cached_property
    def rounding(self) -> float:
        """How far rounding to float32 can move a row of W in one update, at most, while W is in the ball."""
        return torch.finfo(torch.float32).eps * (torch.linalg.vector_norm(self.W0, dim=1).max().item() + self.V)


# ------------------------------------------------------------------- what the theorem speaks of (Sections 3 and 4)


@torch.no_grad()
def flipped(net: TwoLayerNet, x: torch.Tensor, C2: list[float]) -> torch.Tensor:
    """Where the step delta = eta grad f(x) with |eta| = C2/||grad f(x)||^2 flips f's sign: (len(C2), n), bool (Theorem 3.1).

    Raises RunError as `guard.check_input_gradient`.
    """
    guard.check_input_gradient(net, x)
    f, gradient = net.value_and_input_gradient(x)
    unit = _unit_step(f, gradient)
    return torch.stack([f * net.f(x + size * unit) < 0 for size in C2])


def _unit_step(f, gradient):
    """The step delta (n, d) of `flipped` with C2 = 1."""
    return -f.sign()[:, None] * gradient / gradient.square().sum(dim=1, keepdim=True)


@torch.no_grad()
def largest_value_in_ball(net: TwoLayerNet, x: torch.Tensor, V: float) -> torch.Tensor:
    """The largest |f(x; a, W)| of all W in the lazy ball of radius V around net.W0: (n,) (Lemma 4.1).

    Neuron s adds most if w_s is w_{s,0} + V sgn(a_s) x / ||x||, and least if it is w_{s,0} - V sgn(a_s) x / ||x||.
    """
    ends = _ends_of_ball(net, x, V).relu() @ net.a + net.output_bias
    return ends.abs().amax(dim=0) / math.sqrt(net.width)


def _ends_of_ball(net, x, V):
    """w_s . x (2, n, m) for the W in the lazy ball that makes f(x) least, and for the one that makes it largest."""
    x = net.weighted_input(x)
    reach = V * torch.linalg.vector_norm(x, dim=1, keepdim=True) * net.a.sign()
    return torch.stack([x @ net.W0.T - reach, x @ net.W0.T + reach])


@torch.no_grad()
def move_to_largest_value(net: TwoLayerNet, x: torch.Tensor, V: float) -> torch.Tensor:
    """The v with ||v|| = V for which w_s = w_{s,0} + sgn(a_s) v has the largest |f(x)| in the lazy ball.

    v has shape (n, d), or (n, d + 1) with bias, for which `gradient_and_flips` is not.
    """
    least, most = (_ends_of_ball(net, x, V).relu() @ net.a + net.output_bias).abs()
    return torch.where(most >= least, V, -V)[:, None] * F.normalize(net.weighted_input(x), dim=1)


@torch.no_grad()
def move_against_gradient(net: TwoLayerNet, x: torch.Tensor, V: float) -> torch.Tensor:
    """A v (n, d) with ||v|| <= V for which w_s = w_{s,0} + sgn(a_s) v has a small ||grad f(x)|| (Lemma 4.2). Without bias.

    v is against P grad f, where P takes away the part along x. So no neuron changes its sign, and P grad f becomes shorter
    by ||v|| m^(-1/2) times the sum of |a_s| over neurons that are on. Other W in the ball may have a smaller gradient still.
    """
    active = (x @ net.W0.T > 0).to(x.dtype)
    gradient, direction = (active * net.a) @ net.W0, F.normalize(x, dim=1)
    across = gradient - (gradient * direction).sum(dim=1, keepdim=True) * direction
    length = torch.linalg.vector_norm(across, dim=1, keepdim=True)
    return -across / length * (length / (active @ net.a.abs())[:, None]).clamp(max=V)


@torch.no_grad()
def gradient_and_flips(net: TwoLayerNet, x: torch.Tensor, v: torch.Tensor, C2: list[float]):
    """||grad f(x)|| (n,), and where a step as in `flipped` flips f's sign (len(C2), n), at w_s = w_{s,0} + sgn(a_s) v.

    v (n, d) is another one at each x. With ||v|| <= V this W is in the lazy ball, about all of which Theorem 3.1 is at once.
    Without bias.
    """
    z = x @ net.W0.T + (v * x).sum(dim=1, keepdim=True) * net.a.sign()
    active = (z > 0).to(x.dtype)
    gradient = ((active * net.a) @ net.W0 + (active @ net.a.abs())[:, None] * v) / math.sqrt(net.width)
    f = z.relu() @ net.a
    unit = _unit_step(f, gradient)
    slope = unit @ net.W0.T + (v * unit).sum(dim=1, keepdim=True) * net.a.sign()
    flips = [f * ((z + size * slope).relu() @ net.a) < 0 for size in C2]
    return torch.linalg.vector_norm(gradient, dim=1), torch.stack(flips)


@torch.no_grad()
def changeable_neurons(net: TwoLayerNet, x: torch.Tensor, V: float) -> torch.Tensor:
    """|S_v|, how many neurons are on at x for some W in the lazy ball of radius V and off for another: (n,) (Lemma 4.3)."""
    least, most = _ends_of_ball(net, x, V).aminmax(dim=0)
    return ((least <= 0) & (most > 0)).sum(dim=1)


@torch.no_grad()
def changed_neurons(net: TwoLayerNet, x: torch.Tensor) -> torch.Tensor:
    """How many neurons are on at x with W and off with W0, or off and on: (n,), at most |S_v| (Lemma 4.3)."""
    x = net.weighted_input(x)
    return ((x @ net.W.T > 0) != (x @ net.W0.T > 0)).sum(dim=1)


def gradient_change(net: TwoLayerNet, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """||grad f(x + delta) - grad f(x)||: (n,), of which Lemma 4.4 bounds the largest over all delta of a length."""
    (_, before), (_, after) = net.value_and_input_gradient(x), net.value_and_input_gradient(x + delta)
    return torch.linalg.vector_norm(after - before, dim=1)


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
    float64: where |f| is small, float32 would not resolve the crossing. Raises RunError where net.f is no ReLU network's.
    """
    W, a, output_bias = net.W.double(), net.a.double(), net.output_bias.double()
    parts = [
        _smallest_step(W, a, output_bias, net.weighted_input(part_x.double()), net.d)
        for (part_x,) in in_chunks(net.width, x)
    ]
    step = SmallestStep(*(torch.cat(column) for column in zip(*parts)))
    guard.check_smallest_step(net, x, step)
    return step


def _smallest_step(W, a, output_bias, x, d):
    p = x @ W.T
    gradient = ((p > 0) * a) @ W
    f = (gradient * x).sum(dim=1) + output_bias
    gradient = gradient[:, :d]
    grad_norm, sign = torch.linalg.vector_norm(gradient, dim=1), f.sign()
    # Of rows that cancel rounding leaves no more than this.
    grad_norm *= grad_norm > 1e-14 * torch.linalg.vector_norm(W)

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
    column = torch.arange(len(example), device=x.device) - (count.cumsum(0) - count)[example]
    packed = end[:, None].repeat(1, int(count.max()))
    packed[example, column] = kinks[example, neuron]
    bends = torch.zeros_like(packed)
    bends[example, column] = a[neuron] * q[example, neuron].abs()
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
    for _ in range(8):
        again = (~flips).nonzero().squeeze(1)
        if len(again) == 0:
            return t, flips
        t[again] *= 2
        flips[again] = past(p[again], q[again], t[again], f[again].sign())
    # Past the last kink f is linear: if it has not flipped there, it does before twice its root, or never.
    again = (~flips).nonzero().squeeze(1)
    p, q, sign = p[again], q[again], f[again].sign()
    last = torch.where(q != 0, -p / q, 0).amax(dim=1).clamp(min=0)
    height = torch.addcmul(p, q, last[:, None]).relu_() @ a + output_bias
    root = (-height / (q.relu() @ a)).clamp(min=0).nan_to_num(posinf=0)
    below = height * sign < -1e-13 * (p.abs().sum(dim=1) + output_bias.abs())
    t[again] = torch.where(below, last, torch.maximum(t[again], 2 * (last + root)))
    flips[again] = past(p, q, t[again], sign)
    return t, flips


# ------------------------------------------------------------------------------------------ attack 2: PGD


def plain_pgd(net, x, y, eps, atk_iters, box=False):
    """The reference implementation of `pgd`, with two matrix products a step; on a CPU with numba a compiled one runs."""

    def step(delta, gradient):
        moved = delta - 2.5 * eps / atk_iters * F.normalize(gradient, dim=1)
        if box:
            moved = (x + moved).clamp(0, 1) - x
        return moved * (eps / torch.linalg.vector_norm(moved, dim=1, keepdim=True)).clamp(max=1)

    return take_steps(step, net, x, y, atk_iters)


def linf_pgd(net, x, y, eps, atk_iters, box=False):
    """PGD on the ball of radius eps in the l-infinity norm, by the gradient's sign (Madry et al. 2018; not in the paper)."""

    def step(delta, gradient):
        moved = (delta - 2.5 * eps / atk_iters * gradient.sign()).clamp(-eps, eps)
        return (x + moved).clamp(0, 1) - x if box else moved

    return take_steps(step, net, x, y, atk_iters)


def take_steps(step: Callable, net, x, y, atk_iters):
    """delta (n, d) and robust (n,), as `pgd` returns them, after the steps from delta = 0.

    step(delta, gradient) is the next delta; gradient (n, d) is that of y f(x + delta).
    """
    delta = torch.zeros_like(x)
    f, gradient = net.value_and_input_gradient(x)
    robust = y * f > 0
    for _ in range(atk_iters):
        delta = step(delta, y[:, None] * gradient)
        f, gradient = net.value_and_input_gradient(x + delta)
        robust &= y * f > 0
    return delta, robust


@torch.no_grad()
def pgd(
    net: TwoLayerNet,
    x: torch.Tensor,
    y: torch.Tensor,
    eps: float,
    atk_iters: int,
    box: bool = False,
    way: Callable | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected gradient descent against (x, y) on the l2 ball of radius eps (Section 5.2, Madry et al. 2018).

    From delta = 0, atk_iters steps of length 2.5 eps / atk_iters along the normalised input gradient of the
    logistic loss, which is -y grad f / ||grad f||, each followed by the projection onto ||delta|| <= eps. With
    box, x + delta is clipped to the pixel range [0, 1] before the projection, as in the authors' scripts.

    Returns (delta (n, d), the last iterates; robust (n,) bool, True where y f(x + delta) > 0 at EVERY iterate,
    delta = 0 included). On a CPU with numba a compiled way gives the same, up to rounding, in a fraction of the time.
    way is another attack on one chunk of examples, a function like `plain_pgd`, in its place; nothing of it is compiled.
    Raises RunError as `guard.check_attack` and `pgd_kernels.fastest` do.
    """
    guard.check_attack(net, x, y, eps, box, loss)
    way = way or pgd_kernels.fastest(net, plain_pgd, x, y, eps, atk_iters, box)
    parts = [way(net, *part, eps, atk_iters, box) for part in in_chunks(net.width, x.detach(), y)]
    delta, robust = zip(*parts)
    return torch.cat(delta), torch.cat(robust)


# What --attack chooses from. A further attack is a function like linf_pgd, and a line here.
ATTACKS = {"l2": pgd, "linf": functools.partial(pgd, way=linf_pgd)}


def robust_accuracy(
    net: TwoLayerNet,
    x: torch.Tensor,
    y: torch.Tensor,
    eps: float,
    atk_iters: int,
    box: bool = False,
    attack: Callable = pgd,
) -> float:
    """The share of the n examples that the attack leaves rightly classified, PGD at every iterate.

    Another attack is a function like `pgd`. Raises RunError as `pgd` and `guard.check_attacked` do.
    """
    delta, robust = attack(net, x, y, eps, atk_iters, box)
    guard.check_attacked(delta, robust, x, y)
    return robust.double().mean().item()


# ------------------------------------------------------------------------------------------------- saved networks


def save_network(folder: Path, net: TwoLayerNet, script: str, config: dict) -> None:
    """Save a trained network to a file in folder that is named after its run.

    The file holds a dict that torch.load reads: `state_dict`, with W, W0 and a (and output_bias if there is one), and
    `config`, the configuration columns of the run's row. Raises RunError where the file cannot be written.
    """
    content = io.BytesIO()
    torch.save({"state_dict": net.state_dict(), "config": config}, content)
    files.write_whole(Path(folder) / files.run_name(script, config, ".pt"), content.getbuffer())


def load_network(path: Path) -> tuple[TwoLayerNet, dict]:
    """The network that `save_network` saved at path, on the CPU, and its run's configuration.

    Raises RunError where the file is not such a one.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config = dict(saved)["config"]
        net = TwoLayerNet(config["d"], config["width"], config["seed"], bool(config["bias"]))
        net.to(saved["state_dict"]["W"].dtype)
        net.load_state_dict(saved["state_dict"])
    except Exception as error:  # whatever a file that is something else leads to
        reason = " ".join([type(error).__name__, *str(error).split()])
        raise RunError(f"cannot load a network from {path} ({reason})") from error
    return net, config
