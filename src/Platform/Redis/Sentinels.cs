using System.Globalization;
using System.Net;
using StackExchange.Redis;

namespace Sluice.Platform.Redis;

/// <summary>
/// Asks the Sentinels who the primary is. StackExchange.Redis can follow Sentinels itself, but took 4–10 s where Sentinel took 1.3 s, and went back to an old primary that woke up; docs/adr/0009 has the trials.
/// </summary>
internal sealed class Sentinels : IPrimaries
{
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromMilliseconds(400);

    private readonly IReadOnlyList<IConnectionMultiplexer> all;
    private readonly string service;
    private NamedPrimary? seen;

    private Sentinels(IReadOnlyList<IConnectionMultiplexer> all, string service) => (this.all, this.service) = (all, service);

    public string Says { get; private set; } = "";

    /// <summary>One connection to each; those that are not there are tried again for as long as this lives.</summary>
    public static async Task<Sentinels> ConnectAsync(ConfigurationOptions settings, RedisOptions options) => new(
        await Task.WhenAll(settings.EndPoints.Distinct().Select(async sentinel =>
        {
            var own = settings.Clone();
            own.EndPoints.Clear();
            own.EndPoints.Add(sentinel);
            own.ServiceName = null;
            own.CommandMap = CommandMap.Sentinel;
            (own.User, own.Password) = (options.SentinelUser.Length > 0 ? options.SentinelUser : null, options.SentinelPassword.Length > 0 ? options.SentinelPassword : null);
            own.ReconnectRetryPolicy = new LinearRetry(1_000);
            return (IConnectionMultiplexer)await ConnectionMultiplexer.ConnectAsync(own);
        })),
        settings.ServiceName!);

    /// <summary>One primary: that with the highest epoch among the answers.</summary>
    public async Task<Primaries?> AskAsync()
    {
        var failures = new List<string>();
        var answers = await Task.WhenAll(all.Select(async Task<NamedPrimary?> (sentinel) =>
        {
            try
            {
                return await AskOneAsync(sentinel.GetServer(sentinel.GetEndPoints()[0])).WaitAsync(AnswerTimeMax);
            }
            catch (Exception e) when (e is RedisException or TimeoutException or ObjectDisposedException)
            {
                lock (failures)
                {
                    failures.Add(e.Message);
                }

                return null;
            }
        }));
        var named = answers.OfType<NamedPrimary>().ToList();
        if (named.Count * 2 > all.Count)
        {
            var newest = named.MaxBy(primary => primary.Epoch)!;
            seen = seen is { } before && before.Epoch > newest.Epoch ? before : newest;
            return new Primaries([seen], Primaries.TheOnlyOne);
        }

        Says = $"of {all.Count} Sentinels {named.Count} name a primary of '{service}'; no majority, no claims ({failures.FirstOrDefault()})";
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var sentinel in all)
        {
            await sentinel.DisposeAsync();
        }
    }

    private async Task<NamedPrimary> AskOneAsync(IServer sentinel)
    {
        var fields = (await sentinel.SentinelMasterAsync(service)).ToDictionary(StringComparer.Ordinal);
        var address = new EndPointCollection();
        address.Add(fields["ip"], int.Parse(fields["port"], CultureInfo.InvariantCulture));
        return new NamedPrimary(address[0], long.Parse(fields["config-epoch"], CultureInfo.InvariantCulture));
    }
}
