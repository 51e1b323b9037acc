"""plot_figures.py on small made-up results."""

import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh

import common
import ntk_normal
import plot_figures

ROOT = common.DATA_DIR.parent


def write_ntk_row(folder, size, width, C0, seed, **others):
    d = size**2
    row = dict.fromkeys(ntk_normal.COLUMNS, 0) | plot_figures.SETTINGS
    row |= {"size": size, "d": d, "width": width, "C0": C0, "V": C0 / width**0.5, "seed": seed, "left_ball": 1}
    row |= {"rel_delta_mean": (2 + 0.1 * seed) / size, "grad_norm_mean": 0.7 * size, "eta_mean": 3 / d, "torch": "none"}
    row |= {"delta_norm_mean": 0.3 * (2 + 0.1 * seed), "abs_f_mean": 0.4 * size}
    write(folder / "ntk_normal.csv", ntk_normal.COLUMNS, row | others)


def write_adversarial_row(path, size, width, V, eps, seed, robust, **others):
    row = dict.fromkeys(common.ADVERSARIAL_COLUMNS, 0) | plot_figures.ADVERSARIAL_SETTINGS
    row |= {"size": size, "d": size**2, "width": width, "C0": 10, "V": V, "eps": eps, "seed": seed, "max_deviation": V}
    write(path, common.ADVERSARIAL_COLUMNS, row | {"robust_test_acc": robust, "device": "cpu"} | others)


def write(path, columns, row):
    common.open_results(path, columns)
    common.append_row(path, columns, row)


