"""python sweeps/figure4_left.py --laptop | sh

Prints the commands of Figure 4 left, a line each: 2,400 runs over size and eps, the first seed first and coarse
steps of eps before fine ones, so that the map fills in evenly. --laptop takes fewer sizes and eps, three seeds, 100
epochs and 20 PGD steps: 180 runs. They took 6.5 core-hours, with --authors 11.
"""


def runs(laptop=False, authors=False):
    """The runs as (script, options), in the order they are printed in."""
    sizes, seeds = range(5, 29), range(5)
    epsilons = [step / 20 for step in (*range(4, 21, 4), *range(2, 21, 4), *range(1, 21, 2))]
    if laptop:
        sizes, seeds = (5, 7, 10, 14, 20, 28), range(3)
        epsilons = [0.2, 0.6, 0.1, 0.4, 1.0, 0.05, 0.15, 0.3, 0.5, 0.8]
    rest = ({"T": 100, "atk_iters": 20} if laptop else {}) | ({"bias": True, "box": True} if authors else {})
    for seed in seeds:
        for eps in epsilons:
            for size in sizes:
                yield "advtrain.py", {"width": 1000, "size": size, "C0": 10, "eps": eps, "seed": seed, **rest}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
