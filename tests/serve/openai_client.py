"""Every call of the server by the package openai. Usage: openai_client.py URL MODEL KEY"""

import concurrent.futures
import sys
import unittest

import httpx
import openai

URL, MODEL, KEY = sys.argv[1:4]
TEXT = (
    "The old man sat by the window and looked at the sea. It had been a long winter, and the boats had not gone out "
    "for many days. He thought of his son, who had sailed away and had not come back."
)
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
plain = httpx.Client(base_url=URL, headers={"Authorization": "Bearer " + KEY}, timeout=60)


def press(**settings):
    return {"kvpress": settings}


class Completions(unittest.TestCase):
    def test_text_and_tokens(self):
        by_text = client.completions.create(model=MODEL, prompt=TEXT, max_tokens=8, temperature=0)
        self.assertEqual(by_text.object, "text_completion")
        self.assertEqual(by_text.choices[0].finish_reason, "length")
        self.assertEqual(by_text.usage.completion_tokens, 8)
        tokens = plain.post("/tokenize", json={"prompt": TEXT}).json()["tokens"]
        self.assertEqual(by_text.usage.prompt_tokens, len(tokens))
        by_tokens = client.completions.create(model=MODEL, prompt=tokens, max_tokens=8, temperature=0)
        self.assertEqual(by_tokens.choices[0].text, by_text.choices[0].text)
        many = client.completions.create(model=MODEL, prompt=[tokens, tokens[:5]], max_tokens=8, temperature=0)
        self.assertEqual([it.index for it in many.choices], [0, 1])
        self.assertEqual(many.choices[0].text, by_text.choices[0].text)

    def test_stream_with_usage(self):
        settings = dict(model=MODEL, prompt=TEXT, max_tokens=12, temperature=0.9, seed=4)
        whole = client.completions.create(**settings)
        text, usage, reason = "", None, None
        for chunk in client.completions.create(**settings, stream=True, stream_options={"include_usage": True}):
            if chunk.usage:
                usage = chunk.usage
            for choice in chunk.choices:
                text += choice.text
                reason = choice.finish_reason or reason
        self.assertEqual(text, whole.choices[0].text)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(reason, whole.choices[0].finish_reason)

    def test_echo_scores(self):
        answer = client.completions.create(model=MODEL, prompt=TEXT, max_tokens=0, echo=True, logprobs=2)
        logprobs = answer.choices[0].logprobs
        self.assertEqual(answer.choices[0].text, TEXT)
        self.assertEqual(len(logprobs.tokens), answer.usage.prompt_tokens)
        self.assertIsNone(logprobs.token_logprobs[0])
        self.assertTrue(all(it <= 0 for it in logprobs.token_logprobs[1:]))
        self.assertTrue(all(len(it) >= 2 for it in logprobs.top_logprobs[1:]))
        self.assertEqual("".join(logprobs.tokens), TEXT)

    def test_sampling(self):
        def texts(**settings):
            answer = client.completions.create(model=MODEL, prompt=TEXT, max_tokens=12, **settings)
            return [it.text for it in answer.choices]

        greedy = texts(temperature=0)
        self.assertEqual(texts(temperature=1, top_p=0), greedy)
        self.assertEqual(texts(temperature=1, extra_body={"top_k": 1}), greedy)
        self.assertEqual(texts(temperature=1, extra_body={"min_p": 1}), greedy)
        self.assertEqual(texts(seed=1), texts(seed=1))
        two = texts(seed=1, n=2)
        self.assertEqual(two[0], texts(seed=1)[0])
        self.assertNotEqual(two[0], two[1])
        self.assertNotEqual(texts(temperature=0, frequency_penalty=2, presence_penalty=2), greedy)
        token = plain.post("/tokenize", json={"prompt": " sea", "add_special_tokens": False}).json()["tokens"][0]
        self.assertEqual(texts(temperature=0, logit_bias={str(token): 100})[0].split()[:2], ["sea", "sea"])
        stop = greedy[0][4:7]
        self.assertEqual(texts(temperature=0, stop=[stop])[0], greedy[0][: greedy[0].index(stop)])


