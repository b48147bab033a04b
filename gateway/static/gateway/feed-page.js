// The feed page: draws what the reference client receives. Texts come from the server, translated.
import { FeedClient, SignedOut } from "./feed.js";

const config = JSON.parse(document.getElementById("feed-config").textContent);
const text = config.text;
const table = document.getElementById("feed-table");
const template = document.getElementById("feed-row");
const banner = document.getElementById("feed-banner");
const form = document.getElementById("feed-form");
const input = document.getElementById("feed-item");
const numbers = new Intl.NumberFormat("ko-KR");
const clock = new Intl.DateTimeFormat("ko-KR", { timeZone: "Asia/Seoul", timeStyle: "medium", hour12: false });
const STORE = "bonghwa.feed.items";
const rows = new Map(); // item -> {element, at, latest}
const dirty = new Set();
let status = { status: "connecting", fresh: false };

const fill = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const signed = (value, digits = 0) => {
  const number = Number(value);
  const shown = Math.abs(number).toLocaleString("ko-KR", { minimumFractionDigits: digits });
  return number > 0 ? `+${shown}` : number < 0 ? `−${shown}` : shown;
};

function age(at) {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000));
  if (seconds < 2) return text.age.now;
  if (seconds < 60) return fill(text.age.seconds, { n: seconds });
  if (seconds < 3600) return fill(text.age.minutes, { n: Math.floor(seconds / 60) });
  if (seconds < 86400) return fill(text.age.hours, { n: Math.floor(seconds / 3600) });
  return fill(text.age.days, { n: Math.floor(seconds / 86400) });
}

function draw(row) {
  const values = row.latest.values;
  const cell = (name) => row.element.querySelector(`[data-cell=${name}]`);
  const symbol = { 1: "▲", 2: "▲", 3: "–", 4: "▼", 5: "▼" }[values["25"]] ?? "–";
  const word = text.direction[values["25"]] ?? text.direction["3"];
  row.element.dataset.direction = { "▲": "up", "▼": "down", "–": "flat" }[symbol];
  cell("price").textContent = numbers.format(Math.abs(Number(values["10"])));
  cell("arrow").textContent = symbol;
  cell("word").textContent = word;
  cell("change").textContent = signed(values["11"]);
  cell("rate").textContent = `${signed(values["12"], 2)} %`;
  cell("volume").textContent = numbers.format(Number(values["13"]));
}

function drawAges() {
  for (const row of rows.values()) {
    row.element.querySelector("[data-cell=age]").textContent = row.at ? age(row.at) : text.age.none;
  }
}

function frame() {
  for (const item of dirty) rows.has(item) && draw(rows.get(item));
  dirty.clear();
}

function seconds(until) { return Math.max(0, Math.ceil((until - Date.now()) / 1000)); }

function bannerOf() {
  const time = status.asOf ? clock.format(status.asOf) : "";
  const asOf = status.asOf ? fill(text.note.asOf, { time }) : "";
  const retry = status.retryAt ? fill(text.note.retry, { seconds: seconds(status.retryAt) }) : "";
  switch (status.status) {
    case "live": return ["ok", "check_circle", text.state.live, text.note.live];
    case "closed": return ["off", "bedtime", text.state.closed, `${text.note.closed} ${asOf}`];
    case "stale": return ["warning", "hourglass_disabled", fill(text.state.stale, { time }), ""];
    case "parked": return ["critical", "pause_circle", text.state.parked, asOf];
    case "reconnecting": return ["warning", "sync_problem", text.state.reconnecting, `${retry} ${asOf}`.trim()];
    case "lost": return ["critical", "cloud_off", text.state.lost, retry];
    case "refused": return ["critical", "block", fill(text.state.refused, { reason: status.reason || "" }), ""];
    case "signed-out": return ["critical", "logout", text.state.signedOut, text.note.signIn];
    default: return ["unknown", "sync", text.state.connecting, ""];
  }
}

function drawBanner() {
  const [tone, icon, title, note] = bannerOf();
  const key = `${tone}|${title}`;
  if (banner.dataset.key !== key) {
    banner.dataset.key = key;
    banner.dataset.state = status.status;
    banner.className = `p-hero is-${tone}`;
    banner.querySelector("[data-icon]").textContent = icon;
    banner.querySelector("[data-title]").textContent = title;
    table.classList.toggle("feed-old", !status.fresh);
  }
  const place = banner.querySelector("[data-note]");
  if (place.textContent !== note) place.textContent = note;
  if (status.status === "signed-out" && !place.querySelector("a")) {
    const anchor = Object.assign(document.createElement("a"), { href: config.loginUrl, textContent: note });
    place.replaceChildren(anchor);
  }
}

function save() {
  try { localStorage.setItem(STORE, JSON.stringify([...rows.keys()])); } catch { /* private browsing */ }
}

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE));
    if (Array.isArray(kept)) return kept.filter((item) => /^[0-9A-Z]{6}(_NX|_AL)?$/.test(item)).slice(0, config.limit);
  } catch { /* private browsing, or something else wrote there */ }
  return config.watch;
}

function add(item) {
  const element = template.content.firstElementChild.cloneNode(true);
  element.dataset.item = item;
  element.querySelector("[data-cell=name]").textContent = config.symbols[item.slice(0, 6)] ?? item;
  element.querySelector("[data-cell=code]").textContent = item;
  const button = element.querySelector("button");
  button.setAttribute("aria-label", fill(text.form.remove, { item: config.symbols[item] ?? item }));
  button.addEventListener("click", () => {
    feed.remove("0B", [item]);
    rows.delete(item);
    const near = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    (near?.querySelector("button") ?? input).focus();
    save();
  });
  table.append(element);
  rows.set(item, { element, at: 0, latest: null });
  feed.register("0B", [item]);
}

async function ticket() {
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const response = await fetch(config.ticketUrl, { method: "POST", headers: { "X-CSRFToken": token } });
  if (response.status === 401 || response.status === 403) throw new SignedOut();
  if (!response.ok) throw new Error(`${response.status}`);
  return (await response.json()).ticket;
}

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const feed = new FeedClient({ url: `${scheme}//${location.host}${config.wsPath}`, token: ticket });
feed.addEventListener("row", ({ detail }) => {
  const row = rows.get(detail.item);
  if (!row || detail.type !== "0B") return;
  row.latest = detail;
  row.at = detail.at;
  if (dirty.size === 0) requestAnimationFrame(frame);
  dirty.add(detail.item);
});
feed.addEventListener("status", ({ detail }) => { status = detail; drawBanner(); });
feed.addEventListener("dropped", ({ detail }) => say(fill(text.dropped, { n: detail.count })));
feed.addEventListener("refused", ({ detail }) => say(detail.message));

function say(message) {
  const place = document.getElementById("feed-message");
  place.textContent = message;
  place.hidden = !message;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const item = input.value.trim().toUpperCase();
  const known = Object.entries(config.symbols).find(([code, name]) => name.toUpperCase() === item)?.[0];
  const code = known ?? item;
  if (!/^[0-9A-Z]{6}(_NX|_AL)?$/.test(code)) return say(text.form.bad);
  if (rows.has(code)) return say(fill(text.form.known, { item: code }));
  if (rows.size >= config.limit) return say(fill(text.form.full, { n: config.limit }));
  add(code);
  save();
  form.reset();
  say("");
});

load().forEach(add);
drawBanner();
drawAges();
feed.start();
setInterval(() => { drawAges(); drawBanner(); }, 1000);
