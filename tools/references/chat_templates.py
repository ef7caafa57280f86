#!/usr/bin/env python3
"""Makes tests/data/chat/references.json: what jinja2, set up as transformers does it, makes of chat templates.

    python tools/references/chat_templates.py                        # tests/data/chat
    python tools/references/chat_templates.py --folder DIR --out FILE  # the conversations with the templates of a folder

Packages: jinja2==3.1.6. `tokenizer.JinjaReferences` compares the file of the second form, if KVPRESS_CHAT_TEMPLATES names it.
"""

import argparse
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

import chat_conversations
import chat_template_cases

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests/data/chat"
NOW = datetime.datetime(2025, 3, 9, 14, 5, 7)


class Generation(jinja2.ext.Extension):
    """{% generation %}: transformers notes where the model's text is; here it passes its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    def _pass(self, caller):
        return caller()


def environment():
    """As transformers.utils.chat_template_utils._compile_jinja_template()."""

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    result = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = NOW.strftime
    return result


def outcome(template, variables):
    try:
        return {"text": environment().from_string(template).render(**variables)}
    except Exception as error:  # whatever it is, the template cannot be rendered
        return {"error": str(error)}


def families(folder):
    result = []
    for path in sorted(folder.rglob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        chats = {name: outcome(template, chat_conversations.variables(name)) for name in chat_conversations.CHATS}
        result.append({"name": path.stem, "template": template, "outcomes": chats})
    return result


def write(path, folder=None):
    document = {
        "chats": {name: chat_conversations.variables(name) for name in chat_conversations.CHATS},
        "families": families(folder or DATA / "families"),
    }
    if not folder:
        variables = chat_template_cases.VARIABLES
        document["variables"] = variables
        document["cases"] = [{"template": it, **outcome(it, variables)} for it in chat_template_cases.CASES]
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    rendered = sum("text" in it for family in document["families"] for it in family["outcomes"].values())
    print(f"{len(document['families'])} templates, {rendered} texts; {len(document.get('cases', []))} cases")


def make(out):
    """As the other makers: `out` is the folder of the test data."""
    write(out / "chat" / "references.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="its *.jinja instead of those in tests/data/chat/families")
    parser.add_argument("--out", type=pathlib.Path, default=DATA / "references.json")
    arguments = parser.parse_args()
    write(arguments.out, arguments.folder)


if __name__ == "__main__":
    main()
