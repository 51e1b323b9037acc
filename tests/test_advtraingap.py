"""advtraingap.py is advtrain.py but for V."""

import advtraingap


def test_the_gap_is_the_radius_itself(monkeypatch, script):
    radii = []
    monkeypatch.setattr(advtraingap, "train_and_attack", lambda name, args, C0, V: radii.append((name, C0, V)))
    for options in ("--width 400 --gap 0.3", "--width 400"):
        assert script("advtraingap.py", *options.split()).code == 0
    assert radii == [("advtraingap", 0.3 * 20, 0.3), ("advtraingap", 0.1 * 20, 0.1)]
