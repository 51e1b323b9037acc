"""plot_figures.py on small made-up results."""

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


def claims(folder, settings="the default settings"):
    """The lines of claims.md about settings, as a dict of the claim's number to its cells without the claim itself."""
    text = plot_figures.tell_claims({script: plot_figures.read_runs(folder, script) for script in plot_figures.COLUMNS})
    table = text.split(f"## Runs with {settings}\n")[1].split("\n## ")[0]
    rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in table.splitlines() if re.match(r"\| \d", line)]
    return {int(row[0]): row[3:] for row in rows}


def test_exponents_are_fitted_over_whole_seeds_with_t_intervals(tmp_path):
    powers = np.array([-0.45, -0.5, -0.65])
    for seed, power in enumerate(powers):
        for size in (5, 10, 28):
            others = {"rel_delta_mean": 3 * size ** (2 * power), "grad_norm_mean": size**1.4, "eta_mean": size**-0.9}
            write_ntk_row(tmp_path, size, 1000, 10, seed, test_error=0.002 * seed, **others)
    write_ntk_row(tmp_path, 5, 1000, 10, 3, rel_delta_mean=99)  # a seed that lacks sizes
    written = claims(tmp_path)
    half = 4.303 * powers.std(ddof=1) / 3**0.5  # Student's t of two degrees of freedom
    assert written[2][0] == f"**holds**<br>‖δ‖/‖x‖: −0.53 ± {half:.2f} (m 1,000, C0 10)"
    assert written[2][1] == "no runs" and written[2][2].startswith(
        "9 runs: m 1,000, d 25, 100, 784, C0 10, seed 0, 1, 2"
    )
    assert written[3][0].startswith("**does not hold**<br>‖∇f‖: 0.70 ± 0.00")
    assert written[4][0].startswith("**does not hold**<br>η: −0.45 ± 0.00")
    assert "η for x/‖x‖: −1.23" in written[4][0]


def test_a_network_above_one_percent_or_outside_its_ball_is_told(tmp_path):
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0, test_error=0.002, max_deviation=0.3)
    assert claims(tmp_path)[1][0].startswith("**holds**<br>3 of 3 networks")
    assert claims(tmp_path)[9][0].startswith("**holds**<br>3 of 3 networks")
    write_ntk_row(tmp_path, 28, 1000, 10, 1, test_error=0.0132, max_deviation=0.3163)
    assert (
        "**holds in part**<br>3 of 4 networks have<br>largest: 1.32% (m 1,000, d 784, C0 10, seed 1)"
        in claims(tmp_path)[1][0]
    )
    assert claims(tmp_path)[9][0].startswith("**holds in part**<br>3 of 4 networks")


def test_growth_with_C0_counts_a_network_that_stayed_in_the_ball_once(tmp_path):
    for C0, left, grown in ((10, 1, 1), (20, 1, 1.5), (30, 0, 2), (40, 0, 2)):
        others = {"left_ball": left, "grad_norm_mean": grown, "eta_mean": 1 / grown, "rel_delta_mean": 1}
        write_ntk_row(tmp_path, 5, 10000, C0, 0, test_error=0.001 * (C0 < 30), **others)
    written = claims(tmp_path)
    assert written[1][0].startswith("**holds**<br>3 of 3 networks")
    assert written[5][0] == (
        "**holds in part**<br>m 10,000, d 25, C0 10 to 30 (some ended by T): ‖∇f‖ × 2.00, η × 0.50, ‖δ‖/‖x‖ × 1.00"
    )
    assert written[5][2].startswith("3 runs")


def test_f_and_the_theorems_step_are_bounded_or_not(tmp_path):
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0)
    # |f| / ||x|| = 0.4 / 0.3 * size / size, and (2 / size) * 0.7 size.
    measured = "m 1,000: \\|f\\|/‖x‖ 1.33 to 1.33, exponent 0.00<br>m 1,000: η‖∇f‖²/‖x‖ 1.40 to 1.40, exponent 0.00"
    assert re.sub("−(0.00)", r"\1", claims(tmp_path)[6][0]) == f"**holds**<br>{measured}"
    for size in (5, 10, 28):
        write_ntk_row(tmp_path, size, 1000, 10, 0, abs_f_mean=size**2)
    assert claims(tmp_path)[6][0].startswith("**holds in part**")


