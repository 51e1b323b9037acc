"""benchmarks/speed.py."""

from types import SimpleNamespace

import pytest

from benchmarks import speed

BENCHMARKS = {
    "exact_step": [{}],
    "pgd": [{}, {"box": True, "atk_iters": 20}],
    "sgd_step": [{"bs": 64, "sparse": True}, {"bs": 32, "sparse": False}],
}


@pytest.mark.slow
def test_the_benchmark_times_all_sides(monkeypatch):
    by_turns = speed.by_turns
    monkeypatch.setattr(speed, "by_turns", lambda rounds, **sides: by_turns(1, **sides))
    for name, choices in BENCHMARKS.items():
        for options in choices:
            times = getattr(speed, name)(60, 5, **options)
            assert set(times) == {"here", "plain", "bare"} and min(times.values()) > 0


def test_the_fastest_round_counts_and_quick_sides_are_called_often(monkeypatch):
    now, calls = [0.0], {"quick": 0, "slow": 0}
    lengths = {"quick": 0.0625, "slow": 1.0}

    def side(name):
        now[0] += lengths[name] if calls[name] else 10  # the first call may compile
        calls[name] += 1

    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    best = speed.by_turns(3, quick=lambda: side("quick"), slow=lambda: side("slow"))
    assert best == lengths
    assert calls == {"quick": 2 + 3 * 3, "slow": 2 + 3 * 1}
