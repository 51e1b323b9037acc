"""plot_figures.py on small made-up results."""

import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from made_up import adversarial_row, ntk_row, read, write
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh

import common
import plot_figures
from lib import RunError
from sweeps import figure2, figure3, figure4_left, lines


@pytest.fixture(autouse=True)
def as_it_was():
    """Figures are closed, and a broken pipe is again what Python makes of it."""
    handler = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, handler)
    plt.close("all")


@pytest.fixture
def draw(tmp_path, monkeypatch, capsys):
    """A function that runs the script on the results in tmp_path, in this process, and returns its lines."""

    def run(*arguments):
        options = ["--results", tmp_path, "--out", tmp_path / "figures", *arguments]
        monkeypatch.setattr(sys, "argv", ["plot_figures.py", *map(str, options)])
        plot_figures.main()
        return capsys.readouterr()

    return run


def write_ntk(folder, *rows):
    write(folder / "ntk_normal.csv", *rows)


def write_caps(folder, *caps):
    lines = [f"0,1,{size},{size**2},{eps},{cap}\n" for size, eps, cap in caps]
    (folder / "figure4_cap.csv").write_text("".join(["num1,num2,size,d,eps,cap\n", *lines]))


UNKNOWN_CAPS = (
    "warning: {path} does not say how robust any classifier can be for {0} and {1}; some minutes: "
    "python sweeps/figure4_cap.py --num1 {0} --num2 {1} {append} {path}"
)


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.slow
def test_all_figures_are_drawn_and_the_runs_counted(tmp_path, draw):
    sizes = (5, 10, 28)
    write_ntk(tmp_path, *(ntk_row(size, m, 10, seed) for size in sizes for m in (1000, 100000) for seed in (0, 1)))
    write_ntk(tmp_path, *(ntk_row(size, 100000, 20, 0, left_ball=0) for size in sizes))
    left = [adversarial_row(size, 1000, 0.316, eps, 0, 1 - eps) for size in sizes for eps in (0.1, 0.5)]
    write(tmp_path / "advtrain.csv", *left)
    write(tmp_path / "advtraingap.csv", adversarial_row(28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1))
    assert draw().err.splitlines() == [
        "figure 2: 12 of the paper's 105 runs, 12 of the laptop's 105 runs",
        "figure 3: 0 of the paper's 35 runs, 0 of the laptop's 35 runs",
        "figure 4 left, paper's formulas: 6 of the paper's 2400 runs, 0 of the laptop's 180 runs",
        "figure 4 left, with bias and box: 0 of the paper's 2400 runs, 0 of the laptop's 180 runs",
        "figure 4 right, paper's formulas: 0 of the paper's 700 runs, 0 of the laptop's 165 runs",
        "figure 4 right, with bias and box: 1 of the paper's 700 runs, 0 of the laptop's 165 runs",
        UNKNOWN_CAPS.format(0, 1, path=tmp_path / "figure4_cap.csv", append=">"),
    ]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"figure{figure}.{ending}" for figure in (2, 3, 4) for ending in ("png", "pdf")} | {"claims.md"}
    assert (tmp_path / "figures" / "figure2.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "figure2.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figures" / "claims.md").read_text(encoding="utf-8").startswith("# The paper's claims")


@pytest.mark.parametrize(
    "figure, choice, grid",
    [
        (2, [], figure2.runs()),
        (3, ["--laptop"], figure3.runs(laptop=True)),
        (4, ["--laptop", "--authors"], figure4_left.runs(laptop=True, authors=True)),
    ],
)
def test_the_missing_runs_are_the_sweeps_lines_until_they_have_their_rows(tmp_path, draw, figure, choice, grid):
    grid = [lines.line(*run) for run in grid]

    def missing():
        printed = draw("--missing", figure, *choice).out.splitlines()[: len(grid)]
        assert all(line.split(" --out ")[1].startswith(f"{tmp_path}/") for line in printed)
        return [line.split(" --out ")[0] for line in printed]

    assert missing() == grid
    if figure == 4:
        run = adversarial_row(5, 1000, 0.316, 0.2, 0, 0.5, bias=1, box=1, T=100, atk_iters=20)
        write(tmp_path / "advtrain-2.csv", run)
        write(tmp_path / "advtrain.csv", adversarial_row(7, 1000, 0.316, 0.2, 0, 0.5, T=100, atk_iters=20))
    elif figure == 3:
        write_ntk(tmp_path, *(ntk_row(5, 10000, C0, 0) for C0 in (10, 20, 30, 40)))
        write_ntk(tmp_path, ntk_row(7, 10000, 10, 0))  # one of four rows is no whole run
    else:
        write_ntk(tmp_path, ntk_row(5, 1000, 10, 0), ntk_row(5, 1000, 10, 0))
    assert missing()[: len(grid) - 1] == grid[1:]


def test_the_missing_runs_commands_are_quoted_for_the_shell(tmp_path, draw):
    folder = tmp_path / "my runs"
    line = draw("--results", folder, "--missing", 3).out.splitlines()[0]
    assert shlex.split(line)[-2:] == ["--out", str(folder / "ntk_normal.csv")]


@pytest.mark.slow
def test_the_missing_runs_may_go_to_head():
    command = [sys.executable, plot_figures.__file__, "--missing", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("python advtrain.py ")
        process.stdout.close()  # 2,400 lines are more than a pipe holds
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_only_the_figures_asked_for_are_drawn_and_other_settings_apart(tmp_path, draw):
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(6, 64, 3, 7, num1=3, num2=8, normalize=1))
    draw("--figure", 2)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    pair = "figure2.{}", "figure2-digits3and8-normalize.{}"
    assert names == sorted(name.format(ending) for name in pair for ending in ("pdf", "png"))


@pytest.mark.parametrize("arguments", [["--figure", 5], ["--missing", 1]])
def test_figures_that_there_are_not_are_an_error(draw, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        draw(*arguments)
    assert ended.value.code == 2 and "error" in capsys.readouterr().err.splitlines()[-1]


def test_files_with_names_that_are_not_read_are_named(tmp_path, draw):
    for name in ("mine.csv", "ntk-normal.csv", "notes.txt"):
        (tmp_path / name).write_text("anything")
    write_ntk(tmp_path, ntk_row(5, 64, 10, 0))
    (told,) = [line for line in draw("--figure", 2).err.splitlines() if "warning" in line]
    assert told.endswith(" are read, and not mine.csv, ntk-normal.csv")


def test_nothing_to_draw_or_nowhere_to_draw_to_is_an_error(tmp_path, draw, capsys):
    with pytest.raises(RunError, match="has no rows for figure 3"):
        draw("--figure", 3)
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0))
    with pytest.raises(RunError, match="cannot write"):
        draw("--figure", 2, "--out", __file__)
    with pytest.raises(SystemExit):
        draw("--results", __file__)
    assert "must be a folder" in capsys.readouterr().err


