"""The code of docs/tour.ipynb runs, in its folder and in the repository's; what it shows is for its readers to judge."""

import json
import sys

from lib import ROOT

import matplotlib
import pytest
from matplotlib import pyplot as plt


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["docs", "."])
def test_the_tour_runs(folder, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(ROOT / folder)
    monkeypatch.setattr(sys, "path", sys.path[:])
    tour, variables = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8")), {}
    with matplotlib.rc_context({"backend": "Agg"}):
        for cell in tour["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), variables)
        plt.close("all")
