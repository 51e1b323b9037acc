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


def test_durations_are_in_the_unit_that_fits():
    durations = [speed.duration(seconds) for seconds in (1540.2, 2.5, 0.0125, 3e-5)]
    assert durations == ["1,540 s", "2.5 s", "12.5 ms", "30 µs"]


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


def test_the_table_has_a_line_for_each_shape(monkeypatch, capsys):
    times = {"here": 0.002, "plain": 0.1, "bare": 0.001}
    for name in BENCHMARKS:
        monkeypatch.setattr(
            speed, name, lambda width, size, **_: times | {"plain": None} if width == 100_000 else times
        )
    monkeypatch.setattr(speed, "peak_memory", lambda: 1.25)
    monkeypatch.setattr(speed.sys, "argv", ["speed.py"])
    speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 4 + 3 + 3 + 9 + 9 + 2
    assert lines[2] == "| exact step | 1,000 | 25 | 2 ms | 100 ms | 50 | 1 ms | 2.00 |"
    assert lines[5] == "| exact step | 100,000 | 784 | 2 ms | – | – | 1 ms | 2.00 |"
    assert lines[-1] == "Peak memory of `ntk_normal.py --width 100000 --size 28 --C0 10 --T 1`: 1.2 GB."
