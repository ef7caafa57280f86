"""What kvpress's own evaluation makes of a few made-up answers to its data sets: tests/data/tasks/scores.json.

python tools/references/task_scores.py --evaluation <kvpress's folder "evaluation"> --out tests/data
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

ANSWERS = [
    "Paris", " The answer is Paris.", "paris!", "", "   ", "42", "It was 42, or perhaps 43.", "a an the", "The cat sat. On the mat.",
    "the cat sat on the mat", "Paragraph 3", "It is paragraph 13 or 3", "return x + 1  # done\nreturn x + 2", "\n\nreturn y + 1",
    "location", "Answer: human being\nmore text", "The correct answer is (B).", "**The correct answer is B**", "\\boxed{42}",
    "so \\boxed{7} and \\boxed{42}", "boxed{4", "Ünïcödé CAFÉ — naïve", "“Quoted” text… and  more", "B", "I think C. No: D", "answer is: A",
    "{'<mask-0>': 'Ann', '<mask-1>': 'Bob Lee'}", "{\"<mask-0>\": \"Anna\", '<mask-1>': 'Lee', }", "{'<mask-0>': ", "12 7 9",
    "3.50", "key-7: value", "Option B is right", "foo is the one", "x. . y", "a b c d e f g. a b c d", "word " * 20,
    "int value_of_the_thing = compute(some_argument, another_argument) + offset;" * 3,
]
LONGBENCH = {
    "qasper": ["Paris", "the cat sat"], "hotpotqa": ["Ünïcödé café naïve"], "gov_report": ["The cat sat on the mat. It was 42. a b c d x."],
    "samsum": ["The answer is London. x. . y"], "trec": ["human being"], "lsht": ["location"], "passage_retrieval_en": ["Paragraph 3"],
    "passage_retrieval_zh": ["段落3"], "passage_count": ["42"], "triviaqa": ["Paris", "PARIS, France"], "lcc": ["return x + 2"],
    "repobench-p": ["int value_of_the_thing = compute(some_argument, other_argument) - offset;" * 3], "multi_news": ["word text. a b c"],
}
CLASSES = ["human being", "being", "location", "ocation", "human", "Answer"]
INFINITE = {
    "kv_retrieval": ["key-7"], "passkey": ["42"], "number_string": ["12"], "code_run": 42, "code_debug": ["foo", "B"],
    "longdialogue_qa_eng": ["PARIS", "Ann"], "longbook_qa_eng": ["the cat sat on the mat", "Paris"],
    "longbook_choice_eng": ["C", "D"], "longbook_qa_chn": ["Paris 42，猫"], "math_find": 42, "math_calc": [12, 7, 8],
}
CHINESE = ["巴黎，猫坐在垫子上。42", "段落3和段落4"]
CLOZE = "{'<mask-0>': 'Ann', '<mask-1>': 'Lee Bob', '<mask-2>': \"O'Hara\"}"


def metrics(evaluation: str, rows: list[dict[str, Any]], function: str = "calculate_metrics") -> Any:
    module = importlib.import_module(f"benchmarks.{evaluation}.calculate_metrics")
    result = getattr(module, function)(pd.DataFrame(rows))
    return json.loads(json.dumps(result, default=float))


def cases() -> list[dict[str, Any]]:
    """scorer, rows and, where kvpress's own evaluation gives one, the metrics."""
    made: list[tuple[str, str, str, list[dict[str, Any]]]] = []
    ruler = [{"task": task, "answer": answer, "predicted_answer": text} for text in ANSWERS
             for task, answer in (("niah_single_1", ["42"]), ("vt", ["Paris", "CAFÉ", "42"]), ("qa_1", ["paris", "mat"]))]
    made.append(("ruler", "ruler", "calculate_metrics", ruler))
    for task, answers in LONGBENCH.items():
        classes = CLASSES if task in ("trec", "lsht") else []
        for text in ANSWERS + CHINESE:  # one by one: a mean hides differences
            row = {"task": task, "answers": answers, "all_classes": classes, "predicted_answer": text}
            made.append(("longbench", "longbench", "calculate_metrics", [row]))
        rows = [{"task": task + "-e", "answers": answers, "all_classes": classes, "predicted_answer": "\n" + text, "length": (1000, 5000, 9000)[i % 3]}
                for i, text in enumerate(ANSWERS)]
        made.append(("longbench-e", "longbench", "calculate_metrics_e", rows))
    v2 = [{"task": "v2", "answer": "B", "predicted_answer": text, "difficulty": ("easy", "hard")[i % 2],
           "length": ("short", "medium", "long")[i % 3]} for i, text in enumerate(ANSWERS)]
    made.append(("longbench-v2", "longbenchv2", "calculate_metrics", v2))
    for task, answer in INFINITE.items():
        for text in ANSWERS + CHINESE:
            if task == "math_find" and "3.50" in text:
                continue  # kvpress stops with an error there
            made.append(("infinitebench", "infinite_bench", "calculate_metrics", [{"task": task, "answer": answer, "predicted_answer": text}]))
    made.append(("infinitebench", "infinite_bench", "calculate_metrics", [{"task": "math_find", "answer": 3.5, "predicted_answer": "3.50"}]))
    for name in ("math500", "aime25"):
        made.append((name, name, "calculate_metrics", [{"task": name, "answer": "42", "predicted_answer": text} for text in ANSWERS]))
    needle = "The cat sat on the mat. The best thing is to read a b c d. x"
    words = [text for text in ANSWERS if any(part for part in text.strip().split("."))]
    made.append(("needle_in_haystack", "needle_in_haystack", "calculate_metrics",
                 [{"task": "needle", "needle": needle, "predicted_answer": text} for text in words]))
    loogle = [{"task": "shortdep_qa", "answer": "The cat sat on the mat. It was Paris, 42 a b c d e.", "predicted_answer": text} for text in ANSWERS]
    cloze = [{"task": "shortdep_cloze", "answer": CLOZE, "predicted_answer": text} for text in ANSWERS + [CLOZE]]
    made.append(("loogle", "loogle", "calculate_metrics", loogle + cloze))
    result = []
    for scorer, module, function, rows in made:
        expected = metrics(module, [dict(row) for row in rows], function)
        if scorer == "loogle":  # METEOR and BERTScore are not formulas
            for scores in expected.values():
                scores.pop("meteor", None)
                scores.pop("bert", None)
        result.append({"scorer": scorer, "rows": rows, "metrics": expected})
    return result


def without_models() -> None:
    """LooGLE's module imports BERTScore and downloads WordNet; neither is compared."""
    class Zero:
        def mean(self) -> "Zero":
            return self

        def item(self) -> float:
            return 0.0

    fake = types.ModuleType("bert_score")
    fake.score = lambda *_, **__: (Zero(), Zero(), Zero())  # type: ignore[attr-defined]
    sys.modules["bert_score"] = fake
    import nltk
    import nltk.translate.meteor_score as meteor

    nltk.download = lambda *_, **__: True
    meteor.single_meteor_score = lambda *_, **__: 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    sys.path.insert(0, str(arguments.evaluation))
    without_models()
    folder = arguments.out / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []  # each answer once; rows name it by its place
    lines = []
    for case in cases():
        for row in case["rows"]:
            text = row["predicted_answer"]
            if text not in texts:
                texts.append(text)
            row["predicted_answer"] = texts.index(text)
        lines.append(json.dumps(case, ensure_ascii=False))
    all_texts = json.dumps(texts, ensure_ascii=False)
    joined = ",\n".join(lines)
    (folder / "scores.json").write_text(f'{{"predicted": {all_texts},\n"cases": [\n{joined}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
