"""A small run to inspect, and one whose every text tries to become a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cgd.inspector.index import add_to_index, prepare_index
from cgd.records import Grade, Prompt
from cgd.store import Drop, Store
from tests.builders import RIGHT, WRONG, add_predictions, add_records, make_prompts, user

ATTACKS = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    '"><svg onload="document.title = \'owned\'">',
    "' autofocus onfocus=\"document.title = 'owned'\" x='",
    "</pre></textarea></title><script src=/review></script>",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}{% raw %}",
)
"""What a text does that is taken for markup, an attribute or a template."""

TEXTS = (
    ("2 + 2 = 5\nAnswer: 5", "The sum 2 + 2 is 4, not 5.\nVerdict: wrong", "2 + 2 = 4\nAnswer: 4"),
    ("2 + 2 = 4\nAnswer: 4", "Every step is sound.\nVerdict: right", "2 + 2 = 4\nAnswer: 4"),
    ("It is five", "The answer is 4.\nVerdict: wrong", "As the critique says, my draft was wrong: 4"),
)
"""Draft, critique, refinement: a wrong draft mended, a right one kept, a wrong one whose critique gives it all away."""


def fill_run(store: Store, count: int = 3) -> list[str]:
    """Records in turn as in `TEXTS`, graded, the first one scored and its prompt evaluated; their ids."""
    prompts = make_prompts([f"What is 2 + 2, question {number}?" for number in range(count)], "train")
    add_records(store, prompts, [TEXTS[number % 3] for number in range(count)])
    rows = store.query("SELECT * FROM records")
    ids = [f"{row['prompt_id']}:{row['refinement_key'][:12]}" for row in rows]
    grades = {}
    for number, row in enumerate(rows):
        grades[row["draft_key"]] = _grade(number % 3 == 1)
        grades[row["refinement_key"]] = _grade(True)
    store.add_grades(grades, "grader 1")
    add_predictions(store, "sums", "base", prompts[:1], [WRONG])
    add_predictions(store, "sums", "cgd", prompts[:1], [RIGHT])
    store.set_drops("dataset", [Drop(ids[2], "the critique gives the answer away")])
    add_scores(store, ids[0], "m" * 64)
    return ids


def fill_with_attacks(store: Store) -> None:
    """One record an attack, which stands in every column that holds text."""
    prompts = [Prompt.create(attack, user(attack), attack, attack, attack) for attack in ATTACKS]
    add_records(store, prompts, [(attack, attack, f"{attack}\n{attack}") for attack in ATTACKS])
    for attack, prompt in zip(ATTACKS, prompts, strict=True):
        add_predictions(store, attack, attack, [prompt], [WRONG._replace(text=attack, extracted=attack, reason=attack)])
    for row in store.query("SELECT * FROM records"):
        record_id = f"{row['prompt_id']}:{row['refinement_key'][:12]}"
        add_scores(store, record_id, row["draft"])
        with store.transaction() as db:
            db.execute("INSERT INTO reviews VALUES (?, 'accept', ?, 0)", (record_id, row["draft"]))
            db.execute("INSERT INTO drops VALUES (?, 'dataset', ?)", (record_id, row["draft"]))


def add_scores(store: Store, record_id: str, model: str) -> None:
    """Entropies of three tokens in the three contexts: means 2, 1.5 and 0.5; −log p 0.5 in the mean of each."""
    entropies = {"x": [4.0, 1.0, 1.0], "x_draft": [3.0, 1.0, 0.5], "x_draft_critique": [1.5, 0.0, 0.0]}
    with store.transaction() as db:
        for context, values in entropies.items():
            row = (f"{record_id} {context}", record_id, model, "refinement", context, "[17, 28, 19]", "[-1, -0.5, 0]")
            db.execute("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, json.dumps(values)))


def index_run(folder: Path) -> None:
    """Make the index of a run, or bring it up to date."""
    paths = folder / "run.sqlite", folder / "inspect.sqlite"
    add_to_index(*paths, prepare_index(*paths))


def open_run(folder: Path) -> Store:
    return Store(folder / "run.sqlite")


def _grade(right: bool) -> Grade:
    return Grade(right, right, True, "4" if right else "5", "compared as numbers")


def refinement_keys(store: Store) -> Sequence[str]:
    return [row["refinement_key"] for row in store.query("SELECT refinement_key FROM records")]