def draw(folder, *arguments):
    command = [sys.executable, ROOT / "plot_figures.py", "--results", folder, "--out", folder / "figures", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_all_figures_are_drawn_and_the_missing_runs_counted(tmp_path):
    for size in (5, 10, 28):
        for width in (1000, 100000):
            for seed in (0, 1):
                write_ntk_row(tmp_path, size, width, 10, seed)
        write_ntk_row(tmp_path, size, 100000, 20, 0, left_ball=0)
        for eps in (0.1, 0.5):
            write_adversarial_row(tmp_path / "advtrain.csv", size, 1000, 0.316, eps, 0, 1 - eps)
    write_adversarial_row(tmp_path / "advtraingap.csv", 28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1)
    ended = draw(tmp_path)
    assert ended.returncode == 0
    for line in [
        "figure 2: 12 of the paper's 105 runs, 12 of the laptop's 105 runs",
        "figure 3: 0 of the paper's 35 runs, 0 of the laptop's 35 runs",
        "figure 4 left, paper's formulas: 6 of the paper's 2400 runs, 0 of the laptop's 180 runs",
        "figure 4 right, paper's formulas: 0 of the paper's 700 runs, 0 of the laptop's 165 runs",
        "figure 4 left, with bias and box: 0 of the paper's 2400 runs, 0 of the laptop's 180 runs",
        "figure 4 right, with bias and box: 1 of the paper's 700 runs, 0 of the laptop's 165 runs",
    ]:
        assert line in ended.stderr.splitlines()
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"figure{figure}.{ending}" for figure in (2, 3, 4) for ending in ("png", "pdf")} | {"claims.md"}
    assert (tmp_path / "figures" / "figure2.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "figure2.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    "figure, choice, script",
    [(2, "", "figure2.py"), (3, "--laptop", "figure3.py"), (4, "--laptop --authors", "figure4_left.py")],
)
def test_the_missing_runs_are_the_sweeps_lines_until_they_have_their_rows(tmp_path, figure, choice, script):
    sweep = [sys.executable, ROOT / "sweeps" / script, *choice.split()]
    grid = subprocess.run(sweep, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(set(grid)) == len(grid) and all(line.startswith("python ") for line in grid)

    def missing():
        lines = draw(tmp_path, "--missing", str(figure), *choice.split()).stdout.splitlines()[: len(grid)]
        assert all(line.split(" --out ")[1].startswith(f"{tmp_path}/") for line in lines)
        return [line.split(" --out ")[0] for line in lines]

    assert missing() == grid
    if figure == 4:
        write_adversarial_row(
            tmp_path / "advtrain-2.csv", 5, 1000, 0.316, 0.2, 0, 0.5, bias=1, box=1, T=100, atk_iters=20
        )
        write_adversarial_row(tmp_path / "advtrain.csv", 7, 1000, 0.316, 0.2, 0, 0.5, T=100, atk_iters=20)
    elif figure == 3:
        for C0 in (10, 20, 30, 40):
            write_ntk_row(tmp_path, 5, 10000, C0, 0)
        write_ntk_row(tmp_path, 7, 10000, 10, 0)  # one of four rows is no whole run
    else:
        write_ntk_row(tmp_path, 5, 1000, 10, 0)
        write_ntk_row(tmp_path, 5, 1000, 10, 0)
    assert missing()[: len(grid) - 1] == grid[1:]


@pytest.mark.parametrize("script", ["plot_figures.py --missing 4", "sweeps/figure4_left.py"])
def test_lines_may_go_to_head(script):
    name, *options = script.split()
    command = [sys.executable, ROOT / name, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("python advtrain.py ")
        process.stdout.close()  # 2,400 lines are more than a pipe holds
        assert process.stderr.read() == ""


@pytest.mark.parametrize("part, choice", [("2", {}), ("3", {}), ("4 left", {}), ("4 right", {"authors": True})])
def test_the_scripts_take_every_option_of_the_sweeps(tmp_path, part, choice):
    (tmp_path / "no-folder").write_text("")
    script, options = next(iter(plot_figures.GRIDS[part][1](laptop=True, **choice)))
    _, script, *options = plot_figures.lines.line(script, options).split()
    command = [sys.executable, ROOT / script, *options, "--data-dir", "no-folder"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    # Once all options are understood, the data are looked for.
    assert ended.returncode == 1 and "MNIST" in ended.stderr


def test_each_task_of_a_job_array_runs_its_line(tmp_path):
    (tmp_path / "grid.py").write_text("print('echo one')\nprint('echo two')\n")
    for task, said, code in (("1", "one", 0), ("2", "two", 0), ("3", "", 1)):
        command = ["bash", ROOT / "sweeps" / "slurm.sbatch", tmp_path / "grid.py"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": task, "PATH": path}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == code and ended.stdout.splitlines()[1:] == ([said] if said else [])


def test_only_the_figures_asked_for_are_drawn_and_other_settings_apart(tmp_path):
    write_ntk_row(tmp_path, 5, 64, 3, 0)
    write_ntk_row(tmp_path, 6, 64, 3, 7, num1=3, num2=8)
    assert draw(tmp_path, "--figure", "2").returncode == 0
    names = sorted(path.name for path in (tmp_path / "figures").glob("*.png"))
    assert names == ["figure2.png", "figure2_num1=3_num2=8.png"]


@pytest.mark.parametrize(
    "arguments, code",
    [(["--figure", "5"], 2), (["--missing", "1"], 2), (["--figure", "3"], 1), (["--out", __file__], 1)],
)
def test_nothing_to_draw_and_bad_input_are_errors(tmp_path, arguments, code):
    if "--out" in arguments:
        write_ntk_row(tmp_path, 5, 1000, 10, 0)
    ended = draw(tmp_path, *arguments)
    assert ended.returncode == code and "error" in ended.stderr.splitlines()[-1] and "Traceback" not in ended.stderr


def ntk_rows(tmp_path):
    return plot_figures.read_runs(tmp_path, "ntk_normal")


def test_curves_are_means_over_seeds_and_the_last_row_of_a_run_counts(tmp_path):
    write_ntk_row(tmp_path, 10, 1000, 10, 0, rel_delta_mean=99)
    for seed, relative in enumerate([0.2, 0.3, 0.7]):
        write_ntk_row(tmp_path, 10, 1000, 10, seed, rel_delta_mean=relative)
    write_ntk_row(tmp_path, 20, 1000, 10, 0, rel_delta_mean=0.1, no_flip=3)
    write_ntk_row(tmp_path, 20, 1000, 20, 0, rel_delta_mean=55)
    figure = plot_figures.draw_curves(ntk_rows(tmp_path), (), "width", "C0", 10)
    line = figure.axes[0].lines[0]
    assert line.get_color() == "tab:red"
    np.testing.assert_allclose(line.get_xydata(), [[100, 0.4], [400, 0.1]])
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.1, 0.4 + np.std([0.2, 0.3, 0.7], ddof=1)))
    np.testing.assert_allclose(np.diff(np.log(figure.axes[1].lines[-1].get_ydata())), 0.5 * np.log(4))
    assert figure.get_suptitle() == "$C_0$ = 10, 1-3 seeds, 3 rays that never flip left out"


@pytest.mark.parametrize("relative", [0.13981458071254715, 0.3, 7e-4, 1.0])
def test_a_single_run_still_has_axes(tmp_path, relative):
    write_ntk_row(tmp_path, 5, 1000, 10, 0, rel_delta_mean=relative, eta_mean=relative / 3)
    figure = plot_figures.draw_curves(ntk_rows(tmp_path), (), "width", "C0", 10)
    for ax in figure.axes:
        low, high = ax.get_ylim()
        assert any(low <= tick <= high for tick in ax.get_yticks()) and high / low > 1.4


def test_runs_that_the_epochs_ended_are_hollow(tmp_path):
    write_ntk_row(tmp_path, 10, 1000, 10, 0)
    write_ntk_row(tmp_path, 20, 1000, 10, 0, left_ball=0)
    curve, hollow = plot_figures.draw_curves(ntk_rows(tmp_path), (), "width", "C0", 10).axes[0].lines[:2]
    assert list(curve.get_xdata()) == [100, 400] and list(hollow.get_xdata()) == [400]
    assert hollow.get_markerfacecolor() == "white" != curve.get_markerfacecolor()


def test_figures_keep_to_the_papers_C0_and_width(tmp_path):
    for C0, widths in ((10, (1000, 10000)), (20, (1000, 2000, 10000))):
        for width in widths:
            write_ntk_row(tmp_path, 5, width, C0, 0)
    figure = plot_figures.draw_curves(ntk_rows(tmp_path), (), "width", "C0", 10)
    assert figure.get_suptitle().startswith("$C_0$ = 10")
    figure = plot_figures.draw_curves(ntk_rows(tmp_path), (), "C0", "width", 100000)
    assert len(figure.legends[0].get_texts()) == 2


def test_curves_of_several_C0_are_of_the_same_runs(tmp_path):
    for size in (5, 10):
        for seed in (0, 1):
            write_ntk_row(tmp_path, size, 10000, 10, seed, rel_delta_mean=1 + seed)
        write_ntk_row(tmp_path, size, 10000, 20, 0, rel_delta_mean=3)
    write_ntk_row(tmp_path, 5, 10000, 20, 1, rel_delta_mean=5)
    for seed in (0, 1):
        write_ntk_row(tmp_path, 20, 10000, 10, seed, rel_delta_mean=1 + seed)  # no C0 = 20 of any seed
    figure = plot_figures.draw_curves(ntk_rows(tmp_path), (), "C0", "width", 100000)
    small, large = (line.get_xydata().tolist() for line in figure.axes[0].lines[:4:2])
    assert small == [[25, 1.5], [100, 1], [400, 1.5]] and large == [[25, 4], [100, 3]]


def maps(figure, xlabel):
    """The panels' accuracies, as a dict of the cell's centre to its value."""
    panels = []
    for ax in figure.axes:
        for mesh in ax.get_children():
            if isinstance(mesh, QuadMesh) and ax.get_xlabel() == xlabel:
                x, y = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
                rows, columns = np.nonzero(~np.ma.getmaskarray(mesh.get_array()))
                inside = [(round((y[i] + y[i + 1]) / 2, 6), (x[j], x[j + 1])) for i, j in zip(rows, columns)]
                panels.append(dict(zip(inside, mesh.get_array().compressed())))
    return panels


def test_maps_leave_cells_without_runs_empty_and_never_mix_protocols(tmp_path):
    path = tmp_path / "advtrain.csv"
    cells = [(5, 0.1, 0, 0.9, 0), (5, 0.1, 1, 0.7, 0), (10, 0.3, 0, 0.2, 0), (5, 0.1, 0, 0.1, 1)]
    for size, eps, seed, robust, bias in cells:
        write_adversarial_row(path, size, 1000, 0.316, eps, seed, robust, bias=bias)
    rows = plot_figures.read_runs(tmp_path, "advtrain")
    paper, biased = maps(plot_figures.draw_maps((), rows, []), "$d$")
    assert paper == pytest.approx({(0.1, (4.5, 5.5)): 0.8, (0.3, (9.5, 10.5)): 0.2})
    assert biased == pytest.approx({(0.1, (4.5, 5.5)): 0.1})


def test_cells_with_a_run_that_the_epochs_ended_have_a_dot(tmp_path):
    for size, seed, epochs in ((5, 0, 21), (5, 1, 1000), (10, 0, 21)):
        write_adversarial_row(tmp_path / "advtrain.csv", size, 1000, 0.316, 0.3, seed, 0.5, epochs=epochs)
    figure = plot_figures.draw_maps((), plot_figures.read_runs(tmp_path, "advtrain"), [])
    (dots,) = [drawn for drawn in figure.axes[0].collections if drawn.get_label() == "ended by $T$"]
    assert dots.get_offsets().tolist() == [[5, 0.3]]


def test_a_line_marks_where_robust_accuracy_passes_one_half(tmp_path):
    cells = [(5, 0.4, 0, 0.9), (5, 0.6, 0, 0.1), (5, 0.4, 1, 0.7), (5, 0.8, 1, 0.3), (6, 0.1, 0, 0.9), (6, 0.3, 0, 0.1)]
    for size, eps, seed, robust in cells:
        write_adversarial_row(tmp_path / "advtrain.csv", size, 1000, 0.316, eps, seed, robust)
    figure = plot_figures.draw_maps((), plot_figures.read_runs(tmp_path, "advtrain"), [])
    (line,) = [drawn for drawn in figure.axes[0].lines if drawn.get_label() == "one half"]
    x, y = line.get_data()
    assert (x.min(), x.max()) == (4.5, 6.5)
    # At d = 25 the mean of 0.5 and 0.6, at d = 36 the runs are too far apart to tell.
    assert y[np.isfinite(y)].tolist() == pytest.approx([0.55, 0.55]) and x[np.isfinite(y)].tolist() == [4.5, 5.5]


def test_the_laptops_runs_are_drawn_on_the_laptops_grid(tmp_path):
    write_adversarial_row(tmp_path / "advtrain.csv", 14, 1000, 0.316, 0.3, 0, 0.5, T=100, atk_iters=20)
    rows = plot_figures.read_runs(tmp_path, "advtrain")
    figure = plot_figures.draw_maps(("T=100", "atk_iters=20"), rows, [])
    assert maps(figure, "$d$") == [pytest.approx({(0.3, (12, 17)): 0.5})]
    assert list(maps(plot_figures.draw_maps(("T=100",), rows, []), "$d$")[0]) == [(0.3, (13.5, 14.5))]


def test_the_papers_panels_are_there_when_only_the_authors_ran(tmp_path):
    write_adversarial_row(tmp_path / "advtraingap.csv", 28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1)
    rows = plot_figures.read_runs(tmp_path, "advtraingap")
    figure = plot_figures.draw_maps((), [], rows)
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes[:4]]
    paper, both = "paper's formulas", "with bias and box"
    assert titles == [f"left, {paper}", f"right, {paper}", f"left, {both}", f"right, {both}"]
    (panel,) = maps(figure, "$m$")
    (((V, (left, right)), robust),) = panel.items()
    assert (V, robust) == (0.5, 0.5) and left < 1000 < right


def claims(folder, settings="the default settings"):
    """The lines of claims.md about settings, as a dict of the claim's number to its last three cells."""
    text = plot_figures.tell_claims({script: plot_figures.read_runs(folder, script) for script in plot_figures.COLUMNS})
    table = text.split(f"## Runs with {settings}\n")[1].split("\n## ")[0]
    rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in table.splitlines() if re.match(r"\| \d", line)]
    return {int(row[0]): row[3:] for row in rows}


