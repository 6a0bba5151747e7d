"""The microscope's texts in the viewer's form, against the tables they came from."""

import pyarrow as pa
import pytest
from rich.console import Console

from reasonmaxxer.artifacts import read_table, write_json, write_table
from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope.diff import mentioned_ids
from reasonmaxxer.microscope.effects import Effects
from reasonmaxxer.microscope.policies import folder_name
from reasonmaxxer.microscope.summary import summarise
from reasonmaxxer.microscope.vocabulary import VOCABULARY
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.report.page import Report, print_report, write_report
from reasonmaxxer.report.viewer import TokenViewer
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.rollouts.table import rollout_table
from tests.microscope.test_effects import BASE, TUNED, outputs
from tests.microscope.test_summary import PIECES, table
from tests.report.test_diff_and_intervene import MODELS, PROTOCOL
from tests.report.test_page import Page

CONFIG = MicroscopeConfig(bootstrap=50)
HOSTILE = "</script><img src=x onerror=alert(1)>|`\u202e"


def write_common(folder, problems, ids, summary):
    rows = [{"id": id, "piece": f"{HOSTILE}{id}".encode(), "special": False} for id in sorted(ids)]
    write_table(pa.Table.from_pylist(rows, VOCABULARY), folder / "vocabulary" / "vocabulary.parquet")
    known = [Problem(id, f"What is {id}? {HOSTILE}", "7", "sums", "math") for id in problems]
    write_table(problems_table(known), folder / "problems" / "problems.parquet")
    write_json({"schema": 1, **MODELS, "protocol": PROTOCOL, **summary}, folder / "summary.json")


@pytest.fixture
def compared(tmp_path):
    positions = table()
    write_table(positions, tmp_path / "positions" / "shard-00000.parquet")
    pieces = dict.fromkeys(PIECES, f"\n {HOSTILE}")
    summary = {"command": "diff", **summarise(positions, pieces, CONFIG)}
    write_common(tmp_path, "ab", set(mentioned_ids(positions)), summary)
    return tmp_path


@pytest.fixture
def intervened(tmp_path):
    made = [
        outputs("oracle:first=1", [TUNED[0], *BASE[1:]], [("p0", 2, 8), ("p0", 1, 5)]),
        outputs("reverse-oracle:first=1", TUNED, [("p1", 2, 6)]),
    ]
    for arm, rollouts in (("base", BASE), ("tuned", TUNED)):
        write_table(rollout_table(rollouts), tmp_path / f"{arm}-greedy" / "shard-00000.parquet")
    for one in made:
        folder = tmp_path / "outputs" / folder_name(one.policy.spelling)
        write_table(rollout_table(one.rollouts), folder / "shard-00000.parquet")
        write_table(one.edits, folder / "edits.parquet")
    found = Effects(BASE, TUNED, CONFIG).summary(made)
    fewest = {
        "failed": 2,
        "histogram": {"1": 1, "2": 0, "3": 0, "more": 1},
        "control": {"1": 0, "2": 0, "3": 0, "more": 2},
        "problems": [
            {"problem_id": "p0", "edits": 1, "positions": [2], "from": [HOSTILE], "to": ["\n|"]},
            {"problem_id": "p1", "edits": None, "positions": [], "from": [], "to": []},
        ],
    }
    summary = {"command": "intervene", "problems": 4, **found, "fewest": fewest}
    write_common(tmp_path, ["p0", "p1", "p2", "p3"], {4, 5, 6, 7, 8}, summary)
    return tmp_path


def test_numbers_are_the_tables_rounded_to_thousandths(compared):
    data = viewer_data(compared)
    rows = read_table(compared / "positions" / "shard-00000.parquet").to_pylist()
    ids = [piece[0] for piece in data["pieces"]]
    assert data["left_out"] == 0 and len(data["rollouts"]) == len(rows) == 2
    for rollout, row in zip(data["rollouts"], rows, strict=True):
        assert [ids[place] for place in rollout["tokens"]] == row["ids"]
        assert rollout["decisions"] == [i for i, kind in enumerate(row["kind"]) if kind]
        assert rollout["kind"] == row["kind"] and rollout["forward"] == row["forward_rank"]
        assert rollout["jsd"] == pytest.approx([1000 * x for x in row["jsd"]], abs=0.5001)
        for arm in ("base", "tuned"):
            entropy = [1000 * x for x in row[f"{arm}_entropy"]]
            assert rollout[arm]["entropy"] == pytest.approx(entropy, abs=0.5001)
            assert [[ids[p] for p in top] for top in rollout[arm]["top"]] == row[f"{arm}_top"]
    assert [p["id"] for p in data["problems"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "tokens", "shown"), [(None, None, 2), (1, None, 1), (9, 6, 2), (9, 5, 1), (9, 1, 1)]
)
def test_texts_that_are_too_many_are_counted(compared, texts, tokens, shown):
    data = viewer_data(compared, texts, tokens)  # 4 and 2 tokens
    assert (len(data["rollouts"]), data["left_out"]) == (shown, 2 - shown)


