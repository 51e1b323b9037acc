"""The examples of docs/python.md run as they are printed."""

import re
import shlex

from lib import ROOT

import pytest
import torch


@pytest.mark.slow
def test_the_examples_of_the_documentation_run_one_after_the_other(script, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`python (ntk_normal\.py .*?)`", text)
    monkeypatch.chdir(tmp_path)
    assert script(*shlex.split(command)).code == 0
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    flipped, theorem, weaker, trained, robust, one_step, exited = capsys.readouterr().out.splitlines()
    assert flipped.startswith("1.0 0.0 0.043")
    assert [float(printed) for printed in theorem.split()] == pytest.approx([0.782, 1, 245.1], rel=0.01)
    assert [float(printed) for printed in (weaker, robust, one_step)] == pytest.approx([0.975, 0.436, 0.276], abs=0.01)
    names["common"].ATTACKS.pop("fgm")

    common, digits, delta = names["common"], names["digits"], names["delta"]
    saved, _ = common.load_network(*tmp_path.glob("saved/*"))
    clean = common.accuracy(saved, digits.test_x, digits.test_y)
    assert (saved.f(digits.test_x) * saved.f(digits.test_x + delta) < 0).all()
    assert torch.isfinite(names["pgd_delta"]).all() and 0 < names["robust"].float().mean() < clean
    assert 0 < float(weaker) < clean and 0 < float(robust) < 1
    assert trained.startswith("AdversarialRun(epochs=5, ") and exited.startswith("Exit(")
