namespace CommBox.Tests;

/// <summary>
/// What a call allocates: the text of a user is written once, and into no memory that is new.
/// </summary>
public sealed class AllocationTests : SandboxFixture
{
    private const int Calls = 100;

    private static readonly UserInfo Short = new()
    {
        FirstName = "John",
        LastName = "Doe",
        Email = "john@example.com",
    };

    private static readonly UserInfo Long = new() { Remarks = new string('x', 50_000) };

    [Test]
    public void SynchronousCall()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.That(Bytes(Short), Is.LessThanOrEqualTo(800));
        Assert.That(Bytes(Long), Is.LessThanOrEqualTo(60_000));

        long Bytes(UserInfo user)
        {
            // The first calls allocate what all later ones use.
            Call(user);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Call(user);
            return (GC.GetAllocatedBytesForCurrentThread() - before) / Calls;
        }

        void Call(UserInfo user)
        {
            for (int call = 0; call < Calls; call++)
            {
                client.UpdateUser(1, user);
            }
        }
    }

    [Test]
    public async Task AsynchronousCall()
    {
        using CommBoxClient client = Sandbox.Client();
        Assert.That(await Bytes(Short), Is.LessThanOrEqualTo(1300));
        Assert.That(await Bytes(Long), Is.LessThanOrEqualTo(60_000));

        async Task<long> Bytes(UserInfo user)
        {
            // Other threads of the process allocate, too: now and then, and not in each round.
            long least = long.MaxValue;
            for (int round = 0; round < 5; round++)
            {
                long before = GC.GetTotalAllocatedBytes(precise: true);
                await Call(user);
                least = Math.Min(least, (GC.GetTotalAllocatedBytes(precise: true) - before) / Calls);
            }
            return least;
        }

        async Task Call(UserInfo user)
        {
            for (int call = 0; call < Calls; call++)
            {
                await client.UpdateUserAsync(1, user);
            }
        }
    }
}
