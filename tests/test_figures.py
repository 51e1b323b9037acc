"""plot_figures.py on small made-up results."""

import subprocess
import sys

import matplotlib.image
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


def colours(path):
    return len(np.unique(matplotlib.image.imread(path)[..., :3].reshape(-1, 3), axis=0))


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
        "figure 2, C0 10: 93 of 105 expected runs are missing",
        "figure 3, width 100000: 131 of 140 expected runs are missing",
        "figure 4 left, paper's formulas: 2394 of 2400 expected runs are missing",
        "figure 4 right, paper's formulas: 700 of 700 expected runs are missing",
        "figure 4 left, authors' scripts (bias, box): 2400 of 2400 expected runs are missing",
        "figure 4 right, authors' scripts (bias, box): 699 of 700 expected runs are missing",
    ]:
        assert line in ended.stderr.splitlines()
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"figure{figure}.{ending}" for figure in (2, 3, 4) for ending in ("png", "pdf")}
    assert all(colours(tmp_path / "figures" / f"figure{figure}.png") > 50 for figure in (2, 3, 4))
    assert (tmp_path / "figures" / "figure2.pdf").read_bytes().startswith(b"%PDF")


def test_only_the_figures_asked_for_are_drawn_and_other_settings_apart(tmp_path):
    write_ntk_row(tmp_path, 5, 64, 3, 0)
    write_ntk_row(tmp_path, 6, 64, 3, 7, num1=3, num2=8)
    assert draw(tmp_path, "--figure", "2").returncode == 0
    names = sorted(path.name for path in (tmp_path / "figures").glob("*.png"))
    assert names == ["figure2.png", "figure2_num1=3_num2=8.png"]


@pytest.mark.parametrize("arguments, code", [(["--figure", "5"], 2), (["--figure", "3"], 1), (["--out", __file__], 1)])
def test_nothing_to_draw_and_bad_input_are_errors(tmp_path, arguments, code):
    if "--out" in arguments:
        write_ntk_row(tmp_path, 5, 1000, 10, 0)
    ended = draw(tmp_path, *arguments)
    assert ended.returncode == code and "error" in ended.stderr.splitlines()[-1] and "Traceback" not in ended.stderr


def test_curves_are_means_over_seeds_and_the_last_row_of_a_run_counts(tmp_path):
    write_ntk_row(tmp_path, 10, 1000, 10, 0, rel_delta_mean=99)
    for seed, relative in enumerate([0.2, 0.3, 0.7]):
        write_ntk_row(tmp_path, 10, 1000, 10, seed, rel_delta_mean=relative)
    write_ntk_row(tmp_path, 20, 1000, 10, 0, rel_delta_mean=0.1)
    write_ntk_row(tmp_path, 20, 1000, 20, 0, rel_delta_mean=55)
    rows = plot_figures.read_runs(tmp_path / "ntk_normal.csv", ntk_normal.COLUMNS)
    figure = plot_figures.draw_curves("2", (), rows, "width", "C0", 10)
    line = figure.axes[0].lines[0]
    assert line.get_color() == "tab:red"
    np.testing.assert_allclose(line.get_xydata(), [[100, 0.4], [400, 0.1]])
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.1, 0.4 + np.std([0.2, 0.3, 0.7], ddof=1)))
    np.testing.assert_allclose(np.diff(np.log(figure.axes[1].lines[-1].get_ydata())), 0.5 * np.log(4))


def test_maps_leave_cells_without_runs_empty_and_never_mix_protocols(tmp_path):
    path = tmp_path / "advtrain.csv"
    for size, eps, seed, robust, bias in [
        (5, 0.1, 0, 0.9, 0),
        (5, 0.1, 1, 0.7, 0),
        (10, 0.3, 0, 0.2, 0),
        (5, 0.1, 0, 0.1, 1),
    ]:
        write_adversarial_row(path, size, 1000, 0.316, eps, seed, robust, bias=bias)
    rows = plot_figures.read_runs(path, common.ADVERSARIAL_COLUMNS)
    figure = plot_figures.draw_maps((), rows, [])
    meshes = [artist for ax in figure.axes for artist in ax.get_children() if isinstance(artist, QuadMesh)]
    paper, biased = (mesh.get_array() for mesh in meshes if mesh.axes.get_xlabel() == "$d$")
    np.testing.assert_allclose(np.ma.filled(paper, np.nan), [[0.8, np.nan], [np.nan, 0.2]])
    np.testing.assert_allclose(np.ma.filled(biased, np.nan), [[0.1]])
