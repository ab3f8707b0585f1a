namespace CommBox.Tests;

/// <summary>Tests that have a sandbox, empty before each.</summary>
public abstract class SandboxFixture
{
    private Sandbox? _sandbox;

    private protected Sandbox Sandbox => _sandbox!;

    [OneTimeSetUp]
    public void Start() => _sandbox = new Sandbox();

    [SetUp]
    public void Reset() => Sandbox.Reset();

    [OneTimeTearDown]
    public void Stop() => _sandbox?.Dispose();

    /// <summary>Waits until the sandbox has been asked so often.</summary>
    private protected void AwaitRequests(int count) =>
        Assert.That(() => Sandbox.Requests(), Has.Length.EqualTo(count).After(5000, 10));
}
