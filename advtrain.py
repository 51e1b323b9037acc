"""python advtrain.py --bs 32 --T 1000 --lr 0.01 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --eps 0.2 --atk_iters 100 --seed 0

Section 5.2, Figure 4 left: adversarial training by PGD, each SGD step projected onto the lazy ball of radius
V = C0/sqrt(m), then the robust test accuracy of the final network. Appends one row to a CSV.
"""

import argparse
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

from common import (
    ATTACKS,
    LazyBall,
    TwoLayerNet,
    accuracy,
    check_closed_forms,
    load_digits,
    loss_gradient,
    mean_loss,
    pgd,
    robust_accuracy,
    save_network,
    sgd_step,
)
from lib import RunError, command_line, finite, guard
from lib.checkpoint import NO_CHECKPOINT, Checkpoint, Clock
from lib.progress import Progress
from lib.results import CURVES, Results, append_row, code_version, data_in_words, ended_by_T, numbers

import torch

COLUMNS = (
    "dataset,num1,num2,size,d,antialias,width,C0,V,attack,eps,atk_iters,bias,box,bs,lr,T,patience,seed,epochs,steps,"
    "train_loss,train_robust_acc,test_acc,robust_test_acc,max_deviation,seconds,device,code,torch"
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
    norms = "the norm of delta that PGD bounds: l2, the paper's, or linf (default: l2)"
    parser.add_argument("--attack", choices=ATTACKS, default="l2", help=norms)
    parser.add_argument("--box", action="store_true", help="clip attacked images to [0, 1], as the authors' scripts do")
    return parser


def train_and_attack(script: str, args: argparse.Namespace, C0: float, V: float) -> None:
    """Train adversarially in the lazy ball of radius V, attack the test set, append the row (Section 5.2, Figure 4)."""
    config = command_line.configuration(args, COLUMNS, C0=C0, V=V)
    results = Results(args.out, script, COLUMNS, summary)
    checkpoint = Checkpoint(args.checkpoint_dir, script, config, seconds=args.checkpoint_seconds)
    with checkpoint.exclusive():
        if not results.missing([config], force=args.force, saving=bool(args.save_dir)):
            return
        digits = load_digits(**command_line.data_options(args), normalize=True)
        config["d"] = digits.train_x.shape[1]
        net = TwoLayerNet(config["d"], width=args.width, seed=args.seed, bias=args.bias).to(args.device)
        attacked_by = {"attack": ATTACKS[args.attack], "eps": args.eps, "atk_iters": args.atk_iters, "box": args.box}

        def log(**measured):
            measured["test_acc"] = accuracy(net, digits.test_x, digits.test_y)
            append_row(args.log, CURVES, {"run": checkpoint.run} | measured)

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
            log=log if args.log else None,
            **attacked_by,
        )
        clock = Clock(trained.seconds)
        row = config | trained._asdict()
        row |= {
            "test_acc": accuracy(net, digits.test_x, digits.test_y),
            "robust_test_acc": robust_accuracy(net, digits.test_x, digits.test_y, **attacked_by),
            "max_deviation": net.deviation().item(),
            "seconds": round(clock.seconds(), 3),
            "device": args.device,
            "code": code_version(),
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
    checkpoint: Checkpoint = NO_CHECKPOINT,
    attack: Callable = pgd,
    log: Callable[..., None] | None = None,
) -> AdversarialRun:
    """Projected adversarial training in the lazy ball B_{2,inf}(W0, V) (Section 5.2); net is trained in place.

    Every epoch attacks the whole training set x (n, d), y (n,) with PGD, then takes one pass of SGD over the
    last iterates in batches of bs, in the order of x, projecting W onto the ball after each step. It ends after T
    epochs, or once more than `patience` epochs in a row raised the robust training accuracy by 1e-4 or less. With
    a `Checkpoint` it saves its state now and then, and goes on from the one it finds.

    Another attack is a function attack(net, x, y, eps, atk_iters, box) like `common.pgd`, which returns delta (n, d) and
    robust (n,), bool. It may use autograd.

    With log, it calls log(epoch=, train_loss=, train_robust_acc=, deviation_over_V=) before the first epoch and after each.

    Returns an `AdversarialRun`. Raises RunError where the loss becomes NaN or infinite, W leaves the ball, and where
    `check_closed_forms` and `guard.check_attacked` do.
    """
    check_closed_forms(net, x, y)
    W, ball = net.W.detach(), LazyBall(net.W0, V)
    run = SimpleNamespace(W=W, epoch=0, stalled=0, accuracy=-math.inf)  # what a checkpoint keeps
    clock = Clock(checkpoint.restore(run, (x, y)))
    # After T epochs of training the attack comes once more, for the measures of the final network.
    progress = Progress(checkpoint.title, range(run.epoch, T + 1), unit="epoch")
    deviation = ball.deviation(W).item()
    for run.epoch in progress:
        checkpoint.save_if_due(run, clock)
        delta, robust = attack(net, x, y, eps, atk_iters, box)
        guard.check_attacked(delta, robust, x, y)
        attacked = x.detach() + delta.detach()  # an attack may have asked for gradients
        robust_now = robust.double().mean().item()
        if log:
            loss_now = mean_loss(net, attacked, y)
            log(epoch=run.epoch, train_loss=loss_now, train_robust_acc=robust_now, deviation_over_V=deviation / V)
        stalled = run.stalled + 1 if robust_now - run.accuracy <= 1e-4 else 0
        if run.epoch == T or stalled > patience:
            break
        for batch_x, batch_y in zip(net.weighted_input(attacked).split(bs), y.split(bs)):
            sgd_step(W, loss_gradient(W, net.a, net.output_bias, batch_x, batch_y), lr)
            ball.project(W)
        run.stalled, run.accuracy = stalled, robust_now
        if (deviation := finite(ball.deviation(W).item())) > V:
            raise RunError(
                f"W is {deviation:.8g} from W0, outside the ball of radius {V:.8g}: LazyBall.project is wrong"
            )
        words = f"robust {robust_now:.3f}, deviation {deviation / V:.2f} V"
        progress.show(run.epoch, lambda words=words: words)
    seconds, steps, train_loss = clock.seconds(), run.epoch * len(y.split(bs)), mean_loss(net, attacked, y)
    checkpoint.save(run, seconds)
    return AdversarialRun(run.epoch, steps, seconds, train_loss, robust_now)


def summary(row: dict) -> str:
    """A row of advtrain.csv or advtraingap.csv for people to read."""
    number = numbers(row)
    protocol = ", ".join(name for name in ("bias", "box") if number[name]) or "no bias, no box"
    norm = "eps" if number["attack"] == "l2" else f"{number['attack']} eps"
    end = "cut off by T" if ended_by_T(number) else "ended by patience"
    end += " at robust accuracy 0" if number["train_robust_acc"] < 0.001 else ""
    ball = " (not at the ball's border)" if number["max_deviation"] < 0.99 * number["V"] else ""
    return (
        "{data}, width {width:g}, C0 {C0:.4g} (V {V:.4g}), {norm} {eps:g}, seed {seed:g}, {protocol}:\n"
        "  {epochs:g} epochs ({end}), deviation {max_deviation:.4g}{ball}, "
        "adversarial train loss {train_loss:.4f}, {seconds:.1f} s\n"
        "  accuracy: robust train {train_robust_acc:.2%}, test {test_acc:.2%}, robust test {robust_test_acc:.2%}"
    ).format(**number, data=data_in_words(number), norm=norm, protocol=protocol, end=end, ball=ball)


if __name__ == "__main__":
    command_line.run(main, __file__)