def test_exponents_are_fitted_over_whole_seeds_with_t_intervals(tmp_path):
    powers = np.array([-0.45, -0.5, -0.65])
    for seed, power in enumerate(powers):
        for size in (5, 7, 10, 20):
            others = {
                "rel_delta_mean": 3 * size ** (2 * power),
                "rel_delta_std": 1 / size,
                "grad_norm_mean": size**1.4,
                "eta_mean": size**-0.9,
            }
            write_ntk_row(tmp_path, size, 1000, 10, seed, **others)
    write_ntk_row(tmp_path, 5, 1000, 10, 3, rel_delta_mean=99)  # a seed that lacks sizes
    write_ntk_row(tmp_path, 6, 1000, 10, 1, rel_delta_mean=99)  # a size that the other seeds lack
    written = claims(tmp_path)
    half = 4.303 * powers.std(ddof=1) / 3**0.5  # Student's t of two degrees of freedom
    assert written[2][0] == (
        f"**holds**<br>‖δ‖/‖x‖: −0.53 ± {half:.2f} ✓ (m 1,000, C0 10, d 25 to 400)"
        "<br>0 examples that no step flips; mean ‖δ‖/‖x‖·√d 1.22 to 4.05, with two standard deviations up to 6.05"
    )
    assert written[2][1] == "–"
    assert written[2][2] == "12 runs: m 1,000; d 25 to 400; C0 10; seed 0, 1, 2<br>none"
    assert written[3][0].startswith("**does not hold**<br>‖∇f‖: 0.70 ± 0.00 ✗")
    assert written[4][0].startswith("**does not hold**<br>η: −0.45 ± 0.00")
    assert "(‖δ‖/‖x‖)/‖∇f‖: −1.23 ± " in written[4][0]


