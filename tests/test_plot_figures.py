"""plot_figures.py on small made-up results."""

import common
import plot_figures
from lib import groups, results
from sweeps import figure2, figure3, figure4_left, lines

import numpy as np
import pytest
import torch
from made_up import adversarial_row, ntk_row, read, write
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def draw(tmp_path, script, monkeypatch):
    """A function that runs plot_figures.py on the results in tmp_path, and returns how it ended."""
    monkeypatch.setattr(lines, "allow_head", lambda: None)  # it would be for the tests, too

    def run(*options):
        for option, folder in (("--results", tmp_path), ("--out", tmp_path / "figures")):
            options += () if option in options else (option, folder)
        return script("plot_figures.py", *options)

    return run


def figures(part, rows, caps=None):
    """The figures that are drawn of the rows of "2", "3", "4 left" or "4 right", by name."""
    script, _ = plot_figures.GRIDS[part]
    return plot_figures.draw_figures({part: read(rows, script)}, caps or {})


def figure(part, rows, caps=None):
    (only,) = figures(part, rows, caps).values()
    return only


def write_ntk(folder, *rows):
    write(folder / "ntk_normal.csv", *rows)


def write_caps(folder, *caps):
    lines = [f"0,1,{size},{size**2},{eps},{cap}\n" for size, eps, cap in caps]
    (folder / "figure4_cap.csv").write_text("".join(["num1,num2,size,d,eps,cap\n", *lines]))


def at_one_d(size, accuracies, **others):
    """Rows of one d from a dict of eps to robust accuracy."""
    return [adversarial_row(size, 1000, 0.316, eps, 0, robust) | others for eps, robust in accuracies.items()]


@pytest.mark.slow
def test_all_figures_are_drawn_and_the_runs_counted_and_the_same_rows_give_the_same_files(tmp_path, draw):
    sizes = (5, 10, 28)
    write_ntk(tmp_path, *(ntk_row(size, m, 10, seed) for size in sizes for m in (1000, 100000) for seed in (0, 1)))
    write_ntk(tmp_path, ntk_row(5, 100000, 20, 0, left_ball=0), ntk_row(6, 64, 3, 7, num1=3, num2=8, normalize=1))
    for size in sizes:
        write(tmp_path / "advtrain.csv", *at_one_d(size, {0.1: 0.9, 0.5: 0.5}))
    write(tmp_path / "advtraingap.csv", adversarial_row(28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1))
    assert draw().stderr.splitlines()[:3] == [  # nothing of grids that no run is of
        "figure 2: 12 of the paper's 105 runs, 12 of the laptop's 105 runs",
        "figure 4 left, paper's formulas: 6 of the paper's 2400 runs",
        "figure 4 right, with bias and box: 1 of the paper's 700 runs",
    ]
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    names = ("figure2", "figure2-digits3and8-normalize", "figure3", "figure4")
    assert {*files} == {f"{name}.{ending}" for name in names for ending in ("png", "pdf")} | {"claims.md"}
    draw("--figure", 2, 4, "--out", tmp_path / "again")
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert again == {name: files[name] for name in files if name[:7] in ("figure2", "figure4")}


@pytest.mark.parametrize(
    ("options", "grid", "name", "rows"),
    [
        ("2", figure2.runs(), "ntk_normal", 2 * [ntk_row(5, 1000, 10, 0)]),
        (
            "3 --laptop",
            figure3.runs(laptop=True),
            "ntk_normal",
            # One of four rows is no whole run.
            [*(ntk_row(5, 10000, C0, 0) for C0 in (10, 20, 30, 40)), ntk_row(7, 10000, 10, 0)],
        ),
        (
            "4 --laptop --authors",
            figure4_left.runs(laptop=True, authors=True),
            "advtrain-2",
            at_one_d(5, {0.2: 1}, bias=1, box=1, T=100, atk_iters=20) + at_one_d(7, {0.2: 1}, T=100, atk_iters=20),
        ),
    ],
)
def test_the_missing_runs_are_the_sweeps_lines_until_they_have_their_rows(tmp_path, draw, options, grid, name, rows):
    grid = [lines.line(*run) for run in grid]

    def missing():
        return [line.split(" --out ")[0] for line in draw("--missing", *options.split()).stdout.splitlines()]

    assert missing()[: len(grid)] == grid
    write(tmp_path / f"{name}.csv", *rows)
    assert missing()[: len(grid) - 1] == grid[1:]


