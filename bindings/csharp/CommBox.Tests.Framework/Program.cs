// Does on .NET Framework, or Mono, what the library does anywhere, and counts what came out right:
//
//     mono CommBox.Tests.Framework.exe
//
// The closing line is that of `dotnet test`.
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using CommBox;
using CommBox.Tests;

if (args is ["without-library"])
{
    // It is looked for everywhere, and each place is named.
    try
    {
        new CommBoxClient("key").Dispose();
    }
    catch (DllNotFoundException error)
    {
        // The path of this program may have any letters, whatever the locale.
        Console.OutputEncoding = System.Text.Encoding.UTF8;
        Console.WriteLine(error.Message);
    }
    return 0;
}
int code;
using (var checks = new Checks())
{
    code = await checks.RunAll();
}
if (Type.GetType("Mono.Runtime") is not null)
{
    // Mono 6.8 can hang when it ends a program while a native thread exits on which it ran a callback.
    Console.Out.Flush();
    ExitAtOnce(code);
}
return code;

[System.Runtime.InteropServices.DllImport("libc", EntryPoint = "_exit")]
static extern void ExitAtOnce(int code);

internal sealed class Checks : IDisposable
{
    private readonly Sandbox _sandbox = new();

    public void Dispose() => _sandbox.Dispose();

    internal async Task<int> RunAll()
    {
        // Whole numbers and fractions are the same in every culture.
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("de-DE");
        Func<Task>[] all =
        [
            Updates, Forms, Numbers, Json, Errors, MessagesNameOptions, ManyAsynchronousCalls, Batch, FailingSource,
            CancelledCalls, CancelledBatch, Ends, Log, Activities, Finalizers, MissingLibrary,
        ];
        int failed = 0;
        foreach (Func<Task> check in all)
        {
            _sandbox.Reset();
            try
            {
                await check();
                Console.WriteLine($"{check.Method.Name} passed");
            }
            catch (Exception error)
            {
                failed++;
                Console.WriteLine($"FAILED {check.Method.Name}: {error}");
            }
        }
        Console.WriteLine($"Failed: {failed}, Passed: {all.Length - failed}, Skipped: 0");
        return failed == 0 ? 0 : 1;
    }

    private async Task Updates()
    {
        using CommBoxClient client = _sandbox.Client();
        UpdateResult result = client.UpdateUser(7, new UserInfo { FirstName = "é שלום 😀" }.SetNull("Phone2"));
        Same(7L, result.Id);
        Same(1, result.Attempts);
        Same(true, result.RespondedAt is not null);
        Same("é שלום 😀", _sandbox.User(7).GetProperty("FirstName").GetString());
        Same(8L, (await client.UpdateUserAsync(8, new UserInfo { LastName = "X" })).Id);
        client.SetApiKey("another-key");
        Same(401, Thrown<CommBoxApiException>(() => client.UpdateUser(7, new UserInfo { LastName = "X" })).Code);
        client.SetApiKey(Sandbox.ApiKey);
        client.ValidateUser(7, new UserInfo { LastName = "X" });
        CommBoxStatistics statistics = client.GetStatistics();
        Same((3L, 2L, 1L), (statistics.Calls, statistics.Succeeded, statistics.Failed));
        Same(JsonValueKind.Object, JsonDocument.Parse(client.DiagnoseJson()).RootElement.ValueKind);
    }

    private async Task Forms()
    {
        using CommBoxClient client = _sandbox.Client();
        const string json = """{"FirstName": "\u0041é",  "Content": {"Score": 1.50}}""";
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(json);
        JsonElement element = JsonDocument.Parse(json).RootElement;
        client.UpdateUserJson(1, json);
        client.UpdateUserJson(1, bytes);
        client.UpdateUser(1, element);
        await client.UpdateUserJsonAsync(1, bytes);
        await client.UpdateUserAsync(1, element);
        string[] bodies = [.. _sandbox.Requests().Select(request => request.GetProperty("body").GetString()!)];
        Same(5, bodies.Length);
        Same(true, bodies.All(body => body == "{\"data\":" + json + "}"));
    }

