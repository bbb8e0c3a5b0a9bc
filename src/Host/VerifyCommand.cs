using System.Text.Json.Nodes;
using Sluice.Platform.Pools;

namespace Sluice.Host;

/// <summary><c>sluice verify certificate.json</c>.</summary>
internal static class VerifyCommand
{
    private const long FileBytesMax = 1 << 20;

    public static async Task<int> RunAsync(FileInfo file, FileInfo? keys, CancellationToken cancel)
    {
        foreach (var given in new[] { file, keys })
        {
            if (given is not null && (!given.Exists || given.Length > FileBytesMax))
            {
                await Console.Error.WriteLineAsync($"sluice: {given.FullName} {(given.Exists ? "is larger than a certificate can be" : "does not exist")}.");
                return Commands.WrongArguments;
            }
        }

        var certificate = await File.ReadAllTextAsync(file.FullName, cancel);
        var wrong = await Certificates.VerifyAsync(certificate, keys is null ? null : await File.ReadAllTextAsync(keys.FullName, cancel));
        if (wrong is not null)
        {
            Console.WriteLine($"Not good: {wrong}");
            return Commands.Broken;
        }

        var content = JsonNode.Parse(certificate)!["certificate"]!;
        var verdict = (string?)content["verdict"];
        Console.WriteLine($"Good: pool {content["poolId"]} '{content["title"]}', issued {content["issuedAt"]}: {content["soldUnits"]} of {content["capacityUnits"]} sold, verdict '{verdict}'.");
        if (keys is null)
        {
            Console.WriteLine("Checked with the key that the certificate names: it is whole. To know whose it is, give --keys with what the shop's /.well-known/sluice-keys says.");
        }

        return verdict == "holds" ? Commands.Well : Commands.Broken;
    }
}
