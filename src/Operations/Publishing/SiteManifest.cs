using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Platform.Site;

namespace Sluice.Operations.Publishing;

/// <summary>One file of a published site.</summary>
/// <param name="Hash">SHA-256 of the content, hexadecimal.</param>
public sealed record PublishedFile(string Hash, long Bytes, string ContentType);

/// <summary>What a published site consists of; it stands in it as <c>manifest.json</c>.</summary>
/// <param name="Version">The sum of the versions of its parts, read before their files: no file is older.</param>
/// <param name="Files">By address.</param>
public sealed record SiteManifest(long Version, DateTimeOffset MadeAt, SortedDictionary<string, PublishedFile> Files)
{
    public const string FileName = "manifest.json";

    /// <summary>An address of pages and data: segments of letters, digits and <c>- _ . ~</c>, none of them <c>.</c> or <c>..</c>.</summary>
    public static bool IsUrl(string url) => url is ['/', ..] and { Length: <= 200 } && (url == "/" || Array.TrueForAll(url[1..].Split('/'), segment =>
        segment.Length > 0 && segment is not ("." or "..") && segment.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '~')));

    public static PublishedFile Describe(SiteFile file) => new(Convert.ToHexStringLower(SHA256.HashData(file.Content)), file.Content.Length, file.ContentType);

    /// <summary>Addresses whose content is another one now, or that are gone.</summary>
    public IReadOnlyList<string> ChangedSince(SiteManifest? before) => before is null ? [.. Files.Keys]
        : [.. Files.Where(file => !before.Files.TryGetValue(file.Key, out var old) || old.Hash != file.Value.Hash).Select(file => file.Key), .. before.Files.Keys.Where(url => !Files.ContainsKey(url))];

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, ManifestJson.Default.SiteManifest);

    /// <summary>Null when it is none: then everything counts as changed.</summary>
    public static SiteManifest? FromBytes(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, ManifestJson.Default.SiteManifest) is { Files: not null } manifest ? manifest : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(SiteManifest))]
internal sealed partial class ManifestJson : JsonSerializerContext;