def test_C0_and_width_choose_what_is_drawn(tmp_path, draw, monkeypatch):
    write_ntk(tmp_path, *(ntk_row(size, m, C0, 0) for size in (5, 7) for m in (64, 100) for C0 in (3, 10)))
    cells = [(m, C0) for m in (1000, 500) for C0 in (10, 20)]
    write(tmp_path / "advtrain.csv", *(adversarial_row(5, m, 0.3, 0.1, 0, 1, C0=C0) for m, C0 in cells))
    drawn = {}
    monkeypatch.setattr(plot_figures, "save", lambda figures, folder: drawn.update(figures))
    draw("--figure", 2, 3)
    assert drawn["figure2"].get_suptitle().startswith("$C_0$ = 10, ")
    draw("--C0", 3, "--width", 64, "--figure", 2, 3)
    assert drawn["figure2"].get_suptitle().startswith("$C_0$ = 3, ")
    assert drawn["figure3"].get_suptitle().startswith("$m$ = 64, ")
    draw("--C0", 20, "--width", 500, "--figure", 4)
    assert "$m$ = 500, $C_0$ = 20" in drawn["figure4"].axes[0].get_title()


def test_a_choice_that_no_row_has_is_an_error_before_anything_is_written(tmp_path, draw, capsys):
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(5, 100, 4, 0))
    with pytest.raises(RunError, match=r"^no row for figure 2 has C0 10; there is 3, 4$"):
        draw("--figure", 2, "--C0", 10)
    with pytest.raises(RunError, match=r"^no row for figure 3 has width 65; there is 64, 100$"):
        draw("--figure", 2, 3, "--width", 65)
    assert not (tmp_path / "figures").exists()
    with pytest.raises(SystemExit):
        draw("--figure", 2, "--width", 64)
    assert "--width chooses nothing in figure 2" in capsys.readouterr().err


