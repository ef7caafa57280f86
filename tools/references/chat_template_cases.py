"""Small templates that cover the language: each construct, filter, test, method and error of chat templates."""

VARIABLES = {
    "none": None,
    "yes": True,
    "no": False,
    "one": 1,
    "n": 7,
    "minus": -7,
    "x": 2.5,
    "large": 1e16,
    "tiny": 1.5e-7,
    "s": "Hello, World",
    "empty": "",
    "padded": " \t two  words\u00a0\n",
    "letters": "äÖß世界🙂é",
    "lines": "one\ntwo\r\nthree\n\nfive",
    "quotes": "it's \"so\" \\ <b>&amp;</b>\u0007\u200b",
    "list": [3, 1, 2],
    "words": ["banana", "Apple", "cherry", "apple"],
    "mixed": [1, "a", None, True, 2.0, [1, [2]], {"k": "v"}],
    "nothing": [],
    "d": {"b": 1, "a": "x", "C": [1, 2]},
    "items_in": {"items": "own", "keys": 5, "get": 1},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi", "n": 3},
        {"role": "assistant", "content": "Hello", "n": 1, "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
        {"role": "user", "content": "Bye", "n": 2},
    ],
    "deep": {"a": {"b": [{"c": "found"}]}},
    "json": {"z": [1, 2.0, -0.0, 1e100, True, None], "a": {"é": "ü\n\"\\\t\u0001\u007f", "e": {}, "l": []}, "10": "</script>&'"},
    "pairs": [["k", 1], ["l", 2]],
}


def printed(*expressions):
    """One template for each expression."""
    return ["{{ " + it + " }}" for it in expressions]


DATA = [
    "", "text", "text\n", "text\n\n", "\n", "a\r\nb\rc\n\r\n", "{", "}", "{ { } }", "}}", "%}", "#}", "a{b}c", "{# comment #}", "a{# b #}c",
    "a {#- b -#} c", "{# a\nb #}\nc", "x\n  {# y #}\nz", "x\n  {#+ y +#}\nz", "{{ '{{' }}{{ '}}' }}", "{{ '%}' }}{% if '%}' %}y{% endif %}",
    "{% raw %}{{ a }}{% if %}{# x #}{% endraw %}b", "{%- raw -%}  {{ a }} {%- endraw -%}  b", "  {% raw %}\n x\n  {% endraw %}\ny",
    "{% raw %}a{% endraw %}\n\nb", "{%+ raw +%}a{% endraw %}", "{% raw %}x{%+ endraw +%}\ny", "é{{ letters }}世",
]  # fmt: skip

SPACE = [
    "{% if yes %}\nx\n{% endif %}\ny", "  {% if yes %}\n  x\n  {% endif %}\n  y", "a  {% if yes %}  x  {% endif %}  b",
    "a\n\n  {%- if yes %}\n\n x\n\n {%- endif %}\n b", "a\n  {%- if yes -%}\n  x\n  {%- endif -%}\n  b", "a \n {%+ if yes %}x{%+ endif +%}\n b",
    "  {{ n }}  \n  {{- n }}  {{ n -}}  \n {{- n -}} .", "{{ n }}\n", "{{ n }}\n\n", "{% set a = 1 %}\n{% set b = 2 %}\n\n{{ a + b }}",
    "\t {% for i in list %}\n\t {{ i }}\n\t {% endfor %}\n", "{% for i in list -%}\n {{ i }}\n{%- endfor %}", "x\u00a0{%- if yes %}y{% endif -%}\u2003z",
    "{#- a -#} \n b {#- c #}\n d", "{% if yes %}\n\n\nx{% endif %}", "a{% if yes -%}\n\n\nx{%- endif %}\n\nb", "{% if yes +%}\nx\n{% endif +%}\ny",
    "{{ n }}  {% if yes %}  \n  {% endif %}  {{ n }}", "{% set x %}\n  a\n  {% endset %}[{{ x }}]", "\n\n{% if yes %}x{% endif %}", "   {% if yes %}x{% endif %}",
    "{{-n-}}", "{{ +n }}", "{%-if yes-%}x{%-endif-%}", "{%if yes%}x{%endif%}", "x {% if yes %}\r\ny\r\n{% endif %}\r\nz\r\n",
]  # fmt: skip

VALUES = printed(
    "none", "None", "true", "True", "false", "n", "minus", "x", "large", "tiny", "1.0", "1e3", "1E-5", "123456789012345678", "0.1 + 0.2", "1e15",
    "1e16", "1.5e300", "-0.0", "1_000", "0x1F", "0o17", "0b101", "1_0.5", "00", "s", "letters", "list", "words", "mixed", "nothing", "d", "deep",
    "json", "quotes", "[quotes]", "[\"it's\"]", "['\"']", "['both \\'\"']", "(1,)", "(1, 2)", "()", "[]", "{}", "{1: 2, 'a': none}",
    "{'a': 1, 'a': 2}", "{true: 1, 1: 2, 1.0: 3}", "[none, true, undefined_name]", "'a' 'b' \"c\"", "'\\n\\t\\\\\\'\\x41\\u00e9\\101\\q'", "\"\\U0001f642\"",
    "'a\\\nb'", "missing", "1, 2", "[1, 2,]", "{'a': 1,}", "(1)", "[padded]", "['\\u200b\\x7f\\xad\\ud7ff\\U000e0001']", "-n", "+n", "- -n", "-x",
    "'%s' % s", "namespace(a=1, b='x')", "namespace()", "range(3)", "range(1, 10, 3)", "range(5, 0, -2)", "[range(2)]", "d.items()", "d.keys()",
    "d.values()", "'' is string",
)  # fmt: skip

