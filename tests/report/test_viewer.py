"""The viewer's data against the tables it came from, and what becomes of hostile text."""

import json
import re
from html.parser import HTMLParser

import pytest

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.report.pieces import ESCAPED, PLAIN, SPECIAL
from reasonmaxxer.report.viewer import TokenViewer, viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import split_characters, visible
from tests.viewer_run import completion, small_run, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"))


def test_numbers_are_the_tables_rounded_to_thousandths(run):
    data = viewer_data(run)
    rows = read_table(run / "inspection" / "tokens.parquet").to_pylist()
    assert len(data["rollouts"]) == len(rows) == 14
    ids = [piece[0] for piece in data["pieces"]]
    for rollout, row in zip(data["rollouts"], rows, strict=True):
        assert [ids[place] for place in rollout["tokens"]] == row["ids"]
        assert rollout["decisions"] == [i for i, is_one in enumerate(row["decision"]) if is_one]
        assert rollout["advantage"] == row["advantage"]
        assert (rollout["kind"], rollout["forward"]) == (row["kind"], row["forward_rank"])
        assert rollout["jsd"] == pytest.approx([1000 * x for x in row["jsd"]], abs=0.5001)
        for arm in ("base", "tuned"):
            mine = rollout[arm]
            for name in ("entropy", "logprob"):
                exact = row[f"{arm}_{name}"]
                assert mine[name] == pytest.approx([1000 * x for x in exact], abs=0.5001)
            assert mine["rank"] == row[f"{arm}_rank"]
            assert [[ids[p] for p in top] for top in mine["top"]] == row[f"{arm}_top"]
            for ours, theirs in zip(mine["top_logprob"], row[f"{arm}_top_logprob"], strict=True):
                assert ours == pytest.approx([1000 * x for x in theirs], abs=0.5001)


def test_problems_say_what_changed(run):
    problems = viewer_data(run)["problems"]
    assert [(p["id"], p["split"], p["change"]) for p in problems] == [
        ("t0", "train", ""), ("t1", "train", ""),
        ("g", "test", "gained"), ("l", "test", "lost"), ("s", "test", ""),
    ]  # fmt: skip
    assert problems[2]["text"] == "What is g?" and problems[2]["answer"] == "3"


def test_a_logit_of_minus_infinity_is_a_number(tmp_path):
    run = write_run(tmp_path, [completion("a", "train", ids=[0])])
    path = run / "inspection" / "tokens.parquet"
    table = read_table(path)
    column = table.schema.get_field_index("base_logprob")
    lowest = [[float("-inf")]]
    import pyarrow as pa
    import pyarrow.parquet as pq

    field = table.schema.field("base_logprob")
    pq.write_table(table.set_column(column, field, pa.array(lowest, field.type)), path)
    assert viewer_data(run)["rollouts"][0]["base"]["logprob"] == [-9_999_000]


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" two", " two"),
        ("é\n\t".encode(), "é\n\t"),
        (b" \xe2\x82", " ⟨E2 82⟩"),  # two of the three bytes of €
        (b"\xac\n", "⟨AC⟩\n"),
        (b"\xed\xa0\x80", "⟨ED A0 80⟩"),  # a lone surrogate is no UTF-8
        (b"a\xffb\xfe\xfd", "a⟨FF⟩b⟨FE FD⟩"),
        ("\u202eabc".encode(), "⟨U+202E⟩abc"),  # right-to-left override
        ("\u200b\u2028\x00".encode(), "⟨U+200B⟩⟨U+2028⟩⟨U+0000⟩"),
    ],
)
def test_bytes_that_show_nothing_are_spelled_out(piece, shown):
    assert visible(piece) == (shown, shown != piece.decode("utf-8", "replace"))


def test_tokens_that_are_a_character_only_together():
    euro, face = "€".encode(), "🙂".encode()
    pieces = [b"so ", euro[:2], euro[2:] + b"!", *(bytes([b]) for b in face), b"\xff", b"end"]
    assert split_characters(pieces) == [(1, 2, "€!"), (3, 6, "🙂")]
    assert split_characters([euro[:2], b" no", euro[2:]]) == []
    assert split_characters([]) == split_characters([euro[:1]]) == []


def test_kinds_of_pieces(tmp_path):
    words = [b" so", b"\xe2\x82", b"<|end|>", b"a", b"b"]
    data = viewer_data(write_run(tmp_path, [completion("a", "train")], words, special=(2,)))
    assert [kind for _, _, kind in data["pieces"]] == [PLAIN, ESCAPED, SPECIAL, PLAIN, PLAIN]


HOSTILE = [
    b"</script><img src=x onerror=alert(1)>", b"<!--", b"<script>", b"]]>", b"\"'`&amp;",
    "\u2028\u2029".encode(), b"</section></style>", b"\xff\xfe",
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.opened, self.closed, self.text = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.opened.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self.closed.append(tag)

    def handle_data(self, data):
        self.text.setdefault(self.opened[-1][1].get("type", self.opened[-1][0]), data)


def test_hostile_text_stays_data(tmp_path):
    texts = {"a": "</script><img src=x onerror=alert(2)> & \u2028"}
    run = write_run(tmp_path, [completion("a", "train", ids=range(8))], HOSTILE, special=(), texts=texts)
    data = viewer_data(run)
    tags = Tags()
    tags.feed(viewer_fragment(data))
    assert [tag for tag, _ in tags.opened] == ["section", "style", "script", "script"]
    assert tags.closed == ["style", "script", "script", "section"]
    assert json.loads(tags.text["application/json"]) == json.loads(json.dumps(data))
    assert not re.search("[<>&\u2028\u2029]", tags.text["application/json"])


def test_notebook_frame_holds_the_whole_page(run):
    viewer = TokenViewer.of(run)
    tags = Tags()
    tags.feed(viewer._repr_html_())
    [(tag, attributes)] = tags.opened
    assert tag == "iframe" and attributes["sandbox"] == "allow-scripts"
    assert attributes["srcdoc"] == viewer.to_html()


def test_a_run_without_inspection_says_so(tmp_path):
    with pytest.raises(UserError, match=r"has nothing that the viewer shows.*reasonmaxxer run"):
        TokenViewer.of(tmp_path)
