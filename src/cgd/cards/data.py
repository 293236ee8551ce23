"""What the data card says: whose texts the rows are, how they were made and audited, and what binds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgd.benchmark_rows import Benchmark
from cgd.cards.terms import DATA_LICENCES, output_terms, public_name
from cgd.config import Recipe
from cgd.plugins import build_task
from cgd.prompts import conversation_text
from cgd.records import Record
from cgd.report.tables import percent, percent_range

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_AUDITS = {
    "leaks": "critiques that give the answer or the solution away",
    "meta_talk": "refinements that talk about the draft or the critique",
    "specific": "critiques that quote or name something of their draft",
    "unchanged": "refinements that are the draft unchanged",
}


def data_metadata(recipe: Recipe, rows: Mapping[str, Path]) -> str:
    """The YAML front matter, one configuration an arm.

    Args:
        recipe: of the run.
        rows: Parquet file by arm.
    """
    from huggingface_hub import DatasetCardData

    task = build_task(recipe.data.task, recipe.data.options)
    most = max((_count(path) for path in rows.values()), default=0)
    return DatasetCardData(
        license=None if recipe.teacher and recipe.teacher.backend != "tutor" else DATA_LICENCES.get(recipe.data.task),
        pretty_name=f"{recipe.name}: training rows",
        size_categories=[next((name for limit, name in _SIZES if most < limit), "n>1M")],
        source_datasets=[task.hub.id] if isinstance(task, Benchmark) else None,
        task_categories=["text-generation"],
        tags=["critique-guided-distillation", "cgd", "synthetic", "arxiv:2505.11628"],
        configs=[{"config_name": arm, "data_files": path.name} for arm, path in rows.items()],
    ).to_yaml()


def data_facts(  # noqa: PLR0913 - what is known of a run's rows
    recipe: Recipe,
    manifest: Mapping[str, Any],
    summary: Mapping[str, Any],
    analysis: Mapping[str, Any] | None,
    records: Sequence[Record],
    rows: Mapping[str, Path],
) -> dict[str, Any]:
    """Values of `data.md.jinja`."""
    teacher = recipe.teacher
    return {
        "name": recipe.name,
        "task": recipe.data.task,
        "licence": DATA_LICENCES.get(recipe.data.task),
        "student": public_name(recipe.student.model),
        "teacher": public_name(teacher.model or teacher.backend) if teacher else None,
        "output_terms": output_terms(teacher.backend, teacher.model) if teacher else None,
        "arms": [
            {"name": arm, "rows": _count(path), "objective": _objective(recipe, arm)} for arm, path in rows.items()
        ],
        "stages": [{"name": name, **counts} for name, counts in summary["generation"].items() if _made(counts)],
        "drops": summary["drops"],
        "audits": _audits(analysis),
        "example": _example(records),
        "cgd_version": manifest["cgd_version"],
    }


def _objective(recipe: Recipe, arm: str) -> str:
    return next((one.objective for one in recipe.arms if one.name == arm), "–")


def _made(counts: Mapping[str, Any]) -> int:
    return int(counts["done"] + counts["truncated"] + counts["failed"])


def _audits(analysis: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    rates = (analysis or {}).get("audits", {}).get("rates", {})
    return [
        {"what": what, "share": percent(rates[key]["share"]), "range": percent_range(rates[key]["ci95"])}
        for key, what in _AUDITS.items()
        if key in rates
    ]


def _example(records: Sequence[Record]) -> list[dict[str, str]]:
    """The first record, part by part."""
    if not records:
        return []
    first = records[0]
    parts = {
        "Prompt x": conversation_text(first.prompt.messages),
        "Draft y'": first.draft,
        "Critique c": first.critique,
        "Refinement ŷ": first.refinement,
        "The teacher's own answer": first.teacher_answer,
        "Reference solution y*": first.prompt.solution,
    }
    return [{"part": part, "text": text} for part, text in parts.items() if text]


def _count(path: Path) -> int:
    from pyarrow import parquet

    return int(parquet.read_metadata(path).num_rows)
