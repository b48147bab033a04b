/* The live log of a service: opened by a button, asked for every two seconds while it is looked at.
   Lines are hostile: they only ever become text. */
const panel = document.querySelector("[data-tail]");
const part = (name) => panel.querySelector(`[data-tail-${name}]`);
const words = panel.dataset;
const view = part("lines");
const follow = part("follow");
const filter = part("filter");
/* Beyond this many failed polls in a row it gives up; each one waits longer than the last. */
const TRIES = 8;
const LATE_S = 8;

let opened = null;
let seq = 0;
let skipped = 0;
let total = 0;
let paused = false;
let failures = 0;
let timer = 0;
let waiting = [];

function say(state, text) {
  part("state").dataset.state = state;
  part("state").textContent = text;
}

function matches(text) {
  return text.toLowerCase().includes(filter.value.trim().toLowerCase());
}

function count() {
  const hidden = view.querySelectorAll("[data-line][hidden]").length;
  part("count").textContent = total ? words.shown.replace("{n}", (total - hidden).toLocaleString()).replace("{all}", total.toLocaleString()) : "";
}

function entry(text, isLine) {
  const element = document.createElement("div");
  element.textContent = text;
  if (isLine) {
    element.dataset.line = "";
    element.hidden = !matches(text);
    element.dir = "auto";
  } else {
    element.className = "p-tail-gap";
  }
  return element;
}

function append(batch) {
  const added = document.createDocumentFragment();
  for (const [text, isLine] of batch) added.append(entry(text, isLine));
  view.append(added);
  const lines = view.querySelectorAll("[data-line]");
  total = Math.min(lines.length, opened.max_lines);
  for (const old of [...lines].slice(0, lines.length - total)) {
    old.remove();
  }
  while (view.firstElementChild?.className === "p-tail-gap" && view.children.length > opened.max_lines) view.firstElementChild.remove();
  count();
  if (follow.checked) view.scrollTop = view.scrollHeight;
}

function receive(answer) {
  const batch = [];
  if (answer.missed) batch.push([words.missed.replace("{n}", answer.missed.toLocaleString()), false]);
  else if (answer.skipped > skipped && seq) batch.push([words.skipped, false]);
  for (const line of answer.lines) batch.push([line, true]);
  seq = answer.seq;
  skipped = answer.skipped;
  if (paused) waiting = [...waiting, ...batch].slice(-opened.max_lines);
  else if (batch.length) append(batch);
  const late = answer.at ? Math.round(Date.now() / 1000 - answer.at) : 0;
  if (answer.error) say("lost", answer.error);
  else if (paused) say("wait", words.paused);
  else if (!answer.at) say("wait", words.wait);
  else if (late > LATE_S) say("wait", words.late.replace("{n}", late));
  else say("open", words.live);
}

function end(text) {
  clearTimeout(timer);
  opened = null;
  paused = false;
  waiting = [];
  part("pause").setAttribute("aria-pressed", "false");
  part("start").hidden = false;
  part("stop").hidden = part("pause").hidden = true;
  say("wait", text);
}

async function poll() {
  const mine = opened;
  if (!mine) return;
  if (document.hidden) {
    say("wait", words.hiddenTab);
    return;
  }
  try {
    const reply = await fetch(`${mine.lines}?after=${seq}`, { headers: { Accept: "application/json" }, redirect: "error" });
    if (mine !== opened) return;
    if (reply.status === 410 || reply.status === 403) {
      end((await reply.json().catch(() => ({}))).error || words.ended);
      return;
    }
    if (!reply.ok) throw new Error(String(reply.status));
    receive(await reply.json());
    failures = 0;
  } catch {
    if (mine !== opened) return;
    failures += 1;
    say("lost", words.lost);
    if (failures >= TRIES) {
      end(words.lost);
      return;
    }
  }
  const delay = mine.period_s * 1000 * Math.min(2 ** failures, 15);
  timer = setTimeout(poll, failures ? delay * (0.5 + Math.random() / 2) : delay);
}

function post(url) {
  return fetch(url, { method: "POST", headers: { "X-CSRFToken": panel.querySelector("[name=csrfmiddlewaretoken]").value }, keepalive: true });
}

async function start() {
  say("wait", words.wait);
  part("start").disabled = true;
  try {
    const reply = await post(words.tail);
    const answer = await reply.json().catch(() => ({}));
    if (!reply.ok) {
      say("lost", answer.error || words.lost);
      return;
    }
    opened = answer;
    seq = skipped = failures = total = 0;
    view.replaceChildren();
    view.hidden = false;
    part("start").hidden = true;
    part("stop").hidden = part("pause").hidden = false;
    part("pause").focus();
    poll();
  } catch {
    say("lost", words.lost);
  } finally {
    part("start").disabled = false;
  }
}

function stop() {
  if (!opened) return;
  post(opened.close).catch(() => {});
  end(words.ended);
  part("start").focus();
}

function pause() {
  paused = !paused;
  part("pause").setAttribute("aria-pressed", String(paused));
  say(paused ? "wait" : "open", paused ? words.paused : words.live);
  if (!paused && waiting.length) {
    append(waiting);
    waiting = [];
  }
}

part("start").addEventListener("click", start);
part("stop").addEventListener("click", stop);
part("pause").addEventListener("click", pause);
filter.addEventListener("input", () => {
  for (const line of view.querySelectorAll("[data-line]")) line.hidden = !matches(line.textContent);
  count();
  if (follow.checked) view.scrollTop = view.scrollHeight;
});
follow.addEventListener("change", () => { if (follow.checked) view.scrollTop = view.scrollHeight; });
/* Scrolling up is reading; at the end it follows again. */
view.addEventListener("scroll", () => {
  follow.checked = view.scrollHeight - view.scrollTop - view.clientHeight < 24;
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !opened) return;
  clearTimeout(timer);
  poll();
});
