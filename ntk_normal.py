"""python ntk_normal.py --bs 64 --T 1000 --lr 0.1 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --seed 0

Section 5.1, Figures 2 and 3: train a two-layer ReLU network by SGD on the logistic loss until it leaves the lazy
ball, then find for every test example the smallest single step along its gradient that flips the prediction.
Appends one row for each --C0 to a CSV.
"""

import math
import time

import torch

import common

COLUMNS = (
    "num1,num2,size,d,width,C0,V,bias,bs,lr,T,seed,epochs,steps,left_ball,max_deviation,train_loss,test_error,"
    "grad_norm_mean,grad_norm_std,delta_norm_mean,delta_norm_std,rel_delta_mean,rel_delta_std,eta_mean,eta_std,"
    "abs_f_mean,no_flip,seconds_train,seconds_attack,device,torch"
).split(",")


def main():
    args = parse_arguments()
    configs = [common.configuration(args, C0, C0 / math.sqrt(args.width)) for C0 in sorted(set(args.C0))]
    several = {"C0": "-".join(f"{config['C0']:g}" for config in configs)}
    state = common.checkpoint(args, {k: v for k, v in configs[0].items() if k not in ("C0", "V")} | several)
    todo = common.prepare(args, COLUMNS, configs, summary)
    if not todo:
        state.remove()
        return
    digits = common.load_digits(args.num1, args.num2, args.size, args.data_dir, seed=args.seed, device=args.device)
    net = common.TwoLayerNet(args.size**2, args.width, args.seed, args.bias).to(args.device)
    radii = [config["V"] for config in todo]
    exits = common.train_until_exit(net, digits.train_x, digits.train_y, radii, args.lr, args.bs, args.T, state)
    for exited, config in zip(exits, todo):
        row = config | {
            "epochs": exited.epochs,
            "steps": exited.steps,
            "left_ball": int(exited.left_ball),
            "max_deviation": net.deviation().item(),
            "train_loss": common.mean_loss(net, digits.train_x, digits.train_y),
            **attack(net, digits.test_x, digits.test_y),
            "seconds_train": round(exited.seconds, 3),
            "device": args.device,
            "torch": torch.__version__,
        }
        common.finish(args, COLUMNS, row, config, net, summary)
    state.remove()


def parse_arguments():
    parser = common.parser(__doc__, bs=64, lr=0.1, out="results/ntk_normal.csv")
    parser.add_argument(
        "--C0",
        type=common.positive,
        nargs="+",
        default=[10.0],
        metavar="C0",
        help="radii of the lazy balls, ||w_s - w_s,0|| <= V = C0/sqrt(m) for every neuron s; one training run passes\n"
        "through the smaller balls on its way and gives a row for each (default: 10)",
    )
    return common.parse(parser)


def attack(net, x, y):
    """The row's columns that the smallest step on every test example gives; means and standard deviations over x.

    Steps that never flip are counted in no_flip and left out of delta_norm, rel_delta and eta; rel_delta, the
    ratio ||delta||/||x||, also leaves out images that downsampling made all zero.
    """
    started = time.perf_counter()
    step = common.smallest_step(net, x)
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


def summary(row):
    """A row of ntk_normal.csv for people to read."""
    number = common.numbers(row)
    end = "left the lazy ball" if number["left_ball"] else "NOT out of the lazy ball after T epochs"
    end += "" if number["steps"] else " in the first step: UNTRAINED network"
    return (
        "digits {num1:g}/{num2:g}, d {d:g}, width {width:g}, C0 {C0:g} (V {V:.4g}), seed {seed:g}:\n"
        f"  {end}, kept step {{steps:g}} (epoch {{epochs:g}}), deviation {{max_deviation:.4g}}, "
        "train loss {train_loss:.4f}, test error {test_error:.2%}, {seconds_train:.1f} s\n"
        "  smallest flip: ||delta||/||x|| {rel_delta_mean:.4g}, ||grad f|| {grad_norm_mean:.4g}, eta {eta_mean:.4g}; "
        "{no_flip:g} never flip, {seconds_attack:.1f} s"
    ).format(**number)


if __name__ == "__main__":
    common.run(main)
