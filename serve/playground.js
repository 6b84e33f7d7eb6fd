"use strict";
const PAST = "pad_ray.questions", KEPT = 30;
const at = (id) => document.getElementById(id);
const show = (id, shown) => { at(id).hidden = !shown; };
let asking = null, last = null, writes = {};

// Whatever a model or a server wrote becomes text here, never markup.
function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
function authorization() {
  return at("token").value ? { Authorization: `Bearer ${at("token").value}` } : {};
}
function complain(message) {
  at("wrong").textContent = message;
  show("wrong", Boolean(message));
}
async function refusal(reply) {
  if (reply.status === 401) {
    show("secret", true);
    at("token").focus();
  }
  const said = await reply.json().then((body) => body.error.message, () => reply.statusText);
  const wait = reply.headers.get("Retry-After");
  return new Error(wait ? `${said} (Try again in ${wait} s.)` : said);
}
async function greet() {
  const reply = await fetch("/healthz");
  if (!reply.ok) throw await refusal(reply);
  const health = await reply.json();
  at("health").textContent = `${health.student} · sandbox ${health.sandbox.level} · ${health.version}`;
  at("model").replaceChildren(...health.students.map((name) => new Option(name)));
  show("models", health.students.length > 1);
  writes = health.writes;
  choose();
}
// What the chosen student writes; programs, until the service has said.
function writing(model = at("model").value) {
  return writes[model] ?? { forms: ["program"], one: "program", several: "programs", concluded: "executed", by_line: true };
}
async function* events(body, signal) {
  const headers = { "Content-Type": "application/json", ...authorization() };
  const reply = await fetch("/v1/solve", { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!reply.ok) throw await refusal(reply);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const [name, data] = ["event: ", "data: "].map((field) =>
        block.split("\n").find((line) => line.startsWith(field))?.slice(field.length));
      if (name && data) yield { name, data: JSON.parse(data) };
    }
  }
}
function body() {
  const asked = { question: at("question").value, stream: true };
  if (at("decode").value === "beam") asked.decode = "beam";
  else asked.samples = Number(at("samples").value);
  if (at("model").options.length > 1) asked.model = at("model").value;
  return asked;
}
// A student of several forms of reasoning writes as many texts in each.
function drafts(asked) {
  return (asked.samples ?? 0) * writing(asked.model).forms.length;
}
function begin(asked) {
  for (const id of ["steps", "votes"]) at(id).replaceChildren();
  for (const id of ["answer", "program", "copied"]) at(id).textContent = "";
  for (const id of ["work", "ballot", "whole"]) show(id, false);
  at("asked").textContent = asked.question;
  at("state").textContent = "Writing…";
  complain("");
  show("result", true);
  at("ask").disabled = true;
  at("stop").disabled = false;
}
// Where a search stands: its best path so far. The steps of what it comes to take its place.
function showPath(path) {
  const lines = path.program.split("\n").filter((line) => line.trim() && !line.startsWith("def "));
  at("steps").replaceChildren();
  for (const line of lines) addStep({ code: line.replace(/^ {4}/, ""), state: "ran", value: null, detail: "" });
  at("state").textContent = `${path.alive} on their way, ${path.finished} finished…`;
}
function addStep(step) {
  if (step.number === 0) at("steps").replaceChildren();
  const marks = { ran: ["✓", "ran"], failed: ["✕", "failed"], not_run: ["–", "not run"] };
  const [mark, word] = marks[step.state];
  const item = make("li", "", step.state);
  const sign = make("span", mark, "mark");
  sign.setAttribute("aria-hidden", "true");
  const said = step.value ?? step.detail;
  item.append(sign, make("code", step.code), make("span", said ? `${word}: ${said}` : word, "said"));
  at("steps").append(item);
  show("work", true);
}
function addVotes(votes, asked) {
  const most = Math.max(asked, Object.values(votes).reduce((sum, count) => sum + count, 0));
  const ranked = Object.entries(votes).sort(([, one], [, other]) => other - one);
  at("votes").replaceChildren(...ranked.map(([value, count]) => {
    const meter = make("meter");
    Object.assign(meter, { min: 0, max: most, value: count });
    meter.setAttribute("aria-label", `votes for ${value}`);
    const item = make("li");
    item.append(make("strong", value), meter, make("span", `${count} of ${most}`));
    return item;
  }));
  show("ballot", most > 1 && Object.keys(votes).length > 0);
}
function finish(answer, asked) {
  at("answer").textContent = answer.answer ?? "No answer";
  const how = answer.outcome === "ok" ? "" : `${answer.outcome.replaceAll("_", " ")} · `;
  at("state").textContent = `${how}${answer.tokens} tokens · ${answer.seconds.toFixed(2)} s`;
  addVotes(answer.votes, drafts(asked));
  at("program").textContent = answer.program;
  show("whole", Boolean(answer.program));
  remember({ question: asked.question, decode: asked.decode, samples: asked.samples, answer: answer.answer });
}
async function ask() {
  if (asking || !at("form").reportValidity()) return;
  const asked = last = body();
  asking = new AbortController();
  begin(asked);
  let run = 0, ended = false;
  try {
    for await (const { name, data } of events(asked, asking.signal)) {
      if (name === "path") showPath(data);
      else if (name === "program" && asked.samples) {
        const { several, concluded } = writing(asked.model);
        at("state").textContent = `${++run} of ${drafts(asked)} ${several} ${concluded}…`;
      }
      else if (name === "step") addStep(data);
      else if (name === "answer") { finish(data, asked); ended = true; }
      else if (name === "error") throw new Error(data.error.message);
    }
    if (!ended) throw new Error("The connection ended before the answer.");
  } catch (error) {
    const stopped = error.name === "AbortError";
    at("state").textContent = stopped ? "Stopped." : "";
    if (!stopped) complain(error.message);
  } finally {
    asking = null;
    at("ask").disabled = false;
    at("stop").disabled = true;
  }
}
function past() {
  return JSON.parse(localStorage.getItem(PAST) ?? "[]");
}
function remember(entry) {
  const others = past().filter((one) => one.question !== entry.question);
  localStorage.setItem(PAST, JSON.stringify([entry, ...others].slice(0, KEPT)));
  recall();
}
function recall() {
  const entries = past();
  at("past").replaceChildren(...entries.map((entry) => {
    const button = make("button", `${entry.question} → ${entry.answer ?? "no answer"}`);
    button.type = "button";
    button.addEventListener("click", () => {
      at("question").value = entry.question;
      at("decode").value = entry.decode ?? "vote";
      at("samples").value = String(entry.samples ?? 1);
      choose();
      at("question").focus();
    });
    const item = make("li");
    item.append(button);
    return item;
  }));
  show("history", entries.length > 0);
}
function choose() {
  const said = writing();
  for (const key of ["one", "several", "concluded"]) {
    for (const place of document.querySelectorAll(`.${key}`)) {
      const [letter, ...rest] = said[key];
      place.textContent = (place.classList.contains("first") ? letter.toUpperCase() : letter) + rest.join("");
    }
  }
  if (!said.by_line) at("decode").value = "vote";
  for (const id of ["manner", "dropped"]) show(id, said.by_line);
  show("several", at("decode").value !== "beam");
}
function curl() {
  const { stream, ...plain } = last;
  const quoted = `'${JSON.stringify(plain).replaceAll("'", "'\\''")}'`;
  const token = at("token").value ? ' -H "Authorization: Bearer $PAD_RAY_SERVE_TOKEN"' : "";
  return `curl ${location.origin}/v1/solve${token} -H 'Content-Type: application/json' -d ${quoted}`;
}
at("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
for (const id of ["decode", "model"]) at(id).addEventListener("change", choose);
at("stop").addEventListener("click", () => asking?.abort());
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") asking?.abort(); });
at("copy").addEventListener("click", () => navigator.clipboard.writeText(curl()).then(
  () => { at("copied").textContent = "Copied."; },
  () => { at("copied").textContent = curl(); },
));
at("forget").addEventListener("click", () => { localStorage.removeItem(PAST); recall(); at("question").focus(); });
recall();
greet().catch((error) => { at("health").textContent = error.message; });
