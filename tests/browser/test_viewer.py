"""The token viewer in a real browser: numbers, keys, filters, forks, hostile text, speed."""

import math
import time

import numpy as np
import pytest

from reasonmaxxer.report.render import FOLDER
from reasonmaxxer.report.viewer import TokenViewer, viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from tests.viewer_run import CODE, SPECIAL, code_run, completion, small_run, write_run


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    made = TokenViewer(viewer_data(small_run(folder / "run")))
    made.file = made.save(folder / "viewer.html")
    return made


@pytest.fixture
def page(viewer, page_factory):
    return page_factory(viewer.file)


def current(page):
    """Place of the rollout shown and of its current token."""
    return page.evaluate(
        """() => [
          Number(document.querySelector('.rollout[aria-selected=true]').dataset.index),
          Number(document.querySelector('.token.current')?.dataset.i ?? -1)]"""
    )


def count(page, name):
    return int(page.locator(f".choice button[data-value={name}] .count").first.inner_text())


def nats(thousandths, sign=False):
    """As the page writes them."""
    text = f"{thousandths / 1000:+.3f}" if sign and thousandths else f"{thousandths / 1000:.3f}"
    return text.replace("-", "\u2212")


def assert_panel_shows(page, data, rollout, i):
    """The panel's every number against the data."""
    row = data["rollouts"][rollout]
    base, adapted = row["base"], row["tuned"]
    cells = {
        name: page.locator(f".inspector [data-row={name}] td").all_inner_texts()
        for name in ("log-prob", "probability", "rank", "entropy")
    }
    b, a = base["logprob"][i], adapted["logprob"][i]
    assert cells["log-prob"] == [nats(b), nats(a), nats(a - b, sign=True)]
    shares = [100 * math.exp(x / 1000) for x in (b, a)]
    shown = [float(text.strip("%")) for text in cells["probability"][:2]]
    assert shown == pytest.approx(shares, abs=0.0501)
    assert cells["rank"][:2] == [str(base["rank"][i]), str(adapted["rank"][i])]
    h, g = base["entropy"][i], adapted["entropy"][i]
    assert cells["entropy"] == [nats(h), nats(g), nats(g - h, sign=True)]
    for arm in ("base", "tuned"):
        items = page.locator(f".inspector .top[data-arm={arm}] li")
        logprobs = [nats(x) for x in row[arm]["top_logprob"][i]]
        assert items.locator(".logprob").all_inner_texts() == logprobs
        titles = [item.get_attribute("title") for item in items.locator("code").all()]
        assert titles == [f"token {data['pieces'][p][0]}" for p in row[arm]["top"][i]]
        taken = [p == row["tokens"][i] for p in row[arm]["top"][i]]
        classes = [item.get_attribute("class") == "taken" for item in items.all()]
        assert classes == taken
    about = page.locator(".inspector .about").inner_text()
    assert f"token {data['pieces'][row['tokens'][i]][0]} " in about
    assert f"position {i + 1} of {len(row['tokens'])}" in about
    assert ("decision point" in about) == (i in row["decisions"])


def test_hover_and_focus_show_the_numbers_of_the_data(page, viewer):
    for i in (0, 4, 30):
        page.locator(".token").nth(i).hover()
        assert_panel_shows(page, viewer.data, 0, i)
    page.locator(".token").nth(7).focus()
    assert_panel_shows(page, viewer.data, 0, 7)
    assert "entropy" in page.locator(".token.current").get_attribute("aria-label")


