"""plot_figures.py on small made-up results."""

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


@pytest.mark.slow
def test_the_missing_runs_may_go_to_head():
    command = [sys.executable, plot_figures.__file__, "--missing", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("python advtrain.py ")
        process.stdout.close()  # 2,400 lines are more than a pipe holds
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_only_the_figures_asked_for_are_drawn_and_other_settings_apart(tmp_path, draw):
    write_ntk(tmp_path, ntk_row(5, 64, 3, 0), ntk_row(6, 64, 3, 7, num1=3, num2=8))
    draw("--figure", 2)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    pair = "figure2.{}", "figure2_num1=3_num2=8.{}"
    assert names == sorted(name.format(ending) for name in pair for ending in ("pdf", "png"))


@pytest.mark.parametrize("arguments", [["--figure", 5], ["--missing", 1]])
def test_figures_that_there_are_not_are_an_error(draw, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        draw(*arguments)
    assert ended.value.code == 2 and "error" in capsys.readouterr().err.splitlines()[-1]


def test_files_with_names_that_are_not_read_are_named(tmp_path, draw):
    for name in ("mine.csv", "ntk-normal.csv", "notes.txt"):
        (tmp_path / name).write_text("anything")
    with pytest.raises(
        RunError, match=r"has no rows for figure 2 3 4; it reads .* and left out mine.csv, ntk-normal.csv$"
    ):
        draw()


def test_nothing_to_draw_or_nowhere_to_draw_to_is_an_error(tmp_path, draw):
    with pytest.raises(RunError, match="has no rows for figure 3"):
        draw("--figure", 3)
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0))
    with pytest.raises(RunError, match="cannot write"):
        draw("--figure", 2, "--out", __file__)


