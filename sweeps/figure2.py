"""python sweeps/figure2.py | sh

Prints the commands of Figure 2, a line each: 105 runs, cheap widths and the first seed first. All of them took 1.5
core-hours, so --laptop changes nothing here. --quick takes one width and one seed: 7 runs, a minute.
"""


def runs(laptop=False, quick=False):
    """The runs as (script, options), in the order they are printed in."""
    for seed in range(1 if quick else 5):
        for width in (1000,) if quick else (1000, 10000, 100000):
            for size in (5, 7, 10, 14, 20, 25, 28):
                yield "ntk_normal.py", {"width": width, "size": size, "C0": 10, "seed": seed}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
