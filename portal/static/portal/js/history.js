/* Charts of a service on one time axis: mean and maximum, marks of events, brush and keys to zoom. */
import { axis, chartOf, colours, paint } from "./history-chart.js";
import { fillTable } from "./history-table.js";

const REFRESH = { "1h": 10000 };
const REFRESH_SLOW = 60000;
const SHORTEST = 60;
const LONGEST = 400 * 86400;

const root = document.querySelector("[data-history]");
const words = root?.dataset ?? {};
const charts = new Map();
let view = { range: "1h" };
let data = null;
let timer = 0;
let asked = 0;

const now = () => Math.floor(Date.now() / 1000);
const moment = (at, seconds = false) =>
  new Intl.DateTimeFormat("sv-SE", {
    timeZone: words.tz, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    ...(seconds ? { second: "2-digit" } : {}),
  }).format(new Date(at * 1000));

function query() {
  return view.range ? `range=${view.range}` : `from=${view.from}&to=${view.to}`;
}

function say(text) {
  const line = root.querySelector("[data-history-state]");
  if (line.textContent !== text) line.textContent = text;
}

function describe() {
  const width = data.step < 60 ? words.seconds.replace("{n}", data.step)
    : data.step < 3600 ? words.minutes.replace("{n}", data.step / 60) : words.hours.replace("{n}", data.step / 3600);
  const span = `${moment(data.from)} – ${moment(data.to)} ${words.zone}`;
  say(data.at.length ? `${span} · ${words.each.replace("{width}", width)}` : `${span} · ${words.empty}`);
}

async function load() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const answer = await fetch(`${words.history}?${query()}`, { headers: { Accept: "application/json" } });
    if (mine !== asked) return;
    if (!answer.ok) throw new Error(String(answer.status));
    data = await answer.json();
    draw();
    describe();
  } catch {
    if (mine === asked) say(words.failed);
  }
  const period = REFRESH[view.range] ?? REFRESH_SLOW;
  if (view.range) timer = setTimeout(load, document.hidden ? period * 6 : period);
}

function draw() {
  const tones = colours();
  for (const canvas of root.querySelectorAll("canvas[data-series]")) {
    let chart = charts.get(canvas);
    if (!chart) {
      chart = chartOf(canvas, words, moment);
      charts.set(canvas, chart);
    }
    paint(chart, canvas, data, tones, words);
    axis(chart, data, moment);
    chart.update("none");
  }
  listEvents();
  const table = root.querySelector("details[data-history-table]");
  if (table?.open) fillTable(table, data, moment, words);
}

/* The marks again as text, with links: nothing is told by a line in a picture alone. */
function listEvents() {
  const list = root.querySelector("[data-history-events]");
  list.replaceChildren(...data.events.slice(-20).reverse().map((event) => {
    const row = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = `${moment(event.at, true)} ${words.zone}`;
    const text = document.createElement(event.url ? "a" : "span");
    text.textContent = event.text;
    if (event.url) { text.href = event.url; text.className = "p-link"; }
    row.append(time, " ", text);
    return row;
  }));
  list.hidden = !data.events.length;
}

function show(next) {
  view = next;
  history.replaceState(null, "", `#${next.range ?? `${next.from}-${next.to}`}`);
  for (const button of root.querySelectorAll("[data-range]")) {
    button.setAttribute("aria-pressed", String(button.dataset.range === next.range));
  }
  load();
}

function windowed(from, to) {
  const latest = now();
  let span = Math.min(LONGEST, Math.max(SHORTEST, Math.round(to - from)));
  const end = Math.min(latest, Math.round(from + (to - from) / 2 + span / 2));
  show({ from: end - span, to: end });
}

/* Moves and zooms by the width that is shown; keys and buttons share the names. */
const moves = {
  earlier: (from, to, span) => [from - span / 2, to - span / 2],
  later: (from, to, span) => [from + span / 2, to + span / 2],
  in: (from, to, span) => [from + span / 4, to - span / 4],
  out: (from, to, span) => [from - span / 2, to + span / 2],
};
const keys = { ArrowLeft: "earlier", ArrowRight: "later", "+": "in", "=": "in", "-": "out", 0: "reset", Escape: "reset" };

function act(name) {
  if (name === "reset") return show({ range: "1h" });
  if (data) windowed(...moves[name](data.from, data.to, data.to - data.from));
}

function brush(canvas) {
  const band = canvas.parentElement.querySelector(".p-brush");
  let start = null;
  const place = (event) => {
    const area = charts.get(canvas)?.chartArea;
    if (!area) return null;
    return Math.min(area.right, Math.max(area.left, event.clientX - canvas.getBoundingClientRect().left));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = place(event);
    if (start !== null) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = place(event);
    band.hidden = Math.abs(end - start) < 8;
    band.style.left = `${Math.min(start, end)}px`;
    band.style.width = `${Math.abs(end - start)}px`;
  });
  const stop = (event) => {
    const end = start === null ? null : place(event);
    band.hidden = true;
    if (end !== null && event.type === "pointerup" && Math.abs(end - start) >= 8) {
      const scale = charts.get(canvas).scales.x;
      windowed(scale.getValueForPixel(Math.min(start, end)), scale.getValueForPixel(Math.max(start, end)));
    }
    start = null;
  };
  canvas.addEventListener("pointerup", stop);
  canvas.addEventListener("pointercancel", stop);
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(keys[event.key]);
  });
}

function first() {
  const [from, to] = location.hash.slice(1).split("-").map(Number);
  if (from > 0 && to > from) return { from, to };
  const range = location.hash.slice(1);
  return { range: root.querySelector(`[data-range="${CSS.escape(range)}"]`) ? range : "1h" };
}

if (root) {
  for (const canvas of root.querySelectorAll("canvas[data-series]")) brush(canvas);
  for (const button of root.querySelectorAll("[data-range]")) {
    button.addEventListener("click", () => show({ range: button.dataset.range }));
  }
  for (const button of root.querySelectorAll("[data-move]")) button.addEventListener("click", () => act(button.dataset.move));
  root.querySelector("details[data-history-table]")?.addEventListener("toggle", () => data && draw());
  // The theme is a class of the root element: colours are read again when it changes.
  new MutationObserver(() => data && draw()).observe(document.documentElement, { attributeFilter: ["class"] });
  show(first());
}
