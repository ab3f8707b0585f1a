/* A source of random bytes that Rust's standard library imports and Wine 8 lacks. Windows has it,
 * so it must not be in any package. tests/platforms.py puts it into the system folder of the Wine
 * that runs the tests. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(void *bytes, ULONG count);

__declspec(dllexport) BOOL WINAPI ProcessPrng(unsigned char *bytes, size_t count)
{
    return SystemFunction036(bytes, (ULONG)count);
}
