/* What is published, and how each kind of server takes it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "generator.h"

#define PUB_BYTES (64 * 1024 * 1024)
#define MAX_TOPICS 64
#define MAX_ROW 4096
#define MAX_TOPIC 64
#define LAST_EVERY_US 100000
#define FENCE "1"

enum kind { REDIS, HTTP, NATS, LINES, NONE };

int pub_fd = -1, join_max = 1;
size_t row_len;
uint64_t published;

static enum kind pub_kind = NONE;
static char *pub_buffer;
static size_t pub_len, pub_off;
static char topics[MAX_TOPICS][MAX_TOPIC];
static char *topic_rows[MAX_TOPICS];
static int topic_count;
static size_t seq_at;
static uint64_t last_due[MAX_TOPICS];

void read_topics(const char *path) {
    size_t length;
    char *data = read_file(path, &length);
    for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n")) {
        char *tab = strchr(line, '\t');
        if (!tab || tab - line >= MAX_TOPIC || topic_count == MAX_TOPICS) die("unreadable line in %s", path);
        memcpy(topics[topic_count], line, tab - line);
        topic_rows[topic_count] = tab + 1;
        size_t size = strlen(tab + 1);
        char *mark = strstr(tab + 1, MARK);
        if (!mark || size > MAX_ROW || (row_len && size != row_len)) die("rows must be alike: %s", path);
        row_len = size;
        seq_at = mark + MARK_LEN - (tab + 1);
        topic_count++;
    }
    if (!topic_count) die("no topics in %s", path);
}

void pub_flush(void) {
    while (pub_off < pub_len) {
        ssize_t sent = send(pub_fd, pub_buffer + pub_off, pub_len - pub_off, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) die("the publisher's connection: %s", strerror(errno));
        pub_off += sent;
    }
    pub_off = pub_len = 0;
}

static void pub_text(const char *format, ...) {
    va_list list;
    va_start(list, format);
    pub_len += vsnprintf(pub_buffer + pub_len, 512, format, list);
    va_end(list);
}

static void pub_row(int topic, uint64_t seq, uint64_t stamp) {
    char *row = pub_buffer + pub_len;
    memcpy(row, topic_rows[topic], row_len);
    for (int i = SEQ_LEN - 1; i >= 0; i--, seq /= 10) row[seq_at + i] = '0' + seq % 10;
    char *at = row + seq_at - MARK_LEN + STAMP_AT;
    for (int i = STAMP_LEN - 1; i >= 0; i--, stamp /= 10) at[i] = '0' + stamp % 10;
    pub_len += row_len;
}

/* One message of `count` rows of one topic, with the numbers first, first + step, … */
static void pub_message(int topic, uint64_t first, int step, int count, uint64_t now) {
    const char *name = topics[topic];
    size_t body = count * row_len + count - 1;
    if (pub_kind == REDIS) {
        body += strlen(FENCE "|");
        pub_text("*3\r\n$7\r\nPUBLISH\r\n$%zu\r\ngateway:rows:%s\r\n$%zu\r\n" FENCE "|", strlen(name) + 13, name,
                 body);
    } else if (pub_kind == HTTP) {
        pub_text("POST /pub?id=%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n", name, body);
    } else if (pub_kind == NATS) {
        pub_text("PUB %s %zu\r\n", name, body);
    } else if (pub_kind == LINES) {
        pub_text("%s ", name);
    }
    for (int i = 0; i < count; i++) {
        if (i) pub_buffer[pub_len++] = ',';
        pub_row(topic, first + (uint64_t)i * step, now);
    }
    if (pub_kind == REDIS || pub_kind == NATS) pub_text("\r\n");
    else if (pub_kind == LINES) pub_text("\n");
    if (pub_kind == REDIS && now >= last_due[topic]) {
        last_due[topic] = now + LAST_EVERY_US;
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        char stamp[64];
        int length = snprintf(stamp, sizeof stamp, FENCE "|%" PRIu64 "|",
                              (uint64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
        pub_text("*4\r\n$4\r\nHSET\r\n$12\r\ngateway:last\r\n$%zu\r\n%s\r\n$%zu\r\n%s", strlen(name), name,
                 length + row_len, stamp);
        pub_row(topic, first + (uint64_t)(count - 1) * step, now);
        pub_text("\r\n");
    }
}

/* The rows of one turn, dealt to the topics in turn; those of one topic share messages of join_max rows. */
void publish(uint64_t count, uint64_t now) {
    uint64_t most = (PUB_BYTES - pub_len) / (row_len + 2048);
    if (count > most) die("the server takes rows too slowly to write %" PRIu64 " more", count);
    for (uint64_t offset = 0; offset < count && offset < (uint64_t)topic_count; offset++) {
        uint64_t seq = published + offset;
        int topic = seq % topic_count;
        uint64_t left = (count - offset + topic_count - 1) / topic_count;
        while (left) {
            int part = left < (uint64_t)join_max ? (int)left : join_max;
            pub_message(topic, seq, topic_count, part, now);
            seq += (uint64_t)part * topic_count;
            left -= part;
        }
    }
    published += count;
    pub_flush();
}

void pub_readable(void) {
    ssize_t got = recv(pub_fd, buffer, RECV_BYTES, 0);
    buffer[got > 0 ? got : 0] = 0;
    if (got == 0 || (got < 0 && errno != EAGAIN)) die("the publisher's connection was closed");
    if (got > 0 && pub_kind == NATS && memmem(buffer, got, "PING\r\n", 6)) pub_text("PONG\r\n");
    if (got <= 0) return;
    /* Replies of Redis are numbers, those of nginx 201 or 202; one cut in two by a read is not looked at. */
    char *bad = NULL;
    if (pub_kind == REDIS) bad = memchr(buffer, '-', got);
    if (pub_kind == HTTP) bad = memmem(buffer, got, "HTTP/1.1 4", 10);
    if (pub_kind == HTTP && !bad) bad = memmem(buffer, got, "HTTP/1.1 5", 10);
    if (bad) die("the publisher was refused: %.80s", bad);
}

void pub_connect(const char *kind, int port) {
    const char *names[] = {"redis", "http", "nats", "lines"};
    for (int i = 0; i < NONE; i++)
        if (!strcmp(kind, names[i])) pub_kind = i;
    if (pub_kind == NONE) return;
    struct sockaddr_in address = server_address;
    address.sin_port = htons(port);
    pub_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(pub_fd, (struct sockaddr *)&address, sizeof address)) die("publisher: %s", strerror(errno));
    fcntl(pub_fd, F_SETFL, O_NONBLOCK);
    int on = 1;
    setsockopt(pub_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pub_buffer = malloc(PUB_BYTES + 4096);
    if (pub_kind == NATS) pub_text("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &pub_fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pub_fd, &event);
}
