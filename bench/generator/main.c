/* The loop, the phases, and the commands that come line by line; see generator.h. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "generator.h"

#define CONNECTING_MAX 32
#define SPIN_US 50
#define TICK_NS 1000000
#define RSS_EVERY_US 50000
#define STUCK_US 2000000
#define WINDOW_US 500000
#define DRAIN_QUIET_US 1000000
#define DRAIN_MAX_US 10000000
#define READY_US 120000000
#define SETTLE_US 300000
#define WINDOW_FIRST 16
#define WINDOW_LEAST 4

static int timer_fd;
static uint64_t late_us;
static bool command_waits;

/* Looks for SPIN_US after the last event before it sleeps: on loopback whoever sends to a sleeper pays for waking
 * it, which a server does not pay for clients on other machines. Others of this core go first meanwhile. */
static int wait_for_events(struct epoll_event *events, int room) {
    static uint64_t last;
    int count = epoll_wait(epoll_fd, events, room, 0);
    if (!count) {
        double before = thread_cpu();
        do {
            sched_yield();
            count = epoll_wait(epoll_fd, events, room, 0);
        } while (!count && now_us() - last < SPIN_US);
        spun_cpu += thread_cpu() - before;
    }
    if (!count) count = epoll_wait(epoll_fd, events, room, 1000);
    last = now_us();
    return count;
}

static bool turn(uint64_t *now) {
    struct epoll_event events[16];
    int count = wait_for_events(events, 16);
    bool tick = false;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &timer_fd) {
            uint64_t expired;
            if (read(timer_fd, &expired, sizeof expired) == sizeof expired) tick = true;
        } else if (events[i].data.ptr == &command_waits) {
            command_waits = true;
        } else if (events[i].data.ptr == &pub_fd) {
            pub_readable();
        } else {
            struct conn *c = events[i].data.ptr;
            if (c->state == CONNECTING) connected(c);
            else if (c->state != DEAD) readable(c);
        }
    }
    *now = now_us();
    if (tick) pub_flush();
    return tick;
}

static void connect_all(void) {
    uint64_t begin = now_us(), now = begin;
    double cpu = server_now().cpu;
    int next = 0;
    while (ready_count < client_count) {
        while (next < client_count && next - ready_count < CONNECTING_MAX) start_client(&conns[next++]);
        turn(&now);
        if (now - begin > READY_US) die("only %d of %d clients became ready: %.300s", ready_count, client_count,
                                        conns[ready_count].text);
    }
    uint64_t took = now - begin;
    for (uint64_t end = now + SETTLE_US; now < end;) turn(&now);
    printf("{\"clients\":%d,\"seconds\":%.3f,\"server_cpu\":%.3f}\n", client_count, took / 1e6,
           server_now().cpu - cpu);
    fflush(stdout);
}

static void begin_phase(void) {
    phase_first = published;
    last_sum = 0;
    for (int i = 0; i < client_count; i++) {
        conns[i].rows = conns[i].sum = 0;
        conns[i].last = published;
    }
    clear_latencies();
    rows_in = frames_in = bytes_in = late_us = 0;
    counting = false;
}

/* How rows are published. rate > 0: rows a second, whatever arrives. Otherwise as many as keep the server busy:
 * `window` rows on their way to each client, or fewer if the server delivers fewer in WINDOW_US, so that a slow
 * one is not drowned. */
struct pace {
    double rate;
    uint64_t window, allowed, begin, looked, looked_sum, progress, progress_sum;
};

