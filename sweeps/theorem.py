"""python sweeps/theorem.py --jobs 2 && python plot_figures.py --networks saved/theorem --out mine

Prints the commands of the networks on which figures/theorem.png tests Sections 3 and 4, or runs them: 27 commands for 39
networks, on inputs of norm 1, which go to saved/theorem/. Five of them have m >= d^2.4, as the theorem asks.
"""

import itertools


def runs():
    """The runs as (script, options), in the order they are printed in: the longest first."""
    sizes, there = (5, 10, 20, 28), {"save-dir": "saved/theorem"}
    # Adversarial training at eps sqrt(d) = 4, where networks hardly become robust, and at 2, where they do.
    attacks = ((5, 0.8), (10, 0.4), (28, 0.143), (5, 0.4), (10, 0.2), (28, 0.07))
    for width, size, eps, seed in [
        (10000, 5, 0.8, 0),
        *((1000, *attack, seed) for attack in attacks for seed in (0, 1)),
    ]:
        options = {"width": width, "size": size, "C0": 10, "eps": eps, "T": 20, "atk_iters": 10, "seed": seed} | there
        yield "advtrain.py", options | {"out": "saved/theorem/advtrain.csv"}
    trained = (1000, sizes, [10, 20], (0, 1)), (10000, sizes, [10, 20], (0,)), (100000, sizes[:2], [10], (0,))
    for width, some, C0, seeds in trained:
        for seed, size in itertools.product(seeds, some):
            options = {"normalize": True, "width": width, "size": size, "C0": C0, "seed": seed} | there
            yield "ntk_normal.py", options | {"out": "saved/theorem/ntk_normal.csv"}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
