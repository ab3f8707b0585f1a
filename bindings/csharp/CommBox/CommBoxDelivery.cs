namespace CommBox;

/// <summary>Whether a failed update reached the server.</summary>
public enum CommBoxDelivery
{
    /// <summary>
    /// The server may have processed the update: the request may have reached it, but no complete
    /// response was received. Also if nothing is known.
    /// </summary>
    Unknown = 0,

    /// <summary>No byte of the request was sent.</summary>
    NotSent = 1,

    /// <summary>The server answered.</summary>
    Answered = 2,
}