def test_files_with_names_that_are_not_read_are_named(tmp_path, draw):
    for name in ("mine.csv", "ntk-normal.csv", "notes.txt"):
        (tmp_path / name).write_text("anything")
    write_ntk(tmp_path, ntk_row(5, 64, 10, 0))
    (warning,) = [line for line in draw("--figure", 2).stderr.splitlines() if "warning" in line]
    assert warning.endswith(" are read, and not mine.csv, ntk-normal.csv")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ("--figure 5", 2, "must be a whole number from 2 to 4"),
        ("--missing 1", 2, "must be a whole number from 2 to 4"),
        ("--results file", 2, "must be a folder"),
        ("--figure 2 --width 64", 2, "--width changes nothing here"),
        ("--figure 4", 1, "no rows for figure 4 in"),
        ("--figure 3", 1, "figure 3 needs several C0"),
        ("--figure 2 --C0 10", 1, "error: no row for figure 2 has C0 10; there is 3, 4\n"),
        ("--figure 2 3 --width 65", 1, "error: no row for figure 3 has width 65; there is 64, 100\n"),
        ("--figure 2 --out file", 1, "cannot write"),
        ("--networks none", 1, "has no network"),
        ("--networks damaged", 1, "cannot load a network"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(tmp_path, draw, monkeypatch, options, code, reason):
    monkeypatch.chdir(tmp_path)
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(5, 100, 4, 0))
    for name in ("file", "damaged/ntk_normal-text.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no network")
    ended = draw(*options.split())
    assert ended.code == code and reason in ended.stderr
    assert not (tmp_path / "figures").exists()


def test_C0_and_width_choose_what_is_drawn(tmp_path, draw, monkeypatch):
    write_ntk(tmp_path, *(ntk_row(size, m, C0, 0) for size in (5, 7) for m in (64, 100) for C0 in (3, 10)))
    for m, C0 in ((1000, 10), (1000, 20), (500, 10), (500, 20)):
        write(tmp_path / "advtrain.csv", adversarial_row(5, m, 0.3, 0.1, 0, 1, C0=C0))
    drawn = {}
    monkeypatch.setattr(plot_figures, "save", lambda figures, folder: drawn.update(figures))
    draw("--C0", 3, "--width", 64, "--figure", 2, 3)
    assert drawn["figure2"].get_suptitle().startswith("$C_0$ = 3, ")
    assert drawn["figure3"].get_suptitle().startswith("$m$ = 64, ")
    draw("--C0", 20, "--width", 500, "--figure", 4)
    assert "$m$ = 500, $C_0$ = 20" in drawn["figure4"].axes[0].get_title()


def test_curves_are_means_over_seeds_and_the_last_row_of_a_run_counts(tmp_path):
    write_ntk(tmp_path, ntk_row(10, 1000, 10, 0, rel_delta_mean=99))
    write_ntk(tmp_path, *(ntk_row(10, 1000, 10, seed, rel_delta_mean=x) for seed, x in enumerate([0.2, 0.3, 0.7])))
    write_ntk(tmp_path, ntk_row(20, 1000, 10, 0, rel_delta_mean=0.1, no_flip=3))
    write_ntk(tmp_path, ntk_row(20, 1000, 20, 0, rel_delta_mean=55))
    drawn = figure("2", plot_figures.read_runs([tmp_path], "ntk_normal"))
    panel, gradient, eta = drawn.axes[:3]
    np.testing.assert_allclose(panel.lines[0].get_xydata(), [[100, 0.4], [400, 0.1]])
    np.testing.assert_allclose(gradient.lines[0].get_xydata(), [[100, 7], [400, 14]])
    np.testing.assert_allclose(eta.lines[0].get_xydata(), [[100, 3 / 100], [400, 3 / 400]])
    band = panel.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.1, 0.4 + np.std([0.2, 0.3, 0.7], ddof=1)))
    np.testing.assert_allclose(np.diff(np.log(gradient.lines[-1].get_ydata())), 0.5 * np.log(4))  # the paper's rate
    assert drawn.get_suptitle().endswith(" over 1–3 seeds, 3 rays that never flip left out")