ARITHMETIC = printed(
    "1 + 2", "1 - 2", "2 * 3", "7 / 2", "6 / 2", "7 // 2", "-7 // 2", "7 // -2", "7 % 3", "-7 % 3", "7 % -3", "-7.5 % 2", "7.5 // 2", "-7.5 // 2",
    "2 ** 10", "2 ** -1", "2 ** 0.5", "-2 ** 2", "2 ** 3 ** 2", "(-1) ** 3", "0 ** 0", "1 + 2 * 3 - 4", "(1 + 2) * 3", "true + true", "true * 3", "n + x",
    "1 / 0", "1 // 0", "1 % 0", "1.0 / 0", "0 ** -1", "'a' + 'b'", "'a' + 1", "1 + 'a'", "'a' * 3", "3 * 'ab'", "'a' * -1", "[1] * 2", "2 * (1,)", "[1] + [2]",
    "(1,) + (2,)", "[1] + (2,)", "none + 1", "missing + 1", "1 + missing", "-missing", "-'a'", "'a' - 'b'", "[1] * 1.0", "s ~ n ~ x ~ none ~ list ~ missing",
    "1 ~ 2", "'a' ~ 'b' + 'c'", "1 + 2 ~ 3 + 4", "9007199254740993 / 1", "5 % 2.5", "1e308 * 10", "-(1e308 * 10)", "(1e308 * 10) - (1e308 * 10)",
    "7 - 2 - 1", "100 // 7 // 2", "8 / 4 / 2", "x // 1", "1 if x > 2 else 0", "large // 3", "10 ** 18", "4 ** 0.5 * 2",
)  # fmt: skip

COMPARISONS = printed(
    "1 == 1.0", "1 == true", "'1' == 1", "none == none", "none == false", "missing == missing", "missing == none", "[1, 2] == [1, 2.0]", "[1] == (1,)",
    "{'a': 1} == {'a': 1.0}", "d == d", "1 != 2", "1 < 2", "2 <= 2", "3 > 2", "3 >= 4", "'a' < 'b'", "'Z' < 'a'", "'ä' > 'z'", "[1, 2] < [1, 3]", "[1] < [1, 0]",
    "(1, 'a') < (1, 'b')", "1 < 2 < 3", "1 < 3 < 2", "3 > 2 > 1 == 1", "1 < 'a'", "none < 1", "missing < 1", "[1] < ['a']", "d < d", "1 in list", "9 in list",
    "1 not in list", "not 1 in list", "'ell' in s", "'' in s", "1 in s", "'a' in d", "'z' in d", "[1] in d", "1 in none", "1 in missing", "1 in 5", "none in mixed",
    "1.0 in list", "'k' in mixed[6]", "2 in range(5)", "('b', 1) in d.items()", "1 in d.values()", "not true", "not ''", "not missing", "not not 1", "1 and 2",
    "0 and 2", "1 or 2", "0 or ''", "none or 'x'", "missing or 'x'", "missing and 1", "yes and no or n", "no and 1 / 0", "yes or 1 / 0", "1 if yes", "1 if no",
    "1 if yes else 2", "1 if no else 2", "1 if no else 2 if no else 3", "(1 if no) is defined", "1 == 1 in [true]", "x > 2 and x < 3", "true == 1 == 1.0", "'a' if 'a' in d else 'b'",
    "not yes == no", "1 if [] else 2", "1 if [0] else 2", "1 if 0.0 else 2", "1 if d.items() else 2", "1 if nothing|list else 2", "1 if nothing|map('upper') else 2",
    "(1e308*10 - 1e308*10) == (1e308*10 - 1e308*10)", "9007199254740993 == 9007199254740992.0", "9007199254740993 > 9007199254740992.0",
)  # fmt: skip

SUBSCRIPTS = printed(
    "list[0]", "list[-1]", "list[3]", "list[-4]", "list[true]", "list['0']", "list.0", "s[0]", "s[-1]", "s[99]", "letters[3]", "letters[-2]", "d['b']", "d.b", "d['x']",
    "d.x", "d.x.y", "d['x']['y']", "d.a.b", "deep.a.b[0].c", "deep['a']['b'][0]['c']", "deep.a.b.0.c", "none.x", "none['x']", "n.x", "missing.x", "missing['x']", "missing[0]",
    "items_in['items']", "items_in.keys()", "items_in['keys']", "items_in.get('get')", "list[1:]", "list[:2]", "list[:-1]", "list[::2]", "list[::-1]", "list[5:]",
    "list[-99:99]", "list[2:0:-1]", "list[::0]", "list['a':]", "list[none:2]", "list[0.5]", "list[1.0:]", "s[7:]", "s[:5]", "s[::-1]", "s[1:8:3]", "s[-5:-1]", "letters[1:4]", "letters[::-1]",
    "letters[-3:]", "letters[:-3:-1]", "(1, 2, 3)[1:]", "range(10)[3]", "range(10)[2:4]|list", "none[1:]", "missing[1:]", "messages[0].role", "messages[0]['role']",
    "messages[-1]['content']", "messages[1:][0].content", "messages[1].tool_calls", "messages[2].tool_calls[0].arguments.a", "messages[9].role", "messages['role']", "d[missing]", "d[none]",
    "d[[1]]", "{1: 'a'}[1]", "{1: 'a'}[1.0]", "{(1, 2): 'a'}[1, 2]", "{none: 'a'}[none]", "'abc'[1]", "('a', 'b')[-1]", "[1, 2, 3][1]", "list[:]", "list[9:1]", "s[3:3]", "s[99:]", "s[-99:2]",
    "list[-1:-99:-1]", "d.items()[0]", "d.keys()|list", "d.__class__", "s.__class__.__mro__", "s['upper']()", "d['get']('b')", "list.append", "list.append(1)", "d.update({})", "d.pop('a')", "d.clear is defined",
    "list.copy()", "list.index(2)", "list.index(9)", "list.count(1)", "(1, 2, 1).count(1)", "d.get('b')", "d.get('x')", "d.get('x', 5)", "d.get()", "d.copy()", "d.nothing()",
    "d.a()", "none()", "missing()", "s()", "d.get is callable", "missing is callable", "n is callable",
)  # fmt: skip