@pytest.mark.parametrize("constant, words", [(4.6, "**holds**"), (3.3, "**holds in part**")])
def test_where_robust_accuracy_drops(tmp_path, constant, words):
    for size in (7, 10):
        for seed, shift in enumerate((-0.01, 0.01)):
            for eps in np.arange(1, 21) / 20:
                robust = float(np.clip(0.5 - 8 * (eps - constant / size - shift), 0, 1))
                for bias in (0, 1):
                    others = {"T": 100, "bias": bias, "box": bias}
                    write_adversarial_row(tmp_path / "advtrain.csv", size, 1000, 0.316, eps, seed, robust, **others)
    written = claims(tmp_path, "T=100")[7]
    assert written[0] == written[1]
    half = 12.706 * 0.01 * 7  # two seeds: t of one degree of freedom, times the standard error
    assert written[0].startswith(f"{words}<br>d 49: crosses one half at {constant:.1f} ± {half:.1f}, 0.00 to ")
    assert written[2].startswith("80 runs: m 1,000, d 49, 100, ε 0.05 to 1, C0 10, seed 0, 1<br>80 runs")


def test_where_robust_accuracy_rises_and_what_small_balls_cost(tmp_path):
    for width, gone in ((400, 0), (1600, 0.3)):
        for V in (0.2, 0.5, 0.8, 1.0):
            robust = float(np.clip((V * width**0.5 - 16) / 8 + 0.5, 0, 1))
            others = {"test_acc": 0.99 - gone * (V < 0.5)}
            write_adversarial_row(tmp_path / "advtraingap.csv", 28, width, V, 0.2, 0, robust, **others)
    written = claims(tmp_path)
    lines = "m 400: crosses one half at 16.0<br>m 1,600: crosses one half at 14.0, 1.00 to 1.00 beyond 25"
    assert written[8][0] == f"**holds in part**<br>{lines}"
    assert written[10][0] == (
        "**holds in part**<br>m 400: 99.0% at V 1, least 99.0% at V 0.2<br>m 1,600: 99.0% at V 1, least 69.0% at V 0.2"
    )
    assert 7 not in written


def test_the_gallery_shows_the_step_of_a_saved_network(tmp_path, lazy_net):
    net, data = lazy_net(5, 64)
    config = {"num1": 0, "num2": 1, "size": 5, "d": 25, "width": 64, "C0": 10.0, "bias": 0, "seed": 0}
    common.write_whole(tmp_path / "ntk_normal-1.pt", {"state_dict": net.state_dict(), "config": config})
    figure = plot_figures.draw_gallery(tmp_path)
    assert len(figure.axes) == 12
    zero = data.test_x[data.test_y < 0][:1]
    step = common.smallest_step(net, zero)
    x, delta, both = (torch.tensor(ax.images[0].get_array()).float().ravel() for ax in figure.axes[:3])
    torch.testing.assert_close(x, zero[0])
    torch.testing.assert_close(x + delta, both)
    assert torch.linalg.vector_norm(delta).item() == pytest.approx(step.delta_norm[0].item(), rel=1e-4)
    assert figure.axes[2].get_xlabel() == f"{step.delta_norm[0] / zero.norm():.2f}"
    before, after = (net.f(x + part * delta[None]) * net.f(zero) for part in (0.999, 1.001))
    assert after < 0 < before


def test_a_folder_without_networks_or_with_a_damaged_one_is_an_error(tmp_path):
    write_ntk_row(tmp_path, 5, 1000, 10, 0)
    ended = draw(tmp_path, "--networks", tmp_path)
    assert ended.returncode == 1 and "has no network" in ended.stderr.splitlines()[-1]
    (tmp_path / "ntk_normal-1.pt").write_bytes(b"no network")
    ended = draw(tmp_path, "--networks", tmp_path)
    assert ended.returncode == 1 and "cannot load a network" in ended.stderr.splitlines()[-1]
