"""Made-up rows of the three results files, for the tests of what is made of rows."""

import plot_figures
from lib import groups, results


def ntk_row(size, width, C0, seed, **others):
    d = size**2
    row = dict.fromkeys(plot_figures.COLUMNS["ntk_normal"], 0) | groups.SETTINGS | {"T": 1000}
    row |= {"size": size, "d": d, "width": width, "C0": C0, "V": C0 / width**0.5, "seed": seed, "left_ball": 1}
    row |= {"rel_delta_mean": (2 + 0.1 * seed) / size, "grad_norm_mean": 0.7 * size, "eta_mean": 3 / d}
    return row | {"delta_norm_mean": 0.3 * (2 + 0.1 * seed), "abs_f_mean": 0.4 * size} | others


def adversarial_row(size, width, V, eps, seed, robust, **others):
    row = dict.fromkeys(plot_figures.COLUMNS["advtrain"], 0) | groups.ADVERSARIAL_SETTINGS | {"T": 1000}
    row |= {"size": size, "d": size**2, "width": width, "C0": 10, "V": V, "eps": eps, "seed": seed, "max_deviation": V}
    return row | {"robust_test_acc": robust, "train_robust_acc": 0.5} | others


def line(size, accuracies, seed=0, **others):
    """Rows of advtrain.csv from a dict of eps times sqrt(d) to robust accuracy."""
    return [adversarial_row(size, 1000, 0.316, at / size, seed, robust, **others) for at, robust in accuracies.items()]


def write(path, *rows):
    """Append the rows to the CSV at path, which belongs to the script that its name starts with."""
    for row in rows:
        results.append_row(path, plot_figures.COLUMNS[path.stem.split("-")[0]], row)


def read(rows, script):
    """The rows as plot_figures.py has them once it has read them from the script's CSV."""
    columns = plot_figures.COLUMNS[script]
    return groups.latest_of_each_run(rows, results.key_columns(script, columns))