def test_other_balls_than_the_papers_are_told_and_not_judged(tmp_path):
    for C0, power in ((10, -0.5), (20, 0.5)):
        for size in (10, 14, 20):
            ended = {"left_ball": int(size < 20)}
            write_ntk_row(tmp_path, size, 1000, C0, 0, rel_delta_mean=size ** (2 * power), **ended)
    (cell, _, _) = claims(tmp_path)[2]
    assert "<br>‖δ‖/‖x‖: −0.50 ✓ (m 1,000, C0 10, d 100, 196, 400, T ended some, from d 100 on −0.50)<br>" in cell
    assert cell.startswith("**holds** (one seed)")
    assert "<br>‖δ‖/‖x‖, not judged: 0.50 (m 1,000, C0 20, d 100, 196, 400, T ended some)<br>" in cell


def test_with_bias_nothing_is_said_of_inputs_of_norm_1(tmp_path):
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0, bias=1)
    written = claims(tmp_path)
    assert written[4][1].startswith("**holds** (one seed)<br>η: −1.00 ✓") and "(‖δ‖/‖x‖)" not in written[4][1]
    assert 6 not in written


def test_networks_above_one_percent_or_outside_their_ball_are_told(tmp_path):
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0, test_error=0.002, max_deviation=0.3)
    assert claims(tmp_path)[1][0] == "**holds** (one seed)<br>m 1,000, C0 10: mean 0.20%, 3 of 3 below"
    assert claims(tmp_path)[9][0].startswith("**holds**")
    write_ntk_row(tmp_path, 28, 1000, 10, 1, test_error=0.0132, max_deviation=0.3163)
    line = "m 1,000, C0 10: mean 0.76 ± 7.12%, 3 of 4 below, but 1.32% (d 784, seed 1)"
    line += "; mean over seeds at most 0.76% (d 784)"
    assert claims(tmp_path)[1][0] == f"**holds in part** (3 of 4)<br>{line}"
    assert claims(tmp_path)[9][0].startswith("**holds in part** (3 of 4)<br>largest deviation 1.0002")