LOOPS = [
    "{% for i in list %}{{ i }},{% endfor %}", "{% for i in nothing %}x{% else %}none{% endfor %}", "{% for i in list %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in missing %}x{% else %}none{% endfor %}", "{% for i in none %}x{% endfor %}", "{% for i in 5 %}x{% endfor %}", "{% for c in letters %}{{ c }}|{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in list %}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for m in messages %}{{ loop.index }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.length }} {{ loop.depth }} {{ loop.depth0 }};{% endfor %}",
    "{% for i in list %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in list %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in list %}{{ loop.cycle() }}{% endfor %}", "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in list %}{{ loop }}{% endfor %}", "{% for i in list %}{{ loop.nothing is defined }}{% endfor %}", "{% for i in list if i > 1 %}{{ i }}/{{ loop.length }} {% endfor %}",
    "{% for i in list if i > 5 %}x{% else %}none{% endfor %}", "{% for m in messages if m.role == 'user' %}{{ m.content }}{{ loop.index }}{% endfor %}", "{% for i in range(3) %}{% for j in range(i) %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.last }}{% endfor %}",
    "{% for i in list %}{% if loop.first %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% for i in list %}{% if loop.index == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in list %}{% break %}{% else %}none{% endfor %}", "{% for i in list %}{% continue %}{% else %}none{% endfor %}", "{% for i in list %}{% if loop.last %}{% break %}{% endif %}{% else %}none{% endfor %}",
    "{% for i in list %}{% for j in list %}{% if j == 1 %}{% break %}{% endif %}{{ j }}{% endfor %}{{ i }}{% endfor %}", "{% break %}", "{% continue %}", "{% for i in list %}{% set t %}a{% break %}{% endset %}{% endfor %}b",
    "{% set t = 0 %}{% for i in list %}{% set t = t + i %}{{ t }}{% endfor %}{{ t }}", "{% for i in list %}{% set last = i %}{% endfor %}{{ last is defined }}", "{% for i in list %}{{ q }}{% set q = i %}{% endfor %}",
    "{% set i = 'out' %}{% for i in list %}{{ i }}{% endfor %}{{ i }}", "{% for list in list %}{{ list }}{% endfor %}{{ list }}", 
    "{% for i in list|reverse %}{{ i }}{{ loop.length }}{% endfor %}", "{% for i in list[::-1] %}{{ i }}{% endfor %}", "{% for g in messages|map(attribute='role') %}{{ g }}{{ loop.last }} {% endfor %}", "{{ loop is defined }}", "{{ loop.index }}",
    "{% for loop in list %}{% endfor %}", "{% for 1 in list %}{% endfor %}", "{% for i list %}{% endfor %}", "{% for i in list %}", "{% endfor %}", "{% for %}{% endfor %}", "{% for i in list, words %}{{ i }}{% endfor %}", "{% for i in 1, 2 %}{{ i }}{% endfor %}",
    "{% for i in (list if no else words) %}{{ i }}{% endfor %}", "{% for i in list if i if 1 else 0 %}{{ i }}{% endfor %}", "{% for x.y in list %}{% endfor %}", "{% set it = list|map('string') %}{% for a in it %}{{ a }}{% endfor %}{% for a in it %}{{ a }}{% endfor %}.",
    "{% for i in list %}{% if i == 3 %}{% set f = 1 %}{% endif %}{{ f }}{% endfor %}", "{% for i in list %}{% for i in 'ab' %}{{ i }}{% endfor %}{{ i }}{% endfor %}", "{% for i in list %}{{ loop.index }}{% for j in 'ab' if loop.index == 1 %}{{ j }}{% endfor %}{% endfor %}",
]  # fmt: skip

