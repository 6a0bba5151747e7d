"""Pages of `diff` and `intervene` in a real browser: numbers, keys, shades, hostile text."""

import pytest

from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.report.page import write_report
from reasonmaxxer.report.viewer import TokenViewer
from reasonmaxxer.work import microscope
from reasonmaxxer.work.progress import Display
from tests.browser.test_viewer import current, nats
from tests.integration.test_microscope import POLICIES, config, models

__all__ = ["models"]  # a fixture
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def compared(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    microscope.diff(config(models, "a"), out / "diff", Display())
    asked = config(models, "a", policies=[*POLICIES, "fewest"])
    microscope.intervene(asked, out / "intervene", Display())
    return out


@pytest.fixture
def viewer(compared, page_factory):
    """The diff alone, as a page of its own, and its data."""
    made = TokenViewer.of(compared / "diff")
    return page_factory(made.save(compared / "viewer.html")), made.data


def test_hover_shows_class_divergence_and_both_top_fives(viewer):
    page, data = viewer
    row = data["rollouts"][0]
    for i in range(len(row["tokens"])):
        page.locator(".token").nth(i).hover()
        tags = page.locator(".inspector .tags .tag").all_inner_texts()
        assert tags[0] == ("unshifted", "reranked", "shifted")[row["kind"][i]]
        assert tags[1] == f"JSD {nats(row['jsd'][i])}"
        if row["kind"][i]:
            assert tags[2] == f"tuned choice: base rank {row['forward'][i]}"
        for arm in ("base", "tuned"):
            titles = page.locator(f".inspector .top[data-arm={arm}] li code").all()
            ids = [data["pieces"][place][0] for place in row[arm]["top"][i]]
            assert [t.get_attribute("title") for t in titles] == [f"token {id}" for id in ids]


def test_keys_jump_between_edits(viewer, compared):
    page, data = viewer
    kinds = read_table(compared / "diff" / "positions" / "shard-00000.parquet")["kind"].to_pylist()
    number = next(n for n, kind in enumerate(kinds) if sum(k > 0 for k in kind) > 1)
    for _ in range(number):
        page.keyboard.press("j")
    edits = [i for i, kind in enumerate(kinds[number]) if kind]
    assert data["rollouts"][number]["decisions"] == edits
    page.keyboard.press("n")
    assert current(page) == [number, edits[0]]
    page.keyboard.press("n")
    assert current(page) == [number, edits[1]]
    page.keyboard.press("p")
    assert current(page) == [number, edits[0]]


def test_shades_by_class_and_by_divergence(viewer):
    page, data = viewer

    def strengths():
        return [
            float(token.evaluate("e => e.style.getPropertyValue('--strength')"))
            for token in page.locator(".token").all()
        ]

    kinds, jsd = data["rollouts"][0]["kind"], data["rollouts"][0]["jsd"]
    assert strengths() == [(0, 0.75, 1)[kind] for kind in kinds]
    assert "reranked" in page.locator(".legend").inner_text()
    page.locator("[aria-label='Shade tokens by'] [data-value=jsd]").click()
    order = sorted(range(len(jsd)), key=lambda i: jsd[i])
    shaded = strengths()
    assert [shaded[i] for i in order] == sorted(shaded)


def test_an_intervened_text_stands_beside_the_bases(compared, page_factory):
    page = page_factory(compared / "intervene" / "intervene.html")
    edits = read_table(compared / "intervene" / "outputs" / "oracle-first-1" / "edits.parquet")
    shown = page.locator(".rollout").filter(has_text="oracle:first=1")
    assert shown.count() > 0
    for number in range(shown.count()):
        shown.nth(number).click()
        if page.locator(".token.fork").count():
            break
    panes = page.locator(".pane")
    assert panes.count() == 2 and "base, greedy" in panes.nth(1).inner_text()
    decision = panes.nth(0).locator(".token.decision")
    assert decision.count() == 1
    # the fork of the two is where the edit was made
    assert decision.get_attribute("data-i") == panes.nth(0).locator(".fork").get_attribute("data-i")
    assert int(decision.get_attribute("data-i")) in edits["position"].to_pylist()
    decision.hover()
    assert "in place of" in page.locator(".inspector .edit").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("command", ["diff", "intervene"])
def test_pages_fit_and_ask_for_nothing(compared, page_factory, command, width):
    page = page_factory(compared / command / f"{command}.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() >= 2
    for figure in page.locator("figure").all():
        assert figure.locator("svg text").count() > 0


def test_hostile_text_stays_text(compared, page_factory, tmp_path):
    folder = tmp_path / "diff"
    for path in (compared / "diff").rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(compared / "diff")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    summary = read_json(folder / "summary.json")
    summary["tuned"]["name"] = HOSTILE
    summary["tokens"]["promoted"][0]["token"] = HOSTILE
    write_json(summary, folder / "summary.json")
    path = folder / "vocabulary" / "vocabulary.parquet"
    table = read_table(path)
    rows = [{**row, "piece": HOSTILE.encode()} for row in table.to_pylist()]
    write_table(type(table).from_pylist(rows, table.schema), path)
    page = page_factory(write_report(folder))
    assert HOSTILE in page.locator("h1").inner_text()
    assert HOSTILE in page.locator(".token").first.inner_text()
    assert page.locator("img").count() == 0