def test_keys_walk_tokens_decisions_and_rollouts(page, viewer):
    decisions = viewer.data["rollouts"][0]["decisions"]  # 1, 4, 7, ...
    assert current(page) == [0, -1]
    for key, expected in [
        ("n", [0, decisions[0]]), ("n", [0, decisions[1]]), ("ArrowRight", [0, 5]),
        ("p", [0, 4]), ("ArrowLeft", [0, 3]), ("p", [0, 1]), ("p", [0, 1]),
        ("j", [1, -1]), ("j", [2, -1]), ("k", [1, -1]), ("n", [1, 1]), ("k", [0, -1]), ("k", [0, -1]),
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert current(page) == expected, key
    page.keyboard.press("?")
    assert page.locator("dialog.help").is_visible()
    page.keyboard.press("j")  # belongs to the help now
    page.keyboard.press("Escape")
    assert not page.locator("dialog.help").is_visible()
    assert current(page) == [0, -1]


def test_keys_do_not_take_the_browsers_own(page):
    page.keyboard.press("Control+j")
    assert current(page) == [0, -1]


def test_filters_count_and_show_what_they_say(page):
    # 8 training rollouts, 4 of them right; test: gained 2, lost 2, same 2 (3 + 1 right of 6)
    totals = {"train": 8, "test": 6, "correct": 8, "wrong": 6, "gained": 2, "lost": 2}
    assert {name: count(page, name) for name in totals} == totals
    for name, total in totals.items():
        if name in ("train", "test"):
            page.locator(f".choice button[data-value={name}]").click()
            assert page.locator(".rollout").count() == total
    page.locator("[aria-label=Split] [data-value=train]").click()
    assert {n: count(page, n) for n in ("correct", "wrong", "gained", "lost")} == {
        "correct": 4, "wrong": 4, "gained": 0, "lost": 0,
    }  # fmt: skip
    page.locator("[aria-label=Outcome] [data-value=wrong]").click()
    assert page.locator(".rollout.wrong").count() == page.locator(".rollout").count() == 4
    page.locator("[aria-label=Outcome] [data-value=gained]").click()
    assert page.locator(".rollout").count() == 0
    assert "No rollout matches" in page.locator(".list").inner_text()
    page.locator("[aria-label=Split] [data-value=test]").click()
    assert page.locator(".rollout").all_text_contents() == ["✗base wrong", "✓adapted correct"]
    assert "What is g?" in page.locator(".question").inner_text()


def test_side_by_side_marks_the_first_token_that_differs(page, viewer):
    page.keyboard.press("s")
    # of the two right rollouts of t0, number 2 shares twelve tokens, number 1 none; wrong ones wait
    assert page.locator(".rollout.partner").get_attribute("data-index") == "2"
    forks = page.locator(".token.fork")
    assert [fork.get_attribute("data-i") for fork in forks.all()] == ["12", "12"]
    assert page.locator(".pane").nth(0).locator(".token.shared").count() == 12
    assert current(page) == [0, 12]
    assert_panel_shows(page, viewer.data, 0, 12)
    page.keyboard.press("x")
    assert_panel_shows(page, viewer.data, 2, 12)
    assert "fork at token 13" in page.locator(".question").inner_text()
    page.locator(".pane").nth(1).locator(".token").nth(32).focus()  # only this one has it
    page.locator(".question select").select_option(label="3 · unparsed")  # its first 20 tokens
    assert page.locator(".pane").nth(0).locator(".token.fork").get_attribute("data-i") == "20"
    assert page.locator(".pane").nth(1).locator(".fork.end").is_visible()
    page.locator("[aria-label=Outcome] [data-value=lost]").click()
    heads = page.locator(".pane header strong").all_inner_texts()
    assert heads == ["base, greedy", "adapted, greedy"]


def test_the_fork_is_scrolled_to_inside_its_pane(tmp_path, page_factory):
    same = [0, 1, 2, 3, 4, 5, 6, 7] * 150
    run = write_run(
        tmp_path,
        [
            completion("a", "train", number=0, outcome="wrong", ids=[*same, 0, 0]),
            completion("a", "train", number=1, outcome="correct", ids=[*same, 1, 0]),
        ],
    )
    page = page_factory(TokenViewer.of(run).save(tmp_path / "v.html"), 1000, 600)
    page.keyboard.press("s")
    panes = page.locator(".panes").bounding_box()
    assert panes["y"] + panes["height"] <= 600
    for fork in page.locator(".token.fork").all():
        assert panes["y"] <= fork.bounding_box()["y"] <= panes["y"] + panes["height"]
    assert page.evaluate("scrollY") == 0


def test_shades_and_their_legends(page, viewer):
    row = viewer.data["rollouts"][0]

    def strengths():
        return page.locator(".token").evaluate_all(
            "spans => spans.map(s => Number(s.style.getPropertyValue('--strength'))"
            " * (s.classList.contains('below') ? -1 : 1))"
        )

    entropy = np.array(row["base"]["entropy"])
    top = float(page.locator(".legend > span").last.inner_text().split()[0].replace("gate", "0") or 0)
    assert "gate 0.80" in page.locator(".legend").inner_text()
    top = float(page.locator(".legend > .bar + span").inner_text().removesuffix(" nats"))
    np.testing.assert_allclose(strengths(), np.minimum(1, entropy / 1000 / top), atol=6e-4)
    page.keyboard.press("c")
    top = float(page.locator(".legend > .bar + span").inner_text().strip("+").removesuffix(" nats"))
    change = np.array(row["tuned"]["logprob"]) - row["base"]["logprob"]
    np.testing.assert_allclose(strengths(), np.clip(change / 1000 / top, -1, 1), atol=6e-4)
    page.keyboard.press("c")  # advantage -1 of at most 1, at decision points alone
    expected = [-1.0 if i in row["decisions"] else 0.0 for i in range(len(row["tokens"]))]
    assert strengths() == expected
    page.keyboard.press("c")
    steps = [0 if r == 1 else 0.25 if r == 2 else 0.5 if r <= 5 else 0.75 if r <= 20 else 1
             for r in row["base"]["rank"]]  # fmt: skip
    assert strengths() == steps
    assert page.locator(".legend span").all_inner_texts() == ["1", "2", "3–5", "6–20", "21+"]


def contrast(one, other):
    def luminance(rgb):
        parts = [c / 255 for c in rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_keeps_its_contrast_on_the_strongest_shade(viewer, page_factory, scheme):
    page = page_factory(viewer.file, scheme=scheme)
    for shade, below in (("entropy", False), ("change", False), ("change", True)):
        page.locator(f"[data-value={shade}]").click()
        ink, over, paper = page.evaluate(
            """below => {
              const token = document.querySelector('.token');
              token.style.setProperty('--strength', 1);
              token.classList.toggle('below', below);
              const numbers = (text) => text.match(/[0-9.]+/g).map(Number);
              const frame = getComputedStyle(document.querySelector('.token-viewer'));
              const style = getComputedStyle(token);
              return [style.color, style.backgroundColor, frame.backgroundColor].map(numbers);
            }""",
            below,
        )
        shaded = [over[3] * o + (1 - over[3]) * p for o, p in zip(over[:3], paper[:3], strict=True)]
        assert contrast(ink[:3], shaded) >= 4.5, (shade, below)
        assert contrast(paper[:3], shaded) >= 1.5, (shade, below)  # and the shade is seen


def test_white_space_is_seen_when_asked_for(viewer, page_factory):
    page = page_factory(viewer.file, 400, 800)
    token = {n: page.locator(".token").nth(n) for n in (1, 7)}
    texts = [token[1].evaluate("t => t.textContent"), token[7].evaluate("t => t.textContent")]
    assert texts == [" one", "\n"]
    page.keyboard.press("w")
    texts = [token[1].evaluate("t => t.textContent"), token[7].evaluate("t => t.textContent")]
    assert texts == ["·one", "⏎\n"]
    broken = page.locator(".token:not(:has-text('\u23ce'))").evaluate_all(
        "spans => spans.filter(s => s.getClientRects().length > 1).length"
    )
    assert broken == 0  # lines still break between tokens, not inside them
    page.keyboard.press("w")
    assert token[1].evaluate("t => t.textContent") == " one"


def test_hostile_text_is_inert_and_bytes_are_spelled_out(tmp_path, page_factory):
    words = [
        b"</script><img src=x onerror=alert(1)>", b"<!--<script>", b"\"'><svg onload=alert(2)>",
        "\u202eabc\u200f".encode(), b"\xed\xa0\x80", b" \xe2\x82", b"\xac", "\u2028".encode(),
    ]  # fmt: skip
    texts = {"</script><b>": "<img src=http://example.com/x onerror=alert(3)> & </section>"}
    run = write_run(
        tmp_path,
        [completion("</script><b>", "train", ids=range(8), extracted="<i>1</i>", decision=[True] * 8)],
        words, special=(0,), texts=texts,
    )  # fmt: skip
    page = page_factory(TokenViewer.of(run).save(tmp_path / "v.html"))
    shown = page.locator(".token").evaluate_all("spans => spans.map(s => s.textContent)")
    assert shown == [
        *(word.decode() for word in words[:3]),
        "⟨U+202E⟩abc⟨U+200F⟩", "⟨ED A0 80⟩", " ⟨E2 82⟩", "⟨AC⟩", "⟨U+2028⟩",
    ]  # fmt: skip
    assert page.locator(".token.bytes").count() == 5 and page.locator(".token.special").count() == 1
    for i in range(8):
        page.locator(".token").nth(i).hover()
        assert ("part of ·€" in page.locator(".inspector").inner_text()) == (i in (5, 6))
    assert page.locator(".question p").first.inner_text() == texts["</script><b>"]
    assert page.locator("img, b:not(.mark), i:not(.swatch), .text svg").count() == 0


def test_two_viewers_on_a_page_keep_to_themselves(viewer, tmp_path, page_factory):
    fragment = viewer_fragment(viewer.data)
    both = tmp_path / "both.html"
    both.write_text(f"<!doctype html><meta charset=utf-8><p>{fragment}</p><input>{fragment}", encoding="utf-8")
    page = page_factory(both, height=2000)
    one, other = page.locator(".token-viewer").all()
    other.locator(".text").click()
    page.keyboard.press("j")
    chosen = [v.locator(".rollout[aria-selected=true]").get_attribute("data-index") for v in (one, other)]
    assert chosen == ["0", "1"]
    page.locator("input").focus()
    page.keyboard.press("j")
    assert page.locator("input").input_value() == "j"
    assert other.locator(".rollout[aria-selected=true]").get_attribute("data-index") == "1"


@pytest.mark.parametrize("width", [400, 820, 1400])
def test_nothing_is_wider_than_the_window(viewer, page_factory, width):
    page = page_factory(viewer.file, width, 800)
    page.keyboard.press("s")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.token-viewer *')].filter(e => e.offsetParent
          && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"""
    )
    assert wide == []
    for part in (".rollout", ".token", ".legend", ".inspector"):
        assert page.locator(part).first.is_visible()


def test_an_empty_inspection_still_opens(tmp_path, page_factory):
    page = page_factory(TokenViewer.of(write_run(tmp_path, [])).save(tmp_path / "v.html"))
    assert "No rollout matches" in page.locator(".list").inner_text()
    for key in "njksfxcw":
        page.keyboard.press(key)


def test_a_notebook_frame_works(viewer, tmp_path, page_factory):
    cell = tmp_path / "cell.html"
    cell.write_text(f"<!doctype html><meta charset=utf-8>{viewer._repr_html_()}", encoding="utf-8")
    frame = page_factory(cell).frame_locator("iframe")
    frame.locator(".token").nth(2).hover()
    assert "position 3 of 32" in frame.locator(".inspector").inner_text()


def test_hundreds_of_rollouts_open_at_once(tmp_path, page_factory):
    rng = np.random.default_rng(1)
    rows = [
        completion(
            f"p{p}", "train", number=n, outcome=["wrong", "correct"][n % 2],
            ids=[*rng.integers(0, SPECIAL, 149).tolist(), SPECIAL],
        )
        for p in range(50)
        for n in range(8)
    ]  # fmt: skip
    file = TokenViewer.of(write_run(tmp_path, rows)).save(tmp_path / "v.html")
    started = time.perf_counter()
    page = page_factory(file)
    page.wait_for_selector(".token")
    opened = time.perf_counter() - started
    taken = page.evaluate(
        """() => { const start = performance.now();
          for (let n = 0; n < 20; n += 1) document.querySelectorAll('.rollout')[n * 20].click();
          document.body.getBoundingClientRect();
          return (performance.now() - start) / 20; }"""
    )
    print(f"{file.stat().st_size / 1e6:.1f} MB opened in {opened:.2f} s, a switch {taken:.1f} ms")
    assert page.locator(".rollout").count() == 400
    assert page.locator(".token").count() == 150  # only the selected one is drawn
    assert opened < 10 and taken < 200  # far above what a quiet machine needs


@pytest.mark.parametrize("width", [390, 1280])
def test_a_program_keeps_its_shape(tmp_path, page_factory, width):
    viewer = TokenViewer.of(code_run(tmp_path / "run"))
    page = page_factory(viewer.save(tmp_path / "v.html"), width, 900)
    page.locator("[aria-label=Split] [data-value=test]").click()  # the base's, with a line of 170 characters
    program = b"".join(CODE[:15]).decode()  # to `return None`
    text = page.locator(".text.source")
    assert text.evaluate("t => t.textContent").startswith(program)
    ends = page.locator(".token:not(:has(.return))")
    assert ends.evaluate_all("spans => spans.every(s => s.getClientRects().length === 1)")  # nothing wraps
    assert page.locator(".token:has(.return)").evaluate_all(
        "spans => spans.every(s => s.getClientRects()[0].width > 4)"
    )
    assert text.evaluate("t => t.scrollWidth > t.clientWidth") and text.evaluate("t => t.scrollLeft") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    left = page.locator(".token", has_text="if").bounding_box()["x"]
    assert left == pytest.approx(page.locator(".token").first.bounding_box()["x"] + 3 * 8.73, abs=1)
    for _ in range(20):
        page.keyboard.press("ArrowRight")  # to the line break behind the long line
    box, inner = text.bounding_box(), page.locator(".token.current").bounding_box()
    assert box["x"] <= inner["x"] and inner["x"] + inner["width"] <= box["x"] + box["width"] + 1


def test_a_fork_in_a_program_moves_nothing(tmp_path, page_factory):
    page = page_factory(TokenViewer.of(code_run(tmp_path / "run")).save(tmp_path / "v.html"), 1280, 900)
    after = page.locator(".pane").first.locator(".token").nth(12)  # of the first training rollout, in the fork's line
    before = after.evaluate("t => t.getClientRects()[0].x - t.closest('.text').getBoundingClientRect().x")
    page.keyboard.press("s")
    assert page.locator(".token.fork").first.get_attribute("data-i") == "11"
    assert after.evaluate("t => t.getClientRects()[0].x - t.closest('.text').getBoundingClientRect().x") == before
    label = page.locator(".token.fork").first.evaluate("t => getComputedStyle(t, '::before').content")
    assert label == '"fork"'


def test_of_programs_the_viewer_says_why_and_shows_the_reference(tmp_path, page_factory):
    page = page_factory(TokenViewer.of(code_run(tmp_path / "run")).save(tmp_path / "v.html"), 1280, 900)
    assert page.locator(".why").count() == 0  # the first is right
    page.keyboard.press("j")
    assert page.locator(".why").inner_text() == "NameError: name 'y' is not defined; assert first([]) is None"
    assert "answer" not in page.locator(".reading").inner_text()
    assert page.locator(".question p").first.inner_text().splitlines()[1] == '    """The first element.'
    page.locator(".question summary").click()
    shown = page.locator(".question pre")
    assert shown.inner_text().startswith("def first(x):\n\treturn x[0] if x else None  # <b>")
    assert shown.evaluate("p => getComputedStyle(p).whiteSpace") == "pre" and page.locator(".question b").count() == 0


def test_white_space_of_a_program_keeps_its_columns(tmp_path, page_factory):
    page = page_factory(TokenViewer.of(code_run(tmp_path / "run")).save(tmp_path / "v.html"), 1280, 900)
    page.keyboard.press("j")
    page.keyboard.press("j")  # the test problem's: its line begins with a tab
    places = "() => [...document.querySelectorAll('.token')].map(t => t.getBoundingClientRect().right)"
    before = page.evaluate(places)
    page.keyboard.press("w")
    assert page.locator(".token", has_text="return").last.evaluate("t => t.textContent") == "\u2192\treturn"
    assert page.evaluate(places) == pytest.approx(before, abs=1)


def test_the_style_of_a_report_leaves_programs_in_its_viewer_alone(tmp_path, page_factory):
    fragment = viewer_fragment(viewer_data(code_run(tmp_path / "run")))
    css = (FOLDER / "report.css").read_text(encoding="utf-8")
    report = tmp_path / "report.html"
    report.write_text(f"<!doctype html><meta charset=utf-8><style>{css}</style>{fragment}", encoding="utf-8")
    alone = TokenViewer(viewer_data(tmp_path / "run")).save(tmp_path / "alone.html")
    shown = """() => ['.source', '.text', '.question p', '.token', '.question pre'].map(name => {
        const style = getComputedStyle(document.querySelector(name))
        return [style.backgroundColor, style.padding, style.fontFamily, style.fontSize, style.whiteSpace, style.margin]
    })"""
    assert page_factory(report).evaluate(shown) == page_factory(alone).evaluate(shown)
