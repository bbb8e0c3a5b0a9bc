using System.Text.Json.Serialization;

namespace Sluice.Bench.Baseline;

// The bodies of a claim, as Sluice has them: {"units":1} and {"claimId":"…","state":"held"}.
internal sealed record ClaimRequest(int Units);

internal sealed record ClaimAnswer(string ClaimId, string State);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ClaimRequest))]
[JsonSerializable(typeof(ClaimAnswer))]
internal sealed partial class Wire : JsonSerializerContext;
