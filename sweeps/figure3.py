"""python sweeps/figure3.py | sh

Prints the commands of Figure 3, a line each: 35 runs, each through four balls, the first seed first. A laptop takes
width 10,000 in place of 100,000.
"""

from lines import print_lines


def runs(laptop=False):
    for seed in range(5):
        for size in (5, 7, 10, 14, 20, 25, 28):
            width = 10000 if laptop else 100000
            yield "ntk_normal.py", {"width": width, "size": size, "C0": [10, 20, 30, 40], "seed": seed}


if __name__ == "__main__":
    print_lines(__doc__, runs)
