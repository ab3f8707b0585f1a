using System.Diagnostics;

namespace CommBox.Extensions.Hosting.Tests;

/// <summary>A program in an empty folder, which is built and run there.</summary>
internal sealed class DotNetProgram : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("commbox-");

    internal DotNetProgram(
        string program, string references, params (string Name, string Text)[] files)
    {
        Write("Program.cs", program);
        Write("Program.csproj", $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net8.0</TargetFramework>
                <RollForward>Major</RollForward>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="Microsoft.Extensions.Hosting" Version="8.0.1" />
                {references}
              </ItemGroup>
            </Project>
            """);
        foreach ((string name, string text) in files)
        {
            Write(name, text);
        }
    }

    internal static string DotNet =>
        Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host
            ? host
            : "dotnet";

    /// <summary>Runs it with variables; null removes one. Returns what it prints.</summary>
    internal Task<string> Run(params (string Name, string? Value)[] variables) =>
        Start(_folder.FullName, ["run"], variables);

    /// <summary>Runs a command of the SDK, which is to end well.</summary>
    internal static async Task<string> Start(
        string folder, string[] command, params (string Name, string? Value)[] variables)
    {
        var start = new ProcessStartInfo(DotNet, command)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["no_proxy"] = "*";
        start.Environment["DOTNET_CLI_UI_LANGUAGE"] = "en";
        foreach ((string name, string? value) in variables)
        {
            start.Environment[name] = value;
        }
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        string printed = await output + await error;
        Assert.That(process.ExitCode, Is.Zero, printed);
        return printed;
    }

    public void Dispose() => _folder.Delete(recursive: true);

    private void Write(string name, string text) =>
        File.WriteAllText(Path.Combine(_folder.FullName, name), text);
}
