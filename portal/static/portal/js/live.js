/* Keeps ages counting, pushes new panels in, and says so when the connection is lost. */
import { tick } from "./ages.js";

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30000;

const root = document.querySelector("[data-live]");
const label = document.querySelector("[data-live-state]");
let delay = FIRST_DELAY;

function show(state) {
  if (!label) return;
  label.dataset.state = state;
  label.textContent = label.dataset[state];
}

/* Replace a panel without taking away the reader's focus and place or closing what was opened. */
function replace(name, html) {
  const panel = document.querySelector(`[data-panel="${CSS.escape(name)}"]`);
  if (!panel) return;
  const focused = panel.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id || focused.getAttribute("href"));
  const opened = [...panel.querySelectorAll("details[open][id]")].map((item) => item.id);
  const scrolled = [...panel.querySelectorAll("[id]")].map((item) => [item.id, item.scrollTop]).filter(([, top]) => top > 0);
  panel.innerHTML = html;
  for (const id of opened) panel.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  for (const [id, top] of scrolled) panel.querySelector(`#${CSS.escape(id)}`)?.scrollTo({ top, behavior: "instant" });
  if (key) {
    const again = panel.querySelector(`#${CSS.escape(key)}`) ?? panel.querySelector(`[href="${CSS.escape(key)}"]`);
    again?.focus({ preventScroll: true });
  }
}

function receive(event) {
  const message = JSON.parse(event.data);
  delay = FIRST_DELAY;
  show("open");
  for (const [name, html] of Object.entries(message.panels)) replace(name, html);
  tick(message.now);
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams({ page: root.dataset.live, lang: document.documentElement.lang });
  const socket = new WebSocket(`${scheme}//${location.host}/live/?${query}`);
  socket.addEventListener("message", receive);
  socket.addEventListener("close", (event) => {
    show("lost");
    if (event.code === 4401 || event.code === 4403) return;
    setTimeout(connect, delay * (0.5 + Math.random() / 2));
    delay = Math.min(delay * 2, LONGEST_DELAY);
  });
}

tick(Number(document.querySelector("[data-now]")?.dataset.now) || undefined);
setInterval(() => tick(), 1000);
if (root) connect();