def test_growth_with_C0_is_that_of_networks_that_left_their_ball(tmp_path):
    write_ntk_row(tmp_path, 5, 10000, 20, 1, grad_norm_mean=99)  # a seed that lacks balls
    for C0, left, grown in ((10, 1, 1), (20, 1, 1.5), (30, 0, 2), (40, 0, 2)):
        others = {"left_ball": left, "grad_norm_mean": grown, "eta_mean": 1 / grown, "rel_delta_mean": math.nan}
        write_ntk_row(tmp_path, 5, 10000, C0, 0, test_error=0.02 * (C0 == 40), **others)
    written = claims(tmp_path)
    assert written[1][0].startswith("**holds**")
    assert written[5][0] == (
        "**holds in part** (1 of 2, one seed)<br>m 10,000, d 25, C0 10, 20: "
        "‖∇f‖ × 1.50 (1 of 1 steps up), η × 0.67 (0 of 1 steps up), T ended C0 30, 40"
    )
    assert written[5][2].startswith("2 runs")


def test_growth_with_C0_is_the_same_whichever_run_ended_first(tmp_path):
    for C0 in (30, 10, 20):
        write_ntk_row(tmp_path, 5, 10000, C0, 0, grad_norm_mean=C0, eta_mean=1 / C0, rel_delta_mean=C0 * (C0 < 30))
    for C0 in (40, 50, 60):  # the same number of balls, but others
        write_ntk_row(tmp_path, 5, 10000, C0, 1, grad_norm_mean=1)
    for seed in (0, 2):
        write_ntk_row(tmp_path, 7, 10000, 20 if seed else 10, seed)  # no seed has two balls
    line = "m 10,000, d 25, C0 10, 20, 30: ‖∇f‖ × 3.00 (2 of 2 steps up), η × 0.33 (0 of 2 steps up), "
    line += "‖δ‖/‖x‖ × 0.00 (1 of 2 steps up)"
    assert claims(tmp_path)[5][0] == f"**holds in part** (3 of 6, one seed)<br>{line}"


