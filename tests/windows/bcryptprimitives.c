/* What Wine 8 lacks and Rust's standard library imports: a source of random bytes. Windows has it,
 * so it belongs into no package; tests/platforms.py puts it into the system folder of the Wine that
 * the tests run in. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(void *bytes, ULONG count);

__declspec(dllexport) BOOL WINAPI ProcessPrng(unsigned char *bytes, size_t count)
{
    return SystemFunction036(bytes, (ULONG)count);
}