class Chats(unittest.TestCase):
    messages = [{"role": "system", "content": "You tell stories. " + TEXT}, {"role": "user", "content": "Begin."}]

    def test_answer_and_stream(self):
        settings = dict(model=MODEL, messages=self.messages, max_tokens=10, temperature=0)
        whole = client.chat.completions.create(**settings)
        self.assertEqual(whole.object, "chat.completion")
        self.assertEqual(whole.choices[0].message.role, "assistant")
        text = ""
        for chunk in client.chat.completions.create(**settings, stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
        self.assertEqual(text, whole.choices[0].message.content)
        again = client.chat.completions.create(**settings)
        self.assertEqual(again.choices[0].message.content, text)
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 0)

    def test_parts_tools_and_logprobs(self):
        answer = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
            max_completion_tokens=4,
            logprobs=True,
            top_logprobs=3,
        )
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        self.assertTrue(all(len(it.top_logprobs) == 3 for it in content))


class Presses(unittest.TestCase):
    def test_the_cache_shrinks(self):
        def usage(**settings):
            answer = client.completions.create(
                model=MODEL, prompt=TEXT * 3, max_tokens=2, temperature=0, extra_body=press(**settings)
            )
            return answer.usage

        full = usage(press="no_press")
        half = usage(press="snapkv(window_size=8)", compression_ratio=0.5)
        fixed = usage(press="knorm", target_size=32)
        self.assertLess(half.kvpress["cache_tokens"], 0.55 * full.kvpress["cache_tokens"])
        self.assertLess(half.kvpress["cache_bytes"], full.kvpress["cache_bytes"])
        self.assertLessEqual(fixed.kvpress["cache_tokens"], 34)

    def test_scores_fall_under_a_press(self):
        def loss(**settings):
            answer = client.completions.create(
                model=MODEL, prompt=TEXT * 2, max_tokens=0, echo=True, logprobs=0, extra_body=press(**settings)
            )
            return -sum(answer.choices[0].logprobs.token_logprobs[1:])

        full = loss(press="no_press")
        self.assertGreater(loss(press="random", compression_ratio=0.9, chunk_size=8), full)
        self.assertNotEqual(loss(press="random", compression_ratio=0.9, context_tokens=40), full)

    def test_contexts(self):
        made = plain.post("/v1/contexts", json={"text": TEXT, **press(press="knorm", compression_ratio=0.5)})
        self.assertEqual(made.status_code, 201, made.text)
        context = made.json()["id"]
        answers = {
            client.completions.create(
                model=MODEL, prompt=" He", max_tokens=6, temperature=0, extra_body=press(context=context)
            ).choices[0].text
            for _ in range(2)
        }
        self.assertEqual(len(answers), 1)
        self.assertIn(context, [it["id"] for it in plain.get("/v1/contexts").json()["data"]])
        self.assertEqual(plain.delete("/v1/contexts/" + context).status_code, 200)
        with self.assertRaises(openai.NotFoundError):
            client.completions.create(model=MODEL, prompt=" He", extra_body=press(context=context))


class Rest(unittest.TestCase):
    def test_models(self):
        self.assertEqual([it.id for it in client.models.list()], [MODEL])
        self.assertEqual(client.models.retrieve(MODEL).id, MODEL)

    def test_tokens(self):
        tokens = plain.post("/tokenize", json={"prompt": TEXT, "add_special_tokens": False}).json()["tokens"]
        self.assertEqual(plain.post("/detokenize", json={"tokens": tokens}).json()["prompt"], TEXT)

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client.completions.create(model=MODEL, prompt=TEXT, temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            client.completions.create(model=MODEL, prompt=TEXT, extra_body=press(press="snapvk"))
        self.assertEqual(caught.exception.param, "kvpress.press")
        with self.assertRaises(openai.NotFoundError):
            client.completions.create(model="other", prompt=TEXT)
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0).models.list()

    def test_too_many_wait(self):
        def ask(_):
            try:
                client.completions.create(
                    model=MODEL, prompt=TEXT, max_tokens=300, temperature=1, extra_body={"ignore_eos": True}
                )
                return "answered"
            except openai.RateLimitError as error:
                assert int(error.response.headers["Retry-After"]) >= 1
                return "refused"

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            results = list(pool.map(ask, range(24)))
        self.assertIn("refused", results)
        self.assertIn("answered", results)

    def test_cancelled_streams(self):
        for _ in range(3):
            stream = client.completions.create(
                model=MODEL, prompt=TEXT, max_tokens=700, stream=True, extra_body={"ignore_eos": True}
            )
            next(iter(stream))
            stream.close()
        answer = client.completions.create(model=MODEL, prompt=TEXT, max_tokens=2)
        self.assertEqual(len(answer.choices), 1)
        self.assertIn("kvpress_jobs_cancelled_total", plain.get("/metrics").text)


unittest.main(argv=sys.argv[:1], verbosity=1)
