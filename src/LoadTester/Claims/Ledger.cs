using System.Globalization;
using System.Text;

namespace Sluice.LoadTester.Claims;

/// <param name="IsRepeat">The buyer asked again after an answer; the contract wants 200 and the same claim.</param>
/// <param name="ClaimIdBefore">For a repeat: the id acknowledged before.</param>
internal sealed record Acknowledgement(
    string User, string Key, string ClaimId, int Status, TimeSpan At, bool IsRepeat = false, string? ClaimIdBefore = null);

/// <summary>A repeat of an acknowledged claim that was answered with something other than an acknowledgement.</summary>
internal sealed record DeniedRepeat(string User, string Key, string ClaimId, string Answer);

/// <summary>
/// Every acknowledgement the server gave, as the buyers got it. This is the load tester's own book: the audit compares it with the
/// server's. Bounded by the clicks of the run.
/// </summary>
internal sealed class Ledger
{
    private readonly Lock _gate = new();
    private readonly List<Acknowledgement> _acknowledgements = [];
    private readonly List<DeniedRepeat> _denied = [];
    private readonly HashSet<string> _claimIds = new(StringComparer.Ordinal);

    /// <summary>Read only after the crowd has gone home.</summary>
    public IReadOnlyList<Acknowledgement> Acknowledgements => _acknowledgements;

    public IReadOnlyList<DeniedRepeat> DeniedRepeats => _denied;

    /// <returns>Whether this claim id was never acknowledged before.</returns>
    public bool Add(Acknowledgement acknowledgement)
    {
        lock (_gate)
        {
            _acknowledgements.Add(acknowledgement);
            return _claimIds.Add(acknowledgement.ClaimId);
        }
    }

    public void Add(DeniedRepeat denied)
    {
        lock (_gate)
        {
            _denied.Add(denied);
        }
    }

    /// <summary>Columns: user, key, claimId, status, atMs (since the run began), repeat.</summary>
    public async Task WriteCsvAsync(string path, CancellationToken cancellation)
    {
        await using var writer = new StreamWriter(path, append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        await writer.WriteLineAsync("user,key,claimId,status,atMs,repeat".AsMemory(), cancellation);
        foreach (var a in _acknowledgements)
        {
            var line = string.Create(CultureInfo.InvariantCulture,
                $"{a.User},{a.Key},{Csv(a.ClaimId)},{a.Status},{a.At.TotalMilliseconds:0.###},{(a.IsRepeat ? 1 : 0)}");
            await writer.WriteLineAsync(line.AsMemory(), cancellation);
        }
    }

    // Ids come from the server under test, so they are not trusted to be plain.
    private static string Csv(string value) =>
        value.AsSpan().IndexOfAny("\",\r\n") < 0 ? value : $"\"{value.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}
