"""Commands that train, and what they train on: sweep, export, domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayeslaw.cli import words
from bayeslaw.cli.answer import print_answer
from bayeslaw.cli.app import Json, Seed, app, say, torch_for
from bayeslaw.cli.bar import progress


@app.command()
def sweep(
    settings: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to train.")],
    out: Annotated[Path | None, typer.Option(help="Folder for runs.csv and all beside it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price it; train nothing.")] = False,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
) -> None:
    """Train a sweep of real models and write its table of runs."""
    with torch_for("sweep"):
        from bayeslaw.train.study import run_sweep
    with progress("training") as step:
        done = run_sweep(
            settings,
            out,
            dry_run,
            lambda cell, total: step(f"{cell} of {total}", cell / total),
            executor,
        )
    say(words.sweep(done))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors under work/ of a sweep.")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
) -> None:
    """Write a model as Hugging Face reads it: LlamaForCausalLM.from_pretrained(FOLDER)."""
    with torch_for("export"):
        from bayeslaw.evaluate.model_file import described
        from bayeslaw.train.export import export as write
    s = write(checkpoint, out, described(checkpoint))
    say([f"wrote {out}: {s.params} non-embedding parameters, width {s.width}"])


@app.command()
def domains(
    corpus: Annotated[Path, typer.Argument(metavar="FOLDER", help=".txt, .jsonl, .parquet.")],
    k: Annotated[int, typer.Option("--k", min=2, help="How many domains.")] = 16,
    out: Annotated[Path, typer.Option(help="A new folder, for the domains.")] = Path("domains"),
    router: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Assign to these domains: router.npz.")
    ] = None,
    column: Annotated[str, typer.Option(help="The field or column with the text.")] = "text",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Turn an unlabelled corpus into domains: clusters of its documents."""
    from bayeslaw.corpus.split import split

    with progress("clustering"):
        found = split(corpus, k, out, seed, column, router)
    if json:
        print_answer({"schema": 1, "out": str(out), "clusters": [vars(c) for c in found]})
    else:
        say(words.domains(found))
        say([f'\nwrote {out}: corpus = "folder" reads it'])
