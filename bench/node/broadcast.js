"use strict";
// Sends each row to each subscriber: node broadcast.js WEBSOCKET_PORT FEED_PORT. Rows come as "TOPIC ROW\n".
const net = require("node:net");
const { WebSocketServer } = require("ws");

const [port, feedPort] = process.argv.slice(2).map(Number);
const topics = new Map();

const server = new WebSocketServer({ host: "127.0.0.1", port, backlog: 4096, perMessageDeflate: false });
server.on("connection", (socket, request) => {
  const names = new URL(request.url, "http://localhost").searchParams.get("topics").split(",");
  for (const name of names) {
    if (!topics.has(name)) topics.set(name, new Set());
    topics.get(name).add(socket);
  }
  socket.on("close", () => names.forEach((name) => topics.get(name).delete(socket)));
  socket.on("error", () => socket.terminate());
  socket.send("ready");
});

server.on("listening", () => {
  net.createServer((feed) => {
    let rest = Buffer.alloc(0);
    feed.on("error", () => feed.destroy());
    feed.on("data", (chunk) => {
      const data = rest.length ? Buffer.concat([rest, chunk]) : chunk;
      let start = 0;
      for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
        const space = data.indexOf(32, start);
        const row = data.subarray(space + 1, end);
        for (const socket of topics.get(data.toString("latin1", start, space)) ?? []) {
          socket.send(row, { binary: false });
        }
        start = end + 1;
      }
      rest = data.subarray(start);
    });
  }).listen(feedPort, "127.0.0.1");
});
