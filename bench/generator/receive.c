/* What arrives: WebSocket frames of each client, and the rows in their payload. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generator.h"

/* Latencies fall into slots of 1/512 of their size. */
#define SUB_BITS 9
#define HISTOGRAM (64 << SUB_BITS)
#define RCVBUF_BYTES (128 * 1024)

struct conn *conns;
int client_count, ready_count, dead_count, stalled_count, epoll_fd;
struct sockaddr_in server_address;
char *request, *hello;
size_t request_len, hello_len;
const char *ready_mark = "";
uint8_t *buffer;
unsigned closes[CODES], ended;
uint64_t phase_first, rows_in, frames_in, bytes_in, last_sum, worst_us;
bool counting;

static uint64_t histogram[HISTOGRAM];

static uint64_t number(const uint8_t *at, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) value = value * 10 + (at[i] - '0');
    return value;
}

static int slot_of(uint64_t value) {
    if (value < (1u << SUB_BITS)) return (int)value;
    int shift = 63 - __builtin_clzll(value) - SUB_BITS;
    return ((shift + 1) << SUB_BITS) + (int)((value >> shift) & ((1u << SUB_BITS) - 1));
}

static uint64_t value_of(int slot) {
    if (slot < (1 << SUB_BITS)) return slot;
    int shift = (slot >> SUB_BITS) - 1;
    return ((uint64_t)((slot & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS) + 1) << shift) - 1;
}

void clear_latencies(void) {
    memset(histogram, 0, sizeof histogram);
    worst_us = 0;
}

double quantile(double share) {
    uint64_t wanted = (uint64_t)(share * rows_in), seen = 0;
    for (int slot = 0; slot < HISTOGRAM; slot++) {
        seen += histogram[slot];
        if (seen > wanted) return value_of(slot) / 1000.0;
    }
    return worst_us / 1000.0;
}

static void take_row(struct conn *c, const uint8_t *record, uint64_t now) {
    uint64_t seq = number(record + MARK_LEN, SEQ_LEN);
    if (seq < phase_first || c->stalled) return;
    c->rows++;
    c->sum += seq;
    if (seq >= c->last) { /* last counts up to the newest, whatever was lost before it */
        last_sum += seq + 1 - c->last;
        c->last = seq + 1;
    }
    if (!counting) return;
    uint64_t sent = number(record + STAMP_AT, STAMP_LEN);
    uint64_t age = now > sent ? now - sent : 0;
    int slot = slot_of(age);
    rows_in++;
    histogram[slot < HISTOGRAM ? slot : HISTOGRAM - 1]++;
    if (age > worst_us) worst_us = age;
}

/* Finds rows in a stream of payload bytes, wherever frames and reads cut it. All rows are row_len bytes. */
static void scan(struct conn *c, const uint8_t *at, size_t n, uint64_t now) {
    while (n) {
        if (c->skip) {
            size_t gone = c->skip < n ? c->skip : n;
            c->skip -= gone;
            at += gone;
            n -= gone;
            continue;
        }
        if (c->carry_len) {
            uint8_t both[2 * RECORD];
            size_t more = n < RECORD - 1 ? n : RECORD - 1;
            memcpy(both, c->carry, c->carry_len);
            memcpy(both + c->carry_len, at, more);
            size_t have = c->carry_len + more;
            const uint8_t *found = memmem(both, have, MARK, MARK_LEN);
            if (found && (size_t)(found - both) < c->carry_len && found - both + RECORD <= (ptrdiff_t)have) {
                take_row(c, found, now);
                size_t used = found - both + RECORD - c->carry_len;
                c->carry_len = 0;
                c->skip = row_len - RECORD;
                at += used;
                n -= used;
                continue;
            }
            if (more == RECORD - 1 || (found && (size_t)(found - both) >= c->carry_len)) {
                c->carry_len = 0;
                continue;
            }
            size_t keep = have < RECORD - 1 ? have : RECORD - 1;
            memcpy(c->carry, both + have - keep, keep);
            c->carry_len = keep;
            return;
        }
        const uint8_t *found = memmem(at, n, MARK, MARK_LEN);
        if (found && found + RECORD <= at + n) {
            take_row(c, found, now);
            n -= found + RECORD - at;
            at = found + RECORD;
            c->skip = row_len - RECORD;
            continue;
        }
        size_t keep = found ? (size_t)(at + n - found) : n < MARK_LEN - 1 ? n : MARK_LEN - 1;
        memcpy(c->carry, at + n - keep, keep);
        c->carry_len = keep;
        return;
    }
}