def test_figure_3_is_not_drawn_of_a_single_C0(tmp_path, draw, monkeypatch):
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(5, 100, 4, 0))
    with pytest.raises(RunError, match="figure 3 compares several C0"):
        draw("--figure", 3)
    drawn = {}
    monkeypatch.setattr(plot_figures, "save", lambda figures, folder: drawn.update(figures))
    draw("--figure", 2, 3)
    assert list(drawn) == ["figure2"]
    write_ntk(tmp_path, ntk_row(5, 64, 4, 0))
    draw("--figure", 3)
    assert list(drawn) == ["figure2", "figure3"]


@pytest.mark.slow
def test_the_same_rows_give_the_same_files(tmp_path, draw):
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(7, 64, 3, 0))
    write(tmp_path / "advtrain.csv", adversarial_row(5, 1000, 0.316, 0.4, 0, 0.9))
    write_caps(tmp_path, (5, 0.2, 1), (5, 0.4, 0.9))
    draw("--figure", 2, 4)
    draw("--figure", 2, 4, "--out", tmp_path / "again")
    first, again = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("figures", "again")
    )
    assert len(first) == 4 and first == again


@pytest.mark.slow
def test_an_error_is_one_line(tmp_path):
    command = [sys.executable, plot_figures.__file__, "--results", tmp_path, "--figure", "3"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("plot_figures.py: error: ")


# --------------------------------------------------------------------------------------------------- Figures 2 and 3


def figure_2(*rows):
    (figure,) = plot_figures.draw_figures({"2": read(rows, "ntk_normal")}, {}).values()
    return figure


def figure_3(*rows):
    (figure,) = figures_3(*rows).values()
    return figure


def figures_3(*rows):
    return plot_figures.draw_figures({"3": read(rows, "ntk_normal")}, {})


def test_curves_are_means_over_seeds_and_the_last_row_of_a_run_counts(tmp_path):
    write_ntk(tmp_path, ntk_row(10, 1000, 10, 0, rel_delta_mean=99))
    write_ntk(tmp_path, *(ntk_row(10, 1000, 10, seed, rel_delta_mean=x) for seed, x in enumerate([0.2, 0.3, 0.7])))
    write_ntk(tmp_path, ntk_row(20, 1000, 10, 0, rel_delta_mean=0.1, no_flip=3))
    write_ntk(tmp_path, ntk_row(20, 1000, 20, 0, rel_delta_mean=55))
    figure = figure_2(*plot_figures.read_runs(tmp_path, "ntk_normal"))
    line = figure.axes[0].lines[0]
    assert line.get_color() == "tab:red"
    np.testing.assert_allclose(line.get_xydata(), [[100, 0.4], [400, 0.1]])
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.1, 0.4 + np.std([0.2, 0.3, 0.7], ddof=1)))
    np.testing.assert_allclose(np.diff(np.log(figure.axes[1].lines[-1].get_ydata())), 0.5 * np.log(4))
    assert (
        figure.get_suptitle()
        == "$C_0$ = 10, mean and standard deviation over 1–3 seeds, 3 rays that never flip left out"
    )


