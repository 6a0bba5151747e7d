"""To the hub: the card says what summary.json says, and what arrives is what was prepared."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, constants, metadata_load
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.cli import app
from reasonmaxxer.errors import UserError
from reasonmaxxer.recipe import parse_recipe
from reasonmaxxer.share import hub
from reasonmaxxer.share.formats import export
from reasonmaxxer.share.merge import merge
from reasonmaxxer.share.source import find_source
from tests.report.made import make_run
from tests.share.hub_stand_in import serve

NASTY = "</table><script>x</script> | a*b* ](http://x) --- `c`\n# d"


@pytest.fixture
def finished(tmp_path):
    """A run made by hand, its adapter's base a repository of the hub."""
    path = tmp_path / "run"
    make_run(path)
    adapter = path / "training" / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    write_json({"base_model_name_or_path": "some/base"}, adapter / "adapter_config.json")
    return path


def test_the_card_says_what_the_summary_says(finished):
    folder = hub.prepare(finished, "someone/words", "apache-2.0")
    summary = read_json(finished / "summary.json")
    data = metadata_load(folder / "README.md")
    assert (data["base_model"], data["base_model_relation"]) == ("some/base", "adapter")
    assert (data["library_name"], data["license"]) == ("peft", "apache-2.0")
    card = ModelCard.load(folder / "README.md")
    found = {r.metric_name: r.metric_value for r in card.data.eval_results}
    assert found["greedy pass@1"] == summary["adapted"]["greedy"]["pass@1"]["value"]
    assert set(found) == {"greedy pass@1", *(f"sampled {n}" for n in summary["adapted"]["sampled"])}
    cells = [re.split(r" *\| *", line.strip("| ")) for line in card.text.splitlines() if "|" in line]
    for arm, place in (("base", 1), ("adapted", 2)):
        e = summary[arm]["greedy"]["pass@1"]
        expected = f"{e['value']:.3f} [{e['low']:.3f}, {e['high']:.3f}]"
        assert next(c for c in cells if c[0] == "greedy pass@1")[place] == expected
    total = summary["cost"]["total"]
    assert next(c for c in cells if c[0] == "total")[1] == f"{total['tokens']:,}"
    assert f"p = {summary['difference']['greedy']['p_value']:.2g}" in card.text


