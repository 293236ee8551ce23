"""Records that the recipe leaves out of every arm, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cgd.analysis.contamination import find_contaminated, removals
from cgd.config import Recipe
from cgd.prompts import conversation_text
from cgd.records import Prompt, Record
from cgd.runfolder import RunFolder
from cgd.store import Drop


def filter_records(
    folder: RunFolder, recipe: Recipe, records: Sequence[Record], tests: Mapping[str, Sequence[Prompt]]
) -> list[Record]:
    """The records to train on; what is left out goes to the store's drops.

    Args:
        folder: the run.
        recipe: its recipe.
        records: as far as they were made.
        tests: the benchmarks' prompts.
    """
    drops = _contaminated(records, tests) if recipe.dataset.contaminated == "drop" else []
    folder.store.set_drops("filters", drops)
    gone = {drop.record_id for drop in drops}
    return [record for record in records if record.id not in gone]


def _contaminated(records: Sequence[Record], tests: Mapping[str, Sequence[Prompt]]) -> list[Drop]:
    rows = [
        {
            "prompt_id": record.id,  # each record by itself: another critique of the same prompt may be clean
            "prompt": conversation_text(record.prompt.messages),
            "critique": record.critique,
            "refinement": record.refinement,
        }
        for record in records
    ]
    texts = {
        label: {prompt.id: conversation_text(prompt.messages) for prompt in prompts} for label, prompts in tests.items()
    }
    return removals(find_contaminated(rows, texts))
