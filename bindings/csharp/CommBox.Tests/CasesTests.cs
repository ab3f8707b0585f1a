using System.Diagnostics;
using System.Text.Json.Nodes;

namespace CommBox.Tests;

/// <summary>Plays the cases that every binding plays: <c>tests/cases</c>, as its README.md says.</summary>
public sealed class CasesTests : SandboxFixture
{
    public static IEnumerable<string> Files()
    {
        string[] paths = Directory.GetFiles(Repository.PathOf("tests", "cases"), "*.json");
        return paths.Length > 0
            ? paths.Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)
            : throw new FileNotFoundException("there are no cases in tests/cases");
    }

    [TestCaseSource(nameof(Files))]
    public void Case(string file)
    {
        JsonObject test = JsonNode.Parse(File.ReadAllText(Repository.PathOf("tests", "cases", file)))!.AsObject();
        RefuseOtherMembers(test, "about", "api_key", "options", "user_id", "body", "script", "cancel_after_ms", "expect");
        JsonObject expect = test["expect"]!.AsObject();
        RefuseOtherMembers(
            expect, "code", "response", "error", "message_contains", "message_lacks", "requests", "max_ms");
        if (test["script"] is { } script)
        {
            Sandbox.Script(script.ToJsonString());
        }

        string key = (string?)test["api_key"] ?? Sandbox.ApiKey;
        Outcome outcome = Play(test, key);

        Assert.Multiple(() =>
        {
            Assert.That(outcome.Code, Is.EqualTo((int)expect["code"]!), outcome.Error?.Message);
            if (expect["response"] is { } response)
            {
                Assert.That(outcome.Response, Is.EqualTo((string?)response));
            }
            CheckError(outcome.Error, key, expect);
            CheckRequests(expect["requests"]!.AsArray());
            if (expect["max_ms"] is { } limit)
            {
                Assert.That(outcome.Time.TotalMilliseconds, Is.LessThanOrEqualTo((int)limit));
            }
        });
    }

    private sealed record Outcome(string? Response, CommBoxException? Error, TimeSpan Time)
    {
        internal int Code => Error?.Code ?? 0;
    }

    /// <summary>Makes the call, on this thread, with the options as they stand: some cases hold what no property can.</summary>
    private Outcome Play(JsonObject test, string key)
    {
        var watch = Stopwatch.StartNew();
        try
        {
            using var client = new CommBoxClient(new ClientHandle(key, Options(test).ToJsonString()));
            using var cancel = new CancellationTokenSource((int?)test["cancel_after_ms"] ?? Timeout.Infinite);
            using var whenever = cancel.Token.Register(client.Cancel);
            string response = client.UpdateUserJson((long)test["user_id"]!, (string)test["body"]!).Raw;
            Assert.That(Native.LastErrorCode(), Is.Zero, "a success leaves no error");
            return new(response, null, watch.Elapsed);
        }
        catch (CommBoxException error)
        {
            return new(null, error, watch.Elapsed);
        }
        catch (OperationCanceledException error)
        {
            return new(null, (CommBoxException)error.InnerException!, watch.Elapsed);
        }
    }

    private JsonObject Options(JsonObject test)
    {
        JsonObject options = test["options"]?.DeepClone().AsObject() ?? [];
        options.TryAdd("base_url", "{sandbox}");
        options.TryAdd("proxy", "");
        if (options["base_url"] is JsonValue url && url.TryGetValue(out string? text))
        {
            options["base_url"] = text.Replace("{sandbox}", Sandbox.Url);
        }
        return options;
    }

    private static void CheckError(CommBoxException? error, string key, JsonObject expect)
    {
        // Without the stack trace, which has the checkout's path: it may hold any text.
        string told = $"{error?.Message} {error?.InnerException?.Message}";
        if (key.Length > 0)
        {
            Assert.That(told, Does.Not.Contain(key));
        }
        JsonObject known = error is null ? [] : Known(error);
        foreach ((string member, JsonNode? value) in expect["error"]?.AsObject() ?? [])
        {
            Assert.That(known.ContainsKey(member), Is.True, member);
            Assert.That(Text(known[member]), Is.EqualTo(Text(value)), member);
        }
        foreach (JsonNode? part in expect["message_contains"]?.AsArray() ?? [])
        {
            // Options have other names here.
            string text = (string)part!;
            string own = error?.Code == -3 ? CommBoxClientOptions.PropertyFor(text) : text;
            Assert.That(error?.Message, Does.Contain(own));
        }
        foreach (JsonNode? part in expect["message_lacks"]?.AsArray() ?? [])
        {
            Assert.That(told, Does.Not.Contain((string)part!));
        }
    }

    /// <summary>The exception's properties as the error JSON that they were made from.</summary>
    private static JsonObject Known(CommBoxException error) => new()
    {
        ["name"] = error.Name,
        ["http_status"] = error.HttpStatus,
        ["description"] = error.Description,
        ["response_time"] = error.ResponseTime,
        ["retry_after_ms"] = (long?)error.RetryAfter?.TotalMilliseconds,
        ["attempts"] = error.Attempts,
        ["delivery"] = error.Delivery switch
        {
            CommBoxDelivery.NotSent => "not_sent",
            CommBoxDelivery.Unknown => "unknown",
            _ => "answered",
        },
        ["response"] = error.Response,
    };

    private void CheckRequests(JsonArray expected)
    {
        JsonNode[] seen = [.. Sandbox.Requests().Select(request => JsonNode.Parse(request.GetRawText())!)];
        Assert.That(seen, Has.Length.EqualTo(expected.Count), "requests");
        foreach ((JsonNode? wanted, JsonNode request) in expected.Zip(seen))
        {
            RefuseOtherMembers(wanted!.AsObject(), "method", "path", "body", "headers");
            foreach ((string member, JsonNode? value) in wanted.AsObject().Where(member => member.Key != "headers"))
            {
                Assert.That((string?)request[member], Is.EqualTo((string?)value), member);
            }
            foreach ((string header, JsonNode? value) in wanted["headers"]?.AsObject() ?? [])
            {
                string text = ((string)value!).Replace("{version}", Version);
                Assert.That((string?)request["headers"]![header], Is.EqualTo(text), header);
            }
        }
    }

    private static unsafe string Version => Utf8.Decode(Native.Version());

    /// <summary>Keeps a misspelt check from passing unseen.</summary>
    private static void RefuseOtherMembers(JsonObject value, params string[] known) =>
        Assert.That(value.Select(member => member.Key).Except(known), Is.Empty, "members that no case has");

    private static string Text(JsonNode? node) => node?.ToJsonString() ?? "null";
}
