"""Two-step word problems, made from a seed: as many as a small student can learn from, without any download.

A problem's identity is its template and its numbers; names and objects are dressing. A hash of its
calculations decides the split, so that those of a test problem can't be met in training, in any story.
"""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice, product
from typing import Literal, NamedTuple

from cgd.config import Section
from cgd.errors import UserError
from cgd.records import GradingRule, Prompt

Split = Literal["train", "test"]
Numbers = tuple[int, int, int]
StepRow = tuple[int, str, int, int]
"""left, operator, right, result: "12 + 7 = 19"."""

INSTRUCTION = "Show each step as a calculation, then end with 'Answer: <number>'."
OPERATIONS: Mapping[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}

NAMES = (
    *("Ada", "Ali", "Amy", "Ana", "Anna", "Ben", "Bob", "Carl", "Cara", "Dan", "Dina", "Eli", "Ella", "Emma"),
    *("Eric", "Eva", "Finn", "Fred", "Gina", "Grace", "Hana", "Hugo", "Ian", "Ida", "Ivan", "Jack", "Jane"),
    *("Joe", "Juan", "Kate", "Ken", "Lena", "Leo", "Lily", "Lucy", "Luis", "Mary", "Max", "Mei", "Mia", "Nina"),
    *("Noah", "Omar", "Owen", "Paul", "Peter", "Rosa", "Sam", "Sara", "Tom", "Uma", "Vera", "Will", "Zoe"),
)
ITEMS = (
    *("apples", "balls", "beads", "books", "buttons", "cards", "coins", "cups", "eggs", "flags", "lemons"),
    *("marbles", "nuts", "pears", "pencils", "pens", "plates", "rings", "shells", "stamps", "stars", "stones"),
)
FOOD = ("apples", "cherries", "grapes", "lemons", "nuts", "oranges", "peaches", "pears", "plums", "tomatoes")

SUMS = (range(3, 21), range(3, 21), range(2, 10))
"""Ranges of a, b and c where steps only add and take away."""
PRODUCTS = (range(2, 7), range(2, 10), range(2, 10))
"""Ranges where a times b comes first."""
GROUPS = (range(2, 13), range(2, 13), range(2, 7))
"""Ranges where the first result, 2 to 9, is taken c times."""
PURSES = (range(2, 6), range(2, 7), range(20, 41))
"""Ranges where a times b is taken from c."""


class Template(NamedTuple):
    """One story. First step: a and b; second step: the first result and c."""

    id: str
    story: str
    operators: tuple[str, str]
    ranges: tuple[range, range, range]
    items: tuple[str, ...] = ITEMS
    c_first: bool = False
    """The second step is c with the first result, instead of the first result with c."""

    def steps(self, numbers: Numbers) -> tuple[StepRow, StepRow]:
        """The worked steps."""
        a, b, c = numbers
        first, second = self.operators
        carried = OPERATIONS[first](a, b)
        left, right = (c, carried) if self.c_first else (carried, c)
        return (a, first, b, carried), (left, second, right, OPERATIONS[second](left, right))

    def allows(self, numbers: Numbers) -> bool:
        """Whether every result is positive, and a first result that is multiplied is a single digit above 1."""
        (_, _, _, first), (_, _, _, second) = self.steps(numbers)
        return first >= 1 and second >= 1 and (self.operators[1] != "*" or 2 <= first <= 9)


