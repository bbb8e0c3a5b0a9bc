using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.LoadTester.Audit;

namespace Sluice.LoadTester;

/// <summary>The machine and the programs of a run: without them a figure means nothing.</summary>
internal sealed record Machine(string Os, string Architecture, int Cores, double MemoryGb, string Runtime, string LoadTester);

/// <summary>What a rush found. The JSON of <c>--json</c> and <c>--out</c>; every field is described in the README beside this project.</summary>
internal sealed record RushResult
{
    /// <summary><c>held</c> or <c>broken</c>.</summary>
    public required string Verdict { get; init; }

    public required string Says { get; init; }
    public required string SaleId { get; init; }
    public required string PoolId { get; init; }
    public required string Title { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public required bool Interrupted { get; init; }
    public required bool Exclusive { get; init; }
    public required string Shape { get; init; }
    public required int Seed { get; init; }
    public required int Connections { get; init; }
    public required int Buyers { get; init; }
    public required long Requests { get; init; }
    public required long Accepted { get; init; }
    public required long Repeated { get; init; }
    public required long SoldOut { get; init; }
    public required long Limited { get; init; }
    public required long NotOpen { get; init; }
    public required long RateLimited { get; init; }
    public required long OtherRefusals { get; init; }
    [JsonPropertyName("errors5xx")]
    public required long Errors5xx { get; init; }
    public required long ConnectionErrors { get; init; }
    public required long InDoubt { get; init; }
    public required double Seconds { get; init; }
    public required double RequestsPerSecond { get; init; }
    public required double AcceptedSeconds { get; init; }
    public required double AcceptedPerSecond { get; init; }
    public required double P50Ms { get; init; }
    public required double P90Ms { get; init; }
    public required double P99Ms { get; init; }
    public required double P999Ms { get; init; }
    public required double MaxMs { get; init; }
    public required double StartLagP99Ms { get; init; }
    public required double QueueAgeP99Ms { get; init; }
    public required double QueueAgeMaxMs { get; init; }
    public required long QueueDepthMax { get; init; }
    public required double SettleSeconds { get; init; }
    public required IReadOnlyList<Check> Checks { get; init; }
    public required IReadOnlyList<string> Notes { get; init; }

    /// <summary>As received from <c>GET /v1/pools/{id}/certificate</c>.</summary>
    public required JsonElement Certificate { get; init; }

    public string? ReportPath { get; init; }
    public string? LedgerPath { get; init; }
    public required string Command { get; init; }
    public required Machine Machine { get; init; }

    [JsonIgnore]
    public bool Held => Verdict == "held";

    public string ToJson() => JsonSerializer.Serialize(this, RushJson.Readable.RushResult);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = false)]
[JsonSerializable(typeof(RushResult))]
internal sealed partial class RushJson : JsonSerializerContext
{
    /// <summary>Apostrophes stay apostrophes: the output goes to files and terminals, never into a page.</summary>
    public static RushJson Readable { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