def test_f_and_the_theorems_step_are_bounded_or_not(tmp_path):
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0)
    # |f| / ||x|| = 0.4 / 0.3 * size / size, and (2 / size) * 0.7 size.
    told = "m 1,000: {} over d, exponent 0.00 ✓"
    lines = told.format("\\|f\\|/‖x‖ 1.33 to 1.33"), told.format("η‖∇f‖²/‖x‖ 1.40 to 1.40")
    assert claims(tmp_path)[6][0] == "<br>".join(["**holds** (one seed)", *lines])
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0, abs_f_mean=size**2)
    assert claims(tmp_path)[6][0].startswith("**holds in part** (1 of 2, one seed)")


def test_dead_networks_do_not_stop_the_claims(tmp_path):
    zeros = ("grad_norm_mean", "delta_norm_mean", "rel_delta_mean", "eta_mean", "abs_f_mean")
    for size in (5, 7, 10):
        for C0 in (10, 20):
            write_ntk_row(tmp_path, size, 1000, C0, 0, **dict.fromkeys(zeros, 0.0))
            write_ntk_row(tmp_path, size, 1000, C0, 1, **dict.fromkeys(zeros, math.nan))
    assert sorted(claims(tmp_path)) == [1, 9]


def write_line(folder, size, accuracies, seed=0, **others):
    """Rows of advtrain.csv from a dict of eps times sqrt(d) to robust accuracy."""
    for scaled, robust in accuracies.items():
        write_adversarial_row(folder / "advtrain.csv", size, 1000, 0.316, scaled / size, seed, robust, **others)


def test_where_robust_accuracy_drops(tmp_path):
    for size in (5, 10, 20):
        for seed, shift in enumerate((-0.1, 0.1)):
            # From 0.9 to 0.1, so one half at 4.8 on average.
            line = {2: 0.95, 4.2 + shift: 0.9, 5.4 + shift: 0.1, 6: 0.01}
            write_line(tmp_path, size, line, seed, T=100, epochs=100 if size == 5 and seed else 21)
            write_line(tmp_path, size, line, seed, T=100, bias=1, box=1)
    written = claims(tmp_path, "T=100")[7]
    half = 12.706 * 0.1  # two seeds: t of one degree of freedom, times the standard error
    line = f"0.95 to 0.95 up to 4 ✓, one half at 4.8 ± {half:.1f} (4.2 to 5.4) ✓, 0.01 to 0.10 beyond 5 ✗"
    lines = [f"d {d}: {line}" for d in (25, 100, 400)]
    # That 0.1 beyond 5 is more than 0.05, three times.
    last = "ε at one half goes like d^−0.50 (−0.59 to −0.41) ✓"
    assert written[1] == "<br>".join(["**holds in part** (7 of 10)", *lines, last])
    assert written[0] == written[1].replace("<br>d 100", ", T ended 4 of 8<br>d 100")
    assert written[2].startswith("24 runs: m 1,000; d 25, 100, 400; ε 0.1 to 1.2; C0 10; seed 0, 1<br>24 runs")


def test_the_exponent_of_the_drop_is_as_sure_as_its_brackets(tmp_path):
    across, brackets = [25, 100, 196, 784], [(0.6, 0.8), (0.31, 0.36), (0.2, 0.3), (0.1, 0.14)]
    found = np.array([[(low + high) / 2, low, high] for low, high in brackets])
    corners = [np.polyfit(np.log(across), np.log(corner), 1)[0] for corner in itertools.product(*brackets)]
    middle = np.polyfit(np.log(across), np.log(found[:, 0]), 1)[0]
    measured = plot_figures.exponent_of_brackets(np.array(across), found)
    assert measured == pytest.approx((middle, min(corners), max(corners)))
    for size, scaled in ((5, 2.0), (10, 2.4), (20, 3.0)):
        write_line(tmp_path, size, {scaled: 0.9, scaled + 1: 0.1})
    assert "<br>ε at one half goes like d^−0.38 (−0.50 to −0.25) ?" in claims(tmp_path)[7][0]


