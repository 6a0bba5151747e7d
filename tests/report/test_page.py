"""The report as a page: its numbers, its text made harmless, its bytes."""

import re
import shutil
from html.parser import HTMLParser

import pytest

from reasonmaxxer.errors import UserError
from reasonmaxxer.report.content import Answer, Example
from reasonmaxxer.report.page import Report, write_report
from reasonmaxxer.report.render import to_html
from reasonmaxxer.report.results import read_results
from reasonmaxxer.report.run import draw
from reasonmaxxer.report.visible import visible_text
from tests.report.made import GATES, HOSTILE, make_run

VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Tags with attributes, text by enclosing tag, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.texts.append((tag, " "))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else None, data))

    def text(self):
        shown = (data for tag, data in self.texts if tag not in ("style", "script"))
        return re.sub(r"\s+", " ", "".join(shown))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "run"
    make_run(path, texts={"e0": HOSTILE, "e3": "long " * 5000})
    return path


@pytest.fixture(scope="module")
def page(run):
    return Page(to_html(draw(read_results(run))))


def test_headline_says_what_the_tables_say(page):
    text = page.text()
    assert "made/model" in text
    assert "2 → 3 of 5 test problems solved greedily" in text
    assert "2 problems gained, 1 lost, exact McNemar p = 1" in text
    assert "includes zero" in text
    assert "minutes on 2 threads of an abacus" in text
    assert "16 rollouts of the base on 4 training problems" in text
    assert "by rollouts of the base that solve them (16 in all)" in text
    assert "2 are mixed, 1 are never and 1 always solved; the 2 mixed ones" in text
    assert "the 24 completion tokens of the 8 rollouts" in text


def test_numbers_behind_the_figures(page):
    text = page.text()
    assert re.search(r"pass rate kept left out 0\.000 0 1 0\.250 1 0 0\.500 1 0 1\.000 0 1", text)
    assert "0.50 33.3%" in text and "0.10 100.0%" not in text  # above 0.5: one of three tokens
    assert "entropy above 1.00 nats 4 1.000 [1.000, 1.000]" in text
    assert "rollouts, base 7 9 0.0%" in text
    assert "test, base 6 9 0.0%" in text  # 2 of 5 greedy and 4 of 10 sampled
    assert "gained: solved only after training 2 lost: solved only before 1" in text


def test_examples_and_lists_by_what_changed(page):
    text = page.text()
    assert re.search(r"Gained \(2 of 2\) What is e0.*What is e4.*Lost \(1 of 1\) What is e1", text)
    assert re.search("Gained and lost problems .3.* gained e0 What is e0.* lost e1 What is e1", text)


def test_what_differs_from_the_defaults(page):
    assert "rollouts.temperature 0.6 0.7" in page.text()
    assert "evaluation.ks [1, 4] [1, 2]" in page.text()
    assert "rollouts.top_p 0.95" not in page.text()
    assert ("code", "RUN") in page.texts and "reasonmaxxer run RUN/recipe.yaml --out again" in page.text()
    assert "temperature: 0.7" in page.text()  # the whole recipe


def test_hostile_text_stays_text(page, run):
    text = page.text()
    assert "</script><img src=x onerror=alert(1)>⟨U+001B⟩[31m⟨U+202E⟩<b>" in text
    assert not [tag for tag, _ in page.tags if tag in ("img", "script", "iframe", "link", "b" * 2)]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    raw = Report.of(run).html
    assert "\x1b" not in raw and "\u202e" not in raw


def test_no_address_leaves_the_page(page):
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attrs.get(name, "#").startswith("#"), (tag, attrs)
    [policy] = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    [style] = [data for tag, data in page.texts if tag == "style"]
    assert "url(" not in style and "@import" not in style


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for tag, attrs in page.tags if tag == "a"}
    assert targets and targets <= set(ids)


def test_long_completions_fold_and_end(page):
    shown = page.text()
    assert "… all 25,000 characters" in shown and "[cut here" in shown
    assert shown.count("long ") < 4100  # 20,000 characters at five a word


def test_same_run_same_bytes_wherever_it_lies(run, tmp_path):
    first = write_report(run).read_bytes()
    copy = tmp_path / "elsewhere"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("report.html"))
    assert write_report(copy).read_bytes() == first


def test_sweep_marks_the_chosen_gate(page):
    assert "Dotted: the other gates that were tried" in page.text()
    assert "Grey: the other gates" in page.text()


def test_one_gate_and_no_samples(tmp_path):
    make_run(tmp_path / "run", gates=GATES[:1], samples=0)
    text = Page(to_html(draw(read_results(tmp_path / "run")))).text()
    assert "sampled pass@1" not in text and "Only greedy completions" in text
    assert "the other gates" not in text


@pytest.mark.parametrize("kind", ["random", "all"])
def test_gates_without_a_threshold(tmp_path, kind):
    gate = {"kind": kind, "tau": None, "decision_share": 0.5, "seed": 0}
    make_run(tmp_path / "run", gates=[gate])
    assert "50.0% of positions" in Page(to_html(draw(read_results(tmp_path / "run")))).text()


def test_the_viewer_has_its_place(run):
    page = Page(to_html(draw(read_results(run), viewer='<div class="here">tokens</div>')))
    assert ("div", {"class": "here"}) in page.tags
    assert "#tokens" in [attrs.get("href") for _, attrs in page.tags]


def test_a_notebook_shows_it_in_a_frame(run):
    shown = Page(Report.of(run)._repr_html_())
    [(tag, attrs)] = shown.tags
    assert tag == "iframe" and attrs["srcdoc"] == Report.of(run).html


def test_folders_that_cannot_be_drawn(run, tmp_path):
    with pytest.raises(UserError, match=r"not a run directory.*workspace\.json"):
        Report.of(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"Runs in it: {run}")):
        Report.of(run.parent)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "summary.json").unlink()
    with pytest.raises(UserError, match=r"not finished.*reasonmaxxer show"):
        Report.of(unfinished)


def test_marks_that_text_needs_are_kept():
    assert visible_text("a\n\tb\u200dc\r\x00\x7f\u2066") == "a\n\tb\u200dc⟨U+000D⟩⟨U+0000⟩⟨U+007F⟩⟨U+2066⟩"


def test_of_programs_a_run_shows_why_they_are_wrong(run):
    results = read_results(run)
    code = "def f(x):\n    return y\n" + "    # more\n" * 200
    answers = [Answer(arm, code, outcome, "f", False, why) for arm, outcome, why in
               (("base", "wrong", "NameError: name 'y'"), ("adapted", "correct", None))]  # fmt: skip
    results.__dict__["examples"] = [Example("gained", "MBPP/1", HOSTILE, "def f(x): <b>", tuple(answers), code=True)]
    results.summary["base"]["wrong_by_kind"] = {"NameError": results.summary["base"]["outcomes"]["wrong"]}
    text = to_html(draw(results))
    assert HOSTILE not in text and "def f(x): <b>" not in text
    assert "def f(x):\n    return y\n    # more\n" in text  # folded at a line's end
    assert re.search(r"    # more\n<span class=\"more\">", text)
    shown = Page(text).text()
    for said in (
        "why: NameError: name 'y'",
        "reference solution MBPP/1",
        "Wrong programs by kind",
        "no program found",
    ):
        assert said in shown
    (changed,) = [table for table in draw(results).tables if table.name == "changed-table"]
    assert changed.columns[3:] == ("base", "adapted") and changed.rows[0][3:] == ("NameError: name 'y'", "correct")
