"""The digits, the network, the lazy ball and the smallest step, against autograd, brute force and exact fractions."""

import copy
import math
from fractions import Fraction
from types import SimpleNamespace

import common
from common import LazyBall, TwoLayerNet
from lib import RunError, mnist

import pytest
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------------- data


def test_counts_labels_and_pixels(digits):
    assert digits.train_x.shape == (12665, 25) and digits.test_x.shape == (2115, 25)
    assert set(digits.train_y.tolist()) == {-1.0, 1.0}
    assert digits.train_x.min() >= 0 and digits.train_x.max() <= 1
    swapped = common.load_digits(1, 0, 5, seed=0)
    assert torch.equal(swapped.train_x, digits.train_x) and torch.equal(swapped.train_y, -digits.train_y)
    assert len(common.load_digits(3, 8, 5).test_y) == 1010 + 974


@pytest.mark.parametrize("pair", [(3, 3), (1, 11)])
def test_digits_that_there_are_not_are_refused(pair):
    with pytest.raises(RunError, match="no two digits"):
        common.load_digits(*pair, 5)


def test_downsampling_is_bilinear_without_antialiasing():
    whole = common.load_digits(0, 1, 28).test_x
    # A pixel of 14 x 14 lies between four of 28 x 28, one of 7 x 7 between the inner four of sixteen.
    images = whole.reshape(-1, 1, 28, 28)
    torch.testing.assert_close(common.load_digits(0, 1, 14).test_x, F.avg_pool2d(images, 2).flatten(1))
    inner = F.avg_pool2d(images[:, :, 1:-1, 1:-1], 2, stride=4).flatten(1)
    torch.testing.assert_close(common.load_digits(0, 1, 7).test_x, inner)


def test_antialiasing_is_an_option(digits):
    smooth = common.load_digits(0, 1, 5, seed=0, antialias=True)
    assert torch.equal(smooth.train_y, digits.train_y) and (smooth.train_x - digits.train_x).abs().mean() > 0.02
    images = mnist.read(mnist.DATA_DIR)[1]
    first = images.data[images.targets < 2][:1, None].float() / 255
    expected = F.interpolate(first, size=(5, 5), mode="bilinear", antialias=True).flatten()
    torch.testing.assert_close(smooth.test_x[0], expected)


def test_normalisation_keeps_an_all_zero_image_at_zero():
    plain, scaled = common.load_digits(0, 1, 1).test_x, common.load_digits(0, 1, 1, normalize=True).test_x
    empty = plain.flatten() == 0
    assert empty.any() and not empty.all()
    assert torch.equal(scaled.flatten() == 0, empty)
    torch.testing.assert_close(scaled[~empty].norm(dim=1), torch.ones(int((~empty).sum())))
    train = common.load_digits(0, 1, 5, normalize=True).train_x
    torch.testing.assert_close(train.norm(dim=1), torch.ones(len(train)))


def test_the_seed_shuffles_the_training_examples_once(digits):
    again, other, stored = (common.load_digits(0, 1, 5, seed=seed) for seed in (0, 1, None))
    assert torch.equal(again.train_x, digits.train_x)
    assert not torch.equal(other.train_x, digits.train_x)
    assert torch.equal(digits.train_x.sum(1).sort().values, stored.train_x.sum(1).sort().values)
    assert torch.equal(digits.test_x, stored.test_x)


def test_two_digits_of_another_data_set():
    pictures = torch.randint(256, (60, 8, 8), dtype=torch.uint8)
    images = SimpleNamespace(data=pictures, targets=torch.arange(60) % 10)
    x, y = common.two_digits(images, 7, 2, 4)
    expected = [(label, picture) for label, picture in zip(images.targets.tolist(), pictures / 255) if label in (7, 2)]
    assert y.tolist() == [1 if label == 2 else -1 for label, _ in expected]
    for row, (_, picture) in zip(x, expected):
        torch.testing.assert_close(row, F.avg_pool2d(picture[None], 2).flatten())
    listed = SimpleNamespace(data=pictures.numpy(), targets=images.targets.tolist())
    assert torch.equal(common.two_digits(listed, 7, 2, 4)[0], x)
    for other in (pictures / 255, pictures[..., None].expand(-1, -1, -1, 3)):
        with pytest.raises(RunError, match="images must be uint8, of shape"):
            common.two_digits(SimpleNamespace(data=other, targets=images.targets), 7, 2, 4)
    scaled, _ = common.two_digits(images, 7, 2, 4, normalize=True)
    torch.testing.assert_close(scaled, x / x.norm(dim=1, keepdim=True))