def test_the_legend_names_the_curves():
    rows = [ntk_row(size, width, 10, 0, rel_delta_mean=width) for size in (5, 10) for width in (1000, 10000, 500)]
    drawn = figure("2", rows)
    (legend,) = drawn.legends
    colours = {line.get_ydata()[0]: line.get_color() for line in drawn.axes[0].lines if len(line.get_ydata()) == 2}
    for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True):
        width = float(text.get_text().removeprefix("$m$ = ").replace(",", ""))
        assert line.get_color() == colours[width]


def test_rows_that_other_programs_saved_with_fewer_digits_count_once(tmp_path):
    C0, rows = 10 / 3, []
    write_ntk(tmp_path, *(ntk_row(5, 1000, value, 0) for value in (C0, float(f"{C0:.15g}"))), ntk_row(5, 1000, C0, 1))
    write_ntk(
        tmp_path, ntk_row(5, 1000, float(f"{C0:.11g}"), 0), *(ntk_row(5, 1000, C0, 10**6 + seed) for seed in (0, 1))
    )
    rows = plot_figures.read_runs([tmp_path], "ntk_normal")
    assert [row["seed"] for row in rows] == [0, 1, 10**6, 10**6 + 1] and len({row["C0"] for row in rows}) == 1


def test_learning_curves_are_drawn_of_each_run(tmp_path, draw):
    path, columns = tmp_path / "curves.csv", results.CURVES
    assert "no rows" in draw("--curves", path).stderr
    one, other = "a x=1 y=2", "a x=1 y=3"
    # The run with y = 2 was begun anew, after it had come to epoch 2.
    for run, epoch, loss in ((one, 0, 9), (one, 1, 9), (one, 2, 9), (other, 0, 3), (one, 0, 2), (one, 1, 1)):
        row = dict.fromkeys(columns, 0.5) | {"run": run, "epoch": epoch, "train_loss": loss, "train_robust_acc": "nan"}
        results.append_row(path, columns, row)
    assert draw("--curves", path).code == 0 and (tmp_path / "figures" / "curves.pdf").exists()
    axes = plot_figures.draw_learning(path).axes
    assert [line.get_label() for line in axes[0].lines] == ["y=2", "y=3"]  # what tells the runs apart
    assert [list(line.get_ydata()) for line in axes[0].lines] == [[2, 1], [3]]
    assert [[list(line.get_xdata()) for line in ax.lines] for ax in axes] == [
        [[0, 1], [0]]
    ] * 3  # none of Section 5.1's robust accuracy


def test_runs_are_not_averaged_over_a_column_of_the_users_own(tmp_path, draw, monkeypatch):
    columns = plot_figures.COLUMNS["advtrain"]
    monkeypatch.setitem(plot_figures.COLUMNS, "advtrain", ["momentum", *columns])
    monkeypatch.setitem(results.ADDED, "momentum", "0")
    write(tmp_path / "advtrain.csv", *at_one_d(5, {0.2: 1}))
    refused = draw("--figure", 4)
    assert refused.code == 1 and "error: figures would average over momentum" in refused.stderr
    monkeypatch.setitem(groups.DEFAULTS, "advtrain", groups.ADVERSARIAL_SETTINGS | {"momentum": 0})
    monkeypatch.setitem(groups.DESCRIPTIONS, "momentum", ("momentum{}", "momentum {}"))
    for momentum, accuracy in ((0, 0.9), (0.9, 0.8)):  # both with a column that the first file's rows lack
        row = adversarial_row(5, 1000, 0.3, 0.2, 1, accuracy) | {"momentum": momentum}
        results.append_row(tmp_path / "advtrain-2.csv", plot_figures.COLUMNS["advtrain"], row)
    drawn = draw("--figure", 4)
    assert drawn.code == 0 and "figure4-momentum0p9.png" in drawn.stdout and "figure4.png" in drawn.stdout


def test_of_one_run_the_users_row_wins(tmp_path):
    for name, value in (("paper", 1.0), ("mine", 2.0)):
        (tmp_path / name).mkdir()
        write_ntk(tmp_path / name, ntk_row(5, 1000, 10, 0, rel_delta_mean=value))
    write_ntk(tmp_path / "paper", ntk_row(5, 1000, 10, 1))
    rows = plot_figures.read_runs([tmp_path / "paper", tmp_path / "mine"], "ntk_normal")
    assert [(row["seed"], row["rel_delta_mean"]) for row in rows] == [(0, 2.0), (1, pytest.approx(2.1 / 5))]


