"""python advtrain.py --bs 32 --T 1000 --lr 0.01 --num1 0 --num2 1 --width 1000 --size 5 --C0 10 --eps 0.2 --atk_iters 100 --seed 0

Section 5.2, Figure 4 left: adversarial training by PGD, each SGD step projected onto the lazy ball of radius
V = C0/sqrt(m), then the robust test accuracy of the final network. Appends one row to a CSV.
"""

import math

import common


def main():
    parser = common.adversarial_parser(__doc__, out="results/advtrain.csv")
    parser.add_argument(
        "--C0",
        type=common.positive,
        default=10.0,
        metavar="",
        help="the lazy ball's radius is V = C0/sqrt(m): ||w_s - w_s,0|| <= V for every neuron s (default: 10)",
    )
    args = common.parse(parser)
    common.run_adversarial(args, C0=args.C0, V=args.C0 / math.sqrt(args.width))


if __name__ == "__main__":
    common.run(main)