@pytest.mark.parametrize("relative", [0.13981458071254715, 0.3, 7e-4, 1.0])
def test_a_single_run_still_has_axes(relative):
    figure = figure_2(ntk_row(5, 1000, 10, 0, rel_delta_mean=relative, eta_mean=relative / 3))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        assert any(low <= tick <= high for tick in ax.get_yticks()) and high / low > 1.4


def test_runs_that_the_epochs_ended_are_hollow():
    figure = figure_2(ntk_row(10, 1000, 10, 0), ntk_row(20, 1000, 10, 0, left_ball=0))
    curve, hollow = figure.axes[0].lines[:2]
    assert list(curve.get_xdata()) == [100, 400] and curve.get_markevery() == [True, False]
    assert list(hollow.get_xdata()) == [400]
    assert hollow.get_markerfacecolor() == "none" != curve.get_markerfacecolor()
    assert figure.legends[0].get_texts()[1].get_text() == "still inside the ball after 1,000 epochs"


def test_figures_keep_to_the_papers_C0_and_width():
    rows = [ntk_row(5, width, C0, 0) for C0 in (10, 20) for width in (1000, 10000)] + [ntk_row(5, 2000, 20, 0)]
    assert figure_2(*rows).get_suptitle() == "$d$ = 25, $C_0$ = 10, 1 seed"
    assert figures_3(*rows)["figure3"].get_suptitle() == "$d$ = 25, $m$ = 1,000, 1 seed"
    rows.append(ntk_row(5, 100000, 10, 0))  # a single C0: no figure
    assert list(figures_3(*rows)) == ["figure3", "figure3-m10000"]
    rows.append(ntk_row(5, 100000, 20, 0))
    assert figures_3(*rows)["figure3"].get_suptitle() == "$d$ = 25, $m$ = 100,000, 1 seed"


def test_curves_of_several_C0_are_of_the_same_runs():
    rows = [ntk_row(size, 10000, 10, seed, rel_delta_mean=1 + seed) for size in (5, 10) for seed in (0, 1)]
    rows += [ntk_row(size, 10000, 20, 0, rel_delta_mean=3) for size in (5, 10)]
    rows += [ntk_row(5, 10000, 20, 1, rel_delta_mean=5)]
    rows += [ntk_row(20, 10000, 10, seed, rel_delta_mean=1 + seed) for seed in (0, 1)]  # no C0 = 20 of any seed
    small, large = (line.get_xydata().tolist() for line in figure_3(*rows).axes[0].lines[:4:2])
    assert small == [[25, 1.5], [100, 1], [400, 1.5]] and large == [[25, 4], [100, 3]]


def test_titles_have_the_fitted_powers_and_legends_the_papers_rate():
    def row(size, width, power):
        return ntk_row(size, width, 10, 0, rel_delta_mean=size ** (2 * power), grad_norm_mean=size**0.9)

    rows = [row(size, width, power) for size in (5, 10, 20) for width, power in ((100, -0.6), (1000, -0.4))]
    figure = figure_2(*rows)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == "smallest flipping step\nmeasured: $d^{-0.40}$ to $d^{-0.60}$"
    assert titles[1] == "gradient\nmeasured: $d^{0.45}$"  # the same for both curves
    assert titles[3].endswith("\nmeasured: $d^{-0.85}$ to $d^{-1.05}$")
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == r"paper: $c\,/\sqrt{d}$"
    two = figure_2(*(row(size, 100, -0.6) for size in (5, 10)))
    assert two.axes[0].get_title() == "smallest flipping step"


def test_powers_are_of_the_curves_that_T_did_not_end():
    rows = [ntk_row(size, 100, C0, 0, rel_delta_mean=C0 / size) for C0 in (10, 20, 30) for size in (5, 10, 20)]
    for ended, title in (
        (0, "\nmeasured: $d^{-0.50}$"),
        (1, "\nmeasured: $d^{-0.50}$\nat $C_0$ = 10, 20"),
        (3, "step"),
    ):
        for row in rows[len(rows) - 3 * ended :]:
            row["left_ball"] = 0
        assert figure_3(*rows).axes[0].get_title().endswith(title)