def test_of_runs_that_differ_in_T_alone_the_longest_counts_unless_the_user_has_another(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for T, epochs, robust in ((1000, 1000, 0.6), (100, 100, 0.5)):
        rows = [adversarial_row(size, 1000, 0.316, 0.2, 0, robust, T=T, epochs=epochs) for size in (5, 7)]
        write(tmp_path / "advtrain.csv", *rows)
    write(tmp_path / "mine" / "advtrain.csv", adversarial_row(7, 1000, 0.316, 0.2, 0, 0.4, T=50, epochs=50))
    rows = plot_figures.read_runs([tmp_path, tmp_path / "mine"], "advtrain")
    assert [(row["size"], row["T"], row["robust_test_acc"]) for row in rows] == [(5, 1000, 0.6), (7, 50, 0.4)]
    assert "1 runs of advtrain.py that T cut off take the place of longer ones" in capsys.readouterr().err


def test_of_runs_that_T_did_not_end_the_last_counts_whatever_T(tmp_path, capsys):
    for T, left_ball, value in ((1000, 1, 1.0), (50, 1, 2.0), (20, 0, 3.0)):
        write_ntk(tmp_path, ntk_row(5, 1000, 10, 0, T=T, left_ball=left_ball, rel_delta_mean=value))
    (row,) = plot_figures.read_runs([tmp_path], "ntk_normal")
    assert row["rel_delta_mean"] == 2 and not capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "row", "lacks"),
    [
        ("4 left", adversarial_row(5, 1000, 0.316, 0.2, 0, 0.5, T=100, epochs=100), 1),
        ("4 left", adversarial_row(5, 1000, 0.316, 0.2, 0, 0.5, T=100, epochs=57), 0),
        ("4 left", adversarial_row(5, 1000, 0.316, 0.2, 0, 0.5, T=1000, epochs=1000), 0),
        ("2", ntk_row(5, 1000, 10, 0, T=5, left_ball=0), 1),
        ("2", ntk_row(5, 1000, 10, 0, T=5, left_ball=1), 0),
    ],
)
def test_a_run_that_T_ended_is_missing_from_a_grid_with_a_larger_T(part, row, lacks):
    lacking, count = plot_figures.lacking_runs(part, [row])
    assert len(lacking) == count - 1 + lacks


def test_other_data_and_attacks_have_figures_of_their_own():
    rows = at_one_d(5, {0.1: 0.9, 0.5: 0.5}) + at_one_d(7, {0.1: 0.9})
    others = ({"attack": "linf"}, {"dataset": "KMNIST", "antialias": 1})
    drawn = figures("4 left", rows + [row | other for row in rows for other in others])
    assert set(drawn) == {"figure4", "figure4-linf", "figure4-KMNIST-antialias"}
    red = [sum("paper's" in line.get_label() for line in own.axes[0].lines) for own in drawn.values()]
    assert sorted(red) == [0, 1, 1]  # the threshold is one for l2


def test_networks_that_no_log_axis_shows_are_left_out_and_said(tmp_path, draw):
    dead = {"grad_norm_mean": 0.0, "rel_delta_mean": float("nan"), "eta_mean": float("nan")}
    write_ntk(tmp_path, ntk_row(1, 1000, 10, 0, **dead))
    assert "no rows" in draw("--figure", 2).stderr
    write_ntk(tmp_path, *(ntk_row(size, 1000, C0, 0) for size in (5, 10) for C0 in (10, 20)))
    for seed, (column, value) in enumerate([("grad_norm_mean", 0), ("eta_mean", 0), ("rel_delta_mean", float("nan"))]):
        write_ntk(tmp_path, ntk_row(5, 1000, 10, seed + 1) | {column: value})
    ended = draw()
    assert ended.code == 0 and all(f"figure {part} leaves out 4 of 8 rows" in ended.stderr for part in (2, 3))
    assert (tmp_path / "figures" / "figure2.png").exists() and (tmp_path / "figures" / "claims.md").exists()


