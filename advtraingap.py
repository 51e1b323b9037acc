"""python advtraingap.py --T 1000 --size 28 --width 1000 --lr 0.01 --eps 0.2 --gap 0.1 --seed 0

Section 5.2, Figure 4 right: adversarial training by PGD, each SGD step projected onto the ball of radius V = gap,
then the robust test accuracy of the final network. Appends one row to a CSV. Otherwise it is advtrain.py.
"""

import math

from advtrain import adversarial_parser, train_and_attack
from lib import command_line


def main():
    parser = adversarial_parser(__doc__, out="results/advtraingap.csv")
    parser.add_argument(
        "--gap",
        type=command_line.positive,
        default=0.1,
        metavar="",
        help="V, the ball's radius itself: ||w_s - w_s,0|| <= V for every neuron s; C0 = V sqrt(m) (default: 0.1)",
    )
    args = command_line.parse(parser)
    train_and_attack("advtraingap", args, C0=args.gap * math.sqrt(args.width), V=args.gap)


if __name__ == "__main__":
    command_line.run(main, __file__)