def test_titles_lie_within_the_figure():
    powers = {10: -0.45, 20: -0.18, 30: -0.1}
    rows = [
        ntk_row(size, 1000, C0, 0, bias=1, eta_mean=size ** (2 * power), left_ball=int(C0 < 30))
        for C0, power in powers.items()
        for size in (5, 7, 10)
    ]
    figure = figure_3(*rows)
    figure.draw_without_rendering()
    titles = [ax.title for ax in figure.axes]
    assert titles[2].get_text().endswith("measured: $d^{-0.18}$ to $d^{-0.45}$\nat $C_0$ = 10, 20")
    assert all(figure.bbox.x0 <= title.get_window_extent().x0 for title in titles)
    assert all(title.get_window_extent().x1 <= figure.bbox.x1 for title in titles)


def test_a_curve_of_no_whole_seed_has_its_power_too():
    rows = [ntk_row(size, 100, 10, seed, rel_delta_mean=size**-1.4) for seed, size in enumerate((5, 10, 20))]
    assert figure_2(*rows).axes[0].get_title().endswith("measured: $d^{-0.70}$")


def test_a_fourth_panel_has_eta_at_norm_1_where_that_is_another_than_eta():
    rows = [ntk_row(size, 100, 10, 0, rel_delta_mean=0.6, grad_norm_mean=3) for size in (5, 10)]
    ax = figure_2(*rows).axes[3]
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0.2, 0.2])
    assert ax.get_title() == "added: step size at norm 1" and "nabla" in ax.get_ylabel()
    for known in ("bias", "normalize"):
        assert len(figure_2(*(row | {known: 1} for row in rows)).axes) == 3


def test_settings_are_told_in_words():
    title = figure_2(ntk_row(5, 64, 10, 0, num2=7, bias=1, bs=32)).get_suptitle()
    assert title == "$C_0$ = 10, digits 0 and 7, with bias, batch size 32, 1 seed"


@pytest.mark.parametrize("draw, column, fixed", [(figure_2, "width", "C0"), (figure_3, "C0", "width")])
def test_at_a_single_d_widths_or_C0_are_the_axis(draw, column, fixed):
    values = [10, 20, 40]
    rows = [ntk_row(5, **{fixed: 10, column: value}, seed=0, rel_delta_mean=1 / value) for value in values]
    ax = draw(*rows).axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[value, 1 / value] for value in values]
    assert ax.get_xlabel() == {"width": "$m$", "C0": "$C_0$"}[column] and ax.get_legend() is None


def test_curves_of_C0_get_darker_and_have_equal_markers():
    figure = figure_3(*(ntk_row(size, 100, C0, 0) for size in (5, 10) for C0 in (10, 20, 30, 40)))
    curves = figure.axes[0].lines[:8:2]
    greys = [np.dot(curve.get_color()[:3], (0.3, 0.59, 0.11)) for curve in curves]
    assert greys == sorted(greys, reverse=True) and min(-np.diff(greys)) > 0.08
    assert len({curve.get_markersize() for curve in curves}) == 1 and len({curve.get_marker() for curve in curves}) == 4


@pytest.mark.parametrize("draw", [figure_2, figure_3])
def test_figures_fit_a_page_and_no_text_is_tiny(draw):
    plt.rcParams.update(plot_figures.STYLE)
    figure = draw(*(ntk_row(size, 100, C0, 0) for size in (5, 10) for C0 in (10, 20)))
    figure.draw_without_rendering()
    assert 5.5 <= figure.get_figwidth() <= 7
    assert min(text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()) >= 6.5


# --------------------------------------------------------------------------------------------------------- Figure 4


