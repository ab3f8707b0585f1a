// The contestants in C#, named by the first argument: commbox, httpclient, or idle for a program that does nothing.
using Bench;

if (args is ["idle"])
{
    // The host is what starts a program: `dotnet` itself may be a script in front of it.
    Console.WriteLine($$"""{"peak_kb": {{Process.Memory("VmHWM:")}}, "host": "{{Environment.ProcessPath}}"}""");
    return 0;
}
if (args is not [string contestant, string url, string caFile, string threads, string warmup, string calls, string body])
{
    Console.Error.WriteLine("usage: CONTESTANT URL CA_FILE THREADS WARMUP CALLS BODY");
    return 2;
}
var work = new Work(url, caFile, int.Parse(threads), int.Parse(warmup), int.Parse(calls) / int.Parse(threads), body);
try
{
    return Harness.Run(work, contestant == "commbox" ? ThisLibrary.Connect : DotNetHttpClient.Connect);
}
catch (Exception error)
{
    Console.Error.WriteLine(error);
    return 1;
}
