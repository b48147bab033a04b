// Reference client of the Bonghwa feed: Kiwoom's WebSocket protocol, one ES module, no dependencies.
//
//   import { FeedClient, SignedOut } from "./feed.js";
//   const feed = new FeedClient({ url: "wss://host/ws", token: async () => "a token or a ticket" });
//   feed.addEventListener("row", ({ detail }) => console.log(detail.item, detail.values["10"], detail.at));
//   feed.addEventListener("status", ({ detail }) => banner(detail.fresh ? "" : detail.status));
//   feed.register("0B", ["005930"]);
//   feed.start();
//
// token() is called before every connection, so that each gets a ticket of its own; throw SignedOut when there is no
// point in asking again. What is registered is registered again after every reconnect. Nothing is buffered: rows are
// handed on as they arrive, and at most ITEMS_MAX items are kept.
//
// Events, each with its values in detail:
//   row      {type, item, name, values, at}: at is the time of the value in unix ms
//   status   {status, fresh, asOf, retryAt, reason}: link and state as one word, for a banner; fresh says that prices
//            may be shown as current. status is connecting, lost, refused, signed-out or stopped while this connection
//            is not open, else the feed's state
//   state    {state, asOf, retryAt}: the feed's state as the server tells it: live, reconnecting, stale, parked, closed
//   link     {link, retryAt, reason}: this connection: connecting, open, lost, refused, signed-out, stopped
//   gap      {from, to, topics, count, reason}: rows of these topics between these unix ms may be missing
//   dropped  {count}: rows that were skipped because this client is slow
//   restricted {count, topics}: the key may not register these any more; they are not asked for again
//   refused  {trnm, code, message}: a request that failed

const BASE_MS = 1000;
const CAP_MS = 60000;
const STABLE_MS = 30000; // only a connection that lasted this long resets the backoff
const SILENCE_MS = 35000; // the server sends PING each 10 s
const REG_ITEMS = 100; // items in one REG frame
const ITEMS_MAX = 1000; // items kept for registering again
const TOKEN_MS = 15000; // longest wait for token()
const RETRY_AFTER_MS = 600000; // longest wait that the server can ask for
const TERMINAL = new Set([1003, 1009, 4403]);
const STATES = { B1001: "live", B1002: "reconnecting", B1003: "stale", B1004: "parked", B1005: "closed" };

/** Thrown by token(): nobody is signed in, so asking again is pointless. */
export class SignedOut extends Error {}

/** Delay in ms before the next attempt: 1 s doubled to 60 s, shortened by up to half so that clients spread. */
export function backoff(failures, random = Math.random()) {
  return Math.min(CAP_MS, BASE_MS * 2 ** Math.min(failures, 10)) * (0.5 + random / 2);
}

export class FeedClient extends EventTarget {
  #url; #token; #topics = new Map(); #socket = null; #timer = 0; #watchdog = 0; #failures = 0;
  #openedAt = 0; #badTokens = 0; #ages = new Map(); #running = false; #ready = false;
  #link = { link: "stopped" }; #state = null; #told = ""; #Socket;

  /** url of /ws; token: async function that returns a token or ticket; WebSocket: where there is no global one. */
  constructor({ url, token, WebSocket = globalThis.WebSocket }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#Socket = WebSocket;
    this.wake = () => this.#running && !this.#socket && this.#connect();
  }

