"""python sweeps/theorem.py --jobs 2 && python plot_figures.py --networks saved/theorem --out mine

Prints the commands of the networks on which figures/theorem.png tests Sections 3 and 4, or runs them: 13 commands for 21
networks, on inputs of norm 1, which go to saved/theorem/. Four of them have m >= d^2.4, as the theorem asks.
"""


def runs():
    """The runs as (script, options), in the order they are printed in."""
    for width, sizes, C0 in (
        (1000, (5, 10, 20, 28), [10, 20]),
        (10000, (5, 10, 20, 28), [10, 20]),
        (100000, (5, 10), 10),
    ):
        for size in sizes:
            options = {"normalize": True, "width": width, "size": size, "C0": C0, "save-dir": "saved/theorem"}
            yield "ntk_normal.py", options | {"out": "saved/theorem/ntk_normal.csv"}
    for size in (5, 10, 28):
        options = {
            "width": 1000,
            "size": size,
            "C0": 10,
            "eps": round(2 / size, 2),
            "T": 20,
            "atk_iters": 10,
            "save-dir": "saved/theorem",
        }
        yield "advtrain.py", options | {"out": "saved/theorem/advtrain.csv"}


if __name__ == "__main__":
    from lines import print_lines

    print_lines(__doc__, runs)
