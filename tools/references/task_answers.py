"""Answers of kvpress's own pipeline on SmolLM2-135M-Instruct (GGUF, dequantized to float32): tests/data/tasks/answers.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kvpress
from gguf import GGUFReader
from transformers import PreTrainedTokenizerFast

from common import save_json
from smollm2 import load, tokenizer_of

NEW_TOKENS = 24
FACTS = (
    "The harbour of Ostrava has three piers. The first was built in 1871 by Anna Kessler, who also paid for the lighthouse. "
    "The second was added in 1904, when steamers from the north began to call twice a week. The third, made of concrete, "
    "dates from 1962 and is used by the fishing fleet. On market days the captains sell herring, cod and crabs straight "
    "from the deck. The secret number of the brave-lantern is 48213. A small train, painted green, takes visitors from the "
    "station to the piers in eleven minutes; it does not run in winter. The museum beside the lighthouse shows maps, "
    "ropes, and the brass clock that Kessler bought in Lisbon. Its oldest piece is a compass of 1790. Children may ring "
    "the bell of the old pilot boat at noon. "
)
QUESTIONS = [
    "What is the secret number of the brave-lantern?\n",
    "Who built the first pier?\n",
    "What colour is the train?\n",
]
PRESSES = {
    "no_press": (None, 0.0),
    "streaming_llm": (kvpress.StreamingLLMPress, 0.5),
    "knorm": (kvpress.KnormPress, 0.25),
    "snapkv": (lambda compression_ratio: kvpress.SnapKVPress(compression_ratio, window_size=32), 0.5),
    "tova": (kvpress.TOVAPress, 0.5),
    "keydiff": (kvpress.KeyDiffPress, 0.3),
}


def main(out: Path, gguf: Path) -> None:
    fields = GGUFReader(gguf).fields
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_of(gguf), chat_template=fields["tokenizer.chat_template"].contents(),
        eos_token="<|im_end|>", bos_token="<|im_start|>",
    )
    model = load(gguf, "sdpa")
    pipeline = kvpress.KVPressTextGenerationPipeline(model=model, tokenizer=tokenizer)
    context = FACTS * 2
    answers: dict[str, Any] = {}
    for name, (make, ratio) in PRESSES.items():
        press = None if make is None else make(compression_ratio=ratio)
        said = pipeline(context, questions=QUESTIONS, press=press, max_new_tokens=NEW_TOKENS)["answers"]
        prefixed = pipeline(
            context, question=QUESTIONS[1], answer_prefix="The first pier was built by", press=press, max_new_tokens=NEW_TOKENS,
        )["answer"]
        answers[name] = {"ratio": ratio, "answers": said, "with_prefix": prefixed}
    save_json(
        out / "tasks" / "answers.json",
        {"context": context, "questions": QUESTIONS, "answer_prefix": "The first pier was built by",
         "max_new_tokens": NEW_TOKENS, "runs": answers},
    )
