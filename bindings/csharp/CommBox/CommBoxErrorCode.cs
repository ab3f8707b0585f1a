namespace CommBox;

/// <summary>
/// The values of <see cref="CommBoxException.Code"/>: below 0 this side failed, from 100 up it is
/// the HTTP status of the server's answer. Codes may be added; handle unknown ones by range.
/// </summary>
public static class CommBoxErrorCode
{
    /// <summary>An argument is wrong, such as a user id below 1. Nothing was sent.</summary>
    public const int InvalidArgument = -1;

    /// <summary>The library does not know the client or the batch: a bug.</summary>
    public const int InvalidHandle = -2;

    /// <summary>An option is wrong. Nothing was sent.</summary>
    public const int InvalidOptions = -3;

    /// <summary>The user is not what the API takes. Nothing was sent.</summary>
    public const int InvalidUser = -4;

    /// <summary>DNS lookup, connect, proxy, or a connection that broke.</summary>
    public const int Connection = -5;

    /// <summary>The certificate or the TLS handshake.</summary>
    public const int Tls = -6;

    /// <summary>The deadline was exceeded.</summary>
    public const int Timeout = -7;

    /// <summary>The call was cancelled.</summary>
    public const int Cancelled = -8;

    /// <summary>The answer is not the documented JSON, or larger than 1 MiB.</summary>
    public const int BadResponse = -9;

    /// <summary>A bug of the library, or the system has no thread.</summary>
    public const int Internal = -10;

    /// <summary>
    /// The server's rate limit holds the call back past its deadline. Nothing was sent.
    /// </summary>
    public const int Throttled = -11;

    /// <summary>The server rejected the fields or their values.</summary>
    public const int BadRequest = 400;

    /// <summary>The API key is wrong, expired, or not allowed to do this.</summary>
    public const int Unauthorized = 401;

    /// <summary>No user has this id.</summary>
    public const int NotFound = 404;

    /// <summary>Too many requests in a short time.</summary>
    public const int RateLimited = 429;

    /// <summary>The server failed.</summary>
    public const int ServerError = 500;

    /// <summary>The server does not support the call.</summary>
    public const int NotImplemented = 501;
}
