"""Small models made in the test: tokenizers with chat templates of five families, a random-weight Llama, its recipe.

The templates are written for these tests; each has what is peculiar to its family:

chatml   ChatML, a system prompt of its own where the chat has none
llama3   header tokens, text trimmed, turns end with another token than the tokenizer's end of sequence
gemma    no system role, the assistant is called "model", SentencePiece-like without a leading space
think    the answer opens with a think block, think blocks of earlier turns are cut
mistral  instruction tokens, the system prompt inside the first turn, SentencePiece-like with a leading space
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

CHATML = """\
{%- if messages[0]['role'] != 'system' -%}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""

LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + (message['content'] | trim) + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"""

GEMMA = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{{ raise_exception('there is no system role') }}{%- endif -%}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
{{ '<start_of_turn>' + role + '\n' + (message['content'] | trim) + '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""

THINK = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1].lstrip('\n') + eos_token }}
{%- elif message['role'] == 'user' -%}{{ '<｜User｜>' + message['content'] }}
{%- else -%}{{ message['content'] }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\n' }}{%- endif -%}"""

MISTRAL = """\
{{- bos_token -}}
{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages -%}
{%- for message in turns -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('user and assistant must take turns') }}
{%- endif -%}
{%- if message['role'] == 'user' -%}
{{ '[INST] ' + (messages[0]['content'] + '\n\n' if loop.first and turns != messages else '') + message['content'] }}
{{- '[/INST]' -}}
{%- else -%}{{ ' ' + message['content'] + eos_token }}
{%- endif -%}
{%- endfor -%}"""


class Family(NamedTuple):
    """One way of writing a chat as tokens."""

    template: str
    special: tuple[str, ...]
    end_of_turn: str
    generation_prompt: str
    bos: str | None = None
    eos: str | None = None
    """End of sequence; the end of turn where absent."""
    words: tuple[str, ...] = ()
    """Added tokens that are not special."""
    sentencepiece: bool = False
    """Spaces are ▁, so that a ▁ of the text comes back as a space."""
    leading_space: bool = False
    """Encoding adds a space in front, decoding takes one away."""
    system: bool = True
    """The template knows the role "system"."""


FAMILIES = {
    "chatml": Family(CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\n"),
    "llama3": Family(
        LLAMA3,
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
    ),
    "gemma": Family(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        "<end_of_turn>\n<start_of_turn>model\n",
        bos="<bos>",
        eos="<eos>",
        sentencepiece=True,
        system=False,
    ),
    "think": Family(
        THINK,
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        "<｜end▁of▁sentence｜>",
        "<｜Assistant｜><think>\n",
        bos="<｜begin▁of▁sentence｜>",
        words=("<think>", "</think>"),
    ),
    "mistral": Family(
        MISTRAL,
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "</s>",
        "[/INST]",
        bos="<s>",
        sentencepiece=True,
        leading_space=True,
    ),
}
SPECIAL_STRINGS = tuple(token for family in FAMILIES.values() for token in family.special)

# What the shipped recipes talk about, so that their rows are short for this vocabulary too.
_CORPUS = (
    "Ana has 12 red apples, gets 7 more and gives 5 away. How many apples does Ana have now? How many are left?",
    "Show each step as a calculation, then end with 'Answer: <number>'. Write the corrected answer.",
    "12 + 7 = 19\n19 - 5 = 14\n4 * 6 = 24\nAnswer: 14\nThe first step is wrong. The answer is not right.",
    "user assistant system model An earlier answer: A comment on it: You help.",
)


def _named(family: Family) -> dict[str, str]:
    """Tokens by their role, as model and tokenizer configurations know them."""
    eos = family.eos or family.end_of_turn
    named = {"bos": family.bos, "eos": eos, "pad": eos, "unk": "<unk>" if family.sentencepiece else None}
    return {role: token for role, token in named.items() if token}


@cache
def _engine(name: str) -> Any:
    """The bare tokenizer of a family; its added tokens come first."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    family = FAMILIES[name]
    added = ["<unk>", *family.special] if family.sentencepiece else list(family.special)
    if not family.sentencepiece:
        engine = Tokenizer(models.BPE())
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = decoders.ByteLevel()
        alphabet, byte_tokens = pre_tokenizers.ByteLevel.alphabet(), []
    else:
        engine = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        plain = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        if family.leading_space:
            engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
            plain.append(decoders.Strip(" ", 1, 0))
        else:
            engine.normalizer = normalizers.Replace(" ", "▁")
        engine.decoder = decoders.Sequence(plain)
        alphabet, byte_tokens = ["▁"], [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=len(added) + len(byte_tokens) + 400,
        initial_alphabet=alphabet,
        special_tokens=added + byte_tokens,
        show_progress=False,
    )
    engine.train_from_iterator(_CORPUS, trainer)
    written = json.loads(engine.to_str())  # byte tokens belong to the vocabulary, but text can't name them
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] in added]
    engine = Tokenizer.from_str(json.dumps(written))
    engine.add_tokens([AddedToken(word, special=False, normalized=False) for word in family.words])
    return engine


def save_tokenizer(name: str, folder: Path, *, template: str | None = None) -> Path:
    """Write a family's tokenizer; `template` takes the place of its chat template, "" leaves it without one."""
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[name]
    named = _named(family)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_engine(name),
        additional_special_tokens=[token for token in family.special if token not in named.values()],
        **{f"{role}_token": token for role, token in named.items()},
    )
    tokenizer.chat_template = (family.template if template is None else template) or None
    tokenizer.save_pretrained(folder)
    return folder


def save_student(folder: Path, name: str = "chatml", *, seed: int = 0, context: int = 1024) -> Path:
    """Write a complete model folder: a random-weight Llama of two layers, and a family's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tokenizer(name, folder)
    ids = _engine(name).get_vocab()
    config = LlamaConfig(
        vocab_size=_engine(name).get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,
        tie_word_embeddings=True,
        **{f"{role}_token_id": ids[token] for role, token in _named(FAMILIES[name]).items() if role != "unk"},
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


TINY: dict[str, Any] = {
    "data": {"task": "arithmetic", "n": 8},
    "student": {"options": {"batch_size": 1}},
    "teacher": {"backend": "tutor"},
    "draft": {"max_tokens": 8},
    "arms": [{"name": "cgd", "objective": "cgd"}, {"name": "sft", "objective": "sft"}],
    "training": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3},
    "evaluation": {"max_tokens": 8, "tasks": [{"task": "arithmetic", "n": 6}]},
}
"""A recipe that goes through in seconds: 8 prompts, two arms, 6 test prompts."""


def save_recipe(path: Path, model: Path, /, **sections: Any) -> Path:
    """Write the tiny recipe for a student's folder; what is given takes the place of its own, section by key."""
    recipe = TINY | {"student": TINY["student"] | {"model": str(model)}}
    for name, section in sections.items():
        both = isinstance(section, dict) and name in recipe
        recipe[name] = recipe[name] | section if both else section
    path.write_text("".join(f"{name} = {_toml(section)}\n" for name, section in recipe.items()))
    return path


def _toml(value: Any) -> str:
    """TOML in one line; texts, numbers and truth values are written as in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
