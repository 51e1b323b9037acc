"""The data, the network, the ball, the attacks and the training loops, against autograd and brute force."""

import copy
import functools
import math
import os
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

import common
from common import TwoLayerNet

ROOT = common.DATA_DIR.parent

# ---------------------------------------------------------------------------------------------------- data


def test_counts_labels_and_pixels(digits):
    assert digits.train_x.shape == (12665, 25) and digits.test_x.shape == (2115, 25)
    assert set(digits.train_y.tolist()) == {-1.0, 1.0}
    assert 0 <= digits.train_x.min() and digits.train_x.max() <= 1
    swapped = common.load_digits(1, 0, 5, seed=0)
    assert torch.equal(swapped.train_x, digits.train_x) and torch.equal(swapped.train_y, -digits.train_y)
    assert len(common.load_digits(3, 8, 5).test_y) == 1010 + 974


def test_downsampling_is_bilinear_without_antialiasing():
    whole = common.load_digits(0, 1, 28).test_x
    # A pixel of 14 x 14 lies between four of 28 x 28, one of 7 x 7 between the inner four of sixteen.
    images = whole.reshape(-1, 1, 28, 28)
    torch.testing.assert_close(common.load_digits(0, 1, 14).test_x, F.avg_pool2d(images, 2).flatten(1))
    inner = F.avg_pool2d(images[:, :, 1:-1, 1:-1], 2, stride=4).flatten(1)
    torch.testing.assert_close(common.load_digits(0, 1, 7).test_x, inner)


def test_normalisation_keeps_an_all_zero_image_at_zero():
    plain, scaled = common.load_digits(0, 1, 1).test_x, common.load_digits(0, 1, 1, normalize=True).test_x
    empty = plain.flatten() == 0
    assert empty.any() and not empty.all()
    assert torch.equal(scaled.flatten() == 0, empty)
    torch.testing.assert_close(scaled[~empty].norm(dim=1), torch.ones(int((~empty).sum())))


def test_the_seed_shuffles_the_training_examples_once(digits):
    again, other, stored = (common.load_digits(0, 1, 5, seed=seed) for seed in (0, 1, None))
    assert torch.equal(again.train_x, digits.train_x)
    assert not torch.equal(other.train_x, digits.train_x)
    assert torch.equal(digits.train_x.sum(1).sort().values, stored.train_x.sum(1).sort().values)
    assert torch.equal(digits.test_x, stored.test_x)


def test_half_unpacked_files_are_unpacked_again(packed_mnist):
    common.unpack_mnist(packed_mnist)
    half = packed_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    half.write_bytes(half.read_bytes()[:1000])
    assert len(common.load_digits(0, 1, 5, packed_mnist).train_y) == 12665


