/* Errors, clocks, and the server's CPU time and memory. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

#define MAX_PIDS 16

static int pids[MAX_PIDS], pid_count;

void die(const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (char *at = text; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ') *at = '\'';
    printf("{\"error\":\"%s\"}\n", text);
    fflush(stdout);
    exit(1);
}

uint64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

double spun_cpu;

double thread_cpu(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec + used.tv_nsec / 1e9;
}

double own_cpu(void) {
    return thread_cpu() - spun_cpu;
}

void watch_server(int pid) {
    if (pid_count < MAX_PIDS) pids[pid_count++] = pid;
}

struct server_sample server_now(void) {
    struct server_sample sample = {0};
    for (int i = 0; i < pid_count; i++) {
        char path[64], line[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
        FILE *file = fopen(path, "r");
        if (!file) die("the server with pid %d is gone", pids[i]);
        size_t got = fread(line, 1, sizeof line - 1, file);
        fclose(file);
        line[got] = 0;
        char *rest = strrchr(line, ')');
        unsigned long user = 0, system = 0, rss = 0;
        if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d"
                                      " %*d %*u %*u %lu", &user, &system, &rss) != 3)
            die("unreadable %s", path);
        sample.cpu += (double)(user + system) / sysconf(_SC_CLK_TCK);
        sample.rss += (uint64_t)rss * sysconf(_SC_PAGESIZE);
    }
    return sample;
}

char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "r");
    if (!file) die("cannot open %s", path);
    char *data = malloc(1024 * 1024 + 1);
    *length = fread(data, 1, 1024 * 1024, file);
    fclose(file);
    data[*length] = 0;
    return data;
}
