"""The page that `bayeslaw explore` serves: marimo run app.py -- POSTERIOR"""

import marimo

app = marimo.App(width="medium", app_title="bayeslaw explore")


@app.cell
def _():
    import marimo as mo

    from bayeslaw import BayeslawError, read_posterior
    from bayeslaw.explore.answer import RISKS, Controls, Explorer
    from bayeslaw.explore.page import page

    return BayeslawError, Controls, Explorer, RISKS, mo, page, read_posterior


@app.cell
def _(Explorer, RISKS, mo, read_posterior):
    from threading import Thread

    given = mo.cli_args()
    with mo.status.spinner(title="Reading the posterior, compiling the planner"):
        explorer = Explorer(read_posterior(given.get("posterior")).accept("accept" in given))
        explorer.warm(RISKS[:1])
    # The other risks compile while the first answer is being read.
    Thread(target=explorer.warm, args=(RISKS[1:],), daemon=True).start()
    return (explorer,)


@app.cell
def _(RISKS, explorer, mo):
    import math

    domains = explorer.fitted.domains
    low, high = (math.log10(b) for b in explorer.budgets)
    budget = mo.ui.slider(
        round(low, 2), round(high, 2), 0.05, round(math.log10(explorer.first.flops), 2),
        label="budget, log10 FLOPs", show_value=True, full_width=True,
    )  # fmt: skip
    risk = mo.ui.dropdown(list(RISKS), RISKS[0], label="risk")
    weights = mo.ui.dictionary({d: mo.ui.slider(0, 4, 0.25, 1, show_value=True) for d in domains})
    unique = mo.ui.dictionary(
        {d: mo.ui.text(placeholder="no end, or 20B") for d in ("general", *domains)}
    )
    serve = mo.ui.dictionary({d: mo.ui.text(placeholder="none, or 5T") for d in domains})
    mo.vstack(
        [
            mo.md("## What to train"),
            budget,
            risk,
            mo.accordion(
                {"weights": weights, "distinct tokens": unique, "tokens to be served": serve}
            ),
        ]
    )
    return budget, risk, serve, unique, weights


@app.cell
def _(BayeslawError, Controls, budget, explorer, mo, page, risk, serve, unique, weights):
    asked = Controls(10**budget.value, weights.value, risk.value, unique.value, serve.value)
    try:
        shown = mo.Html(page(explorer.answer(asked)))
    except BayeslawError as error:
        shown = mo.callout(mo.plain_text(str(error)), kind="warn")
    shown
    return


if __name__ == "__main__":
    app.run()
