namespace CommBox;

/// <summary>Whether an update that failed reached the server.</summary>
public enum Delivery
{
    /// <summary>No byte of the request left: the update did not arrive.</summary>
    NotSent,

    /// <summary>Bytes of the request may have arrived, and no full answer came.</summary>
    Unknown,

    /// <summary>The server answered.</summary>
    Answered,
}
