/* Support for the generated program of the matrix: good values, and a report of the outcome of each
 * call, in fields that end with a NUL. */

#define _DEFAULT_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commbox.h"

enum { HUGE = 16 << 20 };

static FILE *report;
static char good_options[300];
static char *huge;
static char *huge_broken;
static char anything;

static int32_t go_on(void *context) {
    (void)context;
    return 0;
}

static void heed(void *context, int32_t level, const char *event_json, const char *sentence) {
    (void)context, (void)level, (void)event_json, (void)sentence;
}

/* Returns the value that the place's next handle will have after these two. */
static uintptr_t next(uintptr_t former, uintptr_t live) {
    return live + (live - former);
}

static char *owned_text(void) {
    commbox_user *user = commbox_user_new();
    char *text = commbox_user_to_json(user);
    commbox_user_free(user);
    return text;
}

/* Fills an output before the call. */
static void prefill(void *output, size_t size) {
    memset(output, 0xa5, size);
}

/* Returns 1 if every byte of an output has this value. */
static int holds(const void *output, size_t size, unsigned char byte) {
    const unsigned char *bytes = output;
    while (size > 0 && bytes[size - 1] == byte) {
        size--;
    }
    return size == 0;
}

static void free_written(const void *output) {
    char *text = NULL;
    if (!holds(output, sizeof text, 0xa5)) {
        memcpy(&text, output, sizeof text);
        commbox_string_free(text);
    }
}

static void tell_text(const char *field) {
    fputs(field, report);
    fputc('\0', report);
    fflush(report);
}

static void tell_number(long number) {
    char text[30];
    snprintf(text, sizeof text, "%ld", number);
    tell_text(text);
}

static void tell_pointer(const void *pointer) {
    tell_text(pointer == NULL ? "NULL" : "something");
}

static void tell_output(const void *output, size_t size) {
    tell_text(output == NULL              ? "no output"
              : holds(output, size, 0)    ? "zero"
              : holds(output, size, 0xa5) ? "untouched"
                                          : "something");
}

/* Writes the case's number first, so that it is reported even if the call never returns. */
static void begin(long number) {
    tell_number(number);
    /* A successful call clears a previous error. */
    commbox_user_free(commbox_user_new());
}

static void tell_error(void) {
    tell_number(commbox_last_error_code());
    tell_text(commbox_last_error());
    tell_text(commbox_last_error_json());
}

/* After an object is freed while in use, its threads may still run for a moment. */
static int threads(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        count += task->d_name[0] != '.';
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return count;
}

static void *run_cases(void *unused);

/* Arguments: a file for the report, and the URL of a sandbox. The calls run on a thread that ends,
 * so that its thread-local data is freed when valgrind checks for leaks. */
int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 3 || (report = fopen(argv[1], "wb")) == NULL) {
        return EXIT_FAILURE;
    }
    snprintf(good_options, sizeof good_options,
             "{\"base_url\": \"%s\", \"max_retries\": 0, \"proxy\": \"\"}", argv[2]);
    huge = calloc(HUGE + 1, 1);
    huge_broken = calloc(HUGE + 1, 1);
    if (huge == NULL || huge_broken == NULL) {
        return EXIT_FAILURE;
    }
    memset(huge, 'a', HUGE);
    memset(huge_broken, 'a', HUGE);
    huge_broken[HUGE - 1] = '\xff';
    if (pthread_create(&thread, NULL, run_cases, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        return EXIT_FAILURE;
    }
    /* In an emulator, the process has additional threads that do not end. */
    for (int i = 0; i < 5000 && threads() > 1; i++) {
        usleep(1000);
    }
    free(huge);
    free(huge_broken);
    return fclose(report) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
