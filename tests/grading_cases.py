r"""Golds, predictions and the verdicts a person gives them, as `cgd grade` is asked: strict, flexible, kind, tolerance.

Written by hand; each group says what goes wrong where answers are compared without care.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    gold: str
    prediction: str | None
    strict: bool | None
    flexible: bool | None
    kind: str | None = None
    tolerance: float | None = None


YES, NO, LOOSE = (True, True), (False, False), (False, True)

NUMBERS = [
    Row("18", "Answer: 18", *YES),
    Row("18", r"\boxed{18}", *YES),
    Row("18", "18", *YES),
    Row("18", "18.", *YES),
    Row("18", "18.0", *YES),
    Row("18", "19", *NO),
    Row("18", "The answer is 18.", *LOOSE),
    Row("18", "She has 18 left.", *LOOSE),
    Row("18", "She has 81 left.", *NO),
    Row("18", "I do not know", *NO),
    Row("18", "", *NO),
    Row("18", None, None, None),
    Row("1250", "1,250", *YES),
    Row("1250", r"\boxed{1\,250}", *YES),
    Row("251", r"\boxed{1\,250}", *NO),
    Row("1250", "1\N{THIN SPACE}250", *YES),
    Row("1250", "1\N{NO-BREAK SPACE}250", *YES),
    Row("1,250", "1250.00", *YES),
    Row("1250000", "1.25 million", *YES),
    Row("1250000", "1.25 billion", *NO),
    Row("-3", "\N{MINUS SIGN}3", *YES),
    Row("3", "-3", *NO),
    Row("12", "\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}", *YES),
    Row("12", "\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT THREE}", *NO),
    Row("0.5", ".5", *YES),
    Row("0.5", "0.51", *NO),
    Row("7", "$7", *YES),
    Row("7", "\N{EURO SIGN}7.00", *YES),
    Row("45", "45\N{DEGREE SIGN}", *YES),
    Row(r"45^\circ", "45 degrees", *YES),
    Row("15", "15 cm", *YES),
    Row("15", r"\boxed{15\text{ cm}^2}", *YES),
    Row("15", "15x", *NO),
    Row("15", "15 or 16", *NO),
    Row("0", "-0", *YES),
]

PERCENT_AND_POWERS = [
    Row("12.5%", "12.5", *YES),
    Row("12.5", r"\boxed{12.5\%}", *YES),
    Row("0.125", "12.5%", *YES),
    Row("12.5%", "0.125", *YES),
    Row("12.5%", "1.25", *NO),
    Row("4.5e33", "4.5e33", *YES),
    Row("4.5e33", r"\boxed{4.5 \times 10^{33}}", *YES),
    Row("4.5e33", r"Answer: $4.5 \cdot 10^{33}$", *YES),
    Row("4.5e33", "4.5e32", *NO),
    Row("4.5e33", r"\boxed{45 \times 10^{32}}", *YES),
    Row("6.6e-34", "6.6 \N{MULTIPLICATION SIGN} 10^-34", *YES),
    Row("6.6e-34", "6.6e-33", *NO),
    Row("6.6e-34", "0", *NO),
    Row("2e-5", "0.00002", *YES),
    Row("1e6", "1000000", *YES),
    Row("1e6", "10^6", *YES),
    Row("1e6", "10^7", *NO),
]

FORMULAS = [
    Row("1/2", r"\frac{1}{2}", *YES),
    Row("1/2", "0.5", *YES),
    Row(r"\frac12", "1/2", *YES),
    Row(r"\dfrac{3}{4}", r"\boxed{\frac{3}{4}}", *YES),
    Row("1/3", "0.33", *NO),
    Row("2.5", "2 1/2", *YES),
    Row("2.5", "21/2", *NO),
    Row(r"\sqrt{8}", r"2\sqrt{2}", *YES),
    Row(r"\sqrt{8}", r"4\sqrt{2}", *NO),
    Row(r"2\pi", "2 pi", *YES),
    Row(r"2\pi", "2\N{GREEK SMALL LETTER PI}", *YES),
    Row(r"2\pi", "3.14", *NO),
    Row("(x+1)^2", "x^2 + 2x + 1", *YES),
    Row("(x+1)^2", "x^2 + 1", *NO),
    Row("5", "x = 5", *YES),
    Row("x=5", "5", *YES),
    Row("5", "x = 6", *NO),
    Row("(1, 2)", "(1,2)", *YES),
    Row("(1, 2)", "(2, 1)", *NO),
    Row(r"\{1, 2\}", r"\boxed{\{2, 1\}}", *YES),
    Row(r"\{1, 2\}", r"\boxed{\{1, 3\}}", *NO),
    Row("[0, 1)", r"\boxed{[0, 1)}", *YES),
    Row("[0, 1)", r"\boxed{(0, 1)}", *NO),
    Row(r"(-\infty, 3]", r"\boxed{(-\infty, 3]}", *YES),
    Row(r"\infty", "\N{INFINITY}", *YES),
    Row(r"\infty", r"-\infty", *NO),
    Row("3+4i", "4i + 3", *YES),
    Row("3+4i", "3-4i", *NO),
    Row(r"\binom{5}{2}", "10", *YES),
    Row("2^{10}", "1024", *YES),
    Row("2^{10}", "1023", *NO),
    Row(r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", *YES),
    Row(r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 2 \\ 1 \end{pmatrix}}", *NO),
]

BASES_AND_TIMES = [
    Row("2516_8", "2516_8", *YES),
    Row("2516_8", r"\boxed{2516_{8}}", *YES),
    Row("2516_8", r"\boxed{2516_9}", *NO),
    Row("2516_8", "2516", *YES),
    Row("1011_2", "1101_2", *NO),
    Row("6:30", "6:30", *YES),
    Row("6:30", "0.2", *NO),
    Row("6:30 PM", "6:30 p.m.", *YES),
    Row("6:30", "6:31", *NO),
    Row("1:2", "1:2", *YES),
]

BOXES = [
    Row("8", r"\framebox{8}", *YES),
    Row("8", r"\fbox{8}", *YES),
    Row("8", r"\boxed{7} no, \boxed{8}", *YES),
    Row("7", r"\boxed{7} no, \boxed{8}", *NO),
    Row("8", r"\boxed{\text{8 apples}}", *YES),
    Row("8", r"\boxed{\text{The answer is } 8}", *YES),
    Row("8", r"\boxed{8", *LOOSE),
    Row("8", r"\boxed{}", *NO),
    Row("8", "> \\boxed{8}\nThat is wrong.\n\\boxed{7}", *NO),
    Row("8", "The draft claims \\boxed{7}, which is wrong. The answer is 8.", *LOOSE),
    Row("7", "> Answer: 7\nThe draft is wrong.\nAnswer: 8", *NO),
    Row("8", "The student's answer is 7. The correct answer is 8.", *LOOSE),
    Row("7", "The student's answer is 7. The correct answer is 8.", *NO),
    Row("8", "The answer is not 7. It is 8", *LOOSE),
    Row("8", "#### 8", *LOOSE),
]

CHOICES = [
    Row("C", "C", *YES),
    Row("C", "(C)", *YES),
    Row("C", "(c)", *YES),
    Row("C", "Answer: C", *YES),
    Row("C", "Answer: (C) 12 apples", *YES),
    Row("C", r"\boxed{C}", *YES),
    Row("C", r"\boxed{\text{(C)}}", *YES),
    Row("(C)", "C.", *YES),
    Row("C", "The correct option is (C).", *LOOSE),
    Row("C", "The correct option is (D).", *NO),
    Row("C", "So the answer is C", *LOOSE),
    Row("C", "Answer: D", *NO),
    Row("A", "A dog barks.", *NO),
    Row("A", "Answer: A dog", *NO),
    Row("I", "I think so", *NO),
    Row("C", "Answer: C or D", *NO),
    Row("B", "Answer: A, B", *NO),
    Row("J", "Answer: J", *YES),
    Row("C", "Cat", *NO),
]

TRUTHS = [
    Row("True", "True", *YES),
    Row("True", "Answer: true.", *YES),
    Row("True", "Answer: Yes", *YES),
    Row("True", "Answer: False", *NO),
    Row("False", "Answer: No, it is odd", *YES),
    Row("yes", "The answer is yes, since 4 divides 8.", *LOOSE),
    Row("yes", "The answer is no.", *NO),
    Row("no", r"\boxed{\text{No}}", *YES),
    Row("no", "Nothing is known.", *NO),
    Row("yes", "Yesterday it rained.", *NO),
]

WORDS = [
    Row("Paris", "paris", *YES),
    Row("Paris", "Answer: **Paris**.", *YES),
    Row("Paris", r"\boxed{\text{Paris}}", *YES),
    Row("Paris", "The answer is Paris.", *LOOSE),
    Row("Paris", "Answer: London", *NO),
    Row("listen", "Answer: silent", *NO),
    Row("the red house", "Answer: The  Red House", *YES),
    Row("the red house", "Answer: red", *NO),
    Row("Monday", "It was a Tuesday", *NO),
]

LISTS = [
    Row("[1, 2, 3]", "[1,2,3]", *YES),
    Row("[1, 2, 3]", "Answer: [1, 2, 3]", *YES),
    Row("[1, 2, 3]", "Answer: [3, 2, 1]", *NO),
    Row("[1, 2, 3]", "Answer: [1, 2]", *NO),
    Row("[1, 2, 3]", "Answer: 1, 2, 3", *YES),
    Row("[1, 2, 3]", "Answer: [1.0, 2, 3.00]", *YES),
    Row("['a', 'b']", 'Answer: ["a", "b"]', *YES),
    Row("['a', 'b']", "Answer: ['a', 'c']", *NO),
    Row("['a', 'b']", "The answer is ['a', 'b'].", *LOOSE),
    Row("{1, 2, 3}", "Answer: {3, 1, 2}", *YES, "list"),
    Row("{1, 2, 3}", "Answer: {3, 1, 4}", *NO, "list"),
    Row("[[1, 2], [3, 4]]", "Answer: [[1,2],[3,4]]", *YES, "list"),
    Row("[[1, 2], [3, 4]]", "Answer: [[1,2],[4,3]]", *NO, "list"),
    Row("['a, b', 'c']", "Answer: ['a, b', 'c']", *YES),
]

TOLERANCES = [
    Row("4.5e33", r"\boxed{4.52 \times 10^{33} \text{ J}}", *YES, None, 0.01),
    Row("4.5e33", "Answer: 4.52e33 J", *YES, None, 0.01),
    Row("4.5e33", "Answer: 4.6e33", *NO, None, 0.01),
    Row("0.33", "Answer: 1/3", *YES, None, 0.02),
    Row("0.33", "Answer: 1/3", *NO, None, 0.001),
    Row("3.14", r"\boxed{\pi}", *YES, None, 0.01),
    Row("3.14", r"\boxed{2\pi}", *NO, None, 0.01),
    Row("-2", "Answer: 2", *NO, None, 0.01),
    Row("100", "about 101 or so", *LOOSE, None, 0.02),
    Row("0", "Answer: 0.001", *YES, None, 0.01),
    Row("0", "Answer: 0.1", *NO, None, 0.01),
    Row("x+1", "Answer: 1+x", *YES, None, 0.01),
    Row("x+1", "Answer: x+2", *NO, None, 0.01),
]

ROWS = [
    *(*NUMBERS, *PERCENT_AND_POWERS, *FORMULAS, *BASES_AND_TIMES, *BOXES, *CHOICES, *TRUTHS, *WORDS, *LISTS),
    *TOLERANCES,
]