static uint64_t due_rows(struct pace *pace, uint64_t now) {
    uint64_t sent = published - phase_first;
    if (pace->rate > 0) {
        uint64_t target = (uint64_t)((now - pace->begin) * pace->rate / 1e6);
        return target > sent ? target - sent : 0;
    }
    int active = client_count - dead_count - stalled_count;
    uint64_t arrived = active > 0 ? last_sum / active : sent;
    if (last_sum != pace->progress_sum) pace->progress_sum = last_sum, pace->progress = now;
    uint64_t on_way = sent > arrived ? sent - arrived : 0;
    if (now - pace->progress > STUCK_US) on_way = 0, pace->progress = now; /* what is lost never arrives */
    if (now - pace->looked >= WINDOW_US && active > 0) {
        pace->allowed = (last_sum - pace->looked_sum) / active * WINDOW_US / (now - pace->looked);
        if (pace->allowed < WINDOW_LEAST) pace->allowed = WINDOW_LEAST;
        if (pace->allowed > pace->window) pace->allowed = pace->window;
        pace->looked = now;
        pace->looked_sum = last_sum;
    }
    return on_way < pace->allowed ? pace->allowed - on_way : 0;
}

/* Let the clients read on until all has arrived, or nothing more does; tells what is missing or wrong. */
static void drain(uint64_t now, uint64_t *lost, uint64_t *wrong) {
    uint64_t sent = published - phase_first, sum = 0, seen = 0, quiet = now, stop = now + DRAIN_MAX_US;
    for (uint64_t seq = phase_first; seq < published; seq++) sum += seq;
    for (;;) {
        uint64_t arrived = 0;
        int alive = 0;
        for (int i = 0; i < client_count; i++)
            if (!conns[i].stalled && conns[i].state == READY) arrived += conns[i].rows, alive++;
        if (arrived != seen) seen = arrived, quiet = now;
        if (arrived >= sent * alive || now - quiet > DRAIN_QUIET_US || now > stop) break;
        turn(&now);
    }
    *lost = *wrong = 0;
    for (int i = 0; i < client_count; i++) {
        struct conn *c = &conns[i];
        if (c->stalled || c->state != READY) continue;
        if (c->rows < sent) *lost += sent - c->rows;
        else if (c->rows > sent || c->sum != sum) ++*wrong;
    }
}

static void run(struct pace pace, double warm_up, double seconds) {
    begin_phase();
    uint64_t begin = now_us(), now = begin, rss_due = 0, peak = 0, previous = begin, offered = 0;
    uint64_t from = begin + (uint64_t)(warm_up * 1e6), until = from + (uint64_t)(seconds * 1e6);
    struct server_sample start = {0}, end;
    double own = 0;
    int dead_before = dead_count;
    pace.begin = pace.looked = pace.progress = begin;
    pace.allowed = pace.window < WINDOW_FIRST ? pace.window : WINDOW_FIRST;
    while (now < until) {
        bool tick = turn(&now);
        if (now >= until) break;
        if (!counting && now >= from) {
            counting = true;
            start = server_now();
            own = own_cpu();
            offered = published;
            from = now;
        }
        if (!tick) continue;
        if (counting && now - previous > late_us) late_us = now - previous;
        previous = now;
        uint64_t due = due_rows(&pace, now);
        if (due) publish(due, now);
        if (now >= rss_due) {
            rss_due = now + RSS_EVERY_US;
            uint64_t rss = server_now().rss;
            if (rss > peak) peak = rss;
        }
    }
    end = server_now();
    own = own_cpu() - own;
    double took = (now - from) / 1e6;
    offered = published - offered;
    counting = false;
    uint64_t lost, wrong;
    drain(now, &lost, &wrong);
    printf("{\"seconds\":%.4f,\"offered\":%" PRIu64 ",\"published\":%" PRIu64 ",\"delivered\":%" PRIu64
           ",\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"wrong\":%" PRIu64
           ",\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"worst\":%.3f,\"late\":%.3f,\"server_cpu\":%.3f,"
           "\"own_cpu\":%.4f,\"rss\":%" PRIu64 ",\"rss_peak\":%" PRIu64 ",\"dead\":%d}\n",
           took, offered, published - phase_first, rows_in, frames_in, bytes_in, lost, wrong, quantile(0.5),
           quantile(0.99), quantile(0.999), worst_us / 1000.0, late_us / 1000.0, end.cpu - start.cpu, own,
           server_now().rss, peak, dead_count - dead_before);
    fflush(stdout);
}

