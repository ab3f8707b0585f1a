/* Repeatedly loads the library, makes a call and unloads the library. It must not crash, and its
 * memory use must not grow.
 *
 * Usage: unload LIBRARY OPTIONS_JSON CYCLES. The program is not linked with the library. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2) {
        exit(1);
    }
    fclose(file);
    return resident;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    int cycles = atoi(argv[3]);
    long before = 0;
    for (int i = 0; i < cycles; i++) {
        void *library = dlopen(argv[1], RTLD_NOW);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        void *(*new_client)(const char *, const char *);
        int32_t (*update)(void *, int64_t, const char *, char **);
        void (*free_client)(void *);
        const char *(*last_error)(void);
        *(void **)&new_client = dlsym(library, "commbox_client_new");
        *(void **)&update = dlsym(library, "commbox_update_user_json");
        *(void **)&free_client = dlsym(library, "commbox_client_free");
        *(void **)&last_error = dlsym(library, "commbox_last_error");
        void *client = new_client("key", argv[2]);
        if (client == NULL || update(client, 1, "{}", NULL) != 0) {
            fprintf(stderr, "cycle %d: %s\n", i, last_error());
            return 1;
        }
        free_client(client);
        dlclose(library);
        if (i == cycles / 4) {
            before = resident_pages();
        }
    }
    long grown = resident_pages() - before;
    if (grown > 1000) {
        fprintf(stderr, "grew by %ld pages\n", grown);
        return 1;
    }
    return 0;
}
