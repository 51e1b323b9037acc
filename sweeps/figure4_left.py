"""python sweeps/figure4_left.py --laptop | sh

Prints the commands of Figure 4 left, a line each: 2,400 runs over size and eps, the first seed first and coarse
steps of eps before fine ones. A laptop takes fewer sizes and eps, three seeds, 100 epochs and 20 PGD steps.
"""

from lines import adversarial_options, coarse_first, print_lines


def runs(laptop=False, authors=False):
    sizes, epsilons, seeds = range(5, 29), [step / 20 for step in range(1, 21)], range(5)
    if laptop:
        sizes, epsilons, seeds = (5, 7, 10, 14, 20, 28), [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0], range(3)
    rest = adversarial_options(laptop, authors)
    for seed in seeds:
        for eps in coarse_first(epsilons):
            for size in sizes:
                yield "advtrain.py", {"width": 1000, "size": size, "C0": 10, "eps": eps, "seed": seed, **rest}


if __name__ == "__main__":
    print_lines(__doc__, runs, authors=True)