def test_figures_do_not_depend_on_the_users_matplotlibrc(tmp_path, draw, monkeypatch):
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0), ntk_row(10, 1000, 10, 0))
    drawn = []
    for settings in ({}, {"text.usetex": True, "axes.grid": True, "savefig.bbox": "tight", "lines.linestyle": ":"}):
        plt.rcParams.update(settings)
        assert draw("--figure", 2).code == 0
        drawn.append((tmp_path / "figures" / "figure2.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_runs_that_the_epochs_ended_are_hollow():
    curve, hollow = figure("2", [ntk_row(10, 1000, 10, 0), ntk_row(20, 1000, 10, 0, left_ball=0)]).axes[0].lines[:2]
    assert list(curve.get_xdata()) == [100, 400] and curve.get_markevery() == [True, False]
    assert list(hollow.get_xdata()) == [400]
    assert hollow.get_markerfacecolor() == "none" != curve.get_markerfacecolor()


def test_figures_keep_to_the_papers_C0_and_width():
    rows = [ntk_row(5, width, C0, 0) for C0 in (10, 20) for width in (1000, 10000)] + [ntk_row(5, 2000, 20, 0)]
    assert figure("2", rows).get_suptitle() == "$d$ = 25, $C_0$ = 10, 1 seed"
    assert figures("3", rows)["figure3"].get_suptitle() == "$d$ = 25, $m$ = 1,000, 1 seed"
    rows.append(ntk_row(5, 100000, 10, 0))  # a single C0: no figure
    assert list(figures("3", rows)) == ["figure3", "figure3-m10000"]
    rows.append(ntk_row(5, 100000, 20, 0))
    assert figures("3", rows)["figure3"].get_suptitle() == "$d$ = 25, $m$ = 100,000, 1 seed"


def test_curves_of_several_C0_are_of_the_same_runs():
    rows = [ntk_row(size, 10000, 10, seed, rel_delta_mean=1 + seed) for size in (5, 10) for seed in (0, 1)]
    rows += [ntk_row(size, 10000, 20, 0, rel_delta_mean=3) for size in (5, 10)]
    rows += [ntk_row(5, 10000, 20, 1, rel_delta_mean=5)]
    rows += [ntk_row(20, 10000, 10, seed, rel_delta_mean=1 + seed) for seed in (0, 1)]  # no C0 = 20 of any seed
    rows += [ntk_row(28, 10000, 10, 2, rel_delta_mean=7)]  # nor of a seed that has it elsewhere
    small, large = (line.get_xydata().tolist() for line in figure("3", rows).axes[0].lines[:4:2])
    assert small == [[25, 1.5], [100, 1], [400, 1.5], [784, 7]] and large == [[25, 4], [100, 3]]


def test_powers_are_of_the_curves_that_T_did_not_end_and_of_the_largest_C0():
    sizes, powers = (5, 10, 20), ((10, -1), (20, -1), (30, -0.5))
    rows = [ntk_row(size, 100, C0, 0, rel_delta_mean=size**power) for C0, power in powers for size in sizes]
    ended = [row | {"left_ball": 0} for row in rows]
    assert figure("3", rows).axes[0].get_title().endswith("\nmeasured: $d^{-0.25}$ to $d^{-0.50}$")
    some = figure("3", rows[:6] + ended[6:]).axes[0].get_title()
    assert some.endswith("\nmeasured: $d^{-0.50}$ at $C_0$ = 10, 20\n$d^{-0.25}$ at $C_0$ = 30, $d$ ≤ 400")
    assert "measured" not in figure("3", ended).axes[0].get_title()


def accuracies(ax, *points):
    """What the map in a panel shows at the points (x, y): robust accuracies, and None where nothing ran."""
    (mesh,) = [child for child in ax.get_children() if isinstance(child, QuadMesh)]
    x, y = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
    shown = np.ma.masked_invalid(mesh.get_array())
    return [shown[np.searchsorted(y, up) - 1, np.searchsorted(x, across) - 1].tolist() for across, up in points]


def passing(drawn, level):
    """The line in the first panel along which robust accuracy passes the level, as a dict of x to y."""
    (line,) = [line for line in drawn.axes[0].lines if line.get_label().endswith(f"accuracy passes {level:g}")]
    return dict(line.get_xydata().tolist())


def test_maps_leave_cells_without_runs_empty_and_never_mix_protocols():
    cells = [(5, 0.1, 0, 0.9, 0), (5, 0.1, 1, 0.7, 0), (10, 0.3, 0, 0.2, 0), (5, 0.1, 0, 0.1, 1), (7, 0.2, 0, 0.5, 1)]
    rows = [adversarial_row(size, 1000, 0.316, eps, seed, y, bias=bias) for size, eps, seed, y, bias in cells]
    paper, biased = figure("4 left", rows).axes[:2]
    assert accuracies(paper, (25, 0.1), (25, 0.3), (100, 0.1), (100, 0.3)) == [pytest.approx(0.8), None, None, 0.2]
    assert accuracies(biased, (25, 0.1), (25, 0.2), (49, 0.1), (49, 0.2)) == [0.1, None, None, 0.5]


def test_lines_mark_where_robust_accuracy_passes_the_levels():
    rows = at_one_d(5, {0.4: 0.9, 0.6: 0.1}) + at_one_d(5, {0.4: 0.7, 0.8: 0.3}, seed=1)
    rows += at_one_d(6, {0.1: 0.9, 0.3: 0.1})  # too far apart to say where
    places = passing(figure("4 left", rows + at_one_d(8, {0.4: 0.6, 0.6: 0.4})), 0.5)
    assert (places[25], places[64]) == pytest.approx((0.55, 0.5))  # at d = 25 the mean of 0.5 and 0.6
    assert np.isnan(places[36])
    drawn = figure("4 left", at_one_d(5, {0.4: 1, 0.5: 0.8, 0.6: 0}) + at_one_d(8, {0.4: 1}))
    assert [passing(drawn, level)[25] for level in (0.95, 0.5, 0.05)] == pytest.approx([0.425, 0.5375, 0.59375])


def test_lines_of_the_right_panel_mark_where_robust_accuracy_rises_past_the_levels():
    cells = [(m, V, accuracy) for m in (500, 1000) for V, accuracy in ((0.2, 0.1), (0.4, 0.9), (0.6, 0.3))]
    drawn = figure("4 right", [adversarial_row(28, m, V, 0.2, 0, accuracy) for m, V, accuracy in cells])
    places = passing(drawn, 0.5)
    assert [places[m] for m in (500, 1000)] == pytest.approx([0.3, 0.3])


def test_the_papers_thresholds_are_5_over_the_root_of_d_and_25_over_that_of_m():
    for part, scale in (("4 left", 5), ("4 right", 25)):
        side = {
            "left": ((28, 1000, 0.5, 0.2), (20, 1000, 0.5, 0.1)),
            "right": ((28, 1000, 0.9, 0.2), (28, 500, 0.8, 0.2)),
        }
        drawn = figure(part, [adversarial_row(*own, 0, 0.5) for own in side[part[2:]]])
        (line,) = [line for line in drawn.axes[0].lines if "the paper's" in line.get_label()]
        np.testing.assert_allclose(line.get_ydata() * np.sqrt(line.get_xdata()), scale)


def test_cells_with_a_run_that_T_ended_are_dotted():
    rows = (
        at_one_d(5, {0.1: 0.9, 0.2: 0.5}) + at_one_d(7, {0.1: 0.9}) + at_one_d(7, {0.1: 0.9}, T=100, epochs=100, seed=1)
    )
    ax = figure("4 left", rows).axes[0]
    (dots,) = [line for line in ax.lines if line.get_label() == "$T$ cut off a run here"]
    assert dots.get_xydata().tolist() == [[49, 0.1]]
    assert ax.get_title().endswith("\n1 of 4 runs cut off by T = 100 epochs")


def test_a_single_d_of_ones_own_is_a_curve():
    drawn = figure("4 left", [row | {"num1": 3, "num2": 8} for row in at_one_d(5, {0.1: 0.9, 0.5: 0.5})])
    (only,) = drawn.axes  # no scale of colours
    line, hollow = only.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.1, 0.5], [0.9, 0.5]) and not len(hollow.get_xdata())
    assert "$d$ = 25, $m$ = 1,000, $C_0$ = 10" in only.get_title()


