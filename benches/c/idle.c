/* A program that does nothing, to measure the memory that any C program uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            printf("{\"peak_kb\": %d}\n", (int)strtol(line + 6, NULL, 10));
    }
    if (status != NULL) fclose(status);
    return 0;
}