@pytest.mark.parametrize(
    "method, imported, said",
    [
        ("reasonmaxxer", None, "ReasonMaxxer on rollouts of its own, with"),
        ("reasonmaxxer", "/home/me/made.jsonl", "on rollouts made elsewhere (made.jsonl), with"),
        ("sft", "/home/me/made.jsonl", "SFT through TRL on rollouts made elsewhere (made.jsonl), with"),
        ("grpo", "/home/me/made.jsonl", "GRPO through TRL on rollouts of its own, with"),
    ],
)
def test_the_card_says_whose_rollouts_taught(finished, method, imported, said):
    recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
    recipe["rollouts"]["imported"], recipe["training"]["method"] = imported, method
    (finished / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    folder = hub.prepare(finished, "someone/words")
    assert said in ModelCard.load(folder / "README.md").text.replace("\\", "")


def test_what_is_pushed_names_no_path_of_this_machine(tiny_run, finished, tmp_path):
    run, recipe = tiny_run
    merge(find_source(str(run)), tmp_path / "merged")
    export(run, "unpaired-preference", tmp_path / "merged" / "rows.json")
    summary = read_json(finished / "summary.json")
    summary["model"] |= {"name": "/home/me/a b/base", "source": "adapter on /home/me/base (folder)"}
    write_json(summary, finished / "summary.json")
    values = yaml.safe_load((finished / "recipe.yaml").read_text())
    values["verify"]["function"] = "/home/me/grading.py:grade"
    values["problems"]["train"]["source"] = "C:\\Users\\me\\train.jsonl"
    (finished / "recipe.yaml").write_text(yaml.safe_dump(values))
    for path in (tmp_path / "merged", finished):
        files = hub.published(hub.prepare(path, "someone/words"))
        assert {"summary.json", "recipe.yaml", "README.md"} <= {file.name for file in files}
        for file in files:
            paths = rb"/home|" + str(run.parent).encode()
            if file.suffix != ".safetensors":  # whose numbers may look like anything
                paths += rb"|(?<![\w:/.])/\w+/|C:"
            assert not re.search(paths, file.read_bytes())
    assert read_json(finished / "hub" / "summary.json")["model"]["source"] == "adapter on base (folder)"
    assert read_json(tmp_path / "merged" / "merge.json")["base"] == Path(recipe.model.name).name
    assert "base_model" not in metadata_load(tmp_path / "merged" / "README.md")
    assert parse_recipe(yaml.safe_load((finished / "hub" / "recipe.yaml").read_text()))


def test_names_from_outside_stay_text(finished):
    recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
    recipe["problems"]["test"]["source"] = NASTY
    (finished / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    folder = hub.prepare(finished, "someone/words")
    data = metadata_load(folder / "README.md")
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == NASTY
    text = (folder / "README.md").read_text().split("\n---\n", 1)[1]
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html and "<em>" not in html and 'href="http://x"' not in html
    assert html.count("<h1>") == 1 and html.count("<table>") == 3
    assert len(re.findall("<tr>", html.split("<h2>Training")[1].split("</table>")[0])) == 8


def test_only_known_files_go(finished):
    folder = hub.prepare(finished, "someone/words")
    (folder / "shard-00000.parquet").write_text("rollouts")
    (folder / "rows.jsonl").write_text("rollouts")
    names = [path.name for path in hub.published(folder)]
    assert names == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.yaml", "summary.json",
    ]  # fmt: skip


@pytest.fixture
def endpoint(monkeypatch):
    """Makes an address the hub's for this process, with a token for it."""

    def use(address, token="secret"):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose server is not the hub
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
        monkeypatch.setenv("HF_TOKEN", token)

    return use


def test_what_arrives_is_what_was_prepared(finished, endpoint):
    with serve() as stand_in:
        endpoint(stand_in.endpoint)
        done = CliRunner().invoke(app, ["push", str(finished), "someone/words", "--private"])
    assert done.exit_code == 0, done.output
    assert f"{stand_in.endpoint}/someone/words" in done.stdout
    (created,) = stand_in.created
    assert (created["organization"], created["name"]) == ("someone", "words")
    assert created["visibility"] == "private"
    assert stand_in.tokens == {"Bearer secret"}
    there = {p.name: p.read_bytes() for p in (finished / "hub").iterdir()}
    assert stand_in.files == there and len(there) == 5
    assert set(stand_in.validated) == {there["README.md"].decode()}


def test_a_merged_folder_goes_as_it_is_with_a_card(finished, tmp_path):
    merged = tmp_path / "merged"
    merged.mkdir()
    for name in ("summary.json", "recipe.yaml"):
        shutil.copyfile(finished / name, merged / name)
    (merged / "config.json").write_text("{}")
    gap = {"max_delta_logprob": 0.0125, "mean_delta_logprob": 0.001, "greedy_agreement": 0.995}
    record = {"base": "/home/me/base", "dtype": "bfloat16", "tokens": 1234, "adapter_to_merged": gap}
    write_json(record, merged / "merge.json")
    assert hub.prepare(merged, "someone/words") == merged
    data = metadata_load(merged / "README.md")
    # a base that is a folder of this machine is not named as a repository
    assert data["library_name"] == "transformers" and "base_model" not in data
    text = (merged / "README.md").read_text()
    assert "/home/me" not in text
    assert "0.013 nats at most" in text and "99.50%" in text and "saved in bfloat16" in text
    (merged / "README.md").write_text("---\nlicense: mit\n---\nmine\n")
    hub.prepare(merged, "someone/words", "apache-2.0")
    assert metadata_load(merged / "README.md") == {"license": "apache-2.0"}
    assert "mine" in (merged / "README.md").read_text()


def test_what_cannot_be_pushed_is_named(finished, tmp_path):
    with pytest.raises(UserError, match="no repository of the hub"):
        hub.prepare(finished, "some one/words")
    with pytest.raises(UserError, match=r"no recipe\.yaml"):
        hub.prepare(tmp_path, "someone/words")
    adapter = finished / "training" / "adapter"
    with pytest.raises(UserError, match=r"neither README\.md nor a summary\.json"):
        hub.prepare(adapter, "someone/words")
    write_json({"base_model_name_or_path": str(tmp_path)}, adapter / "adapter_config.json")
    with pytest.raises(UserError, match="that nobody else can load"):
        hub.prepare(finished, "someone/words")
    assert not (finished / "hub").exists()
    (finished / "summary.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        hub.prepare(finished, "someone/words")


def test_without_token_or_network_nothing_is_lost(finished, endpoint, monkeypatch):
    folder = hub.prepare(finished, "someone/words")
    endpoint("http://127.0.0.1:9", token="")
    with pytest.raises(UserError, match="The hub wants a token"):
        hub.push(folder, "someone/words")
    endpoint("http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UserError, match=r"was not uploaded to http://127\.0\.0\.1:9: .*refused"):
        hub.push(folder, "someone/words")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="offline mode is enabled"):
        hub.push(folder, "someone/words")
    assert len(hub.published(folder)) == 5


def test_a_dry_run_uploads_nothing(finished, endpoint):
    endpoint("http://127.0.0.1:9")
    done = CliRunner().invoke(app, ["push", str(finished), "someone/words", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "adapter_model.safetensors" in done.stdout and "Nothing was uploaded" in done.stdout
