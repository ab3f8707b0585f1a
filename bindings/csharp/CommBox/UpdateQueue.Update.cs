namespace CommBox;

/// <content>A pending update, and its user.</content>
internal sealed partial class UpdateQueue
{
    /// <summary>
    /// An update that receives its outcome. The queue's lock is held meanwhile, so that must be
    /// brief.
    /// </summary>
    internal sealed class Update
    {
        private readonly Action<Outcome> _finish;

        internal Update(long userId, byte[] userJson, byte[]? callJson, Action<Outcome> finish)
        {
            (UserId, UserJson, CallJson, _finish) = (userId, userJson, callJson, finish);
            (InPending, InWaiting) = (new(this), new(this));
        }

        internal long UserId { get; }

        internal byte[] UserJson { get; private set; }

        /// <summary>The options of this update; null for none.</summary>
        internal byte[]? CallJson { get; private set; }

        /// <summary>
        /// Its number in the order of all updates, which is its tag in the batch.
        /// </summary>
        internal ulong Number { get; set; }

        internal bool IsSubmitted { get; private set; }

        /// <summary>
        /// Its nodes in the lists, so that it can be removed from each in constant time.
        /// </summary>
        internal LinkedListNode<Update> InPending { get; }

        internal LinkedListNode<Update> InWaiting { get; }

        /// <summary>Releases the texts, which the library has copied.</summary>
        internal void Submitted()
        {
            IsSubmitted = true;
            (UserJson, CallJson) = ([], null);
        }

        internal void Finish(Outcome outcome) => _finish(outcome);
    }

    /// <summary>A user with updates that have no outcome.</summary>
    private sealed class User
    {
        /// <summary>
        /// The number of the user's updates that are in the batch or wait for room in it.
        /// </summary>
        internal int Active { get; set; }

        /// <summary>The updates that wait until one of these has finished.</summary>
        internal LinkedList<Update>? Behind { get; set; }
    }
}