# ------------------------------------------------------------------------------------------------- network


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


def test_the_loss_gradient_is_autograds(net, examples):
    x, y = examples
    torch.log(1 + torch.exp(-y * net.f(x))).sum().backward()
    gradient = common.loss_gradient(net.W.detach(), net.a, net.output_bias, net.weighted_input(x), y)
    torch.testing.assert_close(gradient.active @ (gradient.slope[:, None] * gradient.x), net.W.grad)
    assert torch.equal(gradient.x, net.weighted_input(x))
    assert set(gradient.active.unique().tolist()) == {-1, 0, 1}
    assert (-y * gradient.slope >= 0).all() and (-y * gradient.slope <= 40**-0.5).all()


def test_logits_are_a_classifier_for_images(net, examples):
    x, y = examples
    logits = net(x.reshape(50, 1, 2, 3))
    assert torch.equal(logits.argmax(dim=1) == 1, net.f(x) > 0)
    cross_entropy = F.cross_entropy(logits, (y > 0).long())
    torch.testing.assert_close(cross_entropy, F.softplus(-y * net.f(x)).mean())


def test_loss_and_accuracy_are_those_of_all_chunks_together():
    net = TwoLayerNet(3, 5000)
    x, y = torch.randn(300, 3), torch.randint(2, (300,)) * 2.0 - 1
    x[0] = 0  # f is 0 there, an error
    assert [len(part) for (part,) in common.in_chunks(5000, x)] == [128, 128, 44]
    f = net.f(x).double()
    assert common.mean_loss(net, x, y) == pytest.approx(torch.log(1 + torch.exp(-y * f)).mean().item(), rel=1e-6)
    assert common.accuracy(net, x, y) == sum(label * value > 0 for label, value in zip(y, f)).item() / 300


@pytest.mark.parametrize("bias", [False, True])
def test_a_saved_network_is_loaded_with_its_configuration(tmp_path, bias):
    net, config = TwoLayerNet(9, 20, seed=4, bias=bias).double(), {"d": 9, "width": 20, "seed": 4, "bias": int(bias)}
    with torch.no_grad():
        net.W += 1 / 3
    common.save_network(tmp_path, net, "any", config)
    (path,) = tmp_path.iterdir()
    loaded, its_config = common.load_network(path)
    assert its_config == config
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    x = torch.ones(1, 9, dtype=torch.float64)
    assert torch.equal(loaded.f(x), net.f(x))