def test_an_intervention_shows_what_was_put_in_place_of_what(intervened):
    data = viewer_data(intervened)
    ids = [piece[0] for piece in data["pieces"]]
    first = [r for r in data["rollouts"] if data["problems"][r["problem"]]["id"] == "p0"]
    assert [r["name"] for r in first] == ["base", "tuned", "oracle:first=1"]
    assert first[2]["decisions"] == [2]  # at 1 it put in what the base would have said
    assert [[e[0], ids[e[1]], ids[e[2]], e[3]] for e in first[2]["edits"]] == [
        [2, 5, 8, 1000], [1, 5, 5, 1000],
    ]  # fmt: skip
    assert "base" not in first[2] and "tuned" not in first[2]  # nobody has read it
    assert [p["change"] for p in data["problems"]] == ["gained", "gained", "", ""]
    assert viewer_data(intervened, 3)["left_out"] == 1


def test_an_answer_is_held_against_its_hosts(intervened, monkeypatch):
    shown = ("oracle:first=1", "reverse-oracle:first=1")
    monkeypatch.setattr("reasonmaxxer.report.viewer_data.SHOWN_POLICIES", shown)
    data = viewer_data(intervened)
    beside = {r["name"]: data["rollouts"][r["beside"]]["name"] for r in data["rollouts"]}
    assert beside == {
        "base": "tuned", "tuned": "base", "oracle:first=1": "base", "reverse-oracle:first=1": "tuned",
    }  # fmt: skip


def written_pages(folder):
    """The page, its Markdown and its LaTeX."""
    page = write_report(folder)
    return [page.with_suffix(ending) for ending in (".html", ".md", ".tex")]


@pytest.mark.parametrize("made", ["compared", "intervened"])
def test_hostile_text_stays_text_in_every_file(made, request):
    folder = request.getfixturevalue(made)
    written = {path.suffix: path.read_text(encoding="utf-8") for path in written_pages(folder)}
    page = Page(written[".html"])
    assert "img" not in [tag for tag, _ in page.tags]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    for tag, attrs in page.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith("#"), (tag, attrs)
    [policy] = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    assert "</script><img·src=x·onerror=alert(1)>|`⟨U+202E⟩" in page.text()
    assert not [kind for kind, text in written.items() if "\u202e" in text]
    rows = [line for line in written[".md"].splitlines() if line.startswith("|")]
    assert rows and all(line.endswith("|") for line in rows)  # no cell breaks its row
    assert not [line for line in rows if "<img" in line and "\\<img" not in line]


def test_the_same_folder_gives_the_same_bytes(compared, tmp_path):
    first = [path.read_bytes() for path in written_pages(compared)]
    assert first == [path.read_bytes() for path in written_pages(compared)]
    Report.of(compared).save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == first[0]


@pytest.mark.parametrize("made", ["compared", "intervened"])
def test_a_terminal_says_where_the_page_is_and_what_came_out(made, request):
    folder = request.getfixturevalue(made)
    console = Console(record=True, width=80)
    print_report(folder, console)
    text = console.export_text()
    command = {"compared": "diff", "intervened": "intervene"}[made]
    assert f"{command}.html" in text.replace("\n", "") and "summary.json" in text.replace("\n", "")
    assert {"compared": "same choice", "intervened": "oracle:first=1"}[made] in text
    assert all(len(line) <= 80 for line in text.splitlines() if "│" in line)


def test_folders_of_something_else_say_so(compared, tmp_path):
    write_json({"command": "overlap"}, tmp_path / "summary.json")
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="has nothing that the viewer shows: give the folder of a finished"):
            TokenViewer.of(folder)
