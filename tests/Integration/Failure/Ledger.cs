using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Dapper;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Failure;

/// <summary>A claim that the server has acknowledged to somebody.</summary>
internal sealed record Acknowledged(string ClaimId, string User, int Units, string? Key);

/// <summary>A row of <c>claims</c> as the drill itself reads it from the database. States as in ClaimState: 1 confirmed, 2 released, 3 rejected.</summary>
internal sealed record ClaimRow(long Id, string UserId, long Units, string? Key, long State);

/// <summary>
/// What a drill was promised for one sale, and the audit that compares it with what there is. It believes neither the server's memory nor its certificate alone:
/// it reads the database with statements of its own.
/// </summary>
internal sealed class Ledger(string saleId, long capacity, long perUserLimit = 1)
{
    private readonly ConcurrentDictionary<string, Acknowledged> claims = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> claimOfKey = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<string> faults = new();
    private readonly Lock silence = new();
    private (int Count, TaskCompletionSource Reached)? goal;
    private long lastHeard;

    public string SaleId => saleId;

    public int Count => claims.Count;

    public IReadOnlyCollection<Acknowledged> Claims => (IReadOnlyCollection<Acknowledged>)claims.Values;

    /// <summary>The longest time between two acknowledgements, the repeated ones too.</summary>
    public TimeSpan LongestSilence { get; private set; }

    /// <summary>Writes an acknowledgement down (202, 201 or 200). A key that names another claim than before is a fault.</summary>
    public void Acknowledge(string claimId, string user, int units, string? key)
    {
        lock (silence)
        {
            var quiet = lastHeard == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(lastHeard);
            (LongestSilence, lastHeard) = (quiet > LongestSilence ? quiet : LongestSilence, Stopwatch.GetTimestamp());
        }

        var now = new Acknowledged(claimId, user, units, key);
        var before = claims.GetOrAdd(claimId, now);
        if (before != now)
        {
            Fault($"claim {claimId} was acknowledged to {before} and to {now}");
        }

        if (goal is { } wanted && claims.Count >= wanted.Count)
        {
            wanted.Reached.TrySetResult();
        }

        if (key is not null && claimOfKey.GetOrAdd(key, claimId) is var first && first != claimId)
        {
            Fault($"key {key} of {user} named claim {first} and later {claimId}");
        }
    }

    /// <summary>Completes as soon as so many claims are acknowledged. Set before the rush, one at a time.</summary>
    public Task WhenCountIs(int count)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        goal = count <= 0 ? null : (count, reached);
        return count <= 0 ? Task.CompletedTask : reached.Task;
    }

    /// <summary>Something that must never be seen, whatever else goes wrong.</summary>
    public void Fault(string says) => faults.Enqueue(says);

    /// <summary>
    /// Waits until nothing is on its way, and fails unless: each acknowledged claim is in SQL once, with its user, units and key; SQL has no claim that nobody was told of;
    /// nobody is above the limit; no unit vanished; the certificate says <c>holds</c>.
    /// </summary>
    /// <param name="strangersMax">Claims that SQL may have though no buyer got an answer: only where buyers gave up asking.</param>
    public async Task<Audited> AuditAsync(SluiceServer server, int strangersMax = 0)
    {
        var certificate = await FreshCertificateAsync(server);
        var (rows, lost) = await CompareAsync(server);
        var says = $"sale {saleId}: {Count} acknowledged, {rows.Count} in SQL, {lost.Count} lost; certificate {certificate.ToJsonString()}";
        Assert.True(faults.IsEmpty, $"{faults.Count} faults, first: {faults.FirstOrDefault()}; {says}");
        Assert.True(lost.Count == 0, $"not in SQL: {string.Join(", ", lost.Take(3))}; {says}");
        Assert.True((string?)certificate["verdict"] == "holds", says);

        var strangers = rows.Values.Count(row => !claims.ContainsKey(Id(row.Id)));
        Assert.True(strangers <= strangersMax, $"SQL has {strangers} claims that nobody was told of; {says}");
        AssertUnits(rows.Values, certificate, says);
        return new Audited(rows, certificate);
    }

    /// <summary>The settled certificate of an audit that began after this call: a certificate may be half a second old when it is answered.</summary>
    public async Task<JsonObject> FreshCertificateAsync(SluiceServer server)
    {
        var asked = TimeProvider.System.GetUtcNow();
        JsonObject? certificate = null;
        await Eventually.TrueAsync(
            async () => (DateTimeOffset)(certificate = await server.SettledCertificateAsync(saleId))["issuedAt"]! > asked.AddMilliseconds(1),
            $"a new certificate of pool {saleId}");
        return certificate!;
    }

    /// <summary>The rows of the sale by id, and each acknowledged claim that is not among them as it was acknowledged.</summary>
    public async Task<(IReadOnlyDictionary<long, ClaimRow> Rows, IReadOnlyList<Acknowledged> Lost)> CompareAsync(SluiceServer server)
    {
        await using var database = server.OpenDatabase();
        var rows = (await database.QueryAsync<(long Id, string UserId, long Units, string? Key, long State)>(
            "SELECT id, user_id, units, idempotency_key, state FROM claims WHERE pool_id IN (SELECT id FROM pools WHERE @saleId IN (id, root_id))",
            new { saleId = long.Parse(saleId, CultureInfo.InvariantCulture) })).ToDictionary(row => row.Id, row => new ClaimRow(row.Id, row.UserId, row.Units, row.Key, row.State));
        var lost = claims.Values.Where(claim =>
            !rows.TryGetValue(long.Parse(claim.ClaimId, CultureInfo.InvariantCulture), out var row) ||
            row.UserId != claim.User || row.Units != claim.Units || row.State == 3 || (claim.Key is not null && row.Key != claim.Key)).ToList();
        return (rows, lost);
    }

    /// <summary>Never above the limit, never above the capacity, and no unit vanished: what is not sold is left.</summary>
    public void AssertUnits(IEnumerable<ClaimRow> rows, JsonObject certificate, string says)
    {
        var confirmed = rows.Where(row => row.State == 1).ToList();
        var greedy = confirmed.GroupBy(row => row.UserId).Where(user => user.Sum(row => row.Units) > perUserLimit).Select(user => user.Key).ToList();
        Assert.True(greedy.Count == 0, $"{greedy.Count} users are above the limit, first {greedy.FirstOrDefault()}; {says}");

        var sold = confirmed.Sum(row => row.Units);
        Assert.True(sold <= capacity, $"oversold: {sold} of {capacity}; {says}");
        Assert.True(sold == (long)certificate["soldUnits"]!, $"the certificate counts other units than the {sold} in SQL; {says}");
        Assert.True(sold + (long)certificate["leftUnits"]! == capacity, $"units vanished or came from nowhere: {sold} sold of {capacity}; {says}");
    }

    private static string Id(long id) => id.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What an audit saw.</summary>
internal sealed record Audited(IReadOnlyDictionary<long, ClaimRow> Rows, JsonObject Certificate)
{
    public long Sold => (long)Certificate["soldUnits"]!;

    public long Left => (long)Certificate["leftUnits"]!;
}