STATEMENTS = [
    "{% if yes %}a{% endif %}", "{% if no %}a{% elif yes %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% elif no %}x{% else %}c{% endif %}", "{% if no %}{% endif %}", "{% if %}x{% endif %}", "{% if yes %}", "{% if yes %}{% else %}{% else %}{% endif %}", "{% else %}",
    "{% if yes %}{% elif %}{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if no, %}a{% endif %}", "{% if no if yes %}a{% endif %}", "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "{% set a, b = [1] %}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = (1, 2) %}{{ a }}", "{% set a = %}",
    "{% set 1 = 2 %}", "{% set a.b = 1 %}", "{% set d.b = 1 %}", "{% set s = s.upper() %}{{ s }}", "{% set a %}x{{ n }}y{% endset %}{{ a }}", "{% set a | upper | replace('X', 'z') %}x{{ n }}y{% endset %}{{ a }}", "{% set a %}x", "{% if yes %}{% set a = 1 %}{% endif %}{{ a }}", "{% set a = b = 1 %}",
    "{% set true = 1 %}", "{% set loop = 1 %}", "{% set ns = namespace(a=1) %}{% for i in list %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.b = 'x' %}{{ ns.b }}{{ ns.c }}", "{% set ns = namespace(d) %}{{ ns.a }}{{ ns['b'] }}", "{% set ns = namespace(a=1) %}{% set ns.a, ns.b = 1, 2 %}{{ ns.b }}",
    "{% set ns = namespace(a=1) %}{% set ns.t %}x{{ ns.a }}{% endset %}{{ ns.t }}", "{% set ns = namespace(a=1) %}{{ ns.x.y }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}", "{% set ns = namespace(f=no) %}{% for i in list %}{% if i == 1 %}{% set ns.f = yes %}{% endif %}{% endfor %}{{ ns.f }}", "{% set ns = namespace(1) %}",
    "{% set ns.a = 1 %}", "{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a is defined }}", "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}x{% set q = 1 %}{% endwith %}{{ q is defined }}", "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aa{% endfilter %}", "{% filter %}a{% endfilter %}",
    "{% filter nosuch %}a{% endfilter %}", "{% print n, s %}", "{% print %}", "{% generation %}a{{ n }}{% set q = 2 %}{{ q }}{% endgeneration %}{{ q is defined }}", "{% for m in messages %}{%- if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}\n{% endif %}{% endfor %}", "{%- generation -%} x {%- endgeneration -%} y", "{% generation %}",
    "{% include 'a' %}", "{% import 'a' as b %}", "{% from 'a' import b %}", "{% extends 'a' %}", "{% do list %}", "{% nosuch %}", "{% %}", "{{ }}", "{{", "{%", "{#", "{{ 'a", "{{ n", "{{ n } }", "{% if yes }}x{% endif %}", "{{ n %}", "{{ (n }}", "{{ n) }}", "{{ [n} }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}['a']}}",
    "{{ a b }}", "{{ 1 2 }}", "{{ n. }}", "{{ n.'a' }}", "{{ n[ ] }}", "{{ , }}", "{{ * }}", "{{ n ! }}", "{{ n $ }}", "{{ n; }}", "{{ a = 1 }}", "{{ not }}", "{{ 1 + }}", "{{ n is }}", "{{ n is not }}", "{{ n | }}", "{{ n|upper( }}", "{{ n if }}", "{{ {1} }}", "{{ {'a' 1} }}", "{{ 'a' is string is string }}",
    "{% raw %}x", "{% if yes %}{% raw %}{% endif %}{% endraw %}{% endif %}", "{{ raise_exception('no way') }}", "{{ raise_exception(\"line\\nbreak\") }}", "{% if no %}{{ raise_exception('x') }}{% endif %}ok", "{{ raise_exception() }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %p %I %y %% %-d %e') }}", "{{ strftime_now('%d %B, %Y é') }}",
    "{{ strftime_now is defined }}", "{{ cycler('a', 'b').next() }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set _ = c.reset() %}{{ c.current }}", "{% set j = joiner('|') %}{% for i in list %}{{ j() }}{{ i }}{% endfor %}", "{{ dict(a=1, b=2) }}{{ dict(pairs) }}{{ dict(d, b=5) }}", "{{ dict(list) }}", "{{ range(100001)|length }}", "{{ range(100000)|length }}",
    "{{ range(0) }}{{ range(3, 1)|list }}", "{{ range(1, 2, 0) }}", "{{ range('a') }}", "{{ range() }}", "{{ nosuch(1) }}", "{{ n(1) }}", "{{ dict(1, 2) }}",
]  # fmt: skip

MACROS = [
    "{% macro m() %}x{% endmacro %}{{ m() }}{{ m() }}", "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m(c=1, a=2) }}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{{ m(1) }}",
    "{% macro m() %}x{% endmacro %}{{ m(a=1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a, b=a ~ '!') %}{{ b }}{% endmacro %}{{ m('x') }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{{ a }}{% endmacro %}x", "{% macro %}{% endmacro %}",
    "{% macro m(x) %}{{ x }}{% if x > 0 %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}[{{ x }}]{% endmacro %}{{ a(1) }}", "{% set v = 1 %}{% macro m() %}{{ v }}{% endmacro %}{% set v = 2 %}{{ m() }}", "{% macro m() %}{% set v = 5 %}{{ v }}{% endmacro %}{% set v = 1 %}{{ m() }}{{ v }}",
    "{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}", "{% macro m(x) %}  {{ x }}  {% endmacro %}{{ m(1)|trim }}|{{ m(1)|length }}", "{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}[{{ m(1) }}]", "{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}in{{ n }}{% endcall %}", "{% macro w(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) w(list) %}[{{ i }}]{% endcall %}",
    "{% macro w() %}{{ caller is defined }}{% endmacro %}{{ w() }}", "{% macro w() %}{{ caller() }}{% endmacro %}{{ w() }}", "{% macro w() %}x{% endmacro %}{% call w() %}{% endcall %}", "{% call(a, b=2) n() %}{% endcall %}", "{% call n %}{% endcall %}", "{% macro w() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) w() %}{{ a + b }}{% endcall %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1, 2]) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(messages) %}{{ messages|length }}{% endmacro %}{{ m([1]) }}{{ messages|length }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m() %}x{% endmacro %}{{ m.name }}{{ m is callable }}", "{% macro m() %}{{ loop is defined }}{% endmacro %}{% for i in list %}{{ m() }}{% endfor %}", "{% macro m(ns) %}{% set ns.a = 2 %}{% endmacro %}{% set ns = namespace(a=1) %}{{ m(ns) }}{{ ns.a }}",
    "{% macro m(x, y=none) %}{% if y is none %}{{ x }}{% else %}{{ y }}{% endif %}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m(a) %}{% break %}{% endmacro %}", "{% if yes %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}", "{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% set q = 'q' %}{% call(z) m('z') %}{{ q }}{{ z }}{% endcall %}", "{% macro m(s) %}{{ s|upper }}{% endmacro %}{{ m('a') ~ m('b') }}",
    "{% macro out(x) %}{% macro inner(y) %}{{ x }}{{ y }}{% endmacro %}{{ inner(2) }}{% endmacro %}{{ out(1) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{{ kwargs.b }}{% endmacro %}{{ m(1, b=5) }}", "{% macro m(caller=none) %}{{ caller() }}{% endmacro %}{% call m() %}c{% endcall %}",
]  # fmt: skip

