"""python sweeps/figure3.py | sh

Prints the commands of Figure 3, a line each: 35 runs, each through four balls, the first seed first. --laptop takes
width 10,000 in place of 100,000. With it the seven runs of seed 0 took 4.5 core-hours; five seeds take about 22.
"""


def runs(laptop=False):
    """The runs as (script, options), in the order they are printed in."""
    for seed in range(5):
        for size in (5, 7, 10, 14, 20, 25, 28):
            width = 10000 if laptop else 100000
            yield "ntk_normal.py", {"width": width, "size": size, "C0": [10, 20, 30, 40], "seed": seed}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