def test_the_right_column_is_over_m_and_V_and_a_protocol_without_runs_has_no_panel():
    rows = [adversarial_row(28, m, V, 0.2, 0, 0.4, bias=1, box=1) for m, V in ((1000, 0.5), (2000, 0.3))]
    authors, _ = figure("4 right", rows).axes
    assert authors.get_title().split("\n")[0] == "with bias and box"
    assert accuracies(authors, (1000, 0.5), (1000, 0.3), (2000, 0.5)) == [0.4, None, None]


def hatched(drawn):
    """From which eps on cells are hatched at d = 25 in the first panel, or None."""
    for collection in drawn.axes[0].collections:
        if collection.get_hatch() == "////" and collection.get_paths():
            points = collection.get_paths()[0].vertices
            return points[np.isclose(points[:, 0], 25, rtol=0.02), 1].min()
    return None


def test_what_no_classifier_can_reach_is_hatched(tmp_path):
    write_caps(tmp_path, (5, 0.2, 1), (5, 0.3, 1), (5, 0.4, 0.9), (5, 0.5, 0.6), (28, 0.5, 1))
    rows = at_one_d(5, {0.2: 1, 0.3: 1, 0.4: 0.9, 0.5: 0.6}) + at_one_d(28, {0.5: 1})
    caps = plot_figures.read_caps(tmp_path)
    assert caps["MNIST", 0, "l2", 0, 1, 25][0.4] == 0.9
    assert hatched(figure("4 left", rows, caps)) == pytest.approx(0.35)
    assert hatched(figure("4 left", rows)) is None
    (other := tmp_path / "other").mkdir()
    write_caps(other, (7, 0.2, 1), (5, 0.3, 0.9))
    both = plot_figures.read_caps(tmp_path, other)
    assert hatched(figure("4 left", rows, both)) == pytest.approx(0.25) and both["MNIST", 0, "l2", 0, 1, 49] == {0.2: 1}
    far = {key: {0.1: 1, 0.5: 0.6} for key in caps}  # nobody knows where between
    assert hatched(figure("4 left", rows, far)) is None
    nearer = far | {("MNIST", 0, "l2", 0, 1, 784): {0.2: 1, 0.3: 0.9}}
    assert hatched(figure("4 left", rows, nearer)) == pytest.approx(0.25)
    right = [adversarial_row(28, m, V, 0.2, 0, 0.5) for m, V in ((25, 0.2), (1000, 0.5))]
    assert hatched(figure("4 right", right, nearer)) is None
    below = at_one_d(5, {0.01: 1, 0.02: 1}) + at_one_d(6, {0.02: 1})
    labels = [text.get_text() for text in figure("4 left", below, caps).legends[0].get_texts()]
    assert not any("paper's" in label or "no classifier" in label for label in labels)
    for other in ({"num2": 8}, {"dataset": "KMNIST"}, {"attack": "linf"}, {"antialias": 1}):
        assert hatched(figure("4 left", [row | other for row in rows], caps)) is None


