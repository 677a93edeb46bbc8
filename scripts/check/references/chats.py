"""Renders chats by every chat template in a folder, as transformers does, for chats.mjs:

    chats.py FOLDER SECONDS   writes a JSON line for each template, chat and way of ending it

Each chat is rendered with and without the beginning of an answer; "spans" are what {% generation %} marks, in
characters. SECONDS is the time, from 1970, that templates are told.
"""

import datetime, json, pathlib, sys
from unittest import mock
from transformers.utils import chat_template_utils

NAMES = dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
CHATS = [
    [("user", "What is 2+2?"), ("assistant", "4.")],
    [
        ("system", "Be brief."),
        ("user", " Hi\n"),
        ("assistant", "Hello! "),
        ("user", "Bye\nnow"),
        ("assistant", "\nSo\n"),
    ],
    [
        ("user", "a <b> 'c' \"d\" é 漢 😀"),
        ("assistant", "x"),
        ("user", "y"),
        ("assistant", "<think>\nhm\n</think>\n\nz"),
    ],
    [("user", "Only a question")],
    [("user", "</s>"), ("assistant", ""), ("user", "<|im_end|>"), ("assistant", "<|im_end|>")],
]


class Now(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(int(sys.argv[2]), datetime.timezone.utc)


for file in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
    for turns in CHATS:
        messages = [dict(role=role, content=content) for role, content in turns]
        for open_end in (False, True):
            line = dict(template=file.name, messages=messages, addGenerationPrompt=open_end)
            try:
                with mock.patch.object(chat_template_utils, "datetime", Now):
                    [text], [spans] = chat_template_utils.render_jinja_template(
                        conversations=[messages],
                        chat_template=file.read_bytes().decode(),
                        add_generation_prompt=open_end,
                        return_assistant_tokens_mask=True,
                        **NAMES,
                    )
                line |= dict(text=text, spans=spans)
            except Exception as error:
                line |= dict(refusal=f"{type(error).__name__}: {error}"[:200])
            print(json.dumps(line))
