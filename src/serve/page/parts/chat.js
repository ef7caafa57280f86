"use strict";
const $ = id => document.getElementById(id);
const messages = [];
let running = null;
let chatModel = true;

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; ++unit; }
  return (n < 10 && unit > 0 ? n.toFixed(1) : Math.round(n)) + " " + units[unit];
}

function headers() {
  const all = { "Content-Type": "application/json" };
  if ($("key").value) all.Authorization = "Bearer " + $("key").value;
  return all;
}

async function showMemory() {
  let memory;
  try { memory = (await (await fetch("/health")).json()).memory; } catch { return; }
  const text = $("memory-text");
  text.textContent = "";
  let taken = 0;
  for (const [name, label] of [["fixed", "weights and scratch"], ["contexts", "contexts"], ["snapshots", "prefixes"], ["requests", "running"]]) {
    document.querySelector("#bar ." + name).style.width = 100 * memory[name] / memory.limit + "%";
    taken += memory[name];
    if (memory[name] === 0) continue;
    const box = document.createElement("b");
    box.style.background = "var(--" + name + ")";
    text.append(box, label + " " + bytes(memory[name]));
  }
  text.prepend(bytes(taken) + " of " + bytes(memory.limit) + ":");
  $("bar").setAttribute("aria-label", text.textContent);
}

function cacheSettings() {
  const press = $("press").value;
  if (press === "no_press") return { press };
  return { press, budget: $("budget").value.trim() };
}

function summarize() {
  const { press, budget } = cacheSettings();
  $("summary").textContent = press === "no_press" ? "full" : press + ", budget " + budget;
}

function add(kind, text) {
  const article = document.createElement("article");
  article.className = kind;
  const p = document.createElement("p");
  p.textContent = text;
  article.append(p);
  $("talk").append(article);
  article.scrollIntoView({ block: "end" });
  return article;
}

// Changes the conversation; whoever looks at its end goes on seeing the end.
function following(change) {
  const talk = $("talk");
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
  change();
  if (atEnd) talk.scrollTop = talk.scrollHeight;
}

function note(article, text) {
  let small = article.querySelector("small");
  following(() => {
    if (!small) { small = document.createElement("small"); article.append(small); }
    small.textContent = text;
  });
}

// Events of a stream, one JSON object each.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const data = text.slice(0, end).replace(/^data: /, "");
      text = text.slice(end + 2);
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal });
  if (!response.ok) {
    const error = (await response.json().catch(() => ({}))).error;
    throw new Error(error ? error.message : "status " + response.status);
  }
  return response;
}

function request() {
  const all = $("system").value.trim() ? [{ role: "system", content: $("system").value }, ...messages] : messages;
  const body = {
    temperature: Number($("temperature").value), max_tokens: Number($("max-tokens").value), kvpress: cacheSettings(),
    stream: true, stream_options: { include_usage: true },
  };
  if ($("shade").checked) body.kvpress.held = true;
  if (chatModel) return ["/v1/chat/completions", { ...body, messages: all }];
  return ["/v1/completions", { ...body, prompt: all.map(it => it.content).join("\n") }];
}

// The prompt with the tokens that the cache holds after it shaded: the more heads hold one, the stronger.
function showHeld(article, held) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "What the cache held after the prompt";
  const text = document.createElement("div");
  for (const [token, share] of held) {
    const mark = document.createElement("mark");
    mark.textContent = token;
    mark.style.opacity = 0.35 + 0.65 * share;
    if (share === 0) mark.style.background = "none";
    mark.title = Math.round(100 * share) + " % of heads";
    text.append(mark);
  }
  details.append(summary, text);
  article.append(details);
}

async function ask() {
  const [path, body] = request();
  const article = add("assistant", "");
  const p = article.querySelector("p");
  const begun = performance.now();
  let first = 0, n = 0, text = "";
  try {
    for await (const event of events(await post(path, body))) {
      if (event.error) throw new Error(event.error.message);
      if (event.kvpress && event.kvpress.held) showHeld(article, event.kvpress.held);
      const choice = event.choices[0];
      const piece = choice ? (choice.delta ? choice.delta.content : choice.text) : "";
      if (piece) {
        if (!first) first = performance.now();
        text += piece;
        ++n;
        following(() => { p.textContent = text; });
        if (n % 8 === 1) showMemory();
      }
      if (event.kvpress && event.kvpress.cache_bytes) {
        note(article, "cache " + bytes(event.kvpress.cache_bytes) + ", " + event.kvpress.cache_tokens.toFixed(0) + " tokens per head");
      }
      if (event.usage) {
        const usage = event.usage, own = usage.kvpress;
        if (!first) first = performance.now();  // an answer without text
        const seconds = (performance.now() - first) / 1000;
        note(article, usage.prompt_tokens + " tokens read (" + usage.prompt_tokens_details.cached_tokens + " reused), " +
          usage.completion_tokens + " written, " + (usage.completion_tokens > 1 ? ((usage.completion_tokens - 1) / seconds).toFixed(1) + " tokens/s, " : "") +
          "first after " + ((first - begun) / 1000).toFixed(2) + " s; cache " + bytes(own.cache_bytes) + ", " +
          own.cache_tokens.toFixed(0) + " of " + (usage.prompt_tokens + usage.completion_tokens) + " tokens per head (" + own.press + ")");
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") { article.remove(); messages.pop(); add("error", error.message); return; }
    note(article, "stopped");
  }
  messages.push({ role: "assistant", content: text });
}

async function send(event) {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || running) return;
  $("text").value = "";
  messages.push({ role: "user", content: text });
  add("user", text);
  running = new AbortController();
  $("send").hidden = true;
  $("stop").hidden = false;
  $("clear").disabled = true;  // the answer belongs to this conversation
  await ask();
  running = null;
  $("send").hidden = false;
  $("stop").hidden = true;
  $("clear").disabled = false;
  showMemory();
  $("text").focus();
}

async function start() {
  $("form").addEventListener("submit", send);
  $("stop").addEventListener("click", () => running && running.abort());
  $("clear").addEventListener("click", () => { messages.length = 0; $("talk").textContent = ""; $("text").focus(); });
  $("text").addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  });
  $("settings").addEventListener("input", summarize);
  showMemory();
  setInterval(showMemory, 3000);
  try {
    const response = await fetch("/v1/models", { headers: headers() });
    if (response.status === 401) { $("settings").open = true; add("error", "The server wants an API key: give it under Cache."); }
    const model = (await response.json()).data[0];
    $("model").textContent = model.id;
    chatModel = model.kvpress.chat;
    for (const name of model.kvpress.presses) $("press").add(new Option(name));
    const own = model.kvpress.press;
    if (![...$("press").options].some(it => it.value === own)) $("press").add(new Option(own), 0);
    $("press").value = own;
    if (own !== "no_press") $("budget").value = model.kvpress.budget;
  } catch { /* without the list of presses the server's own is used */ }
  summarize();
}
start();