@pytest.mark.parametrize(
    "line, told, verdict",
    [
        (
            {4: 0.9, 5: 0.5, 6: 0.0},
            "0.90 to 0.90 up to 4 ✓, one half at 5.0 (5.0 to 6.0) ✓, 0.00 to 0.00 beyond 5 ✓",
            "holds** (",
        ),
        (
            {3: 0.9, 4: 0.1, 6: 0.0},
            "0.10 to 0.90 up to 4 ✗, one half at 3.5 (3.0 to 4.0) ✗, 0.00 to 0.00 beyond 5 ✓",
            "holds in part** (1 of 3, ",
        ),
        (
            {3.9: 0.9, 5.1: 0.1},
            "0.90 to 0.90 up to 4 ✓, one half at 4.5 (3.9 to 5.1) ?, 0.10 to 0.10 beyond 5 ✗",
            "holds in part** (1 of 3, 1 undecided, ",
        ),
        (
            {2.6: 0.9, 6: 0.0},
            "0.90 to 0.90 up to 4 ✓, one half between 2.6 and 6.0 ?, 0.00 to 0.00 beyond 5 ✓",
            "holds in part** (2 of 3, 1 undecided, ",
        ),
        (
            {2.6: 0.1, 4: 0.0, 6: 0.0},
            "0.00 to 0.10 up to 4 ✗, below one half from 2.6 on, the first run ✗, 0.00 to 0.00 beyond 5 ✓",
            "holds in part** (1 of 3, ",
        ),
        ({4.5: 0.1, 4.6: 0.0}, "below one half from 4.5 on, the first run ?", "undecided** ("),
        (
            {2.6: 0.9, 2.7: 0.8},
            "0.80 to 0.90 up to 4 ✗, above one half up to 2.7, the last run ?",
            "does not hold** (1 undecided, ",
        ),
        (
            {2.6: 0.9, 8: 0.8},
            "0.90 to 0.90 up to 4 ✓, above one half up to 8.0, the last run ✗, 0.80 to 0.80 beyond 5 ✗",
            "holds in part** (1 of 3, ",
        ),
        (
            {4: 0.1, 5: 0.5, 6: 0.9},
            "0.10 to 0.10 up to 4 ✗, falls past one half in no seed ✗, 0.90 to 0.90 beyond 5 ✗",
            "does not hold** (",
        ),
    ],
)
def test_a_drop_that_is_elsewhere_unseen_or_a_rise(tmp_path, line, told, verdict):
    write_line(tmp_path, 5, line)
    (cell, _, _) = claims(tmp_path)[7]
    assert cell == f"**{verdict}one seed)<br>d 25: {told}"


def test_seeds_without_a_drop_are_told(tmp_path):
    write_line(tmp_path, 5, {4: 0.9, 5: 0.5, 6: 0.0}, 0)
    write_line(tmp_path, 5, {4: 0.4, 5: 0.1, 6: 0.0}, 1)
    assert "one half at 5.0 (5.0 to 6.0) in 1 of 2 seeds ✓" in claims(tmp_path)[7][0]


def test_a_seed_with_few_runs_so_far_takes_nothing_from_the_others(tmp_path):
    write_line(tmp_path, 5, {4: 0.9, 5: 0.5, 6: 0.0}, 0)
    alone = claims(tmp_path)[7][0]
    write_line(tmp_path, 5, {2: 0.9, 6: 0.0}, 1)
    assert claims(tmp_path)[7][0] == alone.replace("6.0) ✓", "6.0) in 1 of 2 seeds ✓").replace(" (one seed)", "")
    figure = plot_figures.draw_maps((), plot_figures.read_runs(tmp_path, "advtrain"), [])
    (line,) = [drawn for drawn in figure.axes[0].lines if drawn.get_label() == "one half"]
    assert line.get_ydata()[:2].tolist() == pytest.approx([1, 1])


def test_seeds_on_either_side_of_one_half_are_no_drop(tmp_path):
    write_line(tmp_path, 5, {4.2: 0.9, 4.4: 0.8}, 0)
    write_line(tmp_path, 5, {4.6: 0.1, 4.8: 0.05}, 1)
    assert "d 25: falls past one half in no seed ?" in claims(tmp_path)[7][0]


def test_where_robust_accuracy_rises_and_what_small_balls_cost(tmp_path):
    for width, lost in ((400, 0), (1600, 0.3)):
        for V in (0.2, 0.4, 0.6, 0.8, 1.0):
            robust = float(np.clip((V * width**0.5 - 16) / 20 + 0.5, 0, 1))
            others = {
                "test_acc": 0.99 - lost * (V < 0.5),
                "epochs": 21 if V < 0.5 else 30,
                "max_deviation": min(V, 0.7),
            }
            write_adversarial_row(tmp_path / "advtraingap.csv", 28, width, V, 0.2, 0, robust, **others)
    written = claims(tmp_path)
    lines = [
        "m 400: 0.00 to 0.70 up to 20 ✗, one half at 16.0 (12.0 to 16.0) ✗, 2 never at the ball's border",
        "m 1,600: 0.10 to 0.50 up to 20 ✗, one half at 16.0 (8.0 to 16.0) ✗, 1.00 to 1.00 beyond 25 ✓, "
        "2 never at the ball's border",
    ]
    assert written[8][0] == "<br>".join(["**holds in part** (1 of 5, one seed)", *lines])
    assert written[10][0] == (
        "**holds in part** (6 of 8, one seed)<br>m 400: 99.0% at V 1 (30 epochs), least 99.0% at V 0.2 (21 epochs)"
        "<br>m 1,600: 99.0% at V 1 (30 epochs), least 69.0% at V 0.2 (21 epochs)"
    )
    assert 7 not in written


