/* Load generator of the benchmark: one thread that publishes rows and reads every subscriber's socket.
 *
 * It is C because the reader must not be the bottleneck: at 4,500,000 rows/s of 550 bytes a reader in Python
 * spends a whole core on copying and counting alone. Every row that arrives is looked at: its number is
 * checked and its age, publish to receipt, is counted. bench/load.py says what it is given and what it tells.
 */
#ifndef GENERATOR_H
#define GENERATOR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECV_BYTES (256 * 1024)
#define CODES 5000

/* Field 13 holds the row's number in 12 digits, field 14 the time of publishing in 16 digits. */
#define MARK ",\"13\":\""
#define MARK_LEN 7
#define SEQ_LEN 12
#define STAMP_AT (MARK_LEN + SEQ_LEN + 8)
#define STAMP_LEN 16
#define RECORD (STAMP_AT + STAMP_LEN)

enum state { CONNECTING, UPGRADING, GREETING, READY, DEAD };

struct conn {
    int fd;
    enum state state;
    bool stalled;
    uint8_t header[14], header_len, opcode, control_len, carry_len;
    uint8_t control[125], carry[RECORD];
    uint32_t skip;
    uint64_t remaining, rows, sum, last;
    uint16_t text_len;
    char text[1024];
};

struct server_sample {
    double cpu;
    uint64_t rss;
};

/* Clients, and what is sent on connecting. */
extern struct conn *conns;
extern int client_count, ready_count, dead_count, stalled_count, epoll_fd;
extern struct sockaddr_in server_address;
extern char *request, *hello;
extern size_t request_len, hello_len;
extern const char *ready_mark;
extern uint8_t *buffer;
extern unsigned closes[CODES], ended;

/* The phase that runs: rows from number phase_first on count; latencies are in microseconds. */
extern uint64_t phase_first, rows_in, frames_in, bytes_in, last_sum, worst_us;
extern bool counting;

/* The publisher; rows are row_len bytes, published is the number of the next one. */
extern int pub_fd, join_max;
extern size_t row_len;
extern uint64_t published;

/* common.c */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t now_us(void);
double thread_cpu(void); /* seconds */
double own_cpu(void);    /* seconds, without what was spent looking for events that did not come */
extern double spun_cpu;
void watch_server(int pid);
struct server_sample server_now(void);
char *read_file(const char *path, size_t *length);

/* receive.c */
void start_client(struct conn *c);
void connected(struct conn *c);
void readable(struct conn *c);
void clear_latencies(void);
double quantile(double share);

/* publish.c */
void read_topics(const char *path);
void pub_connect(const char *kind, int port);
void publish(uint64_t count, uint64_t now);
void pub_flush(void);
void pub_readable(void);

#endif