def figure_4(left=(), right=(), settings=(), caps=None):
    return plot_figures.draw_maps(settings, read(left, "advtrain"), read(right, "advtraingap"), caps or {})


def maps(figure, xlabel):
    """The panels' accuracies, as a dict of the cell's (middle height, (left, right)) to its value."""
    panels = []
    for ax in figure.axes:
        for mesh in ax.get_children():
            if isinstance(mesh, QuadMesh) and ax.get_xlabel() == xlabel:
                x, y = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
                rows, columns = np.nonzero(~np.ma.getmaskarray(mesh.get_array()))
                sides = [(round(float(x[j]), 6), round(float(x[j + 1]), 6)) for j in columns]
                inside = [(round(float(y[i] * y[i + 1]) ** 0.5, 1), side) for i, side in zip(rows, sides)]
                panels.append(dict(zip(inside, mesh.get_array().compressed())))
    return panels


def passing(figure, level):
    """The line in the first panel along which robust accuracy passes the level, as a dict of d to eps."""
    (line,) = [drawn for drawn in figure.axes[0].lines if drawn.get_label().endswith(f"accuracy passes {level:g}")]
    return {d: eps for d, eps in line.get_xydata().tolist() if np.isfinite(eps)}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_maps_leave_cells_without_runs_empty_and_never_mix_protocols():
    cells = [(5, 0.1, 0, 0.9, 0), (5, 0.1, 1, 0.7, 0), (10, 0.3, 0, 0.2, 0), (5, 0.1, 0, 0.1, 1)]
    rows = [adversarial_row(size, 1000, 0.316, eps, seed, y, bias=bias) for size, eps, seed, y, bias in cells]
    figure = figure_4(rows)
    paper, biased = maps(figure, "$d$")
    # The cell of d = 36 ends halfway, in the logarithm, to those of d = 25 and 49.
    cell_of_25, cell_of_100 = (25 * 5 / 6, 5 * 6), (9 * 10, 10 * 11)
    expected = {(0.1, cell_of_25): 0.8, (0.3, cell_of_100): 0.2}
    assert [*map(round_cell, paper)] == [*map(round_cell, expected)] and [*paper.values()] == pytest.approx([0.8, 0.2])
    assert [*map(round_cell, biased)] == [round_cell((0.1, cell_of_25))] and [*biased.values()] == [0.1]
    assert figure.axes[0].get_xscale() == "log" and "no runs" in legend(figure)


def round_cell(cell):
    height, sides = cell
    return height, tuple(round(side, 4) for side in sides)


def test_titles_say_how_many_runs_the_epochs_ended():
    runs = [(5, 0, 21), (5, 1, 1000), (10, 0, 21)]
    rows = [adversarial_row(size, 1000, 0.316, 0.3, seed, 0.5, epochs=epochs) for size, seed, epochs in runs]
    _, at, ended = figure_4(rows).axes[0].get_title().split("\n")
    assert at == "$m$ = 1,000, $C_0$ = 10, mean over 1–2 seeds"
    assert ended == "1 of 3 runs ended by T = 1,000 epochs"
    assert "ended" not in figure_4(rows[::2]).axes[0].get_title()


def test_lines_mark_where_robust_accuracy_passes_the_levels():
    cells = [(5, 0.4, 0, 0.9), (5, 0.6, 0, 0.1), (5, 0.4, 1, 0.7), (5, 0.8, 1, 0.3), (6, 0.1, 0, 0.9), (6, 0.3, 0, 0.1)]
    rows = [adversarial_row(size, 1000, 0.316, eps, seed, robust) for size, eps, seed, robust in cells]
    figure = figure_4(rows)
    # At d = 25 the mean of 0.5 and 0.6, at d = 36 the runs are too far apart to tell.
    assert passing(figure, 0.5) == pytest.approx({25: 0.55})
    assert passing(figure, 0.95) == {} and "robust accuracy passes 0.95" not in legend(figure)
    assert "robust accuracy passes 0.5" in legend(figure)
    lower = [adversarial_row(5, 1000, 0.316, eps, 0, robust) for eps, robust in ((0.4, 1), (0.5, 0.8), (0.6, 0))]
    assert passing(figure_4(lower), 0.95) == pytest.approx({25: 0.425})
    assert passing(figure_4(lower), 0.05) == pytest.approx({25: 0.59375})


