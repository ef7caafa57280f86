"""Conversations that chat templates are tried with, and what a tokenizer gives a template beside them."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.\nNow, not tomorrow.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name, like \"Zürich\""},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": ["integer", "null"], "description": "How many days <1 to 7>"},
                "spots": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
        "return": {"type": "string", "description": "a sentence"},
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}},
}

USER = {"role": "user", "content": "How are you?"}
ANSWER = {"role": "assistant", "content": "I am fine, thanks & you?"}
SYSTEM = {"role": "system", "content": "You are a \"helpful\" assistant.\n"}


def call(name, arguments, number):
    return {"type": "function", "id": f"call{number:05d}", "function": {"name": name, "arguments": arguments}}


CALL = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"city": "Zürich", "days": 2, "spots": ["a"]}, 1)]}
NULL_CALL = {**CALL, "content": None}
TEXT_CALL = {"role": "assistant", "content": "Let me see.", "tool_calls": [call("get_weather", '{"city": "Bern"}', 1)]}
TWO_CALLS = {
    "role": "assistant",
    "content": "",
    "tool_calls": [call("get_weather", {"city": "Bern", "unit": None, "exact": True, "x": 1.5}, 1), call("get_time", {}, 2)],
}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": '{"degrees": 21.5, "sky": "blue"}'}
SECOND_RESULT = {"role": "tool", "name": "get_time", "tool_call_id": "call00002", "content": "12:30"}
THINKING = {"role": "assistant", "content": "<think>\nIs it 4?\nYes.\n</think>\n\nIt is 4.", "reasoning_content": None}
REASONING = {"role": "assistant", "content": "It is 4.", "reasoning_content": "Is it 4? Yes.", "thinking": "Is it 4? Yes."}
PARTS = {"role": "user", "content": [{"type": "text", "text": " What is "}, {"type": "text", "text": "2 + 2? "}]}
IMAGE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
TOOLS = [WEATHER, CLOCK]

CHATS = {
    "single": {"messages": [USER]},
    "single, no prompt": {"messages": [USER], "add_generation_prompt": False},
    "separator": {"messages": [{"role": "user", "content": "x" + "#" * 40}], "enable_thinking": False},
    "spaces": {"messages": [{"role": "user", "content": " \n two  words\n\n"}]},
    "other letters": {"messages": [{"role": "user", "content": "Grüße, 世界 🙂 {{ x }} {% y %} <|im_end|> \\n"}]},
    "empty": {"messages": [{"role": "user", "content": ""}]},
    "system": {"messages": [SYSTEM, USER]},
    "system alone": {"messages": [SYSTEM]},
    "turns": {"messages": [USER, ANSWER, {"role": "user", "content": "Good."}]},
    "turns with a system message": {"messages": [SYSTEM, USER, ANSWER, {"role": "user", "content": "Good."}, ANSWER, USER]},
    "ends with the assistant": {"messages": [USER, ANSWER], "add_generation_prompt": False},
    "ends with the assistant, prompt": {"messages": [SYSTEM, USER, ANSWER]},
    "two users": {"messages": [USER, USER]},
    "begins with the assistant": {"messages": [ANSWER, USER]},
    "unknown role": {"messages": [USER, {"role": "narrator", "content": "Meanwhile"}]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
    "none": {"messages": []},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools and system": {"messages": [SYSTEM, USER], "tools": TOOLS},
    "call": {"messages": [USER, CALL], "tools": TOOLS, "add_generation_prompt": False},
    "call without content": {"messages": [USER, NULL_CALL, RESULT], "tools": TOOLS},
    "call and result": {"messages": [SYSTEM, USER, CALL, RESULT], "tools": TOOLS},
    "call as text": {"messages": [USER, TEXT_CALL, RESULT], "tools": TOOLS},
    "two calls": {"messages": [USER, TWO_CALLS, RESULT, SECOND_RESULT, ANSWER, USER], "tools": TOOLS},
    "one tool": {"messages": [USER, CALL, RESULT, ANSWER], "tools": [WEATHER], "add_generation_prompt": False},
    "thinking": {"messages": [USER, THINKING, USER]},
    "thinking last": {"messages": [USER, THINKING], "add_generation_prompt": False},
    "reasoning": {"messages": [USER, REASONING, USER], "enable_thinking": True},
    "reasoning and call": {"messages": [SYSTEM, USER, {**CALL, "reasoning_content": "Weather?"}, RESULT, REASONING], "tools": TOOLS},
    "no thinking": {"messages": [SYSTEM, USER], "enable_thinking": False, "thinking": False, "reasoning_effort": "low"},
    "parts": {"messages": [PARTS]},
    "parts of all": {
        "messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, PARTS,
                     {"role": "assistant", "content": [{"type": "text", "text": "4"}]}, PARTS],
    },
    "image": {"messages": [IMAGE]},
    "documents": {"messages": [USER], "documents": [{"title": "One", "text": "1"}, {"title": "Two", "text": "2\n"}]},
}  # fmt: skip

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def variables(name):
    """As transformers' apply_chat_template() calls render()."""
    return {"tools": None, "documents": None, "add_generation_prompt": True, **TOKENS, **CHATS[name]}
