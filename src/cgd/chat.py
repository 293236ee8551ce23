"""Messages → token ids, the same for inference and training; no text can become a special token.

Prompts, drafts and critiques are untrusted: `<|im_end|>` inside one is text, never an end of turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgd.errors import UserError
from cgd.extras import require_packages
from cgd.records import Message

# Private-use characters stand for special-token strings while the template is rendered.
_STAND_INS = range(0xE000, 0xF8FF)
_PROBE = "cgdprobe"


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder.

    Raises:
        UserError: it can't be loaded, it has no chat template, or transformers is not installed.
    """
    require_packages("train", "reading a model's tokenizer", "transformers")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"can't load a tokenizer from {folder}: {error}") from error
    if not tokenizer.chat_template:
        raise UserError(f"the tokenizer in {folder} has no chat template; use an instruct model, or add one to it")
    return tokenizer


def encode_chat(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a chat up to where the assistant's answer begins.

    For messages without special-token strings this equals the tokenizer's own `apply_chat_template`.

    Raises:
        UserError: the template refuses the messages (a role it does not know, say).
    """
    stand_ins = _stand_ins(tokenizer, [message["content"] for message in messages])
    masked: list[Message] = [
        {"role": message["role"], "content": _mask(message["content"], stand_ins)} for message in messages
    ]
    return _encode_masked(tokenizer, _render(tokenizer, masked), stand_ins)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of plain text, none of them special."""
    return _plain_encode(tokenizer, text, split=True)


def first_token(tokenizer: Any, text: str) -> str:
    """The first token of a text, as text; empty where it has none."""
    beginning = text[:100]  # no token is as long
    return str(tokenizer.decode(encode_text(tokenizer, beginning)[:1]))


def end_of_turn(tokenizer: Any) -> int:
    """The token with which the chat template closes the assistant's turn.

    Raises:
        UserError: the template closes the turn with no token of its own, so a model could never learn to stop.
    """
    chat: list[Message] = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    rendered = _render(tokenizer, chat, add_generation_prompt=False)
    after = rendered[rendered.rindex(_PROBE) + len(_PROBE) :]
    for token in _plain_encode(tokenizer, after):
        if token in tokenizer.added_tokens_decoder:
            return int(token)
        if tokenizer.decode([token]).strip():
            break
    raise UserError(f"the chat template ends the assistant's turn with {after!r}, which holds no end-of-turn token")


def generation_prompt(tokenizer: Any) -> str:
    """What the template writes between the last message and the assistant's answer."""
    chat: list[Message] = [{"role": "user", "content": _PROBE}]
    rendered = _render(tokenizer, chat)
    return rendered[rendered.rindex(_PROBE) + len(_PROBE) :]


def _render(tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
    try:
        rendered: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # templates raise what they like
        roles = [message["role"] for message in messages]
        raise UserError(f"the model's chat template refuses messages with roles {roles}: {error}") from error
    return rendered


def _special_strings(tokenizer: Any) -> list[str]:
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(special | set(tokenizer.all_special_tokens), key=len, reverse=True)


def _stand_ins(tokenizer: Any, texts: Sequence[str]) -> dict[str, str]:
    """A free private-use character for every special-token string that occurs in the texts, longest first."""
    whole = "\0".join(texts)
    found = [token for token in _special_strings(tokenizer) if token in whole]
    free = (chr(code) for code in _STAND_INS if chr(code) not in whole)
    return dict(zip(found, free, strict=False))


def _mask(text: str, stand_ins: dict[str, str]) -> str:
    for token, stand_in in stand_ins.items():
        text = text.replace(token, stand_in)
    return text


def _encode_masked(tokenizer: Any, text: str, stand_ins: dict[str, str]) -> list[int]:
    """Encode the rendered chat as usual, but a stretch with stand-ins, between two special tokens, as plain text.

    A stretch is encoded whole: some tokenizers put a space before the first word of whatever they encode.
    """
    if not stand_ins:
        return _plain_encode(tokenizer, text)
    ids: list[int] = []
    usual = ""
    for stretch in re.split("(" + "|".join(map(re.escape, _special_strings(tokenizer))) + ")", text):
        plain = stretch
        for token, stand_in in stand_ins.items():
            plain = plain.replace(stand_in, token)
        if plain == stretch:
            usual += stretch
        else:
            ids += _plain_encode(tokenizer, usual) + _plain_encode(tokenizer, plain, split=True)
            usual = ""
    return ids + _plain_encode(tokenizer, usual)


def _plain_encode(tokenizer: Any, text: str, split: bool = False) -> list[int]:
    if not text:
        return []
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=split)["input_ids"]
    return ids