static void idle(double seconds) {
    struct server_sample start = server_now();
    uint64_t begin = now_us(), now = begin;
    double own = own_cpu();
    int dead_before = dead_count;
    while (now - begin < seconds * 1e6) turn(&now);
    struct server_sample end = server_now();
    printf("{\"seconds\":%.3f,\"server_cpu\":%.3f,\"own_cpu\":%.4f,\"rss\":%" PRIu64 ",\"dead\":%d}\n",
           (now - begin) / 1e6, end.cpu - start.cpu, own_cpu() - own, end.rss, dead_count - dead_before);
    fflush(stdout);
}

static void stall(int count) {
    for (int i = 0; i < client_count && stalled_count < count; i++) {
        if (conns[i].stalled || conns[i].state != READY) continue;
        conns[i].stalled = true;
        stalled_count++;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, conns[i].fd, NULL);
    }
    printf("{\"stalled\":%d}\n", stalled_count);
    fflush(stdout);
}

/* Let the stopped clients read on until the server has closed them, and tell how it did. */
static void resume(double seconds) {
    memset(closes, 0, sizeof closes);
    ended = 0;
    for (int i = 0; i < client_count; i++) {
        if (!conns[i].stalled || conns[i].state != READY) continue;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conns[i].fd, &event);
    }
    uint64_t begin = now_us(), now = begin;
    while (now - begin < seconds * 1e6 && ended < (unsigned)stalled_count) turn(&now);
    printf("{\"ended\":%u,\"closes\":{", ended);
    bool any = false;
    for (int code = 0; code < CODES; code++)
        if (closes[code]) any = printf("%s\"%d\":%u", any ? "," : "", code, closes[code]) > 0;
    printf("}}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    const char *pub_kind = "none";
    int port = 0, pub_port = 0, option;
    server_address.sin_family = AF_INET;
    server_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while ((option = getopt(argc, argv, "p:n:r:h:m:t:k:P:j:s:")) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'n': client_count = atoi(optarg); break;
        case 'r': request = read_file(optarg, &request_len); break;
        case 'h': hello = read_file(optarg, &hello_len); break;
        case 'm': ready_mark = optarg; break;
        case 't': read_topics(optarg); break;
        case 'k': pub_kind = optarg; break;
        case 'P': pub_port = atoi(optarg); break;
        case 'j': join_max = atoi(optarg); break;
        case 's': watch_server(atoi(optarg)); break;
        default: die("unknown option");
        }
    }
    if (!port || client_count < 1 || !request || !row_len || join_max < 1) die("an option is missing");
    server_address.sin_port = htons(port);
    conns = calloc(client_count, sizeof *conns);
    buffer = malloc(RECV_BYTES + 1);
    if (!conns || !buffer) die("no memory");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec period = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
    timerfd_settime(timer_fd, 0, &period, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer_fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    pub_connect(pub_kind, pub_port);
    connect_all();
    char line[256];
    double first, second, third;
    int count;
    event.data.ptr = &command_waits;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event)) die("commands must come through a pipe");
    for (;;) {
        uint64_t now; /* between commands clients go on reading and answering PINGs */
        turn(&now);
        if (!command_waits) continue;
        command_waits = false;
        if (!fgets(line, sizeof line, stdin)) break;
        if (sscanf(line, "closed %lf %lf %lf", &first, &second, &third) == 3)
            run((struct pace){.window = (uint64_t)first}, second, third);
        else if (sscanf(line, "open %lf %lf %lf", &first, &second, &third) == 3)
            run((struct pace){.rate = first}, second, third);
        else if (sscanf(line, "idle %lf", &first) == 1) idle(first);
        else if (sscanf(line, "stall %d", &count) == 1) stall(count);
        else if (sscanf(line, "resume %lf", &first) == 1) resume(first);
        else die("unknown command %s", line);
    }
    return 0;
}