@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
def test_the_gallery_shows_the_steps_of_saved_networks(tmp_path, lazy_net, bias):
    net, data = lazy_net(5, 64, bias)
    config = {"num1": 0, "num2": 1, "size": 5, "d": 25, "width": 64, "C0": 10.0, "V": 1.25, "seed": 0}
    config["normalize"] = 0
    config["bias"] = int(bias)
    torch.save({"state_dict": net.state_dict(), "config": config}, tmp_path / "ntk_normal-a.pt")
    axes = plot_figures.draw_networks(tmp_path)["gallery"].axes[:3]
    digit = data.test_x[data.test_y < 0][:1]
    length = 1.001 * common.smallest_step(net, digit).delta_norm.item()
    x, delta, both = (torch.tensor(ax.images[0].get_array()).float().ravel() for ax in axes)
    torch.testing.assert_close(x, digit[0])
    torch.testing.assert_close(x + delta, both)
    assert torch.linalg.vector_norm(delta).item() == pytest.approx(length, rel=1e-4)
    assert f"= {length / digit.norm():.2f}\n" in axes[1].get_xlabel()
    before, after = (float(axes[column].get_xlabel().split("$")[3]) for column in (0, 2))
    assert before == pytest.approx(net.f(digit).item(), abs=0.005) and before < 0 < after
    assert after == pytest.approx(net.f(both[None]).item(), abs=1e-4)
    # What is shown is what flips: no pixel lies outside the greys.
    low, high = axes[2].images[0].get_clim()
    assert low <= both.min() and both.max() <= high and axes[0].images[0].get_clim() == (low, high)
