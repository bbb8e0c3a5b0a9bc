using System.Net.Http.Json;

namespace Sluice.Bench.Runner;

/// <summary>One Sluice node with a data folder of its own, and what the shop's servers can ask it.</summary>
internal sealed class SluiceServer : IAsyncDisposable
{
    public const int TokensPerCall = 1_000;
    public const int LookupIdsMax = 1_000;

    private static readonly TimeSpan SettleTimeMax = TimeSpan.FromMinutes(10);

    private readonly ServerProcess server;

    private SluiceServer(ServerProcess server) => this.server = server;

    public ChildProcess Process => server.Process;
    public string Url => server.Url;
    public HttpClient Http => server.Http;

    /// <summary>One that somebody else has started, on this host.</summary>
    public static SluiceServer At(string url, string apiKey)
    {
        var node = new ServerProcess("", [], port: new Uri(url).Port);
        node.Http.DefaultRequestHeaders.Add("X-Api-Key", apiKey);
        return new SluiceServer(node);
    }

    public static async Task<SluiceServer> StartAsync(
        Layout layout, string dataFolder, CancellationToken cancel, IReadOnlyDictionary<string, string>? environment = null)
    {
        var node = await ProgramRun.ServerAsync([layout.Server, "serve", "--data", dataFolder], cancel, environment);
        var key = (await File.ReadAllTextAsync(Path.Combine(dataFolder, "admin.key"), cancel)).Trim();
        node.Http.DefaultRequestHeaders.Add("X-Api-Key", key);
        return new SluiceServer(node);
    }

    public async Task<Sale> OpenSaleAsync(long stockUnits, CancellationToken cancel, int perUserLimit = 1)
    {
        var sale = await DraftSaleAsync(stockUnits, cancel, perUserLimit);
        using var opened = await Http.PostAsync($"/v1/flash-sales/{sale.Id}/open", content: null, cancel);
        await CheckAsync(opened, cancel);
        return sale;
    }

    public async Task<Sale> DraftSaleAsync(long stockUnits, CancellationToken cancel, int perUserLimit = 1)
    {
        using var created = await Http.PostAsJsonAsync("/v1/flash-sales",
            new NewSale("bench-kettle", "Copper kettle", 4_900, "EUR", stockUnits, perUserLimit), Wire.Default.NewSale, cancel);
        await CheckAsync(created, cancel);
        return (await created.Content.ReadFromJsonAsync(Wire.Default.Sale, cancel))!;
    }

    public async Task<IReadOnlyList<string>> TokensAsync(IReadOnlyList<string> users, CancellationToken cancel)
    {
        using var answer = await Http.PostAsJsonAsync("/v1/tokens", new TokensRequest(users), Wire.Default.TokensRequest, cancel);
        await CheckAsync(answer, cancel);
        return (await answer.Content.ReadFromJsonAsync(Wire.Default.TokensAnswer, cancel))!.Tokens;
    }

    public async Task<Pool> PoolAsync(string poolId, CancellationToken cancel) =>
        (await Http.GetFromJsonAsync($"/v1/pools/{poolId}", Wire.Default.Pool, cancel))!;

    public async Task<Certificate> CertificateAsync(string poolId, CancellationToken cancel) =>
        (await Http.GetFromJsonAsync($"/v1/pools/{poolId}/certificate", Wire.Default.SignedCertificate, cancel))!.Certificate;

    public async Task<IReadOnlyList<LookedUp>> LookupAsync(IReadOnlyList<string> claimIds, CancellationToken cancel)
    {
        using var answer = await Http.PostAsJsonAsync("/v1/claims/lookup", new LookupRequest(claimIds), Wire.Default.LookupRequest, cancel);
        await CheckAsync(answer, cancel);
        return (await answer.Content.ReadFromJsonAsync(Wire.Default.LookupAnswer, cancel))!.Items;
    }

    /// <summary>Waits until the pool's queue is empty and returns the pool; calls <paramref name="see"/> for every look.</summary>
    /// <exception cref="BenchException">It did not become empty in time.</exception>
    public async Task<Pool> DrainedAsync(string poolId, CancellationToken cancel, TimeSpan? poll = null, Action<Pool>? see = null)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var pool = await PoolAsync(poolId, cancel);
            see?.Invoke(pool);
            if (pool.QueueDepth == 0) return pool;
            if (TimeProvider.System.GetElapsedTime(started) > SettleTimeMax)
            {
                throw new BenchException($"{pool.QueueDepth} claims still wait after {SettleTimeMax.TotalMinutes:F0} minutes.");
            }

            await Task.Delay(poll ?? TimeSpan.FromMilliseconds(20), TimeProvider.System, cancel);
        }
    }

    /// <summary>The certificate once nothing is on its way any more, or the last one that could be had.</summary>
    public async Task<Certificate> SettledCertificateAsync(string poolId, CancellationToken cancel)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var certificate = await CertificateAsync(poolId, cancel);
            if (certificate.Verdict != "settling" || TimeProvider.System.GetElapsedTime(started) > TimeSpan.FromSeconds(60)) return certificate;
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, cancel);
        }
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();

    private static async Task CheckAsync(HttpResponseMessage answer, CancellationToken cancel)
    {
        if (!answer.IsSuccessStatusCode)
        {
            throw new BenchException($"{answer.RequestMessage!.RequestUri!.AbsolutePath} answered {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(cancel)}");
        }
    }
}
