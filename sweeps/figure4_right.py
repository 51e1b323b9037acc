"""python sweeps/figure4_right.py --laptop | sh

Prints the commands of Figure 4 right, a line each: 700 runs over width and V, the first seed first and coarse steps
of V before fine ones. The paper names no widths: these double from 250, where even V = 1 lies below 25/sqrt(m), to
16,000, where that is 0.2. A laptop stops at 4,000 and takes fewer V, three seeds, 100 epochs and 20 PGD steps.
"""

from lines import adversarial_options, coarse_first, print_lines


def runs(laptop=False, authors=False):
    widths, radii = [250, 500, 1000, 2000, 4000, 8000, 16000], [step / 20 for step in range(1, 21)]
    seeds = range(5)
    if laptop:
        widths, radii, seeds = widths[:5], [0.05, *(step / 10 for step in range(1, 11))], range(3)
    rest = adversarial_options(laptop, authors)
    for seed in seeds:
        for V in coarse_first(radii):
            for width in widths:
                yield "advtraingap.py", {"width": width, "size": 28, "eps": 0.2, "gap": V, "seed": seed, **rest}


if __name__ == "__main__":
    print_lines(__doc__, runs, authors=True)
