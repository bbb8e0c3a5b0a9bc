using System.Text.Json;

namespace Sluice.LoadTester.Audit;

/// <summary>The figures of a pool's certificate that the audit compares; <see cref="Received"/> is the whole answer, signature and all.</summary>
internal sealed record Certificate(
    string Verdict, long CapacityUnits, long SoldUnits, long LeftUnits, long ReleasedUnits, long AcceptedClaims, long DeadLetters,
    IReadOnlyList<CertificateCheck> Checks, JsonElement Received)
{
    public bool IsSettling => Verdict == "settling";

    /// <returns>Null when the answer is not a certificate.</returns>
    public static Certificate? From(JsonElement received)
    {
        if (!received.TryGetProperty("certificate", out var c) || c.ValueKind != JsonValueKind.Object
            || !c.TryGetProperty("verdict", out var verdict) || verdict.ValueKind != JsonValueKind.String)
        {
            return null;
        }

        return new Certificate(verdict.GetString()!, Number(c, "capacityUnits"), Number(c, "soldUnits"), Number(c, "leftUnits"),
            Number(c, "releasedUnits"), Number(c, "acceptedClaims"), Number(c, "deadLetters"), ReadChecks(c), received);
    }

    private static List<CertificateCheck> ReadChecks(JsonElement certificate)
    {
        var checks = new List<CertificateCheck>();
        if (certificate.TryGetProperty("checks", out var items) && items.ValueKind == JsonValueKind.Array)
        {
            foreach (var item in items.EnumerateArray())
            {
                var name = item.TryGetProperty("name", out var n) && n.ValueKind == JsonValueKind.String ? n.GetString()! : "?";
                checks.Add(new CertificateCheck(name, item.TryGetProperty("holds", out var holds) && holds.ValueKind == JsonValueKind.True));
            }
        }

        return checks;
    }

    // A figure that is missing becomes −1: no comparison holds by accident.
    private static long Number(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : -1;
}

internal sealed record CertificateCheck(string Name, bool Holds);