FILTERS = printed(
    "padded|trim", "s|trim('Hd')", "missing|trim", "n|trim", "none|trim", "s|upper", "letters|upper", "letters|lower", "'ΑΣ ΣΑΣ'|lower", "n|upper", "s|capitalize", "'éa B'|capitalize", "'hello wORLD-x (y) [z'|title", "'it\\'s a dog\\'s'|title", "''|title", "s|length", "letters|length", "list|length", "d|count", "n|length", "none|length", "missing|length",
    "list|map('string')|length", "list|join", "list|join(', ')", "words|join('|')", "messages|join(',', attribute='role')", "nothing|join('x')", "'abc'|join('-')", "missing|join", "d|join(',')", "none|join", "list|join(1)", "[none, 1.0, 'a']|join(' ')", "words|first", "words|last", "nothing|first", "nothing|last", "'abc'|first", "'abc'|last", "d|first", "d|last", "missing|first",
    "nothing|first is defined", "messages|map(attribute='role')|first", "messages|map(attribute='role')|last", "n|first", "'abc'|list", "d|list", "none|list", "missing|list", "range(3)|list", "n|string", "none|string + 'x'", "list|string", "missing|string", "x|string", "'5'|int", "'5.9'|int", "'x'|int", "'x'|int(7)", "'x'|int(default=none)", "x|int", "minus|int", "true|int", "none|int", "'0x1f'|int(0, 16)", "'1f'|int(base=16)", "'0b11'|int(0, 2)", "' 4_2 '|int", "'4__2'|int",
    "'1e3'|int", "'inf'|int", "(1e308*10)|int", "list|int", "missing|int", "'+5'|int", "'--5'|int", "'5'|float", "'x'|float", "'x'|float(1.5)", "n|float", "' 1_0.5e1 '|float", "'nan'|float", "'-Infinity'|float", "none|float", "missing|float", "true|float", "'1e400'|float", "'1e-400'|float",
    "missing|default('x')", "missing|d('x')", "none|default('x')", "''|default('x')", "''|default('x', true)", "none|default('x', boolean=true)", "missing|default", "d.x|default('y')", "d.b|default('y')", "missing|default(none)", "0|d('x', true)", "missing.x|default('y')",
    "json|tojson", "json|tojson(indent=2)", "json|tojson(indent=0)", "json|tojson(indent='--')", "json|tojson(ensure_ascii=true)", "json|tojson(sort_keys=true)", "json|tojson(separators=(',', ':'))", "json|tojson(indent=1, separators=(' ;', '='))", "letters|tojson(ensure_ascii=True)", "letters|tojson", "'<a href=\"x\">&\\'</a>'|tojson", "none|tojson", "true|tojson", "n|tojson", "x|tojson", "large|tojson", "tiny|tojson", "(1, 2)|tojson", "()|tojson", "missing|tojson",
    "[missing]|tojson", "range(2)|tojson", "d.items()|tojson", "d.keys()|list|tojson", "{1: 2, none: 3, true: 4, 1.5: 5}|tojson", "{(1, 2): 3}|tojson", "{1: 2, 'a': 3}|tojson(sort_keys=true)", "(1e308*10)|tojson", "((1e308*10)-(1e308*10))|tojson", "messages|tojson", "messages|tojson(indent=4)", "list|tojson(true)", "namespace()|tojson", "'\\u2028\\x7f\\x1f'|tojson", "json|tojson(separators=[','])", "json|tojson|safe", "[[], {}, [[]]]|tojson(indent=2)", "-0.0|tojson", "1e22|tojson", "123456789.123|tojson", "1e-7|tojson",
    "s|replace('l', 'L')", "s|replace('l', 'L', 1)", "s|replace('', '-')", "s|replace('', '-', 2)", "s|replace('xyz', '')", "n|replace(7, 8)", "none|replace('N', 'n')", "missing|replace('a', 'b')", "s|replace('l')", "s|replace('o', '0', count=1)", "words|unique|list", "words|unique(true)|list", "[1, 1.0, true, 2]|unique|list", "messages|unique(attribute='role')|map(attribute='content')|list", "[[1]]|unique|list", "words|sort", "words|sort(true)", "words|sort(case_sensitive=true)", "words|sort(reverse=true, case_sensitive=true)",
    "list|sort", "messages[1:]|sort(attribute='n')|map(attribute='content')|list", "messages[1:]|sort(attribute='role,n')|map(attribute='content')|list", "mixed|sort", "d|sort", "'hello'|sort", "missing|sort", "[[2, 1], [1, 2]]|sort", "[none, 1]|sort", "list|reverse|list", "s|reverse", "letters|reverse", "d|reverse|list", "n|reverse", "list|map('string')|reverse|list", "d|items|list", "missing|items|list", "list|items|list", "d|dictsort", "d|dictsort(true)", "d|dictsort(by='value')", "{'a': 2, 'b': 1}|dictsort(false, 'value')", "{'a': 2, 'b': 1}|dictsort(reverse=true)", "d|dictsort(by='x')", "list|dictsort",
    "lines|indent", "lines|indent(2)", "lines|indent(2, true)", "lines|indent(2, false, true)", "lines|indent('> ', first=true, blank=true)", "''|indent", "'a'|indent(first=true)", "n|indent", "missing|indent", "'a\\n'|indent", "'a\\n\\n'|indent(1)", "quotes|e", "quotes|escape", "n|e", "none|e", "(quotes|e)|e", "(quotes|safe)|e", "quotes|safe", "quotes|forceescape", "('<'|e)|forceescape", "('<'|e) + '<'", "'<' + ('<'|safe)", "('<'|safe) ~ '<'", "[('<'|safe)]", "('<b>'|safe)|upper", "('<a>'|safe).replace('a', '<')", "('<a>'|safe)|replace('a', '<')", "('-'|safe).join(['<', '>'|safe])", "('<'|safe) * 2", "('a b'|safe).split()", "('<'|safe)[0]", "('<'|safe)|trim + '<'",
    "x|round", "2.567|round(2)", "2.5|round", "3.5|round", "-2.5|round", "2.1|round(method='ceil')", "2.9|round(0, 'floor')", "2.123|round(2, 'ceil')", "1234|round(-2)", "1250.0|round(-2)", "n|round", "n|round(2)", "1250|round(-2)", "1350|round(-2)", "true|round", "'a'|round", "x|round(1, 'nosuch')", "2.675|round(2)", "1e300|round(5)", "minus|abs", "-2.5|abs", "true|abs", "'a'|abs", "missing|abs", "list|sum", "[0.1, 0.2]|sum", "messages[1:]|sum(attribute='n')", "list|sum(start=10)", "nothing|sum", "words|sum", "[[1], [2]]|sum(start=[])", "list|min", "list|max", "words|min", "words|max", "words|max(true)", "nothing|min", "nothing|max is defined", "messages[1:]|max(attribute='n')", "mixed|min",
    "range(7)|batch(3)|list", "range(7)|batch(3, 'x')|list", "nothing|batch(2)|list", "range(7)|slice(3)|list", "range(7)|slice(3, 'x')|list", "'%s-%05d-%.2f-%x-%r' |format('a', 42, 2.5, 255, 'q')", "'%(a)s %(b)d'|format(a=1, b=2)", "'%s'|format", "'%d'|format('x')", "'%5s|%-5s|%05.1f|%+d|% d|%%'|format('a', 'b', 2.25, 3, 4)", "'%s %s'|format(1)", "'%s'|format(1, 2)", "'%e %g %G'|format(12345.678, 0.0001, 1e20)", "'%i %o %X'|format(5, 8, 255)", "'abc'|format",
    "'a b_c d-e'|wordcount", "letters|wordcount", "''|wordcount", "'x'|center(5)", "'ab'|center(5)", "'abc'|center(6)", "'x'|center(0)", "'hello big world'|truncate(9)", "'hello big world'|truncate(9, true)", "'hello big world'|truncate(9, true, '', 0)", "'hello big world'|truncate(12)", "'hello big world'|truncate(2)", "'a b&c/d?e=ü'|urlencode", "{'a b': 'c d', 'e': 1}|urlencode", "d|attr('b')", "messages|groupby('role')|list", "messages|groupby('role')|map('first')|list", "messages|groupby('n', default=0)|map(attribute='grouper')|list", "messages|groupby('role')|map(attribute='list')|map('length')|list",
    "words|map('upper')|list", "words|map('replace', 'a', 'o')|join(' ')", "words|map('length')|sum", "messages|map(attribute='n')|list", "messages|map(attribute='n', default=0)|list", "messages|map(attribute='tool_calls.0.name', default='-')|list", "messages|map(attribute='tool_calls.0.name')|list", "[[1, 2], [3, 4]]|map(attribute=1)|list", "words|map|list", "words|map('nosuch')|list", "nothing|map('nosuch')|list", "words|map(1)|list", "words|map('join', '-')|list", "[' a ', 'b ']|map('trim')|list", "list|map('string')|map('int')|list", "d|map('upper')|list", "words|map(attribute='x', nosuch=1)|list", "none|map('upper')|list", "n|map('upper')|list",
    "list|select|list", "[0, 1, '', 'a', none]|select|list", "list|select('odd')|list", "list|reject('odd')|list", "list|select('gt', 1)|list", "list|select('in', [1, 2])|list", "[0, 1]|reject|list", "words|select('equalto', 'Apple')|list", "mixed|select('string')|list", "mixed|reject('mapping')|list|length", "messages|selectattr('n')|map(attribute='content')|list", "messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list", "messages|selectattr('role', '==', 'user')|list|length", "messages|rejectattr('role', 'in', ['user', 'system'])|map(attribute='role')|list", "messages|selectattr('n', 'defined')|list|length", "messages|rejectattr('n', 'defined')|list|length", "messages|rejectattr('n')|list|length", "messages|selectattr('tool_calls', 'defined')|first", "messages|selectattr()|list", "messages|select('nosuch')|list", "list|select('nosuch')|first", "missing|select|list", "messages|selectattr('content', 'string')|list|length", "messages|selectattr('role', 'ne', 'user')|map(attribute='role')|join('/')", "(messages|selectattr('role', 'eq', 'tool')|list|length) > 0", "deep|selectattr('x')|list", "messages|selectattr('tool_calls.0.name', 'equalto', 'f')|list|length",
    "n|nosuch", "s|upper(1)", "s|length(1)", "list|join(nosuch=1)", "s|upper|lower|title", "-n|abs", "(-n)|abs", "n + 3|string|length", "'a' ~ 1|string", "list|first|string + 'x'", "s|upper if yes else s", "1 if s|length > 3 else 2", "'a,b'|replace(',', '|') ~ '!'", "words|join(',')|upper|length", "d['C']|join('-')", "[1, 2]|map('string')|join", "none|e|string",
) + [
    "{% if no %}{{ n|nosuch }}{% endif %}x", "{{ n|nosuch if no else 'x' }}", "{% for i in nothing %}{{ i|nosuch }}{% endfor %}x", "{% macro m() %}{{ 1|nosuch }}{% endmacro %}x", "{% if no %}{{ n is nosuch }}{% endif %}x", "{% set it = list|map('string') %}{{ it|first }}{{ it|list }}",
    "{{ words|tojson }}{% for w in words|sort %}{{ w }}{% if not loop.last %}, {% endif %}{% endfor %}", "{{ 'none'|nosuch.dotted }}", "{% for g in messages|groupby('role') %}{{ g.grouper }}:{{ g.list|length }} {{ g[0] }};{% endfor %}", "{% for r, l in messages|groupby('role') %}{{ r }}{{ l|length }}{% endfor %}",
]  # fmt: skip

