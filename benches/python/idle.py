"""An interpreter that does nothing: its memory is what any program in Python has."""

with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(f'{{"peak_kb": {peak}}}')
