using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace CommBox.Extensions.Hosting;

/// <summary>A registered client, and the section with its settings.</summary>
/// <param name="Name">
/// The name of its options and its service key; "" for the client without a name.
/// </param>
/// <param name="Section">The section; null if code sets the options.</param>
internal sealed record ClientRegistration(string Name, IConfigurationSection? Section)
{
    /// <summary>Returns the name of a client for messages.</summary>
    internal static string Title(string name) =>
        name.Length == 0 ? "the CommBox client" : $"the CommBox client \"{name}\"";
}

/// <summary>Sets the options of a client from its section.</summary>
internal sealed class ConfigureFromSection(string name, IConfigurationSection section)
    : IConfigureNamedOptions<CommBoxClientOptions>
{
    public void Configure(CommBoxClientOptions options) => Configure(Options.DefaultName, options);

    public void Configure(string? called, CommBoxClientOptions options)
    {
        if (called == name)
        {
            // The validator, which runs next, reports invalid settings.
            Settings.Bind(section, options);
        }
    }
}

/// <summary>
/// Checks the options of registered clients: first the text of the settings, then all options by
/// creating a client, because the library validates them. Nothing is sent.
/// </summary>
internal sealed class OptionsValidator(IEnumerable<ClientRegistration> registrations)
    : IValidateOptions<CommBoxClientOptions>
{
    public ValidateOptionsResult Validate(string? name, CommBoxClientOptions options)
    {
        ClientRegistration[] own =
            [.. registrations.Where(registration => registration.Name == name)];
        if (own.Length == 0)
        {
            return ValidateOptionsResult.Skip;
        }
        List<string> problems = [];
        foreach (ClientRegistration registration in own)
        {
            if (registration.Section is not null)
            {
                problems.AddRange(Settings.Bind(registration.Section, new CommBoxClientOptions()));
            }
        }
        try
        {
            new CommBoxClient(options: options).Dispose();
        }
        catch (CommBoxValidationException error)
        {
            problems.Add(error.Message);
        }
        string all = string.Join("; ", problems);
        return problems.Count == 0
            ? ValidateOptionsResult.Success
            : ValidateOptionsResult.Fail(
                $"{ClientRegistration.Title(name!)} has wrong settings: {all}");
    }
}
