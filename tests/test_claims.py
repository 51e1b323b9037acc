"""lib/claims.py on made-up rows: how what lib/evidence.py found is told."""

import re

from made_up import adversarial_row, line, ntk_row, read

from lib import claims, evidence
from lib.groups import SCRIPTS


def tell(trained=(), left=(), right=(), caps=None):
    return claims.tell(
        {script: read(rows, script) for script, rows in zip(SCRIPTS, (trained, left, right))}, caps or {}
    )


def test_every_claim_has_a_short_title():
    assert len(claims.CLAIMS) == 12 and all(len(claim.title.split()) <= 12 for claim in claims.CLAIMS)


def below(text, heading):
    """What is below a heading of any level, up to the next one."""
    return text.split(f"# {heading}\n", 1)[1].split("\n#")[0]


def table(text):
    """The cells of the tables in the text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def summary(text):
    """The table of all claims, with its head but without the rule."""
    head, _, *lines = table(below(text, "The paper's claims, checked against the runs"))
    return [head, *lines]


def test_the_table_of_claims_has_the_settings_with_most_runs():
    default = line(5, {4: 0.9, 6: 0.0})
    other = line(5, {4: 0.9, 5: 0.04, 6: 0.0}, T=100) + line(5, {3: 0.5, 4: 0.0}, T=100, bias=1, box=1)
    text = tell(left=[*default, *other])
    head, *lines = summary(text)
    assert head == ["", "claim", "paper's formulas", "authors' bias and box", "settings"] and len(lines) == 12
    title = claims.CLAIMS[6].title
    assert lines[6] == ["7", title, "holds (3 of 3)", "fails (0 of 2, 1 undecided)", "at most 100 epochs"]
    assert lines[0] == ["1", claims.CLAIMS[0].title, "–", "–", ""]
    assert lines[10][2:] == ["holds (3 of 3)", "–", "at most 100 epochs"]
    assert text.index(f"## 7. {title}\n") < text.index("## Other settings") < text.index(f"### 7. {title}: default")
    assert "## 1. " not in text
    # On a tie the default settings come first.
    tied = tell(left=default + line(5, {4: 0.9, 6: 0.0}, T=100))
    assert summary(tied)[7][2:] == ["holds (3 of 3)", "–", ""] and f"### 7. {title}: at most 100 epochs\n" in tied


def test_the_head_counts_the_claims():
    assert f"how {len(claims.CLAIMS)} claims of the paper" in tell() and len(summary(tell())) == len(claims.CLAIMS) + 1


def test_a_width_that_stands_in_for_the_papers_is_a_setting():
    rows = [ntk_row(5, 10000, C0, 0, bs=32) for C0 in (10, 20)]
    text = tell(rows)
    assert (
        summary(text)[5][-1] == "batch size 32, m = 10,000 in place of 100,000"
        and summary(text)[1][-1] == "batch size 32"
    )
    assert "\nSettings: batch size 32, m = 10,000 in place of 100,000.\n" in below(text, f"5. {claims.CLAIMS[4].title}")
    papers = [ntk_row(5, width, C0, 0) for C0 in (10, 20) for width in (64, 100000)]
    assert summary(tell(papers))[5][-1] == ""
    # Where only one protocol has another width, its name is told.
    authors = [ntk_row(5, 1000, C0, 0, bias=1) for C0 in (10, 20)]
    assert summary(tell(papers + authors))[5][-1] == "m = 1,000 in place of 100,000 (authors' bias and box)"


def test_inputs_are_told_where_some_have_norm_1():
    rows = [ntk_row(size, 1000, 10, 0) for size in (5, 10, 28)]
    alone = tell(rows)
    assert "inputs" not in "".join(map(str, table(alone))) and "; inputs" not in alone
    text = tell(rows + [row | {"normalize": 1, "test_error": 0.02} for row in rows])
    assert "## Other settings" not in text
    assert [row[:3] for row in table(below(text, f"1. {claims.CLAIMS[0].title}"))[:4]] == [
        ["m", "C0", "inputs"],
        ["-----", "--", "------"],
        ["1,000", "10", "pixels"],
        ["1,000", "10", "norm 1"],
    ]
    assert "C0 = 10; inputs = pixels, norm 1; one seed (0)." in text


def test_robust_accuracy_is_held_against_the_caps_of_its_digits_d_and_eps():
    rows = line(5, {2: 0.9, 4: 0.5, 4.5: 0.5, 5: 0.04, 6: 0.0})
    capped = {(0, 1, 25, 0.8): 0.55}
    text = tell(left=rows + line(5, {4: 0.5}, num1=3, num2=8), caps=capped)
    assert summary(text)[7][2] == "holds (3 of 3)"
    for caps in (None, {}, {(3, 8, 25, 0.8): 0.55, (0, 1, 36, 0.8): 0.55, (0, 1, 25, 0.9): 0.55}):
        assert summary(tell(left=rows, caps=caps))[7][2] == "partly (2 of 3, 1 undecided)"


def test_a_section_has_the_papers_words_the_criterion_and_a_table_for_each_protocol():
    text = tell([ntk_row(size, 1000, 10, 0) for size in (5, 10, 28)])
    section = below(text, "6. |f| and η‖∇f‖² are O(1)")
    paper, holds_if, formulas, _, authors = section.strip().split("\n\n")
    assert paper.startswith("The paper: ") and "(Lemma 4.1)" in paper
    assert holds_if.startswith("Holds if ") and "at most 0.1" in holds_if
    basis = "3 runs: m = 1,000; d = 25, 100, 784; C0 = 10; one seed (0)."
    assert formulas == f"**Paper's formulas**: holds (2 of 2). {basis}"
    assert authors == "**Authors' bias and box**: no runs that could tell."
    head, rule, measured = table(section)
    assert head == ["m", "C0", r"\|f\|/‖x‖", r"exponent of \|f\|/‖x‖", "η‖∇f‖²/‖x‖", "exponent of η‖∇f‖²/‖x‖"]
    assert {*"".join(rule)} == {"-"} and measured == ["1,000", "10", "1.33 to 1.33", "0.00 ✓", "1.40 to 1.40", "0.00 ✓"]


def test_columns_without_a_measurement_are_left_out_and_others_line_up():
    def record(about, **texts):
        return evidence.Record(about, {name: evidence.Cell(text) for name, text in texts.items()}, [])

    same = [record({"m": "1"}, a="", b="2 of 10", c="none"), record({"m": "10"}, a="", b="none", c="none")]
    assert claims.tables_of([same[0], record({}, d="x|y"), same[1]]) == [
        "| m  | b       |\n| -- | ------- |\n| 1  | 2 of 10 |\n| 10 | none    |\n",
        "| d    |\n| ---- |\n| x\\|y |\n",
    ]


def test_runs_with_bias_or_box_alone_are_counted_and_in_no_column():
    text = tell(right=[adversarial_row(28, 400, 0.3, 0.2, 0, 0.5, box=1)])
    assert "\n## 1" not in text and all(row[2:4] == ["–", "–"] for row in summary(text)[1:])
    assert text.endswith("Left out: 1 run of Section 5.2 with `--bias` or `--box` alone.\n")


def test_no_cell_is_long():
    rows = [ntk_row(size, 1000, C0, seed, test_error=0.02) for size in (5, 7, 10) for C0 in (10, 20) for seed in (0, 1)]
    accuracies = {2: 0.95, 2.5: 0.9, 7: 0.1}
    text = tell(rows, line(5, accuracies) + line(6, accuracies), [adversarial_row(28, 400, 0.3, 0.2, 0, 0.5)])
    cells = [cell for row in table(text) for cell in row]
    assert len(cells) > 200 and max(map(len, cells)) <= 80 and "<br>" not in text
