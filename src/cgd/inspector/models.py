"""Which model made a run's scores, and the texts of its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from cgd.config import Recipe
from cgd.errors import UserError
from cgd.inspector.texts import Token, shade_tokens
from cgd.models import model_folder, weights_hash


class ScoringModel(NamedTuple):
    """A model as a reader knows it."""

    name: str
    folder: str


class Context(NamedTuple):
    """A refinement's tokens given one context."""

    name: str
    entropy: float
    """Mean of its tokens, nats."""
    surprise: float
    """Mean of −log p of its tokens, nats."""
    tokens: list[Token]


_CONTEXTS = {"x": "x", "x_draft": "x, y′", "x_draft_critique": "x, y′, c"}


def scoring_models(run: Path, recipe: Recipe) -> dict[str, ScoringModel]:
    """The student before training and the run's checkpoints that are on this machine, by hash of their weights."""
    found = {}
    with suppress(UserError):  # its weights are elsewhere: its scores are shown without the tokens' texts
        student = model_folder(recipe.student.model, recipe.student.revision)
        found[weights_hash(student)] = ScoringModel("student before training", str(student))
    for config in sorted(run.glob("checkpoints/*/*/config.json")):
        name = f"{config.parent.parent.name} after training ({config.parent.name})"
        found[weights_hash(config.parent)] = ScoringModel(name, str(config.parent))
    return found


def read_entropies(scores: list[dict[str, Any]], models: Mapping[str, ScoringModel]) -> dict[str, list[Context]]:
    """Entropies by token, by model (in the order of `models`) and context.

    Args:
        scores: rows of the table `scores` of one record's refinement.
        models: by hash of their weights.
    """
    known = list(models)
    found: dict[str, list[Context]] = {}
    for row in sorted(scores, key=lambda row: known.index(row["model"]) if row["model"] in known else len(known)):
        model = models.get(row["model"])
        ids, entropies, log_p = (json.loads(row[name]) for name in ("tokens", "entropy", "log_p"))
        texts = [_token_text(model.folder, token) if model else f"·{token}" for token in ids]
        tokens = shade_tokens(texts, entropies)
        context = Context(_CONTEXTS[row["context"]], fmean(entropies), -fmean(log_p), tokens)
        found.setdefault(model.name if model else f"model {row['model'][:12]}", []).append(context)
    return found


def _token_text(folder: str, token: int) -> str:
    text: str = _tokenizer(folder).decode([token])
    return text


@cache
def _tokenizer(folder: str) -> Any:
    from cgd.chat import load_tokenizer

    return load_tokenizer(Path(folder))
