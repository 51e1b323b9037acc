"""plot_figures.py on small made-up results."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
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
    write(folder / "ntk_normal.csv", ntk_normal.COLUMNS, row | others)


def write_adversarial_row(path, size, width, V, eps, seed, robust, **others):
    row = dict.fromkeys(common.ADVERSARIAL_COLUMNS, 0) | plot_figures.ADVERSARIAL_SETTINGS
    row |= {"size": size, "d": size**2, "width": width, "C0": 10, "V": V, "eps": eps, "seed": seed}
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
    assert names == {f"figure{figure}.{ending}" for figure in (2, 3, 4) for ending in ("png", "pdf")}
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
