"""python advtrain.py --bs 32 --T 1000 --lr 0.01 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --eps 0.2 --atk_iters 100 --seed 0

Section 5.2, Figure 4 left: adversarial training by PGD, each SGD step projected onto the lazy ball of radius
V = C0/sqrt(m), then the robust test accuracy of the final network. Appends one row to a CSV.
"""

import argparse
import math
from typing import NamedTuple

import torch

from common import (
    LazyBall,
    TwoLayerNet,
    accuracy,
    load_digits,
    loss_gradient,
    mean_loss,
    pgd_in_chunks,
    robust_accuracy,
    sgd_step,
)
from lib import command_line
from lib.checkpoint import Checkpoint, Clock
from lib.files import save_network
from lib.progress import Progress
from lib.reach import Reach
from lib.results import Results, ended_by_T, inside_the_border, never_robust, numbers

COLUMNS = (
    "num1,num2,size,d,width,C0,V,eps,atk_iters,bias,box,bs,lr,T,patience,seed,epochs,steps,train_loss,"
    "train_robust_acc,test_acc,robust_test_acc,max_deviation,seconds,device,torch"
).split(",")


def main():
    parser = adversarial_parser(__doc__, out="results/advtrain.csv")
    parser.add_argument(
        "--C0",
        type=command_line.positive,
        default=10.0,
        metavar="",
        help="the lazy ball's radius is V = C0/sqrt(m): ||w_s - w_s,0|| <= V for every neuron s (default: 10)",
    )
    args = command_line.parse(parser)
    train_and_attack("advtrain", args, C0=args.C0, V=args.C0 / math.sqrt(args.width))


def adversarial_parser(documentation: str, out: str) -> argparse.ArgumentParser:
    """The options of Section 5.2's two scripts; each adds the one that gives the ball's radius V."""
    parser = command_line.training_parser(documentation, bs=32, lr=0.01, out=out)
    options = [
        ("--eps", command_line.positive, 0.2, "the largest ||delta|| of the attack, for inputs of norm 1"),
        ("--atk_iters", command_line.whole_number(1), 100, "PGD steps, each 2.5 eps / atk_iters long"),
        (
            "--patience",
            command_line.whole_number(0),
            20,
            "stop once more epochs than this in a row gained 1e-4 or less",
        ),
    ]
    command_line.add_options(parser, options)
    parser.add_argument("--box", action="store_true", help="clip attacked images to [0, 1], as the authors' scripts do")
    return parser


def train_and_attack(script: str, args: argparse.Namespace, C0: float, V: float) -> None:
    """Train adversarially in the lazy ball of radius V, attack the test set, append the row (Section 5.2, Figure 4)."""
    config = command_line.configuration(args, COLUMNS, C0=C0, V=V)
    results = Results(args.out, script, COLUMNS, summary)
    checkpoint = Checkpoint(args.checkpoint_dir, script, config, device=args.device, seconds=args.checkpoint_seconds)
    with checkpoint.alone():
        if not results.missing([config], force=args.force, saving=bool(args.save_dir)):
            return
        digits = load_digits(
            args.num1,
            args.num2,
            size=args.size,
            data_dir=args.data_dir,
            normalize=True,
            seed=args.seed,
            device=args.device,
        )
        net = TwoLayerNet(args.size**2, width=args.width, seed=args.seed, bias=args.bias).to(args.device)
        attack = {"eps": args.eps, "atk_iters": args.atk_iters, "box": args.box}
        trained = adversarial_training(
            net,
            digits.train_x,
            digits.train_y,
            V=V,
            lr=args.lr,
            bs=args.bs,
            T=args.T,
            patience=args.patience,
            checkpoint=checkpoint,
            **attack,
        )
        clock = Clock(trained.seconds)
        row = config | trained._asdict()
        row |= {
            "test_acc": accuracy(net, digits.test_x, digits.test_y),
            "robust_test_acc": robust_accuracy(net, digits.test_x, digits.test_y, **attack),
            "max_deviation": net.deviation().item(),
            "seconds": round(clock.seconds(), 3),
            "device": args.device,
            "torch": torch.__version__,
        }
        if args.save_dir:
            save_network(args.save_dir, net, script, config)
        results.append(row)


class AdversarialRun(NamedTuple):
    """How adversarial training ended; both measures are the final network's, on its own PGD examples."""

    epochs: int
    steps: int
    seconds: float  # of training
    train_loss: float  # the mean logistic loss at the last PGD iterates of the training set
    train_robust_acc: float  # the share of training examples right at every PGD iterate