def test_a_file_that_is_no_network_is_an_error_in_one_line(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({"config": {"d": 4, "width": 2, "seed": 0, "bias": 0}, "state_dict": {}}, tmp_path / "empty.pt")
    (tmp_path / "text.pt").write_text("no network")
    for name in ("tensor.pt", "empty.pt", "text.pt", "missing.pt"):
        with pytest.raises(RunError, match=name) as refused:
            common.load_network(tmp_path / name)
        assert "\n" not in str(refused.value)


# -------------------------------------------------------------------------------------------- the lazy ball


@pytest.mark.parametrize("d", [1, 25, 784])
def test_projection(d):
    net = TwoLayerNet(d, 1000, seed=0)  # W is taken in blocks: 334 rows of 784 pixels are one
    with torch.no_grad():
        net.W += torch.rand(1000, 1) * 0.5 * F.normalize(torch.randn(1000, d), dim=1)
        net.W[0], net.W0[0] = 0, 0
        net.W[0, 0] = 0.3  # rounded to float32, this is 1.2e-8 outside
    before, distance, V = net.W.detach().clone(), (net.W - net.W0).norm(dim=1).double(), 0.3
    assert net.deviation().item() == pytest.approx(distance.max().item())
    ball = LazyBall(net.W0, V)
    ball.project(net.W)
    inside = distance <= V
    assert 250 < inside.sum() < 750 and not inside[0]
    assert torch.equal(net.W[inside], before[inside])
    after = (net.W - net.W0)[~inside]
    torch.testing.assert_close(after.norm(dim=1), torch.full((len(after),), V), rtol=1e-4, atol=0)
    assert F.cosine_similarity(after, (before - net.W0)[~inside]).min() > 1 - 1e-4
    assert net.deviation().item() <= V
    renormed = net.W0 + torch.renorm(before - net.W0, 2, 0, V)
    torch.testing.assert_close(net.W.detach(), renormed, rtol=0, atol=1e-5)
    once = net.W.detach().clone()
    ball.project(net.W)
    assert torch.equal(net.W, once)


@pytest.mark.parametrize("far", [1e3, 1e8, 1e12])
def test_rows_far_outside_are_put_on_the_border_as_exactly_as_others(far):
    W0, V = 3 * torch.randn(200, 25), 0.3
    W, ball = W0 + far * torch.randn(200, 25), LazyBall(W0, V)
    moved = W.double() - W0.double()
    ball.project(W)
    exact = W0.double() + V * F.normalize(moved, dim=1)
    assert ball.deviation(W).item() <= V and (W - exact).norm(dim=1).max() < 3 * ball.rounding


def test_a_row_too_far_away_to_measure_is_not_put_back_as_if_nothing_were_wrong():
    W0, W = torch.zeros(3, 2), torch.tensor([[3e38, 3e38], [3.0, 4.0], [0.1, 0.0]])
    LazyBall(W0, 1.0).project(W)
    assert W[0].isnan().all() and W[1:].isfinite().all()


def test_rounding_is_more_than_float32_moves_a_row_of_the_ball():
    W0, V = 3 * torch.randn(300, 25), 0.5
    ball = LazyBall(W0, V)
    on_the_border = W0.double() + V * F.normalize(torch.randn(300, 25, dtype=torch.float64), dim=1)
    off = max(math.dist(w, w64) for w, w64 in zip(on_the_border.float().tolist(), on_the_border.tolist()))
    assert off < ball.rounding < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_no_row_moves_further_than_the_longest_move(digits, bias):
    net = TwoLayerNet(25, 80, bias=bias)
    W, ball, moved = net.W.detach(), LazyBall(net.W0, 0.3), []
    x, y = net.weighted_input(digits.train_x[:1000]), digits.train_y[:1000]
    lengths = torch.linalg.vector_norm(x, dim=1)
    batches = list(zip(x.split(64), y.split(64), lengths.split(64))) * 3
    assert len(batches[15][1]) == 40, "the last batch of an epoch should be smaller"
    for batch_x, batch_y, batch_lengths in batches:
        before, gradient = W.clone(), common.loss_gradient(W, net.a, net.output_bias, batch_x, batch_y)
        common.sgd_step(W, gradient, lr=0.1)
        longest = (W - before).norm(dim=1).max().item()
        moved.append(longest / ball.longest_move(gradient, batch_lengths, lr=0.1))
    assert 0.3 < max(moved) <= 1
    # One example moves the rows that are active there, each as far as it can.
    one = common.loss_gradient(W, net.a, net.output_bias, x[:1], y[:1])
    exact = (one.active @ (one.slope[:, None] * one.x)).norm(dim=1).max().item()
    assert ball.longest_move(one, lengths[:1], lr=1.0) == pytest.approx(exact, rel=1e-3)
    with pytest.raises(RunError, match="diverged"):
        ball.longest_move(one._replace(slope=one.slope * math.nan), lengths[:1], lr=1.0)


# --------------------------------------------------------------------------- what Sections 3 and 4 speak of


def test_the_largest_value_is_reached_in_the_ball_and_never_passed(net, examples):
    x, V = examples[0][:5], 0.4
    largest = common.largest_value_in_ball(net, x, V)
    moved = copy.deepcopy(net)
    for example, value in zip(x, largest):
        direction = F.normalize(net.weighted_input(example[None]), dim=1)
        reached = []
        for sign in (-1, 1):
            moved.W.data = net.W0 + sign * V * net.a[:, None] * direction
            assert LazyBall(net.W0).deviation(moved.W).item() == pytest.approx(V)
            reached.append(moved.f(example[None]).abs().item())
        assert value.item() == pytest.approx(max(reached))
        for _ in range(200):
            moved.W.data = net.W0 + V * F.normalize(torch.randn_like(net.W0) + 3 * torch.randn(()) * direction, dim=1)
            assert moved.f(example[None]).abs() <= value + 1e-12
    torch.testing.assert_close(common.largest_value_in_ball(net, x, 0), at_W0(net).f(x).detach().abs())


def at_W0(net):
    other = copy.deepcopy(net)
    other.W.data = net.W0.clone()
    return other


def any_top(bias=False):
    """A network with a fixed top that is not of +1 and -1."""
    net = TwoLayerNet(6, 40, seed=3, bias=bias).double()
    net.a *= torch.linspace(0.5, 2, 40)
    return net


@pytest.mark.parametrize("bias", [False, True])
def test_f_is_largest_where_the_move_to_it_leads(bias):
    net, V = any_top(bias), 0.4
    x, moved = torch.randn(30, 6, dtype=torch.float64), copy.deepcopy(net)
    for example, v, value in zip(x, common.move_to_largest_value(net, x, V), common.largest_value_in_ball(net, x, V)):
        moved.W.data = net.W0 + net.a.sign()[:, None] * v
        assert v.norm().item() == pytest.approx(V)
        assert moved.f(example[None]).abs().item() == pytest.approx(value.item())


@pytest.mark.parametrize("V", [0.02, 0.1, 5])
def test_the_move_against_the_gradient_makes_it_small(examples, V):
    net, x = any_top(), examples[0][:10]
    moved = copy.deepcopy(net)
    for example, v in zip(x, common.move_against_gradient(net, x, V)):
        _, gradient = net.value_and_input_gradient(example[None])
        across = gradient[0] - (gradient[0] @ example) * example / example.square().sum()
        norms = []
        for length in torch.linspace(0, V, 201):
            moved.W.data = net.W0 - length * net.a.sign()[:, None] * F.normalize(across, dim=0)
            norms.append(torch.linalg.vector_norm(moved.value_and_input_gradient(example[None])[1]).item())
        moved.W.data = net.W0 + net.a.sign()[:, None] * v
        small = torch.linalg.vector_norm(moved.value_and_input_gradient(example[None])[1]).item()
        assert v.norm() <= V * 1.000001 and small == pytest.approx(min(norms), abs=V / 20) and small <= norms[0]


def test_gradient_and_flips_are_those_of_the_moved_W():
    net, sizes = any_top(), [0.5, 2.0, 3.0, 5.0]
    x, v = torch.randn(2, 40, 6, dtype=torch.float64)
    norms, found = common.gradient_and_flips(net, x, 0.3 * v, sizes)
    moved = copy.deepcopy(net)
    for example, move, norm, flips in zip(x, 0.3 * v, norms, found.T):
        moved.W.data = net.W0 + net.a.sign()[:, None] * move
        assert flips.tolist() == [flips_by_autograd(moved, example, C2).item() for C2 in sizes]
        _, gradient = moved.value_and_input_gradient(example[None])
        assert norm.item() == pytest.approx(gradient.norm().item())
    assert found.any() and not found.all()


def test_changeable_neurons_are_those_of_their_definition():
    net, V = TwoLayerNet(2, 300, seed=1).double(), 0.3
    x = torch.tensor([[0.6, 0.8], [2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    angles = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)
    border = V * torch.stack([angles.cos(), angles.sin()], dim=1)
    for example, count in zip(x, common.changeable_neurons(net, x, V).tolist()):
        on = (net.W0[:, None] + border) @ example > 0  # at 2,001 places on the border, for each neuron
        assert (on != (net.W0 @ example > 0)[:, None]).any(dim=1).sum() == count
    assert 30 < common.changeable_neurons(net, x[:1], V) < 150


def test_changed_neurons_are_those_on_at_one_of_W_and_W0(net, examples):
    x, _ = examples
    on = [[w @ one > 0 for w in W for one in net.weighted_input(x)] for W in (net.W, net.W0)]
    changed = torch.tensor([one != other for one, other in zip(*on)]).reshape(40, 50).sum(dim=0)
    assert torch.equal(common.changed_neurons(net, x), changed) and changed.any()
    reach = LazyBall(net.W0).deviation(net.W).item()
    assert (changed <= common.changeable_neurons(net, x, reach)).all()
    assert not common.changed_neurons(at_W0(net), x).any()


def test_a_step_of_C2_flips_what_the_smallest_step_says(net, examples):
    x, _ = examples
    step = common.smallest_step(net, x)
    needed = step.eta.abs() * step.grad_norm.square()
    sizes = [0.2, 1.0, 3.0]
    for C2, found in zip(sizes, common.flipped(net, x, sizes)):
        expected = torch.stack([flips_by_autograd(net, example, C2) for example in x])
        assert torch.equal(found, expected)
        assert not (expected & (needed > C2)).any()
    assert flips_by_autograd(net, x[0], 1.001 * needed[0].item()) and step.flips[0]


def flips_by_autograd(net, example, C2):
    example = example[None].clone().requires_grad_()
    f = net.f(example)
    (gradient,) = torch.autograd.grad(f.sum(), example)
    with torch.no_grad():
        return (net.f(example - f.sign() * C2 * gradient / gradient.norm() ** 2) * f < 0).squeeze()


def test_the_change_of_the_gradient_is_autograds(net, examples):
    x, _ = examples
    delta = torch.randn_like(x)
    ends = [place.clone().requires_grad_() for place in (x, x + delta)]
    before, after = (torch.autograd.grad(net.f(place).sum(), place)[0] for place in ends)
    torch.testing.assert_close(common.gradient_change(net, x, delta), (after - before).norm(dim=1))


# --------------------------------------------------------------------------- attack 1: the smallest single step


def along_the_ray(net, x, steps):
    """f(x + step grad f(x)) for every example and its steps (n, k), in float64."""
    _, gradient = net.value_and_input_gradient(x)
    rays = x[:, None] + steps[:, :, None] * gradient[:, None]
    # Some rays at a time: one alone would read W for a few products, all would not fit in memory.
    return torch.cat([net.f(part.flatten(0, 1)).reshape(part.shape[:2]) for part in rays.split(20)]).detach()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("d", "width"), [(1, 20), (1, 5), (2, 1), (2, 3), (3, 6), (5, 10)])
def test_smallest_step_is_that_of_exact_fractions(d, width, bias):
    """Without bias f is 0 at the origin, which rays pass through where d or the number of active neurons is small."""
    flips = 0
    for seed in range(20):
        net = TwoLayerNet(d, width, seed=seed, bias=bias).double()
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
    a, c = [int(sign) for sign in net.a], int(net.output_bias)
    x = [Fraction(pixel) for pixel in net.weighted_input(x[None])[0].tolist()]
    p = [sum(weight * pixel for weight, pixel in zip(w, x)) for w in W]
    gradient = [sum(sign * w[k] for sign, w, z in zip(a, W, p) if z > 0) for k in range(net.d)]
    f = c + sum(sign * max(z, 0) for sign, z in zip(a, p))
    if f == 0 or not any(gradient):
        return None
    direction = [-g if f > 0 else g for g in gradient]
    q = [sum(weight * component for weight, component in zip(w, direction)) for w in W]

    def value(t):
        return (c + sum(sign * max(z + t * slope, 0) for sign, z, slope in zip(a, p, q))) * (1 if f > 0 else -1)

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
    ("slopes_and_kinks", "crossing"),
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


@pytest.mark.parametrize(
    ("W", "x", "delta_norm"),
    [
        ([[1, 0], [-1, 0.1]], [1e-17, -1], 0.1),  # the next kink is 1e16 times as far as the linear root
        ([[1, 1], [0, -1]], [1, 0], 2**0.5 / 3),  # the second neuron is at its kink, and turns on
    ],
)
def test_smallest_step_passes_every_kink(W, x, delta_norm):
    net = TwoLayerNet(2, 2).double()
    with torch.no_grad():
        net.W.copy_(torch.tensor(W))
        net.a.copy_(torch.tensor([1, -1]))
    step = common.smallest_step(net, torch.tensor([x], dtype=torch.float64))
    assert step.flips.all() and step.delta_norm.item() == pytest.approx(delta_norm)


def test_rays_that_never_cross_are_marked():
    dead = TwoLayerNet(3, 8, bias=True)
    with torch.no_grad():
        dead.W.fill_(-1)
    for net, x in [(TwoLayerNet(3, 8), torch.zeros(1, 3)), (dead, torch.ones(1, 3))]:
        step = common.smallest_step(net, x)
        assert not step.flips.item() and step.eta.item() == step.delta_norm.item() == math.inf


def test_smallest_step_does_not_flip_rounding():
    net, order = TwoLayerNet(25, 400).double(), torch.randperm(200)
    W = torch.randn(200, 25, dtype=torch.float64)
    net.W.data, net.a[200:] = torch.cat([W, W[order]]), -net.a[:200][order]  # f is 0 everywhere
    assert not common.smallest_step(net, torch.randn(2000, 25, dtype=torch.float64)).flips.any()


def test_smallest_step_flips_every_test_example_and_nothing_shorter_does(lazy_net):
    net, data = lazy_net(14, 100, True)
    step = common.smallest_step(net, data.test_x)
    assert step.flips.all()
    fractions = torch.cat([torch.arange(0.05, 1, 0.05), torch.tensor([1 - 1e-4, 1 + 1e-4])]).double()
    net = copy.deepcopy(net).double()
    signs = along_the_ray(net, data.test_x.double(), step.eta[:, None] * fractions) * step.f[:, None]
    assert (signs[:, :-1] > 0).all()
    assert (signs[:, -1] < 0).all()


# ------------------------------------------------------------------------------------------ attack 2: PGD
