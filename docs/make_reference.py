"""Writes docs/recipe.md from the recipe's models and the plug-ins' options: `python docs/make_reference.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cgd import config
from cgd.plugins import Kind, available, load

HEAD = """---
search: { boost: 4 }
---

# Recipe reference

A recipe is one or more TOML files. Later files win key by key, `--set section.key=value` wins over files, and an
unknown key is refused with the closest known one. The resolved recipe is saved as part of `manifest.json`.

A recipe must have `[data]`, `[student]` and one of `[[arms]]`, and a `[teacher]` unless every arm learns from the
task's own solutions (`sft`). Without `[[evaluation.tasks]]` nothing is tested. `cgd init` writes a first recipe,
`cgd check RECIPE` validates it.

*Required*: there is no default. *Absent*: the key need not be there, and its meaning says what happens then. A section
in double brackets, such as `[[arms]]`, may be there several times. x, y', c and ŷ are prompt, draft, critique and
refinement; the [terms](terms.md) say the rest.

This page is generated from the models in `cgd/config/` and the `Options` of each plug-in by
`python docs/make_reference.py`.

<div class="keys" markdown>
"""
TAIL = "</div>"
INTRODUCTIONS = {
    "[teacher]": "The engine and the model that write critiques and refinements.",
    "[teacher_answer]": "The teacher's own answers to x alone, made where an arm's `target` is `teacher_answer`.",
}
"""In place of the docstring, where a model serves several sections."""
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": config.Recipe,
    "[data]": config.DataConfig,
    "[student]": config.StudentConfig,
    "[teacher]": config.BackendConfig,
    "[budget]": config.BudgetConfig,
    "`price` of [student] and [teacher]": config.Price,
    "[draft]": config.DraftConfig,
    "[critique]": config.CritiqueConfig,
    "[refinement]": config.RefinementConfig,
    "[teacher_answer]": config.GeneratedConfig,
    "[dataset]": config.DatasetConfig,
    "[[arms]]": config.ArmConfig,
    "`context_dropout` of [[arms]]": config.ContextDropoutConfig,
    "[training]": config.TrainingConfig,
    "[evaluation]": config.EvaluationConfig,
    "[[evaluation.tasks]]": config.EvaluationTaskConfig,
    "[[evaluation.harness]]": config.HarnessTaskConfig,
    "[evaluation.self_refine]": config.SelfRefineConfig,
    "[report]": config.ReportConfig,
}
PLUGINS: dict[Kind, str] = {
    "backends": "Backends: `options` of `[student]`, `[teacher]`, `[evaluation]`",
    "tasks": "Tasks: `options` of `[data]` and `[[evaluation.tasks]]`",
    "objectives": "Objectives: `options` of `[[arms]]`",
}


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_sections(), *_plugins(), TAIL]) + "\n"


def _sections() -> Iterator[str]:
    for title, model in SECTIONS.items():
        yield f"## `{title}`\n" if title.startswith("[") else f"## {title}\n"
        yield INTRODUCTIONS.get(title, cleandoc(model.__doc__ or "")) + "\n"
        yield from _table(model)


def _plugins() -> Iterator[str]:
    for kind, title in PLUGINS.items():
        yield f"## {title}\n"
        for name in available(kind):
            module = load(kind, name)
            yield f"### `{name}`\n\n{cleandoc(module.__doc__ or '')}\n"
            if module.Options.model_fields:
                yield from _table(module.Options)


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if "Config" not in str(field.annotation):  # a section has a table of its own
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            yield f"| `{name}` | {_type(properties[name])} | {_default(field)} | {meaning} |"
    yield ""


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if schema.get("type") == "array":
        items = _type(schema["items"])
        return f"list of {items}" if "`" in items else f"list of {items}s"
    if "$ref" in schema:
        return "table"
    return {"object": "table", "string": "text"}.get(schema["type"], str(schema["type"]))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "absent"
    return f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    Path(__file__).with_name("recipe.md").write_text(reference(), encoding="utf-8")