  /** Connect, and stay connected until stop() or a close that forbids coming back. */
  start() {
    if (this.#running) return;
    this.#running = true;
    globalThis.addEventListener?.("online", this.wake);
    this.#connect();
  }

  /** End the connection; start() begins anew. */
  stop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#ready = false;
    clearTimeout(this.#watchdog);
    socket?.close?.(1000);
    this.#halt("stopped");
  }

  /** Ask for items of a type, now and after every reconnect; throws RangeError over ITEMS_MAX items. */
  register(type, items) { this.#change("REG", type, items, (set, item) => set.add(item)); }

  /** Ask for these items no more. */
  remove(type, items) { this.#change("REMOVE", type, items, (set, item) => set.delete(item)); }

  #change(trnm, type, items, apply) {
    const set = this.#topics.get(type) ?? new Set();
    const kept = [...this.#topics.values()].reduce((sum, each) => sum + each.size, 0);
    if (trnm === "REG" && kept + items.filter((item) => !set.has(item)).length > ITEMS_MAX) {
      throw new RangeError(`more than ${ITEMS_MAX} items`);
    }
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
    this.#linked({ link: "connecting" });
    let token;
    try {
      token = await this.#timed(this.#token());
    } catch (error) {
      if (this.#socket !== attempt) return; // stopped, or started anew, meanwhile
      this.#socket = null;
      if (error instanceof SignedOut) this.#halt("signed-out");
      else this.#retry(0, String(error.message ?? error));
      return;
    }
    if (!this.#running || this.#socket !== attempt) return;
    const socket = (this.#socket = new this.#Socket(this.#url));
    socket.onopen = () => { this.#openedAt = Date.now(); this.#send({ trnm: "LOGIN", token, status: true }); };
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return; // stopped: what still arrives is nobody's
      this.#watch(socket);
      this.#receive(data);
    };
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
    this.#watch(socket);
  }

  #timed(promise) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("no token in time")), TOKEN_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }

  #receive(text) {
    let frame;
    try { frame = JSON.parse(text); } catch { return; } // a later version may send what this one does not know
    switch (frame?.trnm) {
      case undefined: return;
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
    this.#linked({ link: "open" });
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
      const { from, to, topics = [], count, reason } = frame;
      return this.#emit("gap", { from: Date.parse(from), to: Date.parse(to), topics, count, reason });
    }
    if (frame.code === "B1009") return this.#restricted(frame.topics ?? [], frame.removed);
    if (frame.code === "B1007") {
      this.#ages = new Map(Object.entries(frame.topics).map(([topic, at]) => [topic, Date.parse(at)]));
      return;
    }
    const state = STATES[frame.code];
    if (!state) return;
    this.#state = {
      ...frame,
      state,
      asOf: frame.as_of ? Date.parse(frame.as_of) : null,
      retryAt: frame.retry_in_s === undefined ? null : Date.now() + frame.retry_in_s * 1000,
    };
    this.#emit("state", this.#state);
    this.#tell();
  }

  /* A REG with one item that is not allowed is refused whole, so these must not be asked for again. */
  #restricted(topics, count) {
    for (const topic of topics) {
      const [type, item] = topic.split(":");
      this.#topics.get(type)?.delete(item);
    }
    this.#emit("restricted", { count, topics });
  }

  /* Until the server has told the feed's state, an open connection is not known to be fresh. */
  #tell() {
    const { link, retryAt = null, reason = "" } = this.#link;
    const open = link === "open";
    const status = !open ? link : this.#state ? this.#state.state : "connecting";
    const detail = {
      status,
      fresh: status === "live" || status === "closed",
      asOf: this.#state?.asOf ?? null,
      retryAt: open ? (this.#state?.retryAt ?? null) : retryAt,
      reason,
    };
    const told = JSON.stringify(detail);
    if (told === this.#told) return;
    this.#told = told;
    this.#emit("status", detail);
  }

  #linked(detail) {
    this.#link = detail;
    if (detail.link !== "open") this.#state = null;
    this.#emit("link", detail);
    this.#tell();
  }

  #closed(socket, code, reason) {
    if (this.#socket !== socket) return;
    clearTimeout(this.#watchdog);
    this.#socket = null;
    this.#ready = false;
    if (!this.#running) return;
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_MS) this.#failures = 0;
    this.#openedAt = 0;
    let detail = null;
    try { detail = JSON.parse(reason); } catch { /* a proxy's words, or none */ }
    if (detail === null || typeof detail !== "object") detail = { reason };
    // A ticket may have grown too old on the way: one new one is worth a try, more are not.
    if (TERMINAL.has(code) || (code === 4401 && ++this.#badTokens > 1)) return this.#halt("refused", detail.reason);
    const wait = Number(detail.retry_after) * 1000;
    this.#retry(wait > 0 ? Math.min(wait, RETRY_AFTER_MS) : 0, detail.reason);
  }

  #retry(atLeast, reason) {
    const delay = Math.max(backoff(this.#failures++), atLeast * (1 + Math.random() / 2));
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#linked({ link: "lost", retryAt: Date.now() + delay, reason });
  }

  #halt(link, reason) {
    this.#running = false;
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.wake);
    this.#linked({ link, reason });
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
