"""The same work by distilabel, run with the Python of an environment of its own: URL ROWS CONCURRENCY FOLDER."""

from __future__ import annotations

import sys
import time

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main() -> None:
    """Generate a text for every row and print the seconds it took; requests of one batch are in flight together."""
    url, rows, concurrency, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    data = [{"instruction": f"What is {row} + 1?"} for row in range(rows)]
    with Pipeline(name="peer", cache_dir=folder) as pipeline:
        llm = OpenAILLM(
            model="stub", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 64, "temperature": 0.0}
        )
        load = LoadDataFromDicts(data=data, batch_size=concurrency)
        load >> TextGeneration(llm=llm, input_batch_size=concurrency)
    started = time.perf_counter()
    made = pipeline.run(use_cache=False)["default"]["train"]
    seconds = time.perf_counter() - started
    assert len(made) == rows and all(made["generation"]), "distilabel left rows without a text"
    print(seconds)


if __name__ == "__main__":
    main()