static void finish(struct conn *c) {
    if (c->state == DEAD) return;
    if (c->state != READY) die("a client was refused before it was ready: %.300s", c->text);
    close(c->fd);
    c->state = DEAD;
    dead_count++;
}

static void send_all(struct conn *c, const char *data, size_t length) {
    while (length) {
        ssize_t sent = send(c->fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) continue;
        if (sent < 0) return;
        data += sent;
        length -= sent;
    }
}

static void control(struct conn *c) {
    if (c->opcode == 8) {
        unsigned code = c->control_len >= 2 ? c->control[0] << 8 | c->control[1] : 1005;
        closes[code < CODES ? code : 0]++;
    } else if (c->opcode == 9) {
        char pong[131] = {(char)0x8a, (char)(0x80 | c->control_len)};
        memcpy(pong + 6, c->control, c->control_len); /* masked with zeros */
        send_all(c, pong, 6 + c->control_len);
    }
}

static void became_ready(struct conn *c) {
    c->state = READY;
    ready_count++;
}

static void text(struct conn *c, const uint8_t *at, size_t n) {
    size_t room = sizeof c->text - 1 - c->text_len, part = n < room ? n : room;
    memcpy(c->text + c->text_len, at, part);
    c->text_len += part;
    c->text[c->text_len] = 0;
    if (memmem(c->text, c->text_len, ready_mark, strlen(ready_mark))) became_ready(c);
}

static void frames(struct conn *c, const uint8_t *at, size_t n, uint64_t now) {
    while (n) {
        if (c->remaining) {
            size_t part = c->remaining < n ? c->remaining : n;
            if (c->opcode >= 8) {
                memcpy(c->control + c->control_len, at, part);
                c->control_len += part;
            } else {
                if (c->state == GREETING) text(c, at, part);
                scan(c, at, part, now);
            }
            c->remaining -= part;
            at += part;
            n -= part;
            if (!c->remaining && c->opcode >= 8) control(c);
            continue;
        }
        c->header[c->header_len++] = *at++;
        n--;
        if (c->header_len < 2) continue;
        int short_len = c->header[1] & 0x7f, extra = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;
        if (c->header_len < 2 + extra) continue;
        uint64_t length = extra ? 0 : short_len;
        for (int i = 0; i < extra; i++) length = length << 8 | c->header[2 + i];
        uint8_t opcode = c->header[0] & 0x0f;
        if (c->header[0] & 0x70 || c->header[1] & 0x80) die("not a plain WebSocket frame");
        c->header_len = 0;
        c->remaining = length;
        if (opcode >= 8) {
            if (length > sizeof c->control) die("a control frame of %" PRIu64 " bytes", length);
            c->control_len = 0;
        } else if (counting) {
            frames_in++;
        }
        c->opcode = opcode;
        if (!length && opcode >= 8) control(c);
    }
}

static void upgraded(struct conn *c, uint8_t *at, size_t n, uint64_t now) {
    size_t room = sizeof c->text - 1 - c->text_len, part = n < room ? n : room;
    memcpy(c->text + c->text_len, at, part);
    size_t before = c->text_len;
    c->text_len += part;
    c->text[c->text_len] = 0;
    char *end = strstr(c->text, "\r\n\r\n");
    if (!end) {
        if (!room) die("no end of the handshake: %.300s", c->text);
        return;
    }
    if (strncmp(c->text, "HTTP/1.1 101", 12)) die("no upgrade: %.300s", c->text);
    size_t used = end + 4 - c->text - before;
    c->text_len = 0;
    c->text[0] = 0;
    c->state = GREETING;
    if (hello_len) send_all(c, hello, hello_len);
    if (!*ready_mark) became_ready(c);
    frames(c, at + used, n - used, now);
}

void readable(struct conn *c) {
    ssize_t got = recv(c->fd, buffer, RECV_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        if (c->stalled) ended++;
        finish(c);
        return;
    }
    uint64_t now = now_us();
    bytes_in += got;
    if (c->state == UPGRADING) upgraded(c, buffer, got, now);
    else frames(c, buffer, got, now);
}

void start_client(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int room = RCVBUF_BYTES; /* a stopped reader would hold up to 32 MiB here */
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (connect(c->fd, (struct sockaddr *)&server_address, sizeof server_address) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

void connected(struct conn *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) die("connect: %s", strerror(error));
    c->state = UPGRADING;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    send_all(c, request, request_len);
}
