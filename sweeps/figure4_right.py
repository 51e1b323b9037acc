"""python sweeps/figure4_right.py --laptop | sh

Prints the commands of Figure 4 right, a line each: 700 runs over width and V, the first seed first and coarse steps
of V before fine ones, so that the map fills in evenly. The paper names no widths: these double from 250, where even
V = 1 lies below 25/sqrt(m), to 16,000, where that is 0.2. --laptop stops at 4,000 and takes fewer V, three seeds, 100
epochs and 20 PGD steps: 165 runs. They take about 18 core-hours, or 42 with --authors, judging by seed 0.
"""


def runs(laptop=False, authors=False):
    """The runs as (script, options), in the order they are printed in."""
    widths, seeds = [250, 500, 1000, 2000, 4000, 8000, 16000], range(5)
    radii = [step / 20 for step in (*range(4, 21, 4), *range(2, 21, 4), *range(1, 21, 2))]
    if laptop:
        widths, seeds = [250, 500, 1000, 2000, 4000], range(3)
        radii = [0.3, 0.7, 0.1, 0.5, 0.9, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0]
    rest = ({"T": 100, "atk_iters": 20} if laptop else {}) | ({"bias": True, "box": True} if authors else {})
    for seed in seeds:
        for V in radii:
            for width in widths:
                yield "advtraingap.py", {"width": width, "size": 28, "eps": 0.2, "gap": V, "seed": seed, **rest}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
