"""To the hub: the card says what summary.json says, and nothing else than what may be shared lies beside it."""

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load
from markdown_it import MarkdownIt

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.share import hub
from reasonmaxxer.share.merge import merge
from reasonmaxxer.share.source import find_source
from tests.report.made import make_run

FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.yaml", "summary.json"]
NASTY = "</table><script>x</script> | a*b* ](http://x) --- `c`\n# d"


def prepared(run):
    """What is uploaded of a run."""
    hub.write_hub_folder(run)
    return run / "hub"


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
    folder = prepared(finished)
    summary = read_json(finished / "summary.json")
    data = metadata_load(folder / "README.md")
    assert (data["base_model"], data["base_model_relation"]) == ("some/base", "adapter")
    assert (data["library_name"], data["model-index"][0]["name"]) == ("peft", "run")
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
    folder = prepared(finished)
    assert said in ModelCard.load(folder / "README.md").text.replace("\\", "")


def test_what_is_uploaded_names_no_path_of_this_machine(tiny_run, finished, tmp_path):
    run, recipe = tiny_run
    merge(find_source(str(run)), tmp_path / "merged")
    summary = read_json(finished / "summary.json")
    summary["model"] |= {"name": "/home/me/a b/base", "source": "adapter on /home/me/base (folder)"}
    write_json(summary, finished / "summary.json")
    values = yaml.safe_load((finished / "recipe.yaml").read_text())
    values["verify"]["function"] = "/home/me/grading.py:grade"
    values["problems"]["train"]["source"] = "C:\\Users\\me\\train.jsonl"
    (finished / "recipe.yaml").write_text(yaml.safe_dump(values))
    for folder in (tmp_path / "merged", run / "hub", prepared(finished)):
        files = list(folder.iterdir())
        assert {"summary.json", "recipe.yaml", "README.md"} <= {file.name for file in files}
        for file in files:
            paths = rb"/home|" + str(run.parent).encode()
            if file.suffix != ".safetensors":  # whose numbers may look like anything
                paths += rb"|(?<![\w:/.])/\w+/|C:"
            assert not re.search(paths, file.read_bytes())
    assert read_json(finished / "hub" / "summary.json")["model"]["source"] == "adapter on base (folder)"
    assert read_json(tmp_path / "merged" / "merge.json")["base"] == Path(recipe.model.name).name
    assert "base_model" not in metadata_load(tmp_path / "merged" / "README.md")
    assert parse_config(Recipe, yaml.safe_load((finished / "hub" / "recipe.yaml").read_text()))


def test_names_from_outside_stay_text(finished):
    recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
    recipe["problems"]["test"]["source"] = NASTY
    (finished / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    folder = prepared(finished)
    data = metadata_load(folder / "README.md")
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == NASTY
    text = (folder / "README.md").read_text().split("\n---\n", 1)[1]
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html and "<em>" not in html and 'href="http://x"' not in html
    assert html.count("<h1>") == 1 and html.count("<table>") == 3
    assert len(re.findall("<tr>", html.split("<h2>Training")[1].split("</table>")[0])) == 8


def test_only_what_may_be_shared_lies_there(tiny_run, finished):
    run, _ = tiny_run
    for folder in (run / "hub", prepared(finished)):
        assert sorted(path.name for path in folder.iterdir()) == FILES
    weights = "adapter_model.safetensors"
    assert (run / "hub" / weights).read_bytes() == (run / "training" / "adapter" / weights).read_bytes()


def test_a_base_that_is_a_folder_is_not_named_as_a_repository(tiny_run):
    run, recipe = tiny_run
    text = (run / "hub" / "README.md").read_text()
    assert "base_model" not in metadata_load(run / "hub" / "README.md")
    assert "nobody else can load" in text and "reasonmaxxer merge" in text
    config = read_json(run / "hub" / "adapter_config.json")
    assert config["base_model_name_or_path"] == Path(recipe.model.name).name
    config["base_model_name_or_path"] = recipe.model.name
    assert config == read_json(run / "training" / "adapter" / "adapter_config.json")


def test_a_card_of_the_same_results_stays_and_another_is_written_anew(finished):
    card = prepared(finished) / "README.md"
    assert "nobody else can load" not in card.read_text()
    card.write_text("---\nlicense: mit\n---\nmine\n")
    assert (prepared(finished) / "README.md").read_text().endswith("mine\n")
    summary = read_json(finished / "summary.json")
    summary["difference"]["greedy"]["gained"] += 1
    write_json(summary, finished / "summary.json")
    gained = summary["difference"]["greedy"]["gained"]
    assert f"{gained} problems gained" in (prepared(finished) / "README.md").read_text()


def test_a_merged_folder_has_a_card(finished, tmp_path):
    merged = tmp_path / "mer ged"
    merged.mkdir()
    gap = {"max_delta_logprob": 0.0125, "mean_delta_logprob": 0.001, "greedy_agreement": 0.995}
    record = {"base": "base", "dtype": "bfloat16", "tokens": 1234, "adapter_to_merged": gap}
    for base, named in (("/home/me/base", None), ("some/base", "some/base")):
        hub.add_card(finished, merged, merged.name, base, record)
        data = metadata_load(merged / "README.md")
        # a base that is a folder of this machine is not named as a repository
        assert data["library_name"] == "transformers" and data.get("base_model") == named
    text = (merged / "README.md").read_text()
    assert "/home/me" not in text and '"NAME/mer-ged"' in text
    assert "0.013 nats at most" in text and "99.50%" in text and "saved in bfloat16" in text


def test_what_is_no_finished_run_is_named(finished, tmp_path):
    with pytest.raises(UserError, match=r"it has no workspace\.json"):
        hub.add_card(tmp_path, tmp_path, "words", "some/base")
    (finished / "summary.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        prepared(finished)
