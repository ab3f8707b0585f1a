namespace CommBox;

/// <summary>
/// The calls of <see cref="CommBoxClient"/>, for programs that replace it with a test double. The
/// owner of the client disposes it.
/// </summary>
public interface ICommBoxClient
{
    /// <inheritdoc cref="CommBoxClient.UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    UpdateResult UpdateUser(long userId, UserInfo user, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUser(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    UpdateResult UpdateUser(
        long userId,
        UserInfo user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)"/>
    UpdateResult UpdateUserJson(long userId, string userJson, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserJson(long, string, CommBoxCallOptions, CancellationToken)"/>
    UpdateResult UpdateUserJson(
        long userId,
        string userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    Task<UpdateResult> UpdateUserAsync(long userId, UserInfo user, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserAsync(long, UserInfo, CommBoxCallOptions, CancellationToken)"/>
    Task<UpdateResult> UpdateUserAsync(
        long userId,
        UserInfo user,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserJsonAsync(long, string, CommBoxCallOptions, CancellationToken)"/>
    Task<UpdateResult> UpdateUserJsonAsync(
        long userId, string userJson, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUserJsonAsync(long, string, CommBoxCallOptions, CancellationToken)"/>
    Task<UpdateResult> UpdateUserJsonAsync(
        long userId,
        string userJson,
        CommBoxCallOptions? options,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>
    IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IAsyncEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.UpdateUsersAsync(IAsyncEnumerable{UserUpdate}, CommBoxBatchOptions, CancellationToken)"/>
    IAsyncEnumerable<CommBoxBatchResult> UpdateUsersAsync(
        IEnumerable<UserUpdate> updates,
        CommBoxBatchOptions? options = null,
        CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.ValidateUser"/>
    void ValidateUser(long userId, UserInfo user);

    /// <inheritdoc cref="CommBoxClient.ValidateUserJson"/>
    void ValidateUserJson(long userId, string userJson);

    /// <inheritdoc cref="CommBoxClient.GetStatistics"/>
    CommBoxStatistics GetStatistics();

    /// <inheritdoc cref="CommBoxClient.DiagnoseJson"/>
    string DiagnoseJson(CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.PendingCount"/>
    int PendingCount { get; }

    /// <inheritdoc cref="CommBoxClient.FlushAsync"/>
    Task FlushAsync(CancellationToken cancellationToken = default);

    /// <inheritdoc cref="CommBoxClient.Cancel"/>
    void Cancel();

    /// <inheritdoc cref="CommBoxClient.SetApiKey"/>
    void SetApiKey(string apiKey);

    /// <inheritdoc cref="CommBoxClient.SetMaxRequestsPerSecond"/>
    void SetMaxRequestsPerSecond(double rate);
}