TESTS = printed(
    "n is defined", "missing is defined", "d.x is defined", "d.b is not defined", "missing is undefined", "none is undefined", "none is none", "missing is none", "n is not none", "not n is none", "s is string", "n is string", "('a'|safe) is string", "n is number", "x is number", "true is number", "s is number", "none is number", "n is integer", "true is integer", "x is integer", "x is float", "n is float", "yes is boolean", "1 is boolean", "yes is true", "1 is true", "no is false", "0 is false",
    "d is mapping", "list is mapping", "namespace() is mapping", "list is sequence", "s is sequence", "d is sequence", "n is sequence", "d.items() is sequence", "range(2) is sequence", "missing is sequence", "none is sequence", "(1,) is sequence", "list|map('string') is iterable", "(list|map('string')) is iterable", "(list|map('string')) is sequence", "list is iterable", "s is iterable", "d is iterable", "n is iterable", "none is iterable", "missing is iterable", "d.items() is iterable",
    "1 is in list", "1 is in(list)", "9 is not in list", "'a' is in d", "1 is in 5", "n is equalto 7", "n is eq 7", "n is equalto(7)", "n is sameas n", "none is sameas none", "true is sameas true", "1 is sameas true", "n is ne 7", "n is lt 8", "n is gt 8", "n is ge 7", "n is le 6", "n is lessthan 8", "n is greaterthan 6", "n is eq(7.0)", "n is gt 'a'", "n is odd", "n is even", "minus is odd", "x is odd", "'a' is odd", "n is divisibleby 7", "n is divisibleby(2)", "n is divisibleby 0", "'a' is lower", "'A' is upper", "s is lower", "'' is lower", "'a1' is lower", "range is callable", "s is callable",
    "'upper' is filter", "'nosuch' is filter", "'odd' is test", "'nosuch' is test", "('a'|safe) is escaped", "s is escaped", "n is nosuch", "n is nosuch(1)", "n is odd and yes", "n is odd or no", "'x' if n is odd else 'y'", "n is divisibleby 7 and 1 is odd", "messages[0].content is string and messages[0].n is not defined", "n is defined is defined", "n is odd(1)", "n is equalto", "1 is not odd", "not 1 is odd", "list[0] is equalto 3", "n is in [7, 8] and true", "n is not defined or n > 3", "none is not none", "d.C is sequence", "d.C[0] is odd", "n + 1 is even", "(n + 1) is even", "'a' ~ 'b' is string",
)  # fmt: skip

