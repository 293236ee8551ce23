"""What the critiques of a run add, and what is wrong with its records: scoring, uncertainty, audits.

records → grades of drafts and refinements → audits
records → candidates (sampled by the scoring student) → scores under the student before and after training → account

Everything made is kept in the run's store; the account is `analysis.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cgd.analysis.audits import audit_summary
from cgd.analysis.intervals import mean_of
from cgd.analysis.uncertainty import RecordScores, TokenScores, gains, uncertainty
from cgd.audits import audit
from cgd.chat import load_tokenizer
from cgd.config import Recipe, Sampling
from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.filters import draft_and_refinement_verdicts
from cgd.models import model_folder, weights_hash
from cgd.progress import StageProgress
from cgd.prompts import student_context
from cgd.records import Record, Request, make_request
from cgd.resolve import checkpoint_backend
from cgd.runfolder import RunFolder
from cgd.sampling import sample
from cgd.scoring.contexts import encode_scored
from cgd.scoring.run import ScoredRun, score_records
from cgd.scoring.score import Scored, Scorer, divergences
from cgd.spending import Spending
from cgd.store import Owner, Store, load_messages
from cgd.stored import stored_records
from cgd.training.completion_only import LossyTarget


class Options(NamedTuple):
    """How much is analysed."""

    arm: str
    """Whose checkpoint is the student after training."""
    seed: int
    records: int | None
    """The first so many complete records; all where None."""
    candidates: int
    """Refinements that compete in the Bayes check: the record's own, its draft, and samples of the scoring student."""
    bayes_records: int
    """Records that enter the Bayes check."""


def analyze(folder: RunFolder, recipe: Recipe, options: Options) -> dict[str, Any]:
    """Analyse a run's records and write `analysis.json`.

    Args:
        folder: the run, open.
        recipe: its recipe.
        options: how much.

    Raises:
        UserError: no complete records, the arm has no checkpoint, or a package is missing.
    """
    require_packages("train", "cgd analyze", "torch", "transformers")
    records = _complete(stored_records(folder.store, recipe))[: options.records]
    models = _models(folder, recipe, options)
    verdicts = draft_and_refinement_verdicts(folder.store, recipe, records)
    audits = {record.id: audit(record, *verdicts[record.id]) for record in records}
    found: dict[str, Any] = {}
    scores: dict[str, dict[str, RecordScores]] = {}
    for name, model in models.items():
        candidates = _candidates(folder, recipe, name, model, records[: options.bayes_records], options.candidates)
        scored = score_records(folder.store, model, records, candidates, f"score under {name.replace('_', ' ')}")
        scores[name] = _read(folder.store, scored, model)
        found[name] = {**uncertainty(scores[name]), "left_out": scored.left_out}
    account = {
        "records": len(records),
        "arm": options.arm,
        "seed": options.seed,
        **{part: {name: each[part] for name, each in found.items()} for part in ("entropy", *_PARTS)},
        "audits": audit_summary(records, audits, gains(scores["student_before"])),
        "moved": _moved(folder.store, models),
    }
    folder.write_json("analysis.json", account)
    return account


_MOVED = 64
"""Answers to a task on which the divergence from base is measured."""
_BASE_ANSWERS = "SELECT task, prompt, text FROM predictions WHERE arm = 'base' AND sample = 0 AND text != ''"
_PARTS = ("drops", "information_gain", "pmi", "bayes", "left_out")


def _complete(records: Sequence[Record]) -> list[Record]:
    complete = [record for record in records if record.critique is not None and record.refinement is not None]
    if not complete:
        raise UserError("the run has no complete records (draft, critique and refinement); nothing to analyse")
    return complete


def _models(folder: RunFolder, recipe: Recipe, options: Options) -> dict[str, Path]:
    after = folder.checkpoint(options.arm, options.seed)
    if not (after / "config.json").is_file():
        trained = ", ".join(f"{arm.name} seed {seed}" for arm in recipe.arms for seed in recipe.training.seeds)
        raise UserError(f"{after} holds no checkpoint; the recipe trains: {trained} (cgd run makes what is missing)")
    return {"student_before": model_folder(recipe.student.model, recipe.student.revision), "student_after": after}


def _candidates(  # noqa: PLR0913 - whose candidates of which records
    folder: RunFolder, recipe: Recipe, name: str, model: Path, records: Sequence[Record], count: int
) -> dict[str, list[str]]:
    """Distinct refinements that compete, by record id: its own, its draft, and samples given (x, y')."""
    backend = checkpoint_backend(recipe, str(model))
    sampling = Sampling(max_tokens=recipe.evaluation.max_tokens, temperature=1.0)
    asked = [
        make_request(
            "candidate",
            record,
            student_context(record.prompt.messages, wanted="refinement", draft=record.draft),
            sampling,
            backend.identity,
            recipe.seed,
            number,
        )
        for record in records
        for number in range(count - 2)
    ]
    folder.store.set_current("candidate", asked, **Owner(arm=name)._asdict())
    sampled = sample(
        folder.store,
        backend,
        asked,
        title=f"candidates of {name.replace('_', ' ')}",
        max_failed_share=recipe.max_failed_share,
        spending=Spending(recipe.budget, recipe.checkpoint_price),
    )
    backend.close()
    by_record: dict[str, list[Request]] = {}
    for request in asked:
        by_record.setdefault(request.record.id, []).append(request)
    texts = {
        record.id: [
            record.refinement,
            record.draft,
            *(sampled.replies[request.key].text for request in by_record.get(record.id, [])),
        ]
        for record in records
    }
    return {key: list(dict.fromkeys(text for text in mine if text)) for key, mine in texts.items()}


def _read(store: Store, scored: ScoredRun, model: Path) -> dict[str, RecordScores]:
    """Scores as numbers, tokens as the model's tokenizer writes them, by record id."""
    tokenizer = load_tokenizer(model)
    stored = {
        row["key"]: TokenScores(
            [tokenizer.decode([token]) for token in json.loads(row["tokens"])],
            json.loads(row["log_p"]),
            json.loads(row["entropy"]),
        )
        for row in store.query("SELECT * FROM scores WHERE model = ?", (weights_hash(model),))
    }
    return {
        record_id: {(question.target, question.context): stored[key] for question, key in mine.items()}
        for record_id, mine in scored.keys.items()
    }


def _moved(store: Store, models: Mapping[str, Path]) -> dict[str, Any]:
    """By task, KL(trained ‖ base) a token on base's own answers, nats: how far training has moved the student."""
    tokenizer = load_tokenizer(models["student_before"])
    answers: dict[str, list[Scored]] = {}
    for row in store.query(_BASE_ANSWERS):
        mine = answers.setdefault(row["task"], [])
        if len(mine) < _MOVED:
            with suppress(LossyTarget):  # such an answer can't be scored
                mine.append(encode_scored(tokenizer, load_messages(row["prompt"]), row["text"]))
    if not answers:
        return {}
    trained, base = Scorer(models["student_after"]), Scorer(models["student_before"])
    with StageProgress("divergence from base", sum(map(len, answers.values()))) as progress:
        found: dict[str, list[float]] = {}
        for task, texts in answers.items():
            for value in divergences(trained, base, texts):
                found.setdefault(task, []).append(value)
                progress.advance()
    return {task: mean_of(values, least=0.0) for task, values in found.items()}
