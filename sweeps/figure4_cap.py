"""python sweeps/figure4_cap.py > results/paper/figure4_cap.csv

Prints the most that any classifier's robust test accuracy can be in Figure 4 left, for every size and eps of the paper's
grid, and for eps = 4/size, where the claims are judged. --num1 and --num2 take other digits. It takes some minutes.

Two test images with different labels, at most 2 eps apart, cannot both be right: their midpoint is within eps of both.
So the most is the share of the largest set of test images without such a pair, all-zero images included. By König's
theorem that is all of them but one for each edge of a maximum matching of these pairs. The box changes nothing: the
midpoint of two images in [0, 1] is in it, too. A measured robust accuracy may lie a little higher, since PGD does not
find every midpoint.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # where common.py is, also when this runs as a script

from common import load_digits
from lib import command_line
from sweeps import figure4_left, lines


def caps(num1, num2, sizes, epsilons):
    """The lines of the CSV below its head, a tuple each."""
    for size in sizes:
        digits = load_digits(num1, num2, size, normalize=True)
        x, second = digits.test_x.double(), digits.test_y > 0
        apart = torch.cdist(x[~second], x[second], compute_mode="donot_use_mm_for_euclid_dist").numpy()
        for eps in sorted({*epsilons, 4 / size}):
            cap = 1 - maximum_matching(apart <= 2 * eps) / len(x)
            yield num1, num2, size, size**2, eps, round(cap, 6)


def maximum_matching(edges):
    """The number of edges in a maximum matching of a bipartite graph, given as a boolean matrix.

    From each row it looks, breadth first, for a path to a column without partner that is by turns outside and inside
    the matching. Along such a path the two are exchanged, and the matching has an edge more.
    """
    row_of, column_of = np.full(edges.shape[1], -1), np.full(edges.shape[0], -1)  # the partners, or -1
    for start in range(len(edges)):
        queue, reached_from, free = [start], np.full(edges.shape[1], -1), []
        for row in queue:
            reached = np.flatnonzero(edges[row] & (reached_from < 0))
            reached_from[reached] = row
            free = reached[row_of[reached] < 0]
            if len(free):
                break
            queue += row_of[reached].tolist()
        column = free[0] if len(free) else -1
        while column >= 0:
            row = row_of[column] = reached_from[column]
            column_of[row], column = column, column_of[row]
    return int((row_of >= 0).sum())


def main():
    parser = command_line.bare_parser(__doc__)
    digit = command_line.whole_number(0, 9)
    command_line.add_options(
        parser, [("--num1", digit, 0, "the digit labelled y = -1"), ("--num2", digit, 1, "the digit labelled y = +1")]
    )
    args = parser.parse_args()
    lines.allow_head()
    grid = [options for _, options in figure4_left.runs()]
    print("num1,num2,size,d,eps,cap")
    for line in caps(args.num1, args.num2, *(sorted({run[name] for run in grid}) for name in ("size", "eps"))):
        print(*line, sep=",", flush=True)


if __name__ == "__main__":
    command_line.run(main, __file__)
