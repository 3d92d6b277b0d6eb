"""Commands that judge models: tasks, evaluate, route."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import typer

from bayeslaw.cli import judged
from bayeslaw.cli.answer import print_answer
from bayeslaw.cli.app import Json, Seed, Weights, app, pairs, say, shares_of, torch_for, writable
from bayeslaw.cli.bar import progress
from bayeslaw.errors import BayeslawError

HELDOUT = "heldout"
Models = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL...", help="A sweep's folder, .safetensors, exported folders."),
]
Folder = Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep's folder, or its settings.")]
Items = Annotated[int, typer.Option(min=4, help="Items of each task that is made.")]


@app.command()
def tasks(
    sweep: Folder,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A file for each domain.")],
    items: Items = 1000,
    seed: Seed = 0,
) -> None:
    """Make tasks of a sweep's held-out text: which of four continuations is the true one."""
    with torch_for("tasks"):
        from bayeslaw.evaluate.model_file import corpus_of, folder_of
    from bayeslaw.evaluate.suite import suite
    from bayeslaw.evaluate.task import filename, write_task

    for task in suite(*corpus_of(folder_of(sweep)), items, seed):
        path = out / f"{filename(task.name)}.jsonl"
        write_task(task, path)
        say([f"wrote {path}: {len(task.items)} items"])


@app.command()
def evaluate(
    models: Models,
    asked: Annotated[
        list[str],
        typer.Option(
            "--tasks",
            metavar="TASK",
            help="`heldout`, FILE.jsonl, a task of lm_eval or its .yaml; again for more.",
        ),
    ] = [HELDOUT],  # noqa: B006 (typer reads it once)
    out: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Write the rows, as tasks.csv.")
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=DOMAIN", help="Whose loss goes with a task; again for more."),
    ] = None,
    items: Items = 1000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Accuracies of models on tasks, and of a sweep's split systems with their routers."""
    if out is not None:
        writable(out)
    named = pairs(domain, "--domain")
    with torch_for("evaluate"):
        from bayeslaw.evaluate.evaluation import Evaluation, read_losses
        from bayeslaw.evaluate.evaluation import evaluate as judge
    from bayeslaw.evaluate.harness import harness
    from bayeslaw.evaluate.model_file import corpus_of, find_models, one_folder
    from bayeslaw.evaluate.suite import suite
    from bayeslaw.evaluate.task import read_task

    found = find_models(models)
    folders = sorted({m.sweep_folder for m in found if m.sweep_folder is not None})
    losses = read_losses(folders)
    ours = [read_task(t) for t in asked if t.endswith(".jsonl")]
    corpus, names = None, tuple[str, ...]()
    if HELDOUT in asked:
        corpus, names = corpus_of(one_folder(found))
        ours += suite(corpus, names, items, seed)
    elif ours and len(folders) == 1:
        corpus, names = corpus_of(folders[0])
    theirs = [t for t in asked if t != HELDOUT and not t.endswith(".jsonl")]
    rows = tuple(harness(found, theirs)) if theirs else ()
    if ours:
        with progress("evaluating") as step:
            mine = judge(found, ours, corpus, names, losses=losses, progress=step)
        rows = (*mine.rows, *rows)
    said = Evaluation(rows).placed(named, losses)
    if out is not None:
        said.write(out)
    if json:
        print_answer(said.to_json())
        return
    say(judged.evaluation(said.rows))
    say([f"\nwrote {out}"] if out is not None else [])


@app.command()
def route(
    sweep: Folder,
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Send its documents: .txt, .jsonl, .parquet."),
    ] = None,
    by: Annotated[
        Literal["text", "loss"], typer.Option(help="N-grams of the domains; the branches' loss.")
    ] = "text",
    prefix: Annotated[int, typer.Option(min=1, help="Tokens that a router sees.")] = 64,
    router: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of `bayeslaw domains`, for --by text.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of several. Default: the dearest.")
    ] = None,
    pieces: Annotated[int, typer.Option(min=2, help="Of held-out text, of each domain.")] = 200,
    weights: Weights = None,
    out: Annotated[Path | None, typer.Option(help="Write the answer, as routing.json.")] = None,
    json: Json = False,
) -> None:
    """Send text to branches; without --text, how well that is done on held-out text."""
    if out is not None:
        writable(out)
    if router is not None and by != "text":
        raise BayeslawError("--router is for --by text")
    shares = shares_of(weights)
    with torch_for("route"):
        from bayeslaw.evaluate.routing import measure, sent
    from bayeslaw.corpus.folder import documents
    from bayeslaw.evaluate.coder import Coder
    from bayeslaw.evaluate.model_file import corpus_of, find_models, folder_of
    from bayeslaw.evaluate.sender import clusters, grams
    from bayeslaw.evaluate.system import chosen
    from bayeslaw.whole import whole

    corpus, names = corpus_of(folder_of(sweep))
    one = chosen(find_models([sweep]), names, system)
    coder = Coder.of(corpus)
    sender = grams(corpus, names) if router is None else clusters(router, names, coder)
    with progress("routing"):
        if text is not None:
            told = sent(one, list(documents(text)), coder, sender, by, prefix)
        else:
            told = measure(one, corpus, prefix, pieces, shares, by, sender).to_json()
    if out is not None:
        with whole(out) as beside:
            beside.write_text(dumps(told, indent=1) + "\n", encoding="utf-8")
    if json:
        print_answer(told)
        return
    say(judged.sent(told) if text is not None else judged.routing(told))
    say([f"\nwrote {out}"] if out is not None else [])