def test_runs_a_factor_of_2_apart_are_near_enough_at_every_width(tmp_path):
    for width in (250, 500, 1000, 2000, 4000, 8000, 16000):
        for V, robust in ((0.1, 0.0), (0.2, 1.0)):
            write_adversarial_row(tmp_path / "advtraingap.csv", 28, width, V, 0.2, 0, robust)
    (cell, _, _) = claims(tmp_path)[8]
    for width in (250, 500, 1000, 2000, 4000, 8000, 16000):
        low, place, high = (V * width**0.5 for V in (0.1, 0.15, 0.2))
        assert f"one half at {place:.1f} ({low:.1f} to {high:.1f})" in cell.split(f"m {width:,}: ")[1].split("<br>")[0]


def test_runs_with_bias_or_box_alone_are_counted_and_in_no_column(tmp_path):
    write_adversarial_row(tmp_path / "advtraingap.csv", 28, 400, 0.3, 0.2, 0, 0.5, box=1)
    rows = {script: plot_figures.read_runs(tmp_path, script) for script in plot_figures.COLUMNS}
    text = plot_figures.tell_claims(rows)
    assert "| rests on |" not in text and text.endswith(
        "In no column: 1 runs of Section 5.2 with `--bias` or `--box` alone.\n"
    )


def test_the_gallery_shows_the_steps_of_saved_networks(tmp_path, lazy_net):
    for bias in (False, True):
        net, data = lazy_net(5, 64, bias)
        config = {"num1": 0, "num2": 1, "size": 5, "d": 25, "width": 64, "C0": 10.0, "bias": int(bias), "seed": 0}
        saved = {"state_dict": net.state_dict(), "config": config}
        common.write_whole(tmp_path / f"ntk_normal-{'ab'[not bias]}.pt", saved)
    write_ntk_row(tmp_path, 5, 1000, 10, 0)
    assert draw(tmp_path, "--networks", tmp_path).returncode == 0
    assert (tmp_path / "figures" / "gallery.png").read_bytes().startswith(b"\x89PNG")
    figure = plot_figures.draw_gallery(tmp_path)
    assert len(figure.axes) == 24
    zero = data.test_x[data.test_y < 0][:1]
    for axes, bias in ((figure.axes[:3], False), (figure.axes[12:15], True)):
        net, _ = lazy_net(5, 64, bias)
        step = common.smallest_step(net, zero)
        x, delta, both = (torch.tensor(ax.images[0].get_array()).float().ravel() for ax in axes)
        torch.testing.assert_close(x, zero[0])
        torch.testing.assert_close(x + delta, both)
        assert torch.linalg.vector_norm(delta).item() == pytest.approx(step.delta_norm[0].item(), rel=1e-4)
        assert axes[2].get_xlabel() == f"{step.delta_norm[0] / zero.norm():.2f}"
        before, after = (net.f(x + part * delta[None]) * net.f(zero) for part in (0.999, 1.001))
        assert after < 0 < before
        # What is shown is what flips: no pixel lies outside the greys.
        low, high = axes[2].images[0].get_clim()
        assert low <= both.min() and both.max() <= high and axes[0].images[0].get_clim() == (low, high)


def test_a_folder_without_networks_or_with_a_damaged_one_is_an_error(tmp_path):
    write_ntk_row(tmp_path, 5, 1000, 10, 0)
    ended = draw(tmp_path, "--networks", tmp_path)
    assert ended.returncode == 1 and "has no network" in ended.stderr.splitlines()[-1]
    torch.save(torch.zeros(3), tmp_path / "ntk_normal-tensor.pt")
    torch.save({"W": torch.zeros(3)}, tmp_path / "ntk_normal-dict.pt")
    (tmp_path / "ntk_normal-text.pt").write_bytes(b"no network")
    for path in sorted(tmp_path.glob("*.pt")):
        with pytest.raises(common.RunError, match=f"cannot load a network from {path}"):
            common.load_network(path)
    ended = draw(tmp_path, "--networks", tmp_path)
    assert ended.returncode == 1 and "cannot load a network" in ended.stderr.splitlines()[-1]