def test_processes_unpacking_at_once_all_read_whole_files(packed_mnist):
    load = "import common, sys; print(len(common.load_digits(0, 1, 5, sys.argv[1]).train_y))"
    command = [sys.executable, "-c", load, str(packed_mnist)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["12665\n"] * 3


def test_a_corrupt_file_without_a_network_is_an_error(packed_mnist, monkeypatch):
    monkeypatch.setattr(common.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    (packed_mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(common.RunError, match="MNIST"):
        common.load_digits(0, 1, 5, packed_mnist)


# ------------------------------------------------------------------------------------------------- network


@pytest.fixture(params=[False, True], ids=["no-bias", "bias"])
def net(request):
    """A small network in float64, moved off its initialisation."""
    net = TwoLayerNet(6, 40, seed=3, bias=request.param).double()
    with torch.no_grad():
        net.W += 0.3 * torch.randn_like(net.W)
    return net


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(2, (50,), generator=generator) * 2.0 - 1


def test_initialisation_is_definition_2_1():
    net = TwoLayerNet(100, 2000, seed=0)
    assert torch.equal(net.W, net.W0) and net.W.shape == (2000, 100)
    assert [name for name, _ in net.named_parameters()] == ["W"]
    assert set(net.a.tolist()) == {-1.0, 1.0} and abs(net.a.mean()) < 4 / math.sqrt(2000)
    standard_error = 1 / math.sqrt(net.W0.numel())
    assert abs(net.W0.mean()) < 4 * standard_error and abs(net.W0.var() - 1) < 4 * math.sqrt(2) * standard_error
    assert torch.equal(TwoLayerNet(100, 2000, seed=0).W0, net.W0)
    assert not torch.equal(TwoLayerNet(100, 2000, seed=1).W0, net.W0)


def test_the_bias_is_one_more_column_of_the_same_network():
    plain, biased = TwoLayerNet(9, 500, seed=2), TwoLayerNet(9, 500, seed=2, bias=True)
    assert torch.equal(biased.W0[:, :9], plain.W0) and torch.equal(biased.a, plain.a)
    assert biased.W.shape == (500, 10) and abs(biased.W0[:, 9].std() - 1) < 0.15
    assert abs(biased.output_bias) == 1
    assert set(plain.state_dict()) == {"W", "W0", "a"}
    assert set(biased.state_dict()) == {"W", "W0", "a", "output_bias"}


def test_f_is_the_formula_of_section_2_1(net, examples):
    x, _ = examples
    expected = []
    for example in x:
        total = float(net.output_bias)
        for w, a in zip(net.W.tolist(), net.a.tolist()):
            z = sum(weight * pixel for weight, pixel in zip(w, example.tolist())) + (w[6] if net.bias else 0)
            total += a * max(0.0, z)
        expected.append(total / math.sqrt(40))
    torch.testing.assert_close(net.f(x).detach(), torch.tensor(expected, dtype=torch.float64))


def test_the_input_gradient_is_autograds(net, examples):
    x, _ = examples
    x.requires_grad_()
    f = net.f(x)
    (gradient,) = torch.autograd.grad(f.sum(), x)
    closed_f, closed_gradient = net.value_and_input_gradient(x)
    torch.testing.assert_close(closed_f, f.detach())
    torch.testing.assert_close(closed_gradient, gradient)


def test_the_factored_gradient_is_autograds(net, examples):
    x, y = examples
    torch.log(1 + torch.exp(-y * net.f(x))).sum().backward()
    weighted = net.weighted_input(x)
    hidden, slope = common.factored_gradient(net.W, net.a, net.output_bias, weighted, y)
    torch.testing.assert_close(hidden @ (weighted * slope[:, None]), net.W.grad)
    assert set(hidden.unique().tolist()) == {-1, 0, 1}


def test_logits_are_a_classifier_for_images(net, examples):
    x, y = examples
    logits = net(x.reshape(50, 1, 2, 3))
    assert torch.equal(logits.argmax(dim=1) == 1, net.f(x) > 0)
    cross_entropy = F.cross_entropy(logits, (y > 0).long())
    torch.testing.assert_close(cross_entropy, F.softplus(-y * net.f(x)).mean())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_what_the_cpu_gives(digits):
    nets = TwoLayerNet(25, 300), TwoLayerNet(25, 300).cuda()
    assert torch.equal(nets[0].W0, nets[1].W0.cpu())
    for net in nets:
        x, y = digits.train_x.to(net.W.device), digits.train_y.to(net.W.device)
        list(common.train_until_exit(net, x, y, [0.2], 0.1, 64, 1))
    torch.testing.assert_close(nets[0].W, nets[1].W.cpu(), atol=1e-4, rtol=0)
    step, cuda_step = (common.smallest_step(net, digits.test_x.to(net.W.device)) for net in nets)
    torch.testing.assert_close(step.delta_norm, cuda_step.delta_norm.cpu(), rtol=1e-2, atol=1e-3)


# -------------------------------------------------------------------------------------------- the lazy ball


def test_deviation_is_the_longest_row(net):
    rows = [math.dist(w, w0) for w, w0 in zip(net.W.tolist(), net.W0.tolist())]
    assert net.deviation().item() == pytest.approx(max(rows))


@pytest.mark.parametrize("d", [1, 25, 784])
def test_projection(d):
    net = TwoLayerNet(d, 200, seed=0)
    with torch.no_grad():
        net.W += torch.rand(200, 1) * 0.5 * F.normalize(torch.randn(200, d), dim=1)
        net.W[0], net.W0[0] = 0, 0
        net.W[0, 0] = 0.3  # rounded to float32, this is 1.2e-8 outside
    before, distance, V = net.W.detach().clone(), (net.W - net.W0).norm(dim=1).double(), 0.3
    aim = V - common.rounding(net.W0, V)
    common.project(net.W, net.W0, V, aim)
    inside = distance <= V
    assert 50 < inside.sum() < 150 and not inside[0]
    assert torch.equal(net.W[inside], before[inside])
    after = (net.W - net.W0)[~inside]
    torch.testing.assert_close(after.norm(dim=1), torch.full((len(after),), V), rtol=1e-4, atol=0)
    assert F.cosine_similarity(after, (before - net.W0)[~inside]).min() > 1 - 1e-4
    assert net.deviation().item() <= V
    renormed = net.W0 + torch.renorm(before - net.W0, 2, 0, V)
    torch.testing.assert_close(net.W.detach(), renormed, rtol=0, atol=1e-5)
    once = net.W.detach().clone()
    common.project(net.W, net.W0, V, aim)
    assert torch.equal(net.W, once)


# --------------------------------------------------------------------------- attack 1: the smallest single step


def along_the_ray(net, x, steps):
    """f(x + step grad f(x)) for every example and its steps (n, k), in float64."""
    _, gradient = net.value_and_input_gradient(x)
    rays = x[:, None] + steps[:, :, None] * gradient[:, None]
    return torch.cat([net.f(ray)[None] for ray in rays]).detach()


def test_smallest_step_is_the_first_crossing_of_a_fine_walk():
    rays = flipped_back = unflipped = 0
    for seed in range(60):
        net = TwoLayerNet(2, 6, seed=seed, bias=True).double()
        x = torch.randn(20, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        f, gradient = net.value_and_input_gradient(x)
        step = common.smallest_step(net, x)
        torch.testing.assert_close(step.f, f)
        torch.testing.assert_close(step.grad_norm, gradient.norm(dim=1))
        moving = step.grad_norm > 1e-3
        x, f, step = x[moving], f[moving], common.SmallestStep(*(column[moving] for column in step))
        torch.testing.assert_close(step.delta_norm, step.eta.abs() * step.grad_norm)
        assert torch.equal(step.flips, step.eta.isfinite())

        # A walk of 4,000 steps to past every kink, in which the first sign change is looked for.
        walk = -f.sign()[:, None] * torch.linspace(0, 400, 4001, dtype=torch.float64)[1:]
        walk[:, :2000] = -f.sign()[:, None] * torch.linspace(0, 4, 2001, dtype=torch.float64)[1:]
        walked = along_the_ray(net, x, walk)
        changed = walked * f[:, None] < 0
        for i in range(len(x)):
            before = walk[i].abs() < step.eta[i].abs()
            assert not changed[i, before].any(), "the walk flips before the exact step"
            if step.flips[i]:
                around = step.eta[i] * torch.tensor([[1 - 1e-7, 1 + 1e-7]], dtype=torch.float64)
                here = along_the_ray(net, x[i : i + 1], around)[0] * f[i]
                assert here[0] >= 0 > here[1], "no flip at the exact step"
                size = walked[i, before].abs()
                flipped_back += len(size) > 2 and bool((size.diff() > 1e-9).any())
            unflipped += not step.flips[i]
            rays += 1
    # The nets are small enough for the hard cases to be there: |f| that grows on the way, rays that never cross.
    assert rays > 1000 and flipped_back > 20 and unflipped > 20


@pytest.mark.parametrize("d, width", [(1, 50), (1, 5), (2, 1), (2, 3), (3, 6), (5, 10)])
def test_smallest_step_is_exact_where_f_is_zero_at_a_kink(d, width):
    """Without bias f is 0 at the origin, which rays pass through where d or the number of active neurons is small."""
    flips = 0
    for seed in range(20):
        net = TwoLayerNet(d, width, seed=seed).double()
        x = torch.randn(10, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        step = common.smallest_step(net, x)
        for i in range(len(x)):
            expected = first_flip_in_fractions(net, x[i])
            assert bool(step.flips[i]) == (expected is not None)
            if expected is not None:
                assert step.eta[i].abs().item() == pytest.approx(float(expected), rel=1e-9)
            flips += bool(step.flips[i])
    assert flips > 20 or width == 1  # a single neuron only ever goes to zero


def first_flip_in_fractions(net, x):
    """The smallest |eta| that flips f(x), or None; every kink is looked at, in exact arithmetic, sqrt(m) set to 1."""
    W = [[Fraction(weight) for weight in w] for w in net.W.tolist()]
    a, x = [int(sign) for sign in net.a], [Fraction(pixel) for pixel in x.tolist()]
    p = [sum(weight * pixel for weight, pixel in zip(w, x)) for w in W]
    gradient = [sum(sign * w[k] for sign, w, z in zip(a, W, p) if z > 0) for k in range(len(x))]
    f = sum(sign * max(z, 0) for sign, z in zip(a, p))
    if f == 0 or not any(gradient):
        return None
    direction = [-g if f > 0 else g for g in gradient]
    q = [sum(weight * component for weight, component in zip(w, direction)) for w in W]

    def value(t):
        return sum(sign * max(z + t * slope, 0) for sign, z, slope in zip(a, p, q)) * (1 if f > 0 else -1)

    kinks = sorted({Fraction(0), *(-z / slope for z, slope in zip(p, q) if z * slope < 0)})
    for left, right in zip(kinks, [*kinks[1:], kinks[-1] + 1]):
        # Linear between kinks, and beyond the last one for ever.
        at_left, slope = value(left), (value(right) - value(left)) / (right - left)
        if slope < 0 and (right == kinks[-1] + 1 or value(right) < 0):
            return (left - at_left / slope) * Fraction(math.sqrt(len(a)))
    return None


def net_on_the_line(slopes_and_kinks, at_one):
    """A network of one input with f(1) = at_one that, to the left of 1, changes by each slope from its kink on."""
    net = TwoLayerNet(1, 4, bias=True).double()
    slopes, kinks = zip(*slopes_and_kinks)
    with torch.no_grad():
        net.W.zero_()
        for s, (change, kink) in enumerate(zip([slopes[0], *(b - a for a, b in zip(slopes, slopes[1:]))], kinks)):
            # This neuron adds change * (kink - x)+ to f; 2 is the square root of the width, exact in floating point.
            net.W[s] = torch.tensor([-abs(change), abs(change) * kink]) * 2
            net.a[s] = math.copysign(1, change)
        net.output_bias.fill_((at_one - slopes[0] * (kinks[0] - 1)) * 2)
    return net


@pytest.mark.parametrize(
    "slopes_and_kinks, crossing",
    [
        ([(-0.5, 2), (0.5, 0), (-1, -1)], -1.5),  # touches zero at 0, rises to 0.5, crosses later
        ([(-0.5, 2), (0, 0), (-1, -1)], -1.0),  # lies on zero from 0 to -1, negative after
        ([(-0.5, 2), (0.25, 0.5), (-0.5, -0.5)], -1.5),  # turns back before it gets there
        ([(-0.5, 2), (0.25, 0.5)], None),  # turns back for good
        ([(-0.5, 2), (0, 0)], None),  # comes to lie on zero: f f(x + delta) < 0 never
    ],
)
def test_smallest_step_on_a_line(slopes_and_kinks, crossing):
    step = common.smallest_step(net_on_the_line(slopes_and_kinks, 0.5), torch.ones(1, 1, dtype=torch.float64))
    assert step.f.item() == pytest.approx(0.5) and step.grad_norm.item() == pytest.approx(0.5)
    assert step.flips.item() == (crossing is not None)
    assert step.delta_norm.item() == pytest.approx(1 - crossing if crossing is not None else math.inf)


def test_rays_that_never_cross_are_marked():
    dead = TwoLayerNet(3, 8, bias=True)
    with torch.no_grad():
        dead.W.fill_(-1)
    for net, x in [(TwoLayerNet(3, 8), torch.zeros(1, 3)), (dead, torch.ones(1, 3))]:
        step = common.smallest_step(net, x)
        assert not step.flips.item() and step.eta.item() == step.delta_norm.item() == math.inf


@pytest.mark.parametrize("size, width, bias", [(5, 300, False), (14, 300, False), (14, 100, True), (28, 1000, False)])
def test_smallest_step_flips_every_test_example_and_nothing_shorter_does(lazy_net, size, width, bias):
    net, data = lazy_net(size, width, bias)
    step = common.smallest_step(net, data.test_x)
    assert step.flips.all()
    fractions = torch.cat([torch.arange(0.05, 1, 0.05), torch.tensor([1 - 1e-4, 1 + 1e-4])]).double()
    net = copy.deepcopy(net).double()
    signs = along_the_ray(net, data.test_x.double(), step.eta[:, None] * fractions) * step.f[:, None]
    assert (signs[:, :-1] > 0).all()
    assert (signs[:, -1] < 0).all()


# ------------------------------------------------------------------------------------------ attack 2: PGD


def autograd_pgd(net, x, y, eps, atk_iters, box):
    """PGD as Section 5.2 and the authors' scripts say it; returns every iterate of delta."""
    iterates = [torch.zeros_like(x)]
    for _ in range(atk_iters):
        delta = iterates[-1].clone().requires_grad_()
        F.softplus(-y * net.f(x + delta)).sum().backward()
        delta = delta.detach() + 2.5 * eps / atk_iters * F.normalize(delta.grad, dim=1)
        if box:
            delta = (x + delta).clamp(0, 1) - x
        iterates.append(delta * (eps / delta.norm(dim=1, keepdim=True)).clamp(max=1))
    return iterates


@pytest.fixture
def pgd_by(monkeypatch):
    """A function that has `pgd` take one of its ways: "two products", "one product" or "neurons"."""

    def choose(way):
        if way != "two products":
            pytest.importorskip("numba")
        function = getattr(common, f"_pgd_by_{way.replace(' ', '_')}")

        def chosen(net, *_):
            W = net.W[:, : net.d].detach()
            return functools.partial(function, net, *([W @ W.T] if way == "neurons" else []))

        monkeypatch.setattr(common, "_cheapest_way", chosen)

    return choose


WAYS = ["two products", "one product", "neurons"]
WAYS_AND_BOX = [(way, box) for way in WAYS for box in (False, True) if (way, box) != ("neurons", True)]


@pytest.mark.parametrize("way, box", WAYS_AND_BOX)
def test_pgd_is_autograds(net, examples, pgd_by, way, box):
    pgd_by(way)
    x, y = examples
    y = torch.where(torch.arange(50) < 40, 1, -1) * net.f(x).detach().sign()  # ten are wrong from the start
    iterates = autograd_pgd(net, x, y, 0.3, 12, box)
    right = torch.stack([y * net.f(x + delta) > 0 for delta in iterates])
    delta, robust = common.pgd(net, x, y, 0.3, 12, box)
    torch.testing.assert_close(delta, iterates[-1])
    assert torch.equal(robust, right.all(dim=0))
    assert 5 < robust.sum() < 35, "the attack should turn some examples and leave some"
    stopped, still_robust = common.pgd(net, x, y, 0.3, 12, box, stop_once_wrong=True)
    assert torch.equal(still_robust, robust)
    torch.testing.assert_close(stopped[robust], delta[robust])
    assert (y * net.f(x + stopped) <= 0)[~robust].all()


@pytest.mark.parametrize("way, box", WAYS_AND_BOX)
def test_pgd_stays_in_the_ball_and_in_the_box(lazy_net, pgd_by, way, box):
    pgd_by(way)
    net, data = lazy_net(10, 200)
    x = F.normalize(data.test_x, dim=1)
    for eps in (0.05, 0.5):
        delta, _ = common.pgd(net, x, data.test_y, eps, 10, box)
        assert delta.norm(dim=1).max() <= eps * (1 + 1e-5)
        assert not box or (-1e-6 <= x + delta).all() and (x + delta <= 1 + 1e-6).all()


@pytest.mark.parametrize("way", WAYS)
def test_pgd_solves_the_linear_case(digits, pgd_by, way):
    pgd_by(way)
    net = TwoLayerNet(25, 100).double()
    x, y = digits.test_x.double(), digits.test_y.double()
    f, gradient = net.value_and_input_gradient(x)
    eps = 1e-3
    linear = ((x @ net.W.T).abs() > eps * net.W.norm(dim=1)).all(dim=1)
    assert linear.sum() > 1000
    delta, _ = common.pgd(net, x, y, eps, 10)
    worst = y * f - eps * gradient.norm(dim=1)
    torch.testing.assert_close((y * net.f(x + delta)).detach()[linear], worst[linear])


@pytest.mark.parametrize(
    "size, width, eps, bias",
    [(5, 1000, 0.3, False), (5, 100, 0.3, True), (14, 300, 0.15, False), (28, 1000, 0.05, False), (14, 100, 0.1, True)],
)
def test_all_ways_decide_alike(lazy_net, pgd_by, size, width, eps, bias):
    net, data = lazy_net(size, width, bias)
    x, y = F.normalize(data.test_x, dim=1), data.test_y
    for ways, box in ((WAYS, False), (WAYS[:2], True)):
        results = []
        for way in ways:
            pgd_by(way)
            delta, robust = common.pgd(net, x, y, eps, 40, box)
            _, still_robust = common.pgd(net, x, y, eps, 40, box, stop_once_wrong=True)
            assert torch.equal(still_robust, robust)
            results.append((robust, (y * net.f(x + delta)).detach()))
        robust, margin = results[0]
        assert 0.02 < robust.double().mean() < 0.98, "the attack should turn some examples and leave some"
        for other_robust, other_margin in results[1:]:
            # An input of a neuron that is 0 but for rounding may turn it a step earlier or later. The iterates part
            # there, which can show in the decision only where the margin is as small.
            assert (robust != other_robust).double().mean() <= 1e-3
            assert margin.mean().item() == pytest.approx(other_margin.mean().item(), abs=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_where_no_neuron_is_active_there_is_no_gradient_to_follow(pgd_by, way):
    net = TwoLayerNet(4, 12)
    with torch.no_grad():
        net.W.abs_()
    x = torch.tensor([[0.0] * 4, [-1.0] * 4, [0.5] * 4])
    pgd_by(way)
    delta, robust = common.pgd(net, x, torch.ones(3), 2.0, 3)
    assert delta[:2].abs().max() == 0 and not robust[:2].any() and delta[2].norm() > 0


def test_the_way_depends_on_the_box_the_width_and_numba(monkeypatch):
    pytest.importorskip("numba")

    def way(d, width, steps, box):
        return common._cheapest_way(TwoLayerNet(d, width), steps, box).func

    assert way(25, 1000, 10**6, False) is common._pgd_by_neurons
    assert way(25, 1000, 10**6, True) is common._pgd_by_one_product
    assert way(25, 1001, 10**6, False) is way(25, 1000, 999, False) is common._pgd_by_one_product
    monkeypatch.setattr(common, "_compiled", lambda _: None)
    assert way(25, 1000, 10**6, False) is way(25, 1000, 10**6, True) is common._pgd_by_two_products


def test_the_package_works_without_numba():
    attack = (
        "import sys; sys.modules['numba'] = None\n"
        "import common, torch\n"
        "net, x = common.TwoLayerNet(4, 30), torch.rand(50, 4)\n"
        "print(common.pgd(net, x, torch.ones(50), 0.1, 5)[0].norm(dim=1).max().item() <= 0.1 * (1 + 1e-5))\n"
    )
    assert subprocess.run([sys.executable, "-c", attack], cwd=ROOT, capture_output=True, text=True).stdout == "True\n"


def test_robust_accuracy_falls_with_eps_from_the_clean_accuracy(lazy_net):
    net, data = lazy_net(10, 200)
    x = F.normalize(data.test_x, dim=1)
    clean = common.accuracy(net, x, data.test_y)
    robust = [common.robust_accuracy(net, x, data.test_y, eps, 10) for eps in (1e-6, 0.05, 0.1, 0.2, 0.4)]
    assert clean > 0.9 and robust[0] <= clean and robust[0] == pytest.approx(clean, abs=2e-3)
    assert all(weaker >= stronger for weaker, stronger in zip(robust, robust[1:]))
    assert robust[-1] < 0.1


# ------------------------------------------------------------------------------------------------ training


def sgd_step(net, x, y, lr):
    """One step, on every pixel and with nothing looked at or spared."""
    x = net.weighted_input(x)
    hidden, slope = common.factored_gradient(net.W, net.a, net.output_bias, x, y)
    with torch.no_grad():
        net.W.addmm_(hidden, x * slope[:, None], alpha=-lr / len(y))


@pytest.mark.parametrize("bias", [False, True])
def test_training_steps_are_torch_sgds(digits, bias):
    net, reference = (TwoLayerNet(25, 60, bias=bias).double() for _ in range(2))
    x, y = digits.train_x[:500].double(), digits.train_y[:500].double()
    (exit,) = common.train_until_exit(net, x, y, [1e6], 0.1, 64, 3)
    assert (exit.epochs, exit.steps, exit.left_ball) == (3, 24, False)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    for _ in range(3):
        for batch_x, batch_y in zip(x.split(64), y.split(64)):
            optimizer.zero_grad()
            torch.log(1 + torch.exp(-batch_y * reference.f(batch_x))).mean().backward()
            optimizer.step()
    torch.testing.assert_close(net.W, reference.W)


@pytest.mark.parametrize("bias", [False, True])
def test_the_exit_is_where_a_look_after_every_step_finds_it(digits, bias):
    radii, x, y = [0.1, 0.3, 0.30001, 0.8], digits.train_x, digits.train_y
    expected, steps = [], 0
    watched = TwoLayerNet(25, 80, bias=bias)
    waiting = list(radii)
    while waiting:
        batch = slice(steps * 64 % 12672, steps * 64 % 12672 + 64)
        kept = watched.W.detach().clone()
        sgd_step(watched, x[batch], y[batch], 0.1)
        while waiting and watched.deviation() > waiting[0]:
            expected.append((steps // 198, steps, kept))
            waiting.pop(0)
        steps += 1
    net = TwoLayerNet(25, 80, bias=bias)
    found = []
    for V, exit in zip(radii, common.train_until_exit(net, x, y, radii, 0.1, 64, 100)):
        assert exit.left_ball and net.deviation().item() <= V
        found.append((exit.epochs, exit.steps, net.W.detach().clone()))
    assert [exit[:2] for exit in found] == [exit[:2] for exit in expected]
    assert found[0][1] < found[1][1] < found[3][1]
    assert all(torch.equal(one[2], other[2]) for one, other in zip(found, expected))
    assert torch.equal(net.W, found[-1][2])


@pytest.mark.parametrize("train", ["sgd", "adversarial"])
def test_a_loss_that_is_not_finite_ends_training(digits, train):
    net, x, y = TwoLayerNet(25, 20), digits.train_x * 1e20, digits.train_y
    with pytest.raises(common.RunError, match="diverged"):
        if train == "sgd":
            list(common.train_until_exit(net, x, y, [1e40], 1e5, 64, 3))
        else:
            common.adversarial_training(net, x, y, 1e40, 0.1, 1, 1e5, 64, 3, 20)


@pytest.mark.parametrize("bias", [False, True])
def test_adversarial_training_projects_after_every_step(bias):
    data = common.load_digits(0, 1, 5, normalize=True, seed=0)
    x, y, V = data.train_x[:400], data.train_y[:400], 0.08
    net, reference = (TwoLayerNet(25, 60, bias=bias) for _ in range(2))
    run = common.adversarial_training(net, x, y, V, 0.1, 5, 0.1, 32, 6, 20)
    moved = 0
    for _ in range(6):
        attacked = x + common.pgd(reference, x, y, 0.1, 5)[0]
        for batch_x, batch_y in zip(attacked.split(32), y.split(32)):
            sgd_step(reference, batch_x, batch_y, 0.1)
            moved += bool(reference.deviation() > V)
            common.project(reference.W, reference.W0, V, V - common.rounding(reference.W0, V))
    assert 0 < moved < 6 * 13, "the test should see steps that are projected and steps that need not be"
    assert torch.equal(net.W, reference.W)
    assert net.deviation().item() <= V
    delta, robust = common.pgd(reference, x, y, 0.1, 5)
    assert (run.epochs, run.steps) == (6, 6 * 13)
    assert run.train_robust_acc == robust.double().mean().item()
    assert run.train_loss == pytest.approx(F.softplus(-y * reference.f(x + delta)).mean().item())


@pytest.mark.parametrize(
    "robust_out_of_10000, epochs",
    [
        ([5000] * 9, 3),  # three epochs in a row without a gain are more than two
        ([5000, 5001, 5002, 5003, 5004, 5005], 3),  # 1e-4 is no gain
        ([5000, 4000, 3000, 2000, 9000, 9000], 3),  # nor is a fall
        ([5000, 5000, 5000, 5002, 5002, 5002, 5002, 9000], 6),  # more than 1e-4 is, and starts the count again
        ([1000, 2000, 3000, 4000, 5000, 6000, 7000], 6),  # T
    ],
)
def test_patience_counts_epochs_in_a_row_without_a_gain(digits, monkeypatch, robust_out_of_10000, epochs):
    accuracies = iter(robust_out_of_10000)

    def attack(net, x, *_):
        return torch.zeros_like(x), torch.arange(10000) < next(accuracies)

    monkeypatch.setattr(common, "pgd", attack)
    x, y = digits.train_x[:10000], digits.train_y[:10000]
    run = common.adversarial_training(TwoLayerNet(25, 4), x, y, 1.0, 0.1, 1, 0.01, 10000, 6, patience=2)
    assert (run.epochs, run.steps) == (epochs, epochs)
    assert run.train_robust_acc == robust_out_of_10000[epochs] / 10000


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's account of peak memory")
def test_training_holds_no_gradient_of_the_size_of_W():
    train = (
        "import common, re, torch\n"
        "def peak(): return 1024 * int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
        "x, y, before = torch.rand(256, 784), torch.ones(256), peak()\n"
        "net = common.TwoLayerNet(784, 100000)\n"
        "(exited,) = common.train_until_exit(net, x, y, [0.5 / 100000**0.5], 0.1, 64, 9)\n"
        "print(exited.left_ball, (peak() - before) / net.W.nbytes)\n"
    )
    ended = subprocess.run([sys.executable, "-c", train], cwd=ROOT, capture_output=True, text=True)
    left_ball, tensors = ended.stdout.split()
    # W and W0, both once more for the pixels in use, the iterate inside; activations and libraries take the rest.
    assert left_ball == "True" and 4.9 < float(tensors) < 5.9


def test_the_papers_scaling_at_a_small_width(lazy_net):
    relative, gradient = [], []
    for size in (5, 10, 20, 28):
        net, data = lazy_net(size, 400)
        step = common.smallest_step(net, data.test_x)
        relative.append((step.delta_norm / data.test_x.norm(dim=1)).mean().item() * size)
        gradient.append(step.grad_norm.mean().item() / size)
        assert (step.f * data.test_y <= 0).double().mean() < 0.01
    assert max(relative) < 1.5 * min(relative)
    assert max(gradient) < 1.5 * min(gradient)
