namespace CommBox;

/// <summary>
/// The values of <see cref="CommBoxException.Code"/>. A code below 0 means that the client failed.
/// A code of 100 or more is the HTTP status with which the server answered. New codes may be added,
/// so handle unknown codes by range.
/// </summary>
public static class CommBoxErrorCode
{
    /// <summary>An argument is invalid, such as a user id below 1. Nothing was sent.</summary>
    public const int InvalidArgument = -1;

    /// <summary>The handle of a client or a batch is invalid: a bug of this package.</summary>
    public const int InvalidHandle = -2;

    /// <summary>An option is unknown or out of range. Nothing was sent.</summary>
    public const int InvalidOptions = -3;

    /// <summary>The user does not satisfy the API's rules. Nothing was sent.</summary>
    public const int InvalidUser = -4;

    /// <summary>
    /// The DNS lookup, the connection or the proxy failed, or the connection broke.
    /// </summary>
    public const int Connection = -5;

    /// <summary>The server's certificate is not trusted, or the TLS handshake failed.</summary>
    public const int Tls = -6;

    /// <summary>The deadline was exceeded.</summary>
    public const int Timeout = -7;

    /// <summary>The call was cancelled.</summary>
    public const int Cancelled = -8;

    /// <summary>The response is not the documented JSON, or is larger than 1 MiB.</summary>
    public const int BadResponse = -9;

    /// <summary>
    /// A bug of this library was caught, or the system could not start a thread. The client remains
    /// usable.
    /// </summary>
    public const int Internal = -10;

    /// <summary>
    /// The server's rate limit delays the call past its deadline. Nothing was sent.
    /// </summary>
    public const int Throttled = -11;

    /// <summary>The server rejected the fields or their values.</summary>
    public const int BadRequest = 400;

    /// <summary>The API key is wrong, expired, or not allowed to update users.</summary>
    public const int Unauthorized = 401;

    /// <summary>No user has this id.</summary>
    public const int NotFound = 404;

    /// <summary>The server received too many requests in a short time.</summary>
    public const int RateLimited = 429;

    /// <summary>The server failed.</summary>
    public const int ServerError = 500;

    /// <summary>The server does not support the call.</summary>
    public const int NotImplemented = 501;
}