def test_lines_do_not_cross_columns_without_runs():
    rows = [adversarial_row(size, 1000, 0.316, eps, 0, 1 - eps) for size in (5, 7) for eps in (0.4, 0.6)]
    (line,) = [drawn for drawn in figure_4(rows).axes[0].lines if drawn.get_label() == "robust accuracy passes 0.5"]
    places = line.get_xydata()[:3]
    assert places[:, 0].tolist() == [25, 36, 49] and np.isnan(places[1, 1]) and np.isfinite(places[[0, 2], 1]).all()


def test_the_papers_threshold_is_5_over_the_root_of_d():
    figure = figure_4([adversarial_row(5, 1000, 0.316, 0.3, 0, 0.5)])
    (line,) = [drawn for drawn in figure.axes[0].lines if drawn.get_label() == r"the paper's $5\,/\sqrt{d}$"]
    np.testing.assert_allclose(line.get_ydata() * np.sqrt(line.get_xdata()), 5)


def test_grids_are_the_papers_the_laptops_or_none():
    rows = [adversarial_row(14, 1000, 0.316, 0.3, 0, 0.5, T=100, atk_iters=20)]
    cells = {
        "paper": (14 * 13, 14 * 15),
        "laptop": (14 * 10, 14 * 20),
        "none": (196 * np.exp(-0.35), 196 * np.exp(0.35)),
    }
    for settings, whose in (((), "paper"), (("T=100", "atk_iters=20"), "laptop"), (("T=100",), "none")):
        ((cell,),) = maps(figure_4(rows, settings=settings), "$d$")
        assert round_cell(cell) == round_cell((0.3, cells[whose]))


def test_the_papers_panels_are_there_when_only_the_authors_ran():
    figure = figure_4(right=[adversarial_row(28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1)])
    # Nothing ran for the left column, so that it is not there.
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes[:2]]
    assert titles == ["paper's formulas", "with bias and box"] and len(figure.axes) == 3
    (panel,) = maps(figure, "$m$")
    (((V, (left, right)), robust),) = panel.items()
    assert (V, robust) == (0.5, 0.5) and left < 1000 < right


def hatched(figure):
    """From which eps on cells are hatched at d = 25 in the first panel, or None."""
    for collection in figure.axes[0].collections:
        if collection.get_hatch() == "////" and collection.get_paths():
            points = collection.get_paths()[0].vertices
            return points[np.isclose(points[:, 0], 25, rtol=0.02), 1].min()
    return None


def test_what_no_classifier_can_reach_is_hatched(tmp_path):
    write_caps(tmp_path, (5, 0.2, 1), (5, 0.3, 1), (5, 0.4, 0.9), (5, 0.5, 0.6), (28, 0.5, 1))
    rows = [adversarial_row(5, 1000, 0.316, eps, 0, 0.5) for eps in (0.2, 0.3, 0.4, 0.5)]
    caps = plot_figures.read_caps(tmp_path)
    assert caps[0, 1, 25, 0.4] == 0.9
    figure = figure_4(rows, caps=caps)
    assert hatched(figure) == pytest.approx(0.35) and "no classifier can reach 0.95" in legend(figure)
    other_digits = figure_4([row | {"num2": 8} for row in rows], caps=caps)
    for figure in (figure_4(rows), other_digits):
        assert hatched(figure) is None and "no classifier can reach 0.95" not in legend(figure)


