"""benchmarks/speed.py."""

import pytest

from benchmarks import speed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "options"),
    [
        (speed.exact_step, {}),
        (speed.pgd, {"box": True, "atk_iters": 20}),
        (speed.sgd_step, {"bs": 64, "sparse": True}),
        (speed.sgd_step, {"bs": 32, "sparse": False}),
    ],
)
def test_a_benchmark_times_all_sides(monkeypatch, benchmark, options):
    by_turns = speed.by_turns
    monkeypatch.setattr(speed, "by_turns", lambda rounds, **sides: by_turns(1, **sides))
    times = benchmark(60, 5, **options)
    assert set(times) == {"here", "plain", "bare"} and min(times.values()) > 0