def adversarial_training(
    net: TwoLayerNet,
    x: torch.Tensor,
    y: torch.Tensor,
    V: float,
    eps: float,
    atk_iters: int,
    lr: float,
    bs: int,
    T: int,
    patience: int,
    box: bool = False,
    checkpoint: Checkpoint | None = None,
    attack=pgd_in_chunks,
) -> AdversarialRun:
    """Projected adversarial training in the lazy ball B_{2,inf}(W0, V) (Section 5.2); net is trained in place.

    Every epoch attacks the whole training set x (n, d), y (n,) with PGD, then takes one pass of SGD over the
    last iterates in batches of bs, in the order of x, projecting W onto the ball after each step. It ends after T
    epochs, or once more than `patience` epochs in a row raised the robust training accuracy by 1e-4 or less. With
    a `Checkpoint` it saves its state now and then, and goes on from the one it finds. Another attack is a function
    like `common.pgd_in_chunks`; it may use autograd.

    Returns an `AdversarialRun`. Raises RunError where the loss becomes NaN or infinite, ValueError where the attack
    leaves examples out.
    """
    # SGD trains this W; net gets it when the network as a whole is attacked.
    W, ball = net.W.detach().clone(), LazyBall(net.W0, V)
    saved = checkpoint.restore(W) if checkpoint else {}
    first, clock = saved.get("epoch", 0), Clock(saved.get("seconds", 0.0))
    reach = Reach(ball, lr)
    reach.look(W)  # it need not be W0
    stalled, before = saved.get("stalled", 0), saved.get("accuracy", -math.inf)
    # How far the epoch is: so many examples attacked, with these results, then so many batches of SGD.
    attacked, batch = saved.get("attacked", 0), saved.get("batch", 0)
    delta, robust = torch.zeros_like(x), torch.zeros_like(y, dtype=torch.bool)
    if attacked:
        delta.copy_(saved["delta"])
        robust.copy_(saved["robust"])

    def save_if_due():
        if checkpoint and checkpoint.is_due():
            so_far = {"attacked": attacked, "delta": delta, "robust": robust, "batch": batch}
            history = {"stalled": stalled, "accuracy": before, "seconds": clock.seconds()}
            checkpoint.save(W, epoch=epoch, **history, **so_far)

    name = checkpoint.title if checkpoint else None
    # After T epochs of training the attack comes once more, for the measures of the final network.
    progress = Progress(name, range(first, T + 1), total=T, unit="epoch")
    for epoch in progress:
        net.W.detach().copy_(W)
        for part_delta, part_robust in attack(net, x, y, eps, atk_iters, box, start=attacked):
            part = slice(attacked, attacked + len(part_delta))
            delta[part], robust[part], attacked = part_delta.detach(), part_robust, part.stop
            save_if_due()
        if attacked != len(y):
            raise ValueError(f"the attack gave delta for {attacked} of {len(y)} examples")
        now = robust.double().mean().item()
        stalled_now = stalled + 1 if now - before <= 1e-4 else 0
        if epoch == T or stalled_now > patience:
            break
        inputs = net.weighted_input(x.detach() + delta)  # an attack may have asked for gradients in x
        lengths = torch.linalg.vector_norm(inputs, dim=1)
        reach.longest = lengths.max().item()
        batches = list(zip(inputs.split(bs), y.split(bs), lengths.split(bs)))
        for batch_x, batch_y, batch_lengths in batches[batch:]:
            gradient = loss_gradient(W, net.a, net.output_bias, batch_x, batch_y)
            sgd_step(W, gradient, lr)
            reach.add(gradient.slope, batch_lengths)
            if reach.may_exceed(V):  # else W is in the ball, and projecting would change nothing
                ball.project(W)
            batch += 1
            save_if_due()
        reach.look(W)
        before, stalled, attacked, batch = now, stalled_now, 0, 0
        progress.tell("robust {:.3f}, deviation {:.2f} V", before, reach.bound / V)
    seconds, steps = clock.seconds(), epoch * len(y.split(bs))
    return AdversarialRun(epoch, steps, seconds, mean_loss(net, x + delta, y), now)


def summary(row: dict) -> str:
    """A row of advtrain.csv or advtraingap.csv for people to read."""
    number = numbers(row)
    protocol = ", ".join(name for name in ("bias", "box") if number[name]) or "no bias, no box"
    end = "ended by T" if ended_by_T(number) else "ended by patience"
    end += " at robust accuracy 0" if never_robust(number) else ""
    ball = " (not at the ball's border)" if inside_the_border(number) else ""
    return (
        "digits {num1:g}/{num2:g}, d {d:g}, width {width:g}, C0 {C0:.4g} (V {V:.4g}), eps {eps:g}, seed {seed:g}, "
        "{protocol}:\n"
        "  {epochs:g} epochs ({end}), deviation {max_deviation:.4g}{ball}, "
        "adversarial train loss {train_loss:.4f}, {seconds:.1f} s\n"
        "  accuracy: robust train {train_robust_acc:.2%}, test {test_acc:.2%}, robust test {robust_test_acc:.2%}"
    ).format(**number, protocol=protocol, end=end, ball=ball)


if __name__ == "__main__":
    command_line.run(main, __file__)