@pytest.mark.slow
def test_an_error_is_one_line(tmp_path):
    command = [sys.executable, plot_figures.__file__, "--results", tmp_path, "--figure", "3"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("plot_figures.py: error: ")


# --------------------------------------------------------------------------------------------------- Figures 2 and 3


def figure_2(*rows):
    return plot_figures.draw_curves(read(rows, "ntk_normal"), (), "width", "C0", 10)


def figure_3(*rows):
    return plot_figures.draw_curves(read(rows, "ntk_normal"), (), "C0", "width", 100000)


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
    assert figure.get_suptitle() == "$C_0$ = 10, 1-3 seeds, 3 rays that never flip left out"


@pytest.mark.parametrize("relative", [0.13981458071254715, 0.3, 7e-4, 1.0])
def test_a_single_run_still_has_axes(relative):
    figure = figure_2(ntk_row(5, 1000, 10, 0, rel_delta_mean=relative, eta_mean=relative / 3))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        assert any(low <= tick <= high for tick in ax.get_yticks()) and high / low > 1.4


def test_runs_that_the_epochs_ended_are_hollow():
    figure = figure_2(ntk_row(10, 1000, 10, 0), ntk_row(20, 1000, 10, 0, left_ball=0))
    curve, hollow = figure.axes[0].lines[:2]
    assert list(curve.get_xdata()) == [100, 400] and list(hollow.get_xdata()) == [400]
    assert hollow.get_markerfacecolor() == "white" != curve.get_markerfacecolor()


def test_figures_keep_to_the_papers_C0_and_width():
    rows = [ntk_row(5, width, C0, 0) for C0 in (10, 20) for width in (1000, 10000)] + [ntk_row(5, 2000, 20, 0)]
    assert figure_2(*rows).get_suptitle().startswith("$C_0$ = 10")
    assert len(figure_3(*rows).legends[0].get_texts()) == 2


def test_curves_of_several_C0_are_of_the_same_runs():
    rows = [ntk_row(size, 10000, 10, seed, rel_delta_mean=1 + seed) for size in (5, 10) for seed in (0, 1)]
    rows += [ntk_row(size, 10000, 20, 0, rel_delta_mean=3) for size in (5, 10)]
    rows += [ntk_row(5, 10000, 20, 1, rel_delta_mean=5)]
    rows += [ntk_row(20, 10000, 10, seed, rel_delta_mean=1 + seed) for seed in (0, 1)]  # no C0 = 20 of any seed
    small, large = (line.get_xydata().tolist() for line in figure_3(*rows).axes[0].lines[:4:2])
    assert small == [[25, 1.5], [100, 1], [400, 1.5]] and large == [[25, 4], [100, 3]]


# --------------------------------------------------------------------------------------------------------- Figure 4


def figure_4(left=(), right=(), settings=()):
    return plot_figures.draw_maps(settings, read(left, "advtrain"), read(right, "advtraingap"))


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


def halves(figure):
    """The line in the first panel that marks where robust accuracy passes 50%, as x and y."""
    (line,) = [drawn for drawn in figure.axes[0].lines if drawn.get_label() == "one half"]
    return line.get_data()


def test_maps_leave_cells_without_runs_empty_and_never_mix_protocols():
    cells = [(5, 0.1, 0, 0.9, 0), (5, 0.1, 1, 0.7, 0), (10, 0.3, 0, 0.2, 0), (5, 0.1, 0, 0.1, 1)]
    rows = [adversarial_row(size, 1000, 0.316, eps, seed, y, bias=bias) for size, eps, seed, y, bias in cells]
    paper, biased = maps(figure_4(rows), "$d$")
    assert paper == pytest.approx({(0.1, (4.5, 5.5)): 0.8, (0.3, (9.5, 10.5)): 0.2})
    assert biased == pytest.approx({(0.1, (4.5, 5.5)): 0.1})


def test_cells_with_a_run_that_the_epochs_ended_have_a_dot():
    runs = [(5, 0, 21), (5, 1, 1000), (10, 0, 21)]
    rows = [adversarial_row(size, 1000, 0.316, 0.3, seed, 0.5, epochs=epochs) for size, seed, epochs in runs]
    collections = figure_4(rows).axes[0].collections
    (dots,) = [drawn for drawn in collections if drawn.get_label() == "ended by $T$"]
    assert dots.get_offsets().tolist() == [[5, 0.3]]


def test_a_line_marks_where_robust_accuracy_passes_50_percent():
    cells = [(5, 0.4, 0, 0.9), (5, 0.6, 0, 0.1), (5, 0.4, 1, 0.7), (5, 0.8, 1, 0.3), (6, 0.1, 0, 0.9), (6, 0.3, 0, 0.1)]
    rows = [adversarial_row(size, 1000, 0.316, eps, seed, robust) for size, eps, seed, robust in cells]
    x, y = halves(figure_4(rows))
    assert (x.min(), x.max()) == (4.5, 6.5)
    # At d = 25 the mean of 0.5 and 0.6, at d = 36 the runs are too far apart to tell.
    assert y[np.isfinite(y)].tolist() == pytest.approx([0.55, 0.55]) and x[np.isfinite(y)].tolist() == [4.5, 5.5]


def test_a_seed_with_few_runs_so_far_does_not_take_the_line_away():
    cells = [(0.8, 0, 0.9), (1.0, 0, 0.5), (1.2, 0, 0.0), (0.4, 1, 0.9), (1.2, 1, 0.0)]
    _, y = halves(figure_4([adversarial_row(5, 1000, 0.316, eps, seed, robust) for eps, seed, robust in cells]))
    assert y[:2].tolist() == pytest.approx([1, 1])


def test_the_laptops_runs_are_drawn_on_the_laptops_grid():
    rows = [adversarial_row(14, 1000, 0.316, 0.3, 0, 0.5, T=100, atk_iters=20)]
    assert maps(figure_4(rows, settings=("T=100", "atk_iters=20")), "$d$") == [pytest.approx({(0.3, (12, 17)): 0.5})]
    assert list(maps(figure_4(rows, settings=("T=100",)), "$d$")[0]) == [(0.3, (13.5, 14.5))]


def test_the_papers_panels_are_there_when_only_the_authors_ran():
    figure = figure_4(right=[adversarial_row(28, 1000, 0.5, 0.2, 0, 0.5, bias=1, box=1)])
    titles = [ax.get_title().split("\n")[0] for ax in figure.axes[:4]]
    paper, both = "paper's formulas", "with bias and box"
    assert titles == [f"left, {paper}", f"right, {paper}", f"left, {both}", f"right, {both}"]
    (panel,) = maps(figure, "$m$")
    (((V, (left, right)), robust),) = panel.items()
    assert (V, robust) == (0.5, 0.5) and left < 1000 < right


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


def test_a_folder_without_networks_or_with_a_damaged_one_is_an_error(tmp_path, draw):
    write_ntk(tmp_path, ntk_row(5, 1000, 10, 0))
    with pytest.raises(RunError, match="has no network"):
        draw("--networks", tmp_path)
    torch.save(torch.zeros(3), tmp_path / "ntk_normal-tensor.pt")
    torch.save({"W": torch.zeros(3)}, tmp_path / "ntk_normal-dict.pt")
    (tmp_path / "ntk_normal-text.pt").write_bytes(b"no network")
    for path in sorted(tmp_path.glob("*.pt")):
        with pytest.raises(RunError, match=f"cannot load a network from {path}"):
            common.load_network(path)
    with pytest.raises(RunError, match="cannot load a network"):
        draw("--networks", tmp_path)
