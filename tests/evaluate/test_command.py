"""From a little sweep to tasks, accuracies, routes and an exported model that knows what it is."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bayeslaw.evaluate.model_file import find_models
from bayeslaw.train.study import run_sweep
from tests.train.little import Here, write

TOML = """
name = "little"
corpus = "markov"
corpus_options = {size = 60000, overlap = 0.0}
recipe = "tiny"
widths = [16]
pretrain_tokens = ["8k", "16k"]
specialize_tokens = ["8k"]
heldout_tokens = "4k"
keep_models = true
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    run_sweep(write(out, TOML), out, executor=Here())
    return out


def test_a_sweep_says_where_its_models_are(sweep):
    table = pd.read_csv(sweep / "models.csv", keep_default_na=False)
    runs = pd.read_csv(sweep / "runs.csv", keep_default_na=False)
    assert set(table["run_id"]) == set(runs["run_id"])
    assert all((sweep / place).is_file() for place in table["checkpoint"])
    found = find_models([sweep])
    assert [m.run_id for m in found] == list(table["run_id"])
    assert find_models([sweep / "sweep.toml"]) == found
    assert find_models([found[0].place]) == found[:1]


def test_models_and_systems_are_judged_on_held_out_text(sweep, say, tmp_path):
    out = tmp_path / "tasks.csv"
    code, said, _ = say("evaluate", sweep, "--items", 60, "--out", out, "--json")
    assert code == 0
    answer = json.loads(said)
    assert answer["schema"] == 1
    rows = pd.read_csv(out, keep_default_na=False)
    assert len(rows) == len(answer["rows"])
    alone, systems = rows[rows["router"] == ""], rows[rows["router"] != ""]
    assert len(alone) == 2 * (2 + 2 * 2)
    assert set(systems["router"]) == {"label", "text", "loss"}
    assert len(systems) == 2 * 2 * 3
    runs = pd.read_csv(sweep / "runs.csv", keep_default_na=False)
    loss = runs.set_index(["run_id", "domain"])["loss"]
    for row in alone.to_dict("records"):
        assert float(row["loss"]) == pytest.approx(loss[row["run_id"], row["domain"]], rel=1e-5)
    # A label sends every item of a domain to its branch.
    label = systems[systems["router"] == "label"].iloc[0]
    own = alone[(alone["branch"] == label["domain"]) & (alone["task"] == label["task"])
                & (alone["pretrain_tokens"] == label["pretrain_tokens"])].iloc[0]  # fmt: skip
    assert (label["accuracy"], label["loss"]) == (own["accuracy"], own["loss"])
    # The domains have no word in common: by text nothing goes astray.
    text = systems[systems["router"] == "text"]
    assert list(text["accuracy"]) == list(systems[systems["router"] == "label"]["accuracy"])


def test_tasks_are_made_and_read_again_and_an_exported_model_says_the_same(sweep, say, tmp_path):
    assert say("tasks", sweep, "--out", tmp_path / "t", "--items", 40)[0] == 0
    files = sorted((tmp_path / "t").iterdir())
    assert [f.name for f in files] == ["next-alpha.jsonl", "next-beta.jsonl"]
    model = find_models([sweep])[0]
    assert say("export", model.place, tmp_path / "llama")[0] == 0
    code, said, _ = say("evaluate", tmp_path / "llama", "--tasks", files[0], "--json")
    assert code == 0
    (theirs,) = json.loads(said)["rows"]
    _, said, _ = say("evaluate", model.place, "--tasks", files[0], "--json")
    (ours,) = json.loads(said)["rows"]
    assert theirs["run_id"] == ours["run_id"] == model.run_id
    for name in ("accuracy", "per_byte", "params", "pretrain_tokens"):
        assert theirs[name] == ours[name]
    assert (theirs["loss"], ours["loss"] > 0) == (None, True)
    code, said, _ = say("evaluate", model.place, "--tasks", files[0], "--domain",
                        "next-alpha=beta")  # fmt: skip
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80


def test_text_is_sent_and_what_routing_costs_is_told(sweep, say, tmp_path):
    out = tmp_path / "routing.json"
    code, said, _ = say("route", sweep, "--pieces", 6, "--out", out, "--json")
    assert code == 0
    answer = json.loads(said)
    assert answer == json.loads(out.read_text())
    ways = {w["router"]: w for w in answer["routers"]}
    assert list(ways) == ["label", "text", "loss", "mixture", "generalist"]
    assert ways["text"]["accuracy"] == ways["label"]["accuracy"] == 1.0
    assert ways["text"]["loss"] == ways["label"]["loss"]
    assert answer["confusion"]["alpha"] == {"alpha": 1.0, "beta": 0.0}
    own = [answer["losses"][d][d] for d in ("alpha", "beta")]
    assert ways["label"]["loss"] == pytest.approx(sum(own) / 2)
    text = tmp_path / "new.jsonl"
    from bayeslaw.evaluate.model_file import corpus_of

    corpus, _ = corpus_of(sweep)
    lines = [d.heldout[:200].tobytes().decode() for d in corpus.domains]
    text.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    for by in ("text", "loss"):
        code, said, _ = say("route", sweep, "--text", text, "--by", by, "--json")
        assert code == 0
        if by == "text":
            assert [r["branch"] for r in json.loads(said)["routes"]] == ["alpha", "beta"]
    code, said, _ = say("route", sweep, "--pieces", 4, "--weight", "alpha=3")
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("evaluate nowhere", "nowhere: no such file or folder"),
        ("evaluate {sweep} --tasks none.jsonl", "none.jsonl: not readable as JSON lines"),
        ("evaluate {empty}", "no model: no models.csv of a sweep (`keep_models = true`"),
        ("evaluate {model} {model}", "two models are named"),
        ("evaluate {sweep} --items 8 --domain x=y", "no task x was evaluated"),
        ("route {sweep} --prefix 512", "a prefix is 1 to 511 tokens, got 512"),
        ("route {sweep} --system x", "no system 'x'; there is w16-s0-"),
        ("route {sweep} --weight gamma=1", "weight of unknown domain gamma"),
        ("route {sweep} --weight alpha=0 --weight beta=0", "weights must be 0 or more"),
        ("route {sweep} --router r.npz --by loss", "--router is for --by text"),
    ],
)
def test_mistakes_are_told_in_a_line(sweep, say, tmp_path, line, told):
    places = {"sweep": sweep, "empty": tmp_path, "model": find_models([sweep])[0].place}
    code, _, err = say(*line.format(**places).split())
    assert code == 1
    assert told in err
    assert err.startswith("error: ")
