namespace CommBox.Tests;

/// <summary>Reading a reply that confirmed an update: never a failure.</summary>
public sealed class UpdateResultTests
{
    [TestCase("""{"data":{"Id":94382332}}""", 94382332)]
    [TestCase("""{"data":{"Id":"94382332"}}""", 94382332)]
    [TestCase("""{"data":{"Id":1.0}}""", 1)]
    [TestCase("""{"data":{"Id":9223372036854775807}}""", long.MaxValue)]
    [TestCase("""{"data":{"Id":1.5}}""", null)]
    [TestCase("""{"data":{"Id":1e99}}""", null)]
    [TestCase("""{"data":{"Id":null}}""", null)]
    [TestCase("""{"data":{"Id":"\ud800"}}""", null)]
    [TestCase("""{"data":[]}""", null)]
    [TestCase("""[]""", null)]
    [TestCase("{", null)]
    public void Id(string reply, long? id)
    {
        UpdateResult result = new UpdateResult { Raw = reply };
        Assert.That(result.Id, Is.EqualTo(id));
        Assert.That(result.Raw, Is.EqualTo(reply));
    }

    [Test]
    public void SetPartsOverrideTheReply()
    {
        var result = new UpdateResult { Id = 5, Raw = """{"data":{"Id":7},"status":200}""" };
        Assert.That((result.Id, result.Raw), Is.EqualTo((5L, """{"data":{"Id":7},"status":200}""")));
        result = new UpdateResult { Raw = """{"data":{"Id":7},"status":200}""", Id = 5 };
        Assert.That((result.Id, result.Status), Is.EqualTo((5L, 200)));
    }

    [TestCase("200", 200)]
    [TestCase("\"200\"", 200)]
    [TestCase("true", null)]
    [TestCase("9223372036854775807", null)]
    public void Status(string status, int? expected) =>
        Assert.That(new UpdateResult { Raw = $$"""{"status":{{status}}}""" }.Status, Is.EqualTo(expected));

    [TestCase("2024-08-06T07:51:52.2581942Z", "2024-08-06T07:51:52.2581942+00:00")]
    [TestCase("2024-08-06T07:51:52Z", "2024-08-06T07:51:52.0000000+00:00")]
    [TestCase("2024-08-06T10:51:52.5+03:00", "2024-08-06T10:51:52.5000000+03:00")]
    [TestCase("2024-08-06T07:51:52", null)]
    [TestCase("12.5", null)]
    [TestCase("12.5 ms", null)]
    [TestCase("", null)]
    public void Moment(string time, string? moment)
    {
        var result = new UpdateResult { ResponseTime = time };
        Assert.That(result.RespondedAt?.ToString("o"), Is.EqualTo(moment));
        var error = new CommBoxException("m") { ResponseTime = time };
        Assert.That(error.RespondedAt?.ToString("o"), Is.EqualTo(moment));
        Assert.That(new UpdateResult().RespondedAt, Is.Null);
    }

    [Test]
    public void TextForLogsOmitsTheServersMessage()
    {
        var result = new UpdateResult
        {
            Raw = """{"data":{"Id":7},"status":200,"description":"canary","response_time":"canary"}""",
            Attempts = 2,
            Elapsed = TimeSpan.FromSeconds(1.5),
        };
        Assert.That(
            $"{result}",
            Is.EqualTo("UpdateResult { Id = 7, Status = 200, Attempts = 2, Elapsed = 00:00:01.5000000 }"));
        var statistics = new CommBoxStatistics { Calls = 3, FailedByCode = new Dictionary<int, long> { [429] = 2, [-7] = 1 } };
        Assert.That($"{statistics}", Does.StartWith("CommBoxStatistics { Calls = 3,").And.Contain("{ -7: 1, 429: 2 }"));
        Assert.That($"{new CommBoxBatchStatistics { Queued = 5 }}", Does.StartWith("CommBoxBatchStatistics { Queued = 5,"));
    }

    [Test]
    public void Words()
    {
        UpdateResult result = new UpdateResult { Raw = """{"description":"Done","response_time":"2024-08-06T07:51:52.2581942Z"}""" };
        Assert.That((result.Description, result.ResponseTime), Is.EqualTo(("Done", "2024-08-06T07:51:52.2581942Z")));
        Assert.That(new UpdateResult { Raw = """{"description":1,"response_time":"\ud800"}""" }.Description, Is.Null);
    }
}
