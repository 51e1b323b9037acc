"""benchmarks/speed.py."""

import pytest

from benchmarks import speed


@pytest.mark.slow
@pytest.mark.parametrize("bs, sparse", [(64, True), (32, False)])
def test_the_benchmarks_time_all_sides(monkeypatch, bs, sparse):
    by_turns = speed.by_turns
    monkeypatch.setattr(speed, "by_turns", lambda rounds, **sides: by_turns(1, **sides))
    for times in (speed.exact_step(60, 5), speed.pgd(60, 5, box=sparse), speed.sgd_step(60, 5, bs, sparse)):
        assert set(times) == {"here", "plain", "bare"} and min(times.values()) > 0