METHODS = printed(
    "padded.strip()", "padded.lstrip()", "padded.rstrip()", "s.strip('Hd')", "s.lstrip('He')", "s.rstrip('dl')", "s.strip(none)", "s.strip(1)", "letters.strip('äé')", "s.split()", "s.split(',')", "s.split(', ')[-1]", "s.split('l', 1)", "s.split('l', maxsplit=1)", "s.rsplit('l', 1)", "s.rsplit('o')", "padded.split()", "padded.split(none, 1)", "padded.rsplit(none, 1)", "padded.split(none, 0)", "padded.rsplit(none, 0)", "'a b c d'.split(' ', 2)", "'a b c d'.rsplit(' ', 2)", "'a  b'.split(' ')", "'a b c d'.rsplit(none, 2)", "' a b '.rsplit()", "''.split()", "''.split(',')", "s.split('')", "'aaa'.split('aa')", "'aaa'.rsplit('aa')", "'</think>x</think>y'.split('</think>')[-1].lstrip('\\n')", "s.split('xyz')",
    "lines.splitlines()", "lines.splitlines(true)", "'a\\x0bb\\u2028c\\x85d'.splitlines()", "''.splitlines()", "'\\n'.splitlines()", "s.startswith('He')", "s.startswith('he')", "s.startswith(('x', 'H'))", "s.startswith('l', 2)", "s.startswith('l', 2, 3)", "s.startswith('')", "s.startswith('', 99)", "s.endswith('d')", "s.endswith(('x', 'ld'))", "s.endswith('o', 0, 5)", "s.startswith(1)", "s.startswith(['H'])", "s.startswith()", "s.replace('l', 'L')", "s.replace('l', 'L', 2)", "s.replace('', '.')", "s.replace('l')", "s.replace(1, 2)", "letters.replace('世', '*')", "s.upper()", "s.lower()", "s.title()", "s.capitalize()", "s.swapcase()", "s.casefold()", "'they\\'re bill\\'s'.title()", "letters.upper()", "letters.title()", "'ǆ ﬁ'.title()", "'İI'.lower()",
    "s.find('o')", "s.find('o', 5)", "s.find('z')", "s.rfind('o')", "s.find('')", "s.rfind('')", "letters.find('界')", "letters.rfind('é')", "s.find('o', -5)", "s.find('o', 0, 4)", "s.find('', 99)", "s.index('W')", "s.index('z')", "s.rindex('l')", "s.count('l')", "s.count('l', 4)", "s.count('')", "'aaaa'.count('aa')", "', '.join(words)", "', '.join(list)", "'-'.join('abc')", "', '.join(d)", "', '.join(words|map('upper'))", "'x'.join([])", "'x'.join(1)", "'x'.join(missing)", "s.removeprefix('Hello')", "s.removeprefix('x')", "s.removesuffix('World')", "s.removesuffix('')", "'12'.isdigit()", "'1.2'.isdigit()", "''.isdigit()", "'²'.isdigit()", "'²'.isdecimal()", "'½'.isnumeric()", "'abc'.isalpha()", "'ab1'.isalnum()", "letters.isalpha()", "' \\n'.isspace()", "'a'.islower()", "'A1'.isupper()", "'Ab Cd'.istitle()", "'ab'.istitle()", "'a'.isascii()", "'é'.isascii()", "''.isascii()", "'a\\n'.isprintable()",
    "'a-b-c'.partition('-')", "'a-b-c'.rpartition('-')", "'abc'.partition('-')", "'abc'.rpartition('-')", "'a'.ljust(3)|tojson", "'a'.rjust(3, '.')", "'a'.center(4, '*')", "'ab'.center(5, '*')", "'a'.ljust(3, 'xx')", "'5'.zfill(3)", "'-5'.zfill(4)", "'abc'.zfill(2)", "'a\\tb\\n\\tc'.expandtabs(4)", "'{} {}'.format(1, 'a')", "'{0} {1} {0}'.format(1, 2)", "'{a} {b[k]} {c.b}'.format(a=1, b={'k': 2}, c=d)", "'{:>5}|{:<5}|{:^5}|{:*^5}'.format('a', 'b', 'c', 'd')", "'{:05d} {:+} {:,} {:.2f} {:.3} {:%} {:x} {:#x} {:b} {:e}'.format(42, 3, 1234567, 2.345, 'abcdef', 0.25, 255, 255, 5, 12345.678)", "'{!r} {!s}'.format('a', 'b')", "'{{}}'.format()", "'{}'.format()", "'{'.format(1)", "'}'.format(1)", "'{x}'.format(1)", "'{:d}'.format('a')", "'{:>10.3f}|{:<8,.1f}'.format(3.14159, 12345.678)", "'{} {} {}'.format(none, true, list)", "'{:g} {}'.format(1e10, 1e10)", "'%s and %s' % ('a', 1)", "'%d%%' % 50", "'%s' % list", "'%s' % none", "'%5.1f|%-6d|%06.2f' % (2.25, 3, 4.5)", "'%(a)s' % {'a': 1}", "'%s' % ()", "'%d' % 'a'", "'%d' % 2.7", "'a' % 1", "'%z' % 1",
    "s.nosuch()", "s.upper(1)", "s.upper.x", "n.upper()", "list.upper()", "d.keys().x", "s.upper().lower().title()", "s.split(',')[1].strip()", "(s + '!').upper()", "'a'.upper() ~ 'b'", "[1, 2].append(3)", "[1].extend([2])", "[1].pop()", "[2, 1].sort()", "{}.update({'a': 1})", "{}.setdefault('a', 1)", "d.items()|list", "d.items()|length", "d.keys()|join(',')", "d.values()|list", "d.values()|first", "(d.items()|list)[0][1]", "d.keys()|sort", "d.get('a').upper()", "d|length", "messages[2].get('tool_calls')[0].get('name')", "messages[0].get('tool_calls', [])|length", "messages[0].get('content', '') | trim",
)  # fmt: skip

LIMITS = [
    "{{ 'a' * 99999999999 }}", "{{ [1] * 99999999999 }}", 
    "{{ " + " + ".join(["1"] * 150) + " }}", "{{ " + "[" * 30 + "]" * 30 + " }}", "{% if yes %}" * 15 + "x" + "{% endif %}" * 15, "{{ s" + "|upper" * 60 + " }}", "{{ s" + ".lower()" * 40 + " }}", "{{ " + " ~ ".join(["'a'"] * 500) + " }}", "{{ " + "not " * 40 + "1 }}", "{% for a in range(300) %}{% for b in range(30) %}{% endfor %}{% endfor %}x",
]  # fmt: skip

CASES = [
    *DATA, *SPACE, *VALUES, *ARITHMETIC, *COMPARISONS, *SUBSCRIPTS, *LOOPS, *STATEMENTS, *MACROS, *FILTERS, *TESTS, *METHODS, *LIMITS
]  # fmt: skip