    private Task Numbers()
    {
        var user = new UserInfo
        {
            Content = { ["a"] = 0.1, ["b"] = 0.1f, ["c"] = 1e300, ["d"] = 1.10m, ["e"] = JsonValue.Create(0.1), ["f"] = -5 },
        };
        Same("""{"Content":{"a":0.1,"b":0.1,"c":1E+300,"d":1.10,"e":0.1,"f":-5}}""", user.ToJson());
        var random = new Random(7);
        for (int i = 0; i < 10_000; i++)
        {
            double number = BitConverter.Int64BitsToDouble(((long)random.Next() << 33) ^ random.Next());
            if (!double.IsNaN(number) && !double.IsInfinity(number))
            {
                string text = new UserInfo { Content = { ["n"] = number } }.ToJson().Substring(16).TrimEnd('}');
                Same(number, double.Parse(text, CultureInfo.InvariantCulture));
            }
        }
        return Task.CompletedTask;
    }

    private Task Json()
    {
        const string json = """{"LastName":"X","Phone2":null,"Content":{"Score":1.10}}""";
        UserInfo user = JsonSerializer.Deserialize<UserInfo>(json)!;
        Same(json, user.ToJson());
        Same(json, JsonSerializer.Serialize(user));
        var update = new UserUpdate(5, user) { Tag = "row" };
        Same("row", JsonSerializer.Deserialize<UserUpdate>(JsonSerializer.Serialize(update))!.Tag);
        return Task.CompletedTask;
    }

    private async Task Errors()
    {
        using CommBoxClient client = _sandbox.Client(timeout: TimeSpan.FromSeconds(30));
        _sandbox.Script("""[{"status": 400, "headers": {"X-Request-Id": "r-1"}}, {"status": 503, "body": "busy"}, {"body": "<html>"}]""");
        var refused = Thrown<CommBoxApiException>(() => client.UpdateUser(1, new UserInfo { Email = "canary" }));
        Same((400, CommBoxDelivery.Answered, "r-1"), (refused.Code, refused.Delivery, refused.RequestId!));
        Same(false, refused.ToString().Contains("canary"));
        Same(503, Thrown<CommBoxApiException>(() => client.UpdateUser(1, new UserInfo { LastName = "X" })).Code);
        Same(-9, Thrown<CommBoxApiException>(() => client.UpdateUser(1, new UserInfo { LastName = "X" })).Code);
        Same(-1, Thrown<CommBoxValidationException>(() => client.UpdateUser(0, new UserInfo { LastName = "X" })).Code);
        var options = new CommBoxClientOptions { BaseUrl = "http://127.0.0.1:9", Proxy = "", MaxRetries = 0 };
        using var nobody = new CommBoxClient("key", options);
        var unreached = await ThrownAsync<CommBoxConnectionException>(() => nobody.UpdateUserAsync(1, new UserInfo { LastName = "X" }));
        Same((-5, CommBoxDelivery.NotSent, true), (unreached.Code, unreached.Delivery, unreached.IsTransient));
    }

    private Task MessagesNameOptions()
    {
        var options = new CommBoxClientOptions { MaxRetries = -1, MaxConcurrency = 0, Timeout = TimeSpan.FromSeconds(-1) };
        Same(
            "Timeout must not be negative; MaxRetries must not be negative; MaxConcurrency must be from 1 to 256",
            Thrown<CommBoxValidationException>(() => new CommBoxClient("key", options)).Message);
        var user = new UserInfo { Content = { ["When"] = DateTime.UtcNow } };
        Same(true, Thrown<CommBoxValidationException>(() => user.ToJson()).Message.Contains("ToString(\"o\""));
        return Task.CompletedTask;
    }

    private async Task ManyAsynchronousCalls()
    {
        await using CommBoxClient client = _sandbox.Client();
        UpdateResult[] results = await Task.WhenAll(
            Enumerable.Range(1, 500).Select(id => client.UpdateUserAsync(id, new UserInfo { Remarks = $"row {id}" })));
        Same(true, results.Select(result => result.Id).SequenceEqual(Enumerable.Range(1, 500).Select(id => (long?)id)));
        Same(0, client.PendingCount);
    }

