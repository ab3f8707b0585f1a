"""Runs the C# tests on .NET 8 and 10, those of the NuGet packages, and a program of .NET Framework.

`make test` starts it. `python3 tests/run.py dotnet test bindings/csharp/CommBox.Tests` runs one
project.
"""

from __future__ import annotations

import re
import sys

from run import DOTNET, ROOT, Report, end_when_told, fetch, start

SOLUTION = ROOT / "bindings/csharp/Tests.slnx"
FRAMEWORK = "bindings/csharp/CommBox.Tests.Framework"


def on_dotnet(report: Report) -> None:
    """Runs the tests of both targets of the library, each on .NET 8 and 10."""
    fetch(DOTNET, "restore", str(SOLUTION))
    build = start([DOTNET, "build", "--no-restore", "--verbosity", "quiet", str(SOLUTION)], {})
    if build.wait() != 0:
        report.failed += 1
        return
    for project in re.findall('Path="([^"]*)"', SOLUTION.read_text()):
        folder = (SOLUTION.parent / project).parent
        for built in sorted(folder.glob(f"bin/Debug/*/{folder.name}.dll")):
            framework = built.parent.name
            report.suite(
                f"C#, {folder.name} on {framework}",
                [DOTNET, "test", "--no-build", "--framework", framework, str(folder)],
                DOTNET_CLI_UI_LANGUAGE="en",
            )


def on_mono(report: Report) -> None:
    if report.without("mono", "the program of .NET Framework"):
        return
    fetch(DOTNET, "restore", FRAMEWORK)
    build = f'"{DOTNET}" build --no-restore --verbosity quiet {FRAMEWORK}'
    run = f"exec mono {FRAMEWORK}/bin/Debug/net472/CommBox.Tests.Framework.exe"
    report.suite("C# on Mono", ["sh", "-c", f"{build} && {run}"])


def main() -> int:
    end_when_told()
    report = Report()
    on_dotnet(report)
    report.suite(
        "The NuGet packages",
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/nuget"],
        PYTHONDONTWRITEBYTECODE="1",
    )
    on_mono(report)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