@pytest.mark.parametrize(
    "broken", ["num1,eps\n0,1\n", "{head}0,1,5,25,0.2\n", "{head}0,1,5,25,0.2,x\n", "{head}0,1,5,25,0.2,2\n"]
)
def test_a_broken_table_of_caps_is_an_error(tmp_path, draw, broken):
    write(tmp_path / "advtrain.csv", adversarial_row(5, 1000, 0.3, 0.1, 0, 1))
    (tmp_path / "figure4_cap.csv").write_text(broken.format(head="num1,num2,size,d,eps,cap\n"))
    with pytest.raises(RunError, match="figure4_cap.csv") as error:
        draw("--figure", 4)
    assert "\n" not in str(error.value)


def test_digits_whose_caps_are_unknown_are_told(tmp_path, draw):
    write_caps(tmp_path, (5, 0.1, 1), (5, 0.5, 0.6))
    known = [adversarial_row(5, 1000, 0.3, eps, 0, 1) for eps in (0.1, 0.5)]
    write(tmp_path / "advtrain.csv", *known, adversarial_row(5, 1000, 0.3, 0.33, 0, 1))  # no sweep knows this eps
    assert "warning" not in draw("--figure", 4).err
    write(tmp_path / "advtrain.csv", adversarial_row(5, 1000, 0.3, 0.2, 0, 1), known[0] | {"num1": 3, "num2": 8})
    told = draw("--figure", 4).err.splitlines()
    assert [line for line in told if "warning" in line] == [
        UNKNOWN_CAPS.format(*pair, path=tmp_path / "figure4_cap.csv", append="| tail -n +2 >>")
        for pair in ((0, 1), (3, 8))
    ]


# ---------------------------------------------------------------------------------------------------------- gallery


@pytest.mark.slow
def test_the_gallery_shows_the_steps_of_saved_networks(tmp_path, draw, lazy_net):
    for bias in (False, True):
        net, data = lazy_net(5, 64, bias)
        config = {
            "num1": 0,
            "num2": 1,
            "size": 5,
            "d": 25,
            "width": 64,
            "C0": 10.0,
            "bias": int(bias),
            "normalize": 0,
            "seed": 0,
        }
        saved = {"state_dict": net.state_dict(), "config": config}
        torch.save(saved, tmp_path / f"ntk_normal-{'ab'[not bias]}.pt")
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0))
    draw("--figure", 2, "--networks", tmp_path)
    assert (tmp_path / "figures" / "gallery.png").read_bytes().startswith(b"\x89PNG")
    figure = plot_figures.draw_gallery(tmp_path)
    assert len(figure.axes) == 12
    zero = data.test_x[data.test_y < 0][:1]
    for axes, bias in ((figure.axes[:3], False), (figure.axes[6:9], True)):
        net, _ = lazy_net(5, 64, bias)
        step = common.smallest_step(net, zero)
        x, delta, both = (torch.tensor(ax.images[0].get_array()).float().ravel() for ax in axes)
        torch.testing.assert_close(x, zero[0])
        torch.testing.assert_close(x + delta, both)
        assert torch.linalg.vector_norm(delta).item() == pytest.approx(1.001 * step.delta_norm[0].item(), rel=1e-4)
        assert f"= {1.001 * step.delta_norm[0] / zero.norm():.2f}\n" in axes[1].get_xlabel()
        before, after = (float(axes[place].get_xlabel().split("$")[3]) for place in (0, 2))
        assert before == pytest.approx(net.f(zero).item(), abs=0.005) and before < 0 < after
        assert after == pytest.approx(net.f(both[None]).item(), abs=1e-4)
        # What is shown is what flips: no pixel lies outside the greys.
        low, high = axes[2].images[0].get_clim()
        assert low <= both.min() and both.max() <= high and axes[0].images[0].get_clim() == (low, high)


def test_a_folder_without_networks_or_with_a_damaged_one_is_an_error(tmp_path, draw):
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0))
    with pytest.raises(RunError, match="has no network"):
        draw("--networks", tmp_path)
    (tmp_path / "ntk_normal-text.pt").write_bytes(b"no network")
    with pytest.raises(RunError, match="cannot load a network"):
        draw("--networks", tmp_path)
