using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.LoadTester;

// The parts of docs/http-api.md that the load tester reads; fields it does not need are left out.

internal sealed record Sale(string Id, string PoolId, string Title, long StockUnits, int PerUserLimit, string State, DateTimeOffset? OpensAt);

internal sealed record Pool(string Id, string State, long CapacityUnits, long LeftUnits, long QueueDepth, double OldestAgeMs, long DeadLetters);

internal sealed record FoundClaim(string ClaimId, string UserId, string PoolId, long Units, string State, string? OrderId);

internal sealed record TokensRequest(IReadOnlyList<string> UserIds);

internal sealed record TokensAnswer(IReadOnlyList<string> Tokens);

internal sealed record LookupRequest(IReadOnlyList<string> ClaimIds);

internal sealed record LookupAnswer(IReadOnlyList<FoundClaim> Items);

internal sealed record ServerTime(DateTimeOffset Now);

internal sealed record ClaimOrder(string State);

internal sealed record ClaimDetail(string State, ClaimOrder? Order);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(Sale))]
[JsonSerializable(typeof(Pool))]
[JsonSerializable(typeof(TokensRequest))]
[JsonSerializable(typeof(TokensAnswer))]
[JsonSerializable(typeof(LookupRequest))]
[JsonSerializable(typeof(LookupAnswer))]
[JsonSerializable(typeof(ServerTime))]
[JsonSerializable(typeof(ClaimDetail))]
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class ShopJson : JsonSerializerContext;
