/* Searches the whole memory of this process for API keys: while a client is alive, and after it is
 * freed. The arguments contain options of clients for which the keys are not valid. The program
 * reads two keys of 40 bytes each from standard input, and stores them in a form that the search
 * does not find. With "-" as the first argument, it searches only at the end, for slow runs. Linux
 * only. tests/secrets.rs runs it. */

#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commbox.h"

enum { KEY = 40, KEYS = 2, CHUNK = 1 << 20 };

static unsigned char hidden[KEYS][KEY];
static char *chunk;

static void hide(int which, const char *key)
{
    for (int i = 0; i < KEY; i++) {
        hidden[which][i] = (unsigned char)(key[i] ^ 0x55);
    }
}

/* Decodes a key into a buffer that its user wipes: the only place where this program has a key in
 * plain text. */
static void show(int which, char *key)
{
    for (int i = 0; i < KEY; i++) {
        key[i] = (char)(hidden[which][i] ^ 0x55);
    }
    key[KEY] = '\0';
}

static void wipe(char *key)
{
    volatile char *bytes = key;
    for (int i = 0; i <= KEY; i++) {
        bytes[i] = 0;
    }
}

/* Returns whether the text contains half of a key. Half is too much for a coincidence, and is still
 * found if one end was overwritten. */
static int is_key(const char *text)
{
    for (int which = 0; which < KEYS; which++) {
        int i = 0;
        while (i < KEY / 2 && (unsigned char)(text[i] ^ 0x55) == hidden[which][i]) {
            i++;
        }
        if (i == KEY / 2) {
            return 1;
        }
    }
    return 0;
}

static int count_keys(void)
{
    int found = 0;
    int memory = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    if (memory < 0 || maps == NULL) {
        perror("/proc/self");
        exit(EXIT_FAILURE);
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        char mode;
        if (sscanf(line, "%lx-%lx %c", &start, &end, &mode) != 3 || mode != 'r'
            || strstr(line, "[vvar") || strstr(line, "[vsyscall]")) {
            continue;
        }
        unsigned long mine = (unsigned long)chunk;
        for (unsigned long at = start; at < end; at += CHUNK - KEY) {
            /* The search must not find its own buffer. */
            if (at >= mine && at < mine + CHUNK) {
                continue;
            }
            size_t length = end - at < CHUNK ? end - at : CHUNK;
            if (at < mine && at + length > mine) {
                length = mine - at;
            }
            ssize_t got = pread(memory, chunk, length, (off_t)at);
            for (ssize_t i = 0; i + KEY / 2 <= got; i++) {
                found += is_key(chunk + i);
            }
        }
    }
    memset(chunk, 0, CHUNK);
    fclose(maps);
    close(memory);
    return found;
}

/* Sets the server that a client's options name. */
static int set_base_url(commbox_options *options, const char *json)
{
    static const char start[] = "\"base_url\":\"";
    const char *begin = json == NULL ? NULL : strstr(json, start);
    char url[200] = "";
    if (begin != NULL) {
        begin += sizeof start - 1;
        snprintf(url, sizeof url, "%.*s", (int)strcspn(begin, "\""), begin);
    }
    return url[0] != '\0' && commbox_options_set(options, "base_url", url) == COMMBOX_OK;
}

int main(int argc, char **argv)
{
    char key[KEY + 1];
    chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int which = 0; which < KEYS; which++) {
        if (read(STDIN_FILENO, key, KEY) != KEY) {
            return EXIT_FAILURE;
        }
        hide(which, key);
    }
    wipe(key);
    int is_slow = argc > 1 && strcmp(argv[1], "-") == 0, first = is_slow ? 2 : 1;
    if (!is_slow) printf("before %d\n", count_keys());

    enum { MOST = 8 };
    commbox_client *clients[MOST];
    for (int i = first; i < argc && i <= MOST; i++) {
        show(0, key);
        clients[i - 1] = commbox_client_new(key, argv[i]);
        wipe(key);
        for (int call = 0; call < 3; call++) {
            commbox_update_user_json(clients[i - 1], 1, "{\"FirstName\": \"John\"}", NULL);
        }
        show(1, key);
        commbox_client_set_api_key(clients[i - 1], key);
        wipe(key);
        commbox_update_user_json(clients[i - 1], 1, "{\"FirstName\": \"John\"}", NULL);
    }
    /* The value of a header is a secret too. */
    commbox_options *options = commbox_options_new();
    show(0, key);
    int set = commbox_options_set(options, "headers.X-Gateway", key) == COMMBOX_OK;
    wipe(key);
    set &= set_base_url(options, argv[first])
           && commbox_options_set(options, "proxy", "") == COMMBOX_OK;
    commbox_client *with_header = commbox_client_new_with("another", options);
    if (!set || with_header == NULL) {
        return EXIT_FAILURE;
    }
    commbox_update_user_json_with(with_header, 1, "{}",
                                  "{\"max_retries\": 0, \"total_timeout_ms\": 300}", NULL);
    if (!is_slow) printf("alive %d\n", count_keys());
    commbox_client_free(with_header);
    commbox_options_free(options);
    for (int i = first; i < argc && i <= MOST; i++) {
        commbox_client_free(clients[i - 1]);
    }
    printf("freed %d\n", count_keys());
    return EXIT_SUCCESS;
}