    private async Task Batch()
    {
        using CommBoxClient client = _sandbox.Client();
        var progress = new Recorder();
        var results = new List<CommBoxBatchResult>();
        IEnumerable<UserUpdate> updates = Enumerable.Range(0, 300).Select(row => new UserUpdate(row, """{"LastName":"X"}""") { Tag = row });
        var options = new CommBoxBatchOptions { Concurrency = 16, Progress = progress };
        await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(updates, options))
        {
            results.Add(result);
        }
        Same(300, results.Select(result => (int)result.Update.Tag!).Distinct().Count());
        CommBoxBatchResult failed = results.Single(result => !result.IsSuccess);
        Same((0L, -1), (failed.Update.UserId, failed.Error!.Code));
        Same((299L, 1L), (progress.Last!.Succeeded, progress.Last.Failed));
    }

    private async Task FailingSource()
    {
        using CommBoxClient client = _sandbox.Client();
        int confirmed = 0;
        await ThrownAsync<InvalidDataException>(async () =>
        {
            await foreach (CommBoxBatchResult result in client.UpdateUsersAsync(Source()))
            {
                confirmed += result.IsSuccess ? 1 : 0;
            }
        });
        Same(true, confirmed <= 20);

        static IEnumerable<UserUpdate> Source()
        {
            for (int row = 1; row <= 20; row++)
            {
                yield return new UserUpdate(row, """{"LastName":"X"}""");
            }
            throw new InvalidDataException();
        }
    }

    private async Task CancelledCalls()
    {
        using CommBoxClient client = _sandbox.Client(timeout: TimeSpan.FromMinutes(2));
        Slow(3);
        using var source = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        var clock = Stopwatch.StartNew();
        var synchronous = Thrown<OperationCanceledException>(() => client.UpdateUser(1, new UserInfo { LastName = "X" }, source.Token));
        Same(source.Token, synchronous.CancellationToken);
        Same(CommBoxDelivery.Unknown, ((CommBoxException)synchronous.InnerException!).Delivery);
        using var later = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await ThrownAsync<OperationCanceledException>(() => client.UpdateUserAsync(2, new UserInfo { LastName = "X" }, later.Token));
        Task<UpdateResult> call = client.UpdateUserAsync(3, new UserInfo { LastName = "X" });
        await Task.Delay(200);
        client.Cancel();
        await ThrownAsync<OperationCanceledException>(() => call);
        Same(true, clock.Elapsed < TimeSpan.FromSeconds(20));
    }

    private async Task CancelledBatch()
    {
        using CommBoxClient client = _sandbox.Client(timeout: TimeSpan.FromMinutes(2));
        Slow(8);
        using var source = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        var clock = Stopwatch.StartNew();
        await ThrownAsync<OperationCanceledException>(async () =>
        {
            await foreach (CommBoxBatchResult _ in client.UpdateUsersAsync(
                Enumerable.Range(1, 8).Select(id => new UserUpdate(id, """{"LastName":"X"}""")), null, source.Token))
            {
            }
        });
        Same(true, clock.Elapsed < TimeSpan.FromSeconds(20));
    }

    private async Task Ends()
    {
        CommBoxClient client = _sandbox.Client();
        Task<UpdateResult>[] calls = [.. Enumerable.Range(1, 50).Select(id => client.UpdateUserAsync(id, new UserInfo { LastName = "X" }))];
        await client.FlushAsync();
        // Each has its outcome; its task may complete a moment later, on another thread.
        Task all = Task.WhenAll(calls);
        Same(all, await Task.WhenAny(all, Task.Delay(TimeSpan.FromSeconds(30))));
        await all;
        Task<UpdateResult> last = client.UpdateUserAsync(1, new UserInfo { LastName = "Y" });
        await client.CloseAsync();
        Same(1L, (await last).Id);
        Thrown<ObjectDisposedException>(() => client.UpdateUser(1, new UserInfo { LastName = "X" }));
    }

    private async Task Log()
    {
        var events = new System.Collections.Concurrent.ConcurrentQueue<string>();
        using CommBoxClient client = _sandbox.Client(
            new CommBoxClientOptions
            {
                Log = happened => events.Enqueue(happened.Name),
                LogLevel = CommBoxLogLevel.Trace,
                RetryBase = TimeSpan.FromMilliseconds(1),
            });
        _sandbox.Script("""[{"status": 503}]""");
        await client.UpdateUserAsync(1, new UserInfo { LastName = "X" });
        Same(true, events.Contains("retry"));
    }

    private async Task Activities()
    {
        // As OpenTelemetry sets it; the default of .NET Framework has no traceparent.
        Activity.DefaultIdFormat = ActivityIdFormat.W3C;
        var ended = new List<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "CommBox",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) =>
                ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = ended.Add,
        };
        ActivitySource.AddActivityListener(listener);
        using CommBoxClient client = _sandbox.Client();
        client.UpdateUser(1, new UserInfo { LastName = "X" });
        await client.UpdateUserAsync(2, new UserInfo { LastName = "X" });
        Same("POST /users/{id} POST /users/{id}", string.Join(" ", ended.Select(each => each.DisplayName)));
        Same(
            string.Join(" ", ended.Select(each => each.Id)),
            string.Join(" ", _sandbox.Requests().Select(
                request => request.GetProperty("headers").GetProperty("traceparent").GetString())));
    }

    private Task Finalizers()
    {
        for (int i = 0; i < 200; i++)
        {
            CommBoxClient left = _sandbox.Client();
            if (i % 20 == 0)
            {
                left.UpdateUser(1, new UserInfo { LastName = "X" });
                _ = left.UpdateUserAsync(2, new UserInfo { LastName = "X" });
            }
        }
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        using CommBoxClient client = _sandbox.Client();
        Same(1L, client.UpdateUser(1, new UserInfo { LastName = "X" }).Id);
        return Task.CompletedTask;
    }

    private Task MissingLibrary()
    {
        string program = Assembly.GetExecutingAssembly().Location;
        bool mono = Type.GetType("Mono.Runtime") is not null;
        var start = new ProcessStartInfo(mono ? "mono" : program, mono ? $"\"{program}\" without-library" : "without-library")
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            StandardOutputEncoding = System.Text.Encoding.UTF8,
        };
        start.EnvironmentVariables["COMMBOX_LIBRARY"] = "/no/such/libcommbox.so";
        using Process other = Process.Start(start)!;
        string message = other.StandardOutput.ReadToEnd();
        other.WaitForExit();
        string[] places =
            [.. message.Split('\n').SkipWhile(line => !line.EndsWith(":", StringComparison.Ordinal)).Skip(1).Select(line => line.Trim())];
        Same("/no/such/libcommbox.so: no such file", places[0]);
        Same(true, places[1].StartsWith(AppContext.BaseDirectory, StringComparison.Ordinal));
        Same(true, places.Any(place => place.StartsWith("commbox, as .NET looks for it: ", StringComparison.Ordinal)));
        return Task.CompletedTask;
    }

    /// <summary>Has the next answers come after a minute.</summary>
    private void Slow(int answers) =>
        _sandbox.Script("[" + string.Join(",", Enumerable.Repeat("""{"delay_ms": 60000}""", answers)) + "]");

    private static void Same<T>(T expected, T actual)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual))
        {
            throw new InvalidOperationException($"expected {expected}, but it is {actual}");
        }
    }

    private static T Thrown<T>(Action call) where T : Exception
    {
        try
        {
            call();
        }
        catch (T error)
        {
            return error;
        }
        throw new InvalidOperationException($"no {typeof(T).Name} was thrown");
    }

    private static async Task<T> ThrownAsync<T>(Func<Task> call) where T : Exception
    {
        try
        {
            await call();
        }
        catch (T error)
        {
            return error;
        }
        throw new InvalidOperationException($"no {typeof(T).Name} was thrown");
    }

    private sealed class Recorder : IProgress<CommBoxBatchStatistics>
    {
        internal CommBoxBatchStatistics? Last { get; private set; }

        public void Report(CommBoxBatchStatistics value) => Last = value;
    }
}
