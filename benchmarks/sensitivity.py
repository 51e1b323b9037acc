"""python benchmarks/sensitivity.py --width 1000 --size 5 --C0 10 20 --out results/checks/float64.csv

Section 5.1 by ntk_normal.py, all its options included, but with W, the inputs and every step of SGD in float64. The rows
have ntk_normal.py's columns, none of which says so: they must have an --out of their own.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import common  # noqa: E402, from the folder above
import ntk_normal  # noqa: E402
from lib import command_line  # noqa: E402


def digits_in_float64(*arguments, **options) -> common.Digits:
    return common.Digits(*(tensor.double() for tensor in common.load_digits(*arguments, **options)))


def net_in_float64(*arguments, **options) -> common.TwoLayerNet:
    """W0 is drawn in float32, the same as without this; from there on nothing is."""
    return common.TwoLayerNet(*arguments, **options).double()


def main():
    ntk_normal.load_digits, ntk_normal.TwoLayerNet = digits_in_float64, net_in_float64
    # By their name float32's rows, checkpoints and networks are others.
    ntk_normal.SCRIPT, ntk_normal.__doc__ = "float64", __doc__
    ntk_normal.main()


if __name__ == "__main__":
    command_line.run(main, __file__)
