"""python ntk_normal.py --bs 64 --T 1000 --lr 0.1 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --seed 0

Section 5.1, Figures 2 and 3: train a two-layer ReLU network by SGD on the logistic loss until it leaves the lazy
ball, then find for every test example the smallest single step along its gradient that flips the prediction.
Appends one row for each --C0 to a CSV.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

from common import (
    LazyBall,
    TwoLayerNet,
    accuracy,
    check_closed_forms,
    load_digits,
    loss_gradient,
    mean_loss,
    save_network,
    sgd_step,
    smallest_step,
)
from lib import RunError, command_line, finite, guard, sgd_kernels
from lib.checkpoint import NO_CHECKPOINT, Checkpoint, Clock
from lib.progress import Progress
from lib.results import CURVES, Results, append_row, code_version, data_in_words, ended_by_T, numbers

import torch

SCRIPT = "ntk_normal"
COLUMNS = (
    "dataset,num1,num2,size,d,antialias,width,C0,V,bias,normalize,bs,lr,T,seed,epochs,steps,left_ball,max_deviation,"
    "train_loss,test_error,grad_norm_mean,grad_norm_std,delta_norm_mean,delta_norm_std,rel_delta_mean,rel_delta_std,eta_mean,eta_std,"
    "abs_f_mean,no_flip,seconds_train,seconds_attack,device,code,torch"
).split(",")


def main():
    args = parse_arguments()
    configs = [
        command_line.configuration(args, COLUMNS, C0=C0, V=C0 / math.sqrt(args.width)) for C0 in sorted(set(args.C0))
    ]
    # One run passes through all the balls, and through those of other values of --C0.
    shared = {column: value for column, value in configs[0].items() if column not in ("C0", "V")}
    checkpoint = Checkpoint(
        args.checkpoint_dir,
        SCRIPT,
        shared | {"C0": "-".join(f"{config['C0']:g}" for config in configs)},
        seconds=args.checkpoint_seconds,
        shared=shared,
    )
    results = Results(args.out, SCRIPT, COLUMNS, summary)
    with checkpoint.exclusive():
        missing = results.missing(configs, force=args.force, saving=bool(args.save_dir))
        if not missing:
            return
        digits = load_digits(**command_line.data_options(args), normalize=args.normalize)
        for config in configs:
            config["d"] = digits.train_x.shape[1]
        net = TwoLayerNet(configs[0]["d"], width=args.width, seed=args.seed, bias=args.bias).to(args.device)
        smallest_step(net, digits.test_x[:8])  # refuses a network for which it is not exact, before training takes time

        def log(**measured):
            measured |= {"test_acc": accuracy(net, digits.test_x, digits.test_y), "train_robust_acc": math.nan}
            append_row(args.log, CURVES, {"run": checkpoint.run} | measured)

        exits = train_until_exit(
            net,
            digits.train_x,
            digits.train_y,
            radii=[config["V"] for config in missing],
            lr=args.lr,
            bs=args.bs,
            T=args.T,
            checkpoint=checkpoint,
            log=log if args.log else None,
        )
        for config, exited in zip(missing, exits):
            row = config | {
                "epochs": exited.epochs,
                "steps": exited.steps,
                "left_ball": int(exited.left_ball),
                "max_deviation": net.deviation().item(),
                "train_loss": mean_loss(net, digits.train_x, digits.train_y),
                **flip_columns(net, digits.test_x, digits.test_y),
                "seconds_train": round(exited.seconds, 3),
                "device": args.device,
                "code": code_version(),
                "torch": torch.__version__,
            }
            if args.save_dir:
                save_network(args.save_dir, net, SCRIPT, config)
            results.append(row)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.training_parser(__doc__, bs=64, lr=0.1, out="results/ntk_normal.csv")
    parser.add_argument(
        "--C0",
        type=command_line.positive,
        nargs="+",
        default=[10.0],
        metavar="C0",
        help="radii of the lazy balls, ||w_s - w_s,0|| <= V = C0/sqrt(m) for every neuron s; one training run passes\n"
        "through the smaller balls on its way and gives a row for each (default: 10)",
    )
    parser.add_argument(
        "--normalize", action="store_true", help="scale every image to ||x|| = 1, as Theorem 3.1 assumes"
    )
    return command_line.parse(parser)


class Exit(NamedTuple):
    """Where training stood when it left the lazy ball of radius V, or when T epochs were over."""

    epochs: int  # whole epochs behind the kept iterate
    steps: int  # SGD steps behind the kept iterate
    left_ball: bool  # False where T ended the run inside the ball
    seconds: float  # of training since its start


@torch.no_grad()
def train_until_exit(
    net: TwoLayerNet,
    x: torch.Tensor,
    y: torch.Tensor,
    radii: list[float],
    lr: float,
    bs: int,
    T: int,
    checkpoint: Checkpoint = NO_CHECKPOINT,
    log: Callable[..., None] | None = None,
) -> Iterator[Exit]:
    """SGD on the logistic loss until net leaves the largest of the lazy balls, or for T epochs (Section 5.1).

    Yields an `Exit` for each of the radii V of the balls B_{2,inf}(W0, V), the smallest first. While the caller handles
    it, net is the last iterate INSIDE that ball; training then goes on from the iterate outside. Batches of bs
    examples are taken in the order of x (n, d) and y (n,), the same every epoch. With a `Checkpoint` it saves its
    state now and then, and goes on from the one it finds.

    With log, it calls log(epoch=, train_loss=, deviation_over_V=) before each epoch, V being the largest ball's, with net's W
    as it is then.

    Raises RunError where a weight becomes NaN or infinite, net or its first step is outside a ball, and where
    `check_closed_forms` does.
    """
    check_closed_forms(net, x, y)
    sgd = sgd_kernels.fastest(net, x, y, bs, loss_gradient, sgd_step)
    W, ball, radii = sgd.W, LazyBall(sgd.W0, max(radii)), sorted(radii)
    lengths = torch.linalg.vector_norm(net.weighted_input(x), dim=1)
    batches = list(zip(sgd.batches, y.split(bs), lengths.split(bs)))
    run = SimpleNamespace(W=W, radii=radii, step=0)  # what a checkpoint keeps
    clock = Clock(checkpoint.restore(run, (x, y), lambda saved: set(radii) <= set(saved["radii"])))
    run.radii = radii  # the saved ones may include radii whose rows were written since
    reach, inside = ball.deviation(W).item(), torch.empty_like(W)
    if reach > radii[0]:
        raise RunError(f"W is {reach:.4g} from W0 before any step, outside the ball of radius {radii[0]:g}")

    def keep(W):
        if ball.deviation(W).item() > radii[0]:
            raise RunError("W left the ball unnoticed: LazyBall.longest_move is no bound for these steps")
        sgd.put_back(W)

    last = T * len(batches)
    progress = Progress(checkpoint.title, range(run.step, last), unit="step")
    for run.step in progress:
        checkpoint.save_if_due(run, clock)
        epoch, batch = divmod(run.step, len(batches))
        if log and batch == 0:
            sgd.put_back(W)
            log(epoch=epoch, train_loss=mean_loss(net, x, y), deviation_over_V=ball.deviation(W).item() / ball.V)
        batch_x, batch_y, batch_lengths = batches[batch]
        gradient = sgd.loss_gradient(W, net.a, net.output_bias, batch_x, batch_y)
        # W is measured only where it may have left the ball.
        reach += ball.longest_move(gradient, batch_lengths, lr)
        if reach > radii[0]:
            inside.copy_(W)
        sgd.sgd_step(W, gradient, lr)
        if reach > radii[0] and (reach := finite(ball.deviation(W).item())) > radii[0]:
            if run.step == 0:
                raise RunError(
                    f"the first step leaves the ball of radius {radii[0]:g}: nothing is trained (try a smaller --lr)"
                )
            keep(inside)
            seconds = clock.seconds()
            checkpoint.save(SimpleNamespace(W=inside, radii=radii, step=run.step), seconds)
            while radii and reach > radii[0]:
                yield Exit(epoch, run.step, True, seconds)
                radii.pop(0)
            if not radii:
                return
            clock = Clock(seconds)  # what the caller did does not count
        progress.show(
            run.step, lambda: f"deviation {ball.deviation(W).item() / radii[0]:.2f} V, balls left: {len(radii)}"
        )
    seconds = clock.seconds()
    keep(W)
    checkpoint.save(SimpleNamespace(W=W, radii=radii, step=last), seconds)
    for _ in radii:
        yield Exit(T, last, False, seconds)


def flip_columns(net: TwoLayerNet, x: torch.Tensor, y: torch.Tensor) -> dict:
    """The row's columns that the smallest step on every test example gives; means and standard deviations over x (n, d).

    Steps that never flip are counted in no_flip and left out of delta_norm, rel_delta and eta; rel_delta, the
    ratio ||delta||/||x||, also leaves out images that downsampling made all zero.
    """
    guard.check_labels(y)
    started = time.perf_counter()
    step = smallest_step(net, x)
    input_norm = torch.linalg.vector_norm(x.double(), dim=1)
    columns = {
        "test_error": (y * step.f <= 0).double().mean().item(),
        "abs_f_mean": step.f.abs().mean().item(),
        "no_flip": (~step.flips).sum().item(),
    }
    for name, values in {
        "grad_norm": step.grad_norm,
        "delta_norm": step.delta_norm[step.flips],
        "rel_delta": (step.delta_norm / input_norm)[step.flips & (input_norm > 0)],
        "eta": step.eta[step.flips].abs(),
    }.items():
        columns[f"{name}_mean"] = values.mean().item()
        columns[f"{name}_std"] = (values - values.mean()).square().mean().sqrt().item()
    return columns | {"seconds_attack": round(time.perf_counter() - started, 3)}


def summary(row: dict) -> str:
    """A row of ntk_normal.csv for people to read."""
    number = numbers(row)
    options = "".join(f", {name}" for name in ("bias", "normalize") if number[name])
    end = "NOT out of the lazy ball after T epochs" if ended_by_T(number) else "left the lazy ball"
    longer = "--T" if ended_by_T(number) else "--C0"
    above = f" (the paper's are below 1%; a larger {longer} trains longer)" if number["test_error"] >= 0.01 else ""
    return (
        "{data}, width {width:g}, C0 {C0:g} (V {V:.4g}), seed {seed:g}{options}:\n"
        "  {end}, kept step {steps:g} (epoch {epochs:g}), deviation {max_deviation:.4g}, train loss {train_loss:.4f}, "
        "test error {test_error:.2%}{above}, {seconds_train:.1f} s\n"
        "  smallest flip: ||delta||/||x|| {rel_delta_mean:.4g}, ||grad f|| {grad_norm_mean:.4g}, eta {eta_mean:.4g}; "
        "{no_flip:g} never flip, {seconds_attack:.1f} s"
    ).format(**number, data=data_in_words(number), options=options, end=end, above=above)


if __name__ == "__main__":
    command_line.run(main, __file__)
