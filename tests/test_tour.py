"""The notebook docs/tour.ipynb runs, from its folder and from the repository's; what it shows is for its readers to judge."""

from lib import ROOT

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for needed in "ipykernel", "pandas":
    pytest.importorskip(needed)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["docs", "."])
def test_the_tour_runs(folder):
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    resources = {"metadata": {"path": str(ROOT / folder)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
