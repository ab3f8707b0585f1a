namespace CommBox;

/// <summary>Whether an update that failed reached the server.</summary>
public enum CommBoxDelivery
{
    /// <summary>
    /// Bytes of the request may have arrived, and no full answer came. It is what is assumed if
    /// nothing is known.
    /// </summary>
    Unknown = 0,

    /// <summary>No byte of the request left: the update did not arrive.</summary>
    NotSent = 1,

    /// <summary>The server answered.</summary>
    Answered = 2,
}
