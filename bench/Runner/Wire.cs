using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Bench.Runner;

// The parts of Sluice's HTTP API that the benches use; docs/http-api.md has the whole.
internal sealed record TokensRequest(IReadOnlyList<string> UserIds);
internal sealed record TokensAnswer(IReadOnlyList<string> Tokens);
internal sealed record NewSale(string Sku, string Title, int PriceCents, string Currency, long StockUnits, int PerUserLimit, int Lanes);
internal sealed record Sale(string Id, string PoolId, long LeftUnits, bool SoldOut);
internal sealed record Pool(long CapacityUnits, long LeftUnits, long QueueDepth, long OldestAgeMs, long DeadLetters);
internal sealed record SignedCertificate(Certificate Certificate);
internal sealed record Certificate(
    string Verdict, long CapacityUnits, long AdjustmentUnits, long SoldUnits, long HeldUnits, long ReleasedUnits, long LeftUnits,
    long QueueDepth, long DeadLetters, long AcceptedClaims, long Orders, IReadOnlyList<CertificateCheck> Checks);
internal sealed record CertificateCheck(string Name, bool Holds, string? Says);
internal sealed record LookupRequest(IReadOnlyList<string> ClaimIds);
internal sealed record LookupAnswer(IReadOnlyList<LookedUp> Items);
internal sealed record LookedUp(string ClaimId, string UserId, int Units, string State, string? OrderId);

/// <summary>What bench/wrk/common.lua prints.</summary>
internal sealed record WrkSummary(
    long Requests, double Seconds, long ErrorStatuses, long SocketErrors, long Timeouts, double P50Ms, double P99Ms, double MaxMs, double CpuSeconds,
    IReadOnlyDictionary<string, long> Statuses, IReadOnlyDictionary<string, long> Counts)
{
    public double PerSecond => Requests / Seconds;

    public long Count(string name) => Counts.GetValueOrDefault(name);
}

/// <summary>What <c>sluice-baseline insert-limit</c> prints.</summary>
internal sealed record InsertLimitResult(long Rows, double Seconds, double RowsPerSecond, double CpuMicrosPerRow, string Sqlite);

/// <summary>The parts used of what <c>sluice rush --json</c> prints.</summary>
internal sealed record RushSummary(string Verdict, string Says, long Buyers, long Requests, long Accepted,
    [property: JsonPropertyName("errors5xx")] long Errors5xx, long ConnectionErrors, long InDoubt, double Seconds);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(TokensRequest))]
[JsonSerializable(typeof(TokensAnswer))]
[JsonSerializable(typeof(NewSale))]
[JsonSerializable(typeof(Sale))]
[JsonSerializable(typeof(Pool))]
[JsonSerializable(typeof(SignedCertificate))]
[JsonSerializable(typeof(LookupRequest))]
[JsonSerializable(typeof(LookupAnswer))]
[JsonSerializable(typeof(WrkSummary))]
[JsonSerializable(typeof(InsertLimitResult))]
[JsonSerializable(typeof(RushSummary))]
internal sealed partial class Wire : JsonSerializerContext;
