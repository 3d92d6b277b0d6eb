"""What other people call the things that a row needs."""

from __future__ import annotations

import re

# The trainer's own count first: `_step` and `Step` of W&B count its calls of log.
STEP = ("train/global_step", "trainer/global_step", "global_step", "step", "iter", "_step", "Step")
LOG_CALLS = (
    "steps are W&B's count of calls of log, as no step of the trainer's own is there: check that "
    "they are training steps, or --map step=THEIRS"
)
TOKENS = (
    "throughput/total_tokens", "num_input_tokens_seen", "train/num_input_tokens_seen",
    "tokens_seen", "train/tokens_seen", "total_tokens", "train/total_tokens", "consumed_tokens",
    "tokens", "train/tokens", "n_tokens",
)  # fmt: skip
PARAMS = (
    "params", "non_embedding_params", "params_non_embedding", "non_embedding_parameters",
    "num_params_non_embedding", "n_params_non_embedding", "model/num_params_non_embedding",
)  # fmt: skip
# With embeddings, or nobody knows: named to the user, never taken.
TOTALS = (
    "parameter_count", "model_num_parameters", "model/num_parameters", "num_parameters",
    "num_params", "n_params", "total_params", "n_parameters",
)  # fmt: skip
# Columns of ours whose name means the same in anybody's file; `recipe`, `experts`, `status` do not.
OURS = (
    "run_id", "lineage", "seed", "params", "pretrain_tokens", "specialize_tokens", "branch",
    "domain", "unique_tokens", "unique_specialize_tokens",
)  # fmt: skip

_HELD_OUT = re.compile(
    r"(?:.*/)?(?:eval|val|valid|validation|test|held[_-]?out)[/_.]"
    r"(?:(?P<domain>.+)[/_.])?(?:loss|lm_loss|cross_?entropy(?:_?loss)?|nll)(?:_epoch)?",
    re.IGNORECASE,
)
_LONGEST = 1000  # characters of a metric's name; the search takes the square of it
_MEANS = ("macro", "micro", "avg", "mean", "average", "total")


def domain_of(metric: str) -> str | None:
    """The domain that a metric of this name is the held-out loss of; None if it is none.

    Means over domains are none, training losses are none.

    >>> [domain_of(m) for m in ("eval_loss", "eval_code_loss", "eval/paloma/c4_en/loss")]
    ['all', 'code', 'paloma/c4_en']
    >>> [domain_of(m) for m in ("train/loss", "loss", "eval/paloma/macro_loss", "eval_accuracy")]
    [None, None, None, None]
    """
    found = _HELD_OUT.fullmatch(metric) if len(metric) <= _LONGEST else None
    if found is None:
        return None
    domain = found["domain"] or "all"
    return None if re.split(r"[/_.]", domain.lower())[-1] in _MEANS else domain
