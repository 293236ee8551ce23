"""A plan as a table and a few sentences."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from rich.table import Table

from cgd.plan.numbers import OverLength, Plan, Row

_ALMOST = 0.005  # relative difference below which expected and at most are one number


def table(plan: Plan) -> Table:
    """One row a stage; a cell says what is expected and, in brackets, what it can come to at most."""
    priced = any(row.price for row in plan.rows)
    heads = ["stage", "requests or rows", "stored", "prompt or context (tokens)", "new or target (tokens)"]
    heads += ["cost (currency)"] if priced else []
    shown = Table(*heads, "time (s)", box=None, header_style="bold", pad_edge=False)
    for row in plan.rows:
        cells = [_name(row)]
        cells += [_cell(row.expected.requests, row.at_most.requests), f"{row.stored.requests:,.0f}"]
        cells += [_cell(row.expected.prompt_tokens, row.at_most.prompt_tokens)]
        cells += [_cell(row.expected.new_tokens, row.at_most.new_tokens)]
        cells += [_cell(row.expected.cost(row.price), row.at_most.cost(row.price), ",.4f")] if priced else []
        shown.add_row(*cells, f"{row.seconds[0]:,.0f}" if row.seconds else "unknown")
    return shown


def sentences(plan: Plan) -> Iterator[str]:
    """What the numbers mean: length, budget, memory and time."""
    yield _over_length(plan.over_length, plan)
    for unit in ("tokens", "cost"):
        cap = plan.budget.tokens if unit == "tokens" else plan.budget.cost
        if cap is not None:
            yield _budget(plan, unit, cap)
    yield from (f"Note: {note}." for note in plan.notes)
    yield _needs(plan)


def _name(row: Row) -> str:
    name = f"{row.stage} {row.name}".strip()
    return f"{name}, {row.steps} steps" if row.steps else name


def _cell(expected: float, at_most: float, form: str = ",.0f") -> str:
    if isnan(expected):
        return f"at most {at_most:{form}}"
    if abs(at_most - expected) <= _ALMOST * abs(expected):
        return f"{expected:{form}}"
    return f"{expected:{form}} (at most {at_most:{form}})"


def _over_length(over: OverLength, plan: Plan) -> str:
    low, high = over.interval
    share = f"{100 * over.share:.1f}%" + ("" if low == high else f" [{100 * low:.1f}, {100 * high:.1f}]")
    longer = f"longer than training.max_length = {plan.max_length} tokens"
    if not over.real and over.share:
        return (
            f"Training rows {longer}: at most {share}, were all texts as long as max_tokens allow; "
            f"training.max_overlength_share = {plan.allowed_over_length}. --measure 8 looks at real ones."
        )
    found = f"Training rows {longer}: {share} of {over.n}."
    if over.share <= plan.allowed_over_length:
        return found
    return f"Warning: {found} The run refuses more than training.max_overlength_share = {plan.allowed_over_length}."


def _budget(plan: Plan, unit: str, cap: float) -> str:
    expected, at_most = plan.end(unit)
    spent = plan.spent_tokens if unit == "tokens" else plan.spent_cost
    form = ",.0f" if unit == "tokens" else ",.4f"
    if at_most <= cap:
        verdict = "it fits"
    elif isnan(expected):
        verdict = "it may not fit"
    else:
        verdict = "it fits as expected, not at most" if expected <= cap else "it does not fit, so the run will stop"
    end = f"at most {at_most:{form}}" if isnan(expected) else f"about {expected:{form}}, at most {at_most:{form}}"
    return f"Budget of {cap:,} ({unit}): {spent:{form}} spent, in the end {end}: {verdict}."


def _needs(plan: Plan) -> str:
    peaks = ", ".join(f"{gib:.1f} GiB in {what}" for what, gib in plan.peak_gib.items() if gib)
    memory = f"; peak memory {peaks}" if peaks else ""
    if plan.seconds is None:
        return f"Time unknown: --measure 8 finds out{memory}."
    whole, left = plan.seconds
    return f"Time: about {_time(whole)} for the whole run, {_time(left)} left{memory}."


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