TEMPLATES = (
    Template(
        "gets-gives",
        "{name} has {a} {item}, gets {b} more and gives {c} away. How many {item} does {name} have now?",
        ("+", "-"),
        SUMS,
    ),
    Template(
        "picks-eats",
        "{name} picks {a} {item} on Monday and {b} on Tuesday, then eats {c}. How many {item} are left?",
        ("+", "-"),
        SUMS,
        FOOD,
    ),
    Template(
        "loses-finds",
        "{name} has {a} {item}, loses {b} and later finds {c}. How many {item} does {name} have now?",
        ("-", "+"),
        SUMS,
    ),
    Template(
        "bus",
        "{name} drives a bus with {a} people. At a stop {b} get off and {c} get on. How many people are on the bus?",
        ("-", "+"),
        SUMS,
    ),
    Template(
        "colours",
        "{name} has {a} red, {b} blue and {c} green {item}. How many {item} does {name} have in all?",
        ("+", "+"),
        SUMS,
    ),
    Template(
        "pages",
        "{name} reads {a} pages on Monday, {b} on Tuesday and {c} on Sunday. How many pages does {name} read in all?",
        ("+", "+"),
        SUMS,
    ),
    Template(
        "gives-loses",
        "{name} has {a} {item}, gives {b} to a friend and loses {c}. How many {item} are left?",
        ("-", "-"),
        SUMS,
    ),
    Template(
        "sells-eats",
        "{name} bakes {a} cookies, sells {b} and eats {c}. How many cookies are left?",
        ("-", "-"),
        SUMS,
    ),
    Template(
        "mixed-bags",
        "A bag holds {a} red and {b} blue {item}. {name} buys {c} bags. How many {item} does {name} buy?",
        ("+", "*"),
        GROUPS,
    ),
    Template(
        "runs-daily",
        "{name} runs {a} miles every morning and {b} every evening. How many miles does {name} run in {c} days?",
        ("+", "*"),
        GROUPS,
    ),
    Template(
        "cheaper",
        "A toy costs {a} dollars, but today {b} dollars less. {name} buys {c} toys. How many dollars does {name} pay?",
        ("-", "*"),
        GROUPS,
    ),
    Template(
        "keeps-daily",
        "Each day {name} picks {a} {item} and gives {b} away. How many {item} does {name} keep in {c} days?",
        ("-", "*"),
        GROUPS,
        FOOD,
    ),
    Template(
        "boxes-more",
        "{name} buys {a} boxes of {b} {item} and then {c} more {item}. How many {item} does {name} buy in all?",
        ("*", "+"),
        PRODUCTS,
    ),
    Template(
        "rows-more",
        "{name} plants {a} rows of {b} {item} and {c} by the door. How many {item} does {name} plant in all?",
        ("*", "+"),
        PRODUCTS,
        ("bulbs", "bushes", "daisies", "flowers", "roses", "seeds", "trees", "tulips"),
    ),
    Template(
        "bags-lost",
        "{name} fills {a} bags with {b} {item} each, then loses {c} {item}. How many {item} are left?",
        ("*", "-"),
        PRODUCTS,
    ),
    Template(
        "works-spends",
        "{name} works {a} hours for {b} dollars an hour and spends {c} dollars. How many dollars are left?",
        ("*", "-"),
        PRODUCTS,
    ),
    Template(
        "tickets",
        "{name} has {c} dollars and buys {a} tickets for {b} dollars each. How many dollars are left?",
        ("*", "-"),
        PURSES,
        c_first=True,
    ),
)


class Options(Section):
    """The task has no keys: `n` and the seed say it all."""


class ArithmeticTask:
    """Two-step word problems with one user message, worked steps in `meta` and the final number as answer."""

    def rule(self, prompt: Prompt) -> GradingRule:
        """Numbers compare as mathematics; the prompt asks for a last line `Answer: <number>`."""
        return GradingRule(kind="math", answer_format="answer_line")

    def load(self, split: Split, n: int | None, seed: int) -> list[Prompt]:
        """The first `n` distinct problems of a split, templates evenly mixed; the same for the same seed.

        Raises:
            UserError: `n` is absent, or larger than the number of problems that exist.
        """
        exist = sum(len(pool) for pool in _pools(split))
        if n is None:
            raise UserError(f"task 'arithmetic' makes its problems and needs to know how many: set n (1 to {exist})")
        if n > exist:
            raise UserError(
                f"task 'arithmetic' has {exist} distinct {split} problems; got n = {n}, allowed: 1 to {exist}"
            )
        rng = random.Random(f"{seed}:{split}")
        return [
            _prompt(f"arithmetic/{split}-{index:04d}", template, numbers, rng)
            for index, (template, numbers) in enumerate(islice(_draw(split, rng), n))
        ]


def build(options: Options) -> ArithmeticTask:
    """Build the task."""
    return ArithmeticTask()


def split_of(template: Template, numbers: Numbers) -> Split:
    """The split a problem belongs to, for good: a quarter of all calculations is for testing."""
    calculations = " ".join(f"{left}{symbol}{right}" for left, symbol, right, _ in template.steps(numbers))
    digest = hashlib.sha256(calculations.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % 4 == 0 else "train"


@cache
def _pools(split: Split) -> tuple[tuple[Numbers, ...], ...]:
    """All problems of a split, one pool a template."""
    return tuple(
        tuple(
            numbers
            for numbers in product(*template.ranges)
            if template.allows(numbers) and split_of(template, numbers) == split
        )
        for template in TEMPLATES
    )


def _draw(split: Split, rng: random.Random) -> Iterator[tuple[Template, Numbers]]:
    """Every problem of a split once, in rounds: one of each template that still has any, in random order."""
    pools = {
        template: rng.sample(pool, len(pool)) for template, pool in zip(TEMPLATES, _pools(split), strict=True) if pool
    }
    while pools:
        for template in rng.sample(list(pools), len(pools)):
            yield template, pools[template].pop()
            if not pools[template]:
                del pools[template]


def _prompt(name: str, template: Template, numbers: Numbers, rng: random.Random) -> Prompt:
    a, b, c = numbers
    story = template.story.format(name=rng.choice(NAMES), item=rng.choice(template.items), a=a, b=b, c=c)
    steps = template.steps(numbers)
    answer = str(steps[-1][-1])
    lines = [f"{left} {symbol} {right} = {result}" for left, symbol, right, result in steps]
    return Prompt.create(
        name=name,
        messages=[{"role": "user", "content": f"{story}\n{INSTRUCTION}"}],
        answer=answer,
        solution="\n".join([*lines, f"Answer: {answer}"]),
        source="arithmetic",
        meta={"steps": [list(step) for step in steps], "template": template.id},
    )
