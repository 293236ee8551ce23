"""How long texts are: replies of every student in tokens, drafts, critiques and refinements in characters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from cgd.report.figures.figure import (
    COLOURS,
    DASHES,
    SYMBOLS,
    Cell,
    Figure,
    Look,
    counted,
    file_name,
    label,
    new_plot,
    style,
)
from cgd.store import Store

_REPLIES = """
SELECT arm, completion_tokens AS size, COUNT(*) AS n FROM predictions
WHERE task = ? AND text IS NOT NULL GROUP BY arm, size
"""
_TEXTS = "SELECT length(draft) AS draft, length(critique) AS critique, length(refinement) AS refinement FROM records"


def reply_lengths(store: Store, task: str, looks: Mapping[str, Look]) -> list[Figure]:
    """One figure of a benchmark: each student's replies by their tokens, over all seeds and samples."""
    sizes: dict[str, Counter[int]] = {arm: Counter() for arm in looks}
    for row in store.query(_REPLIES, (task,)):
        if row["arm"] in sizes:
            sizes[row["arm"]][row["size"]] += row["n"]
    shown = {arm: counts for arm, counts in sizes.items() if counts}
    return _figure(file_name("reply-lengths", task), f"Length of replies on {task}", ("reply", "tokens"), shown, looks)


def text_lengths(store: Store) -> list[Figure]:
    """One figure of the records: drafts, critiques and refinements by their characters."""
    rows = store.query(_TEXTS)
    sizes = {
        part: Counter(row[part] for row in rows if row[part] is not None)
        for part in ("draft", "critique", "refinement")
    }
    looks = dict(zip(sizes, map(Look, COLOURS[1:], SYMBOLS[1:], DASHES[1:]), strict=False))
    shown = {part: counts for part, counts in sizes.items() if counts}
    caption = "Length of drafts, critiques and refinements"
    return _figure("text-lengths", caption, ("text", "characters"), shown, looks)


def length_class(size: int) -> int:
    """Half octaves: 64 to 90 is one class, 91 to 127 the next; −1 is that of empty texts."""
    return math.floor(2 * math.log2(size)) if size else -1


def class_label(number: int) -> str:
    """First and last size of a class; class 1 has none."""
    if number < 0:
        return "0"
    first, last = math.ceil(2 ** (number / 2)), math.ceil(2 ** ((number + 1) / 2)) - 1
    return str(first) if first == last else f"{first}–{last}"


def _figure(
    name: str, caption: str, units: tuple[str, str], sizes: Mapping[str, Counter[int]], looks: Mapping[str, Look]
) -> list[Figure]:
    """Shares by class of length; no figure where there is no text.

    Args:
        name: of the file.
        caption: without units.
        units: what is counted, and in what its length is.
        sizes: how many have a length, by owner and length.
        looks: of the owners.
    """
    what, unit = units
    classes = _classes(size for counts in sizes.values() for size in counts)
    plot = new_plot()
    rows: list[tuple[Cell, ...]] = []
    words = []
    for owner, counts in sizes.items():
        in_class: Counter[int] = Counter()
        for size, n in counts.items():
            in_class[length_class(size)] += n
        total = counts.total()
        shares = [100 * in_class[number] / total for number in classes]
        look = looks[owner]
        plot.add_scatter(
            name=label(owner),
            mode="lines+markers",
            x=list(map(class_label, classes)),
            y=shares,
            line={"color": look.colour, "dash": look.dash, "width": 1.8},
            marker={"symbol": look.symbol, "size": 7},
        )
        found = zip(classes, shares, strict=True)
        rows += [(owner, class_label(number), share, in_class[number]) for number, share in found]
        words.append(f"{owner} most often {class_label(in_class.most_common(1)[0][0])}")
    if not rows:
        return []
    style(plot, height=360, x_title=unit, y_title="share (%)")
    plot.update_xaxes(type="category")
    plot.update_yaxes(rangemode="tozero")
    description = f"{caption} in {unit}: {'; '.join(words)}."
    caption = (
        f"{caption} ({counted((counts.total() for counts in sizes.values()), what)}{' each' if len(sizes) > 1 else ''})"
    )
    return [Figure(name, caption, description, plot, ("of", unit, "share_percent", "texts"), rows, half=True)]


def _classes(sizes: Iterable[int]) -> list[int]:
    """All classes from the least to the largest, but for those that no size falls into."""
    found = {length_class(size) for size in sizes}
    return [number for number in range(min(found), max(found) + 1) if number != 1] if found else []
