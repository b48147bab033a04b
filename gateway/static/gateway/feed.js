// Reference client of the Bonghwa feed: Kiwoom's WebSocket protocol, one ES module, no dependencies.
//
//   import { FeedClient } from "./feed.js";
//   const feed = new FeedClient({ url: "wss://host/ws", token: async () => "a token or ticket" });
//   feed.addEventListener("row", ({ detail }) => console.log(detail.item, detail.values["10"], detail.at));
//   feed.addEventListener("state", ({ detail }) => console.log(detail.state, detail.asOf));
//   feed.register("0B", ["005930"]);
//   feed.start();
//
// Events: "row" {type, item, name, values, at}; "state" {state, asOf, retryAt} as the server tells it (live,
// reconnecting, stale, parked, closed); "link" {link, retryAt, reason} of this connection (connecting, open, lost,
// refused, signed-out, stopped); "gap" {from, to, topics, count, reason}: rows of these topics may be missing;
// "dropped" {count}; "refused" {trnm, code, message} for a request that failed.

const BASE_MS = 1000;
const CAP_MS = 60000;
const STABLE_MS = 30000; // only a connection that lasted this long resets the backoff
const SILENCE_MS = 35000; // the server sends PING each 10 s
const REG_ITEMS = 100; // items in one REG frame
const TERMINAL = new Set([1003, 1009, 4403]);
const STATES = { B1001: "live", B1002: "reconnecting", B1003: "stale", B1004: "parked", B1005: "closed" };

export class SignedOut extends Error {}

export function backoff(failures, random = Math.random()) {
  return Math.min(CAP_MS, BASE_MS * 2 ** Math.min(failures, 10)) * (0.5 + random / 2);
}

export class FeedClient extends EventTarget {
  #url; #token; #topics = new Map(); #socket = null; #timer = 0; #watchdog = 0; #failures = 0;
  #openedAt = 0; #badTokens = 0; #ages = new Map(); #running = false; #ready = false;

  constructor({ url, token }) {
    super();
    this.#url = url;
    this.#token = token;
    this.wake = () => this.#running && !this.#socket && this.#connect();
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    globalThis.addEventListener?.("online", this.wake);
    this.#connect();
  }

  stop() {
    this.#halt("stopped");
    this.#socket?.close(1000);
  }

  register(type, items) { this.#change("REG", type, items, (set, item) => set.add(item)); }

  remove(type, items) { this.#change("REMOVE", type, items, (set, item) => set.delete(item)); }

  #change(trnm, type, items, apply) {
    const set = this.#topics.get(type) ?? new Set();
    this.#topics.set(type, set);
    items.forEach((item) => apply(set, item));
    if (this.#ready) this.#request(trnm, type, items);
  }

  #request(trnm, type, items) {
    for (let start = 0; start < items.length; start += REG_ITEMS) {
      const data = [{ item: items.slice(start, start + REG_ITEMS), type: [type] }];
      this.#send({ trnm, grp_no: "1", refresh: "1", data });
    }
  }

  async #connect() {
    clearTimeout(this.#timer);
    const attempt = (this.#socket = {}); // a placeholder, so that two attempts never run at once
    this.#emit("link", { link: "connecting" });
    let token;
    try {
      token = await this.#token();
    } catch (error) {
      this.#socket = null;
      if (error instanceof SignedOut) this.#halt("signed-out");
      else this.#retry(0, String(error.message ?? error));
      return;
    }
    if (!this.#running || this.#socket !== attempt) return;
    const socket = (this.#socket = new WebSocket(this.#url));
    socket.onopen = () => { this.#openedAt = Date.now(); this.#send({ trnm: "LOGIN", token, status: true }); };
    socket.onmessage = ({ data }) => { this.#watch(socket); this.#receive(JSON.parse(data)); };
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
    this.#watch(socket);
  }

  #receive(frame) {
    switch (frame.trnm) {
      case "REAL": return frame.data.forEach((row) => this.#row(row));
      case "PING": return this.#send(frame);
      case "SYSTEM": return this.#system(frame);
      case "LOGIN": return frame.return_code === 0 ? this.#welcome() : undefined; // a refusal closes
    }
    if (frame.return_code) {
      this.#emit("refused", { trnm: frame.trnm, code: frame.return_code, message: frame.return_msg });
    }
  }

  #welcome() {
    this.#ready = true;
    this.#badTokens = 0;
    this.#emit("link", { link: "open" });
    for (const [type, items] of this.#topics) this.#request("REG", type, [...items]);
  }

  #row(row) {
    const topic = `${row.type}:${row.item}`;
    const at = this.#ages.get(topic) ?? Date.now();
    this.#ages.delete(topic);
    this.#emit("row", { ...row, at });
  }

  #system(frame) {
    if (frame.code === "B1006") return this.#emit("dropped", { count: frame.dropped });
    if (frame.code === "B1008") {
      const { from, to, topics, count, reason } = frame;
      return this.#emit("gap", { from: Date.parse(from), to: Date.parse(to), topics, count, reason });
    }
    if (frame.code === "B1007") {
      this.#ages = new Map(Object.entries(frame.topics).map(([topic, at]) => [topic, Date.parse(at)]));
      return;
    }
    const state = STATES[frame.code];
    if (!state) return;
    this.#emit("state", {
      ...frame,
      state,
      asOf: frame.as_of ? Date.parse(frame.as_of) : null,
      retryAt: frame.retry_in_s === undefined ? null : Date.now() + frame.retry_in_s * 1000,
    });
  }

  #closed(socket, code, reason) {
    clearTimeout(this.#watchdog);
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#ready = false;
    if (!this.#running) return;
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_MS) this.#failures = 0;
    this.#openedAt = 0;
    let detail = {};
    try { detail = JSON.parse(reason); } catch { detail = { reason }; }
    // A ticket may have grown too old on the way: one new one is worth a try, more are not.
    if (TERMINAL.has(code) || (code === 4401 && ++this.#badTokens > 1)) return this.#halt("refused", detail.reason);
    this.#retry((detail.retry_after ?? 0) * 1000, detail.reason);
  }

  #retry(atLeast, reason) {
    const delay = Math.max(backoff(this.#failures++), atLeast * (1 + Math.random() / 2));
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#emit("link", { link: "lost", retryAt: Date.now() + delay, reason });
  }

  #halt(link, reason) {
    this.#running = false;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.wake);
    this.#emit("link", { link, reason });
  }

  #watch(socket) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      socket.onclose = null;
      socket.close();
      this.#closed(socket, 1006, "silence");
    }, SILENCE_MS);
  }

  #send(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
