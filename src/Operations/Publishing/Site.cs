using System.Runtime.CompilerServices;
using Sluice.Platform.Site;

namespace Sluice.Operations.Publishing;

/// <summary>Everything that there is to publish: the parts of the modules and of the storefront, as one.</summary>
public sealed class Site(IEnumerable<ISitePart> parts)
{
    /// <summary>More files than that are a mistake, or a shop for which one folder is the wrong form.</summary>
    public const int FilesMax = 500_000;

    private readonly List<ISitePart> parts = [.. parts];

    /// <summary>Rises with each change of any part.</summary>
    public async Task<long> VersionAsync()
    {
        var version = 0L;
        foreach (var part in parts)
        {
            version += await part.VersionAsync();
        }

        return version;
    }

    /// <summary>What has no files because it takes a query, and changes with the site.</summary>
    public IEnumerable<string> AskedWithQueries => parts.SelectMany(part => part.AskedWithQueries);

    /// <exception cref="InvalidDataException">An address that is none, or that two files have: a mistake in a part. Nothing is published then.</exception>
    public async IAsyncEnumerable<SiteFile> FilesAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            await foreach (var file in part.FilesAsync().WithCancellation(cancel))
            {
                if (!SiteManifest.IsUrl(file.Url) || !seen.Add(file.Url) || seen.Count > FilesMax)
                {
                    throw new InvalidDataException($"The site cannot be published: '{file.Url}' is no address, or is there twice, or is one too many ({FilesMax:N0}).");
                }

                yield return file;
            }
        }
    }
}

/// <summary>What one run of publishing did.</summary>
/// <param name="ChangedUrls">Addresses whose content is another one than before, or that are gone.</param>
public sealed record SiteChange(SiteManifest Manifest, IReadOnlyList<string> ChangedUrls);

/// <summary>A place that a site is published to.</summary>
public interface ISiteTarget
{
    /// <summary>The place, for people. Never a secret.</summary>
    string Describe { get; }

    /// <summary>Reads the site and puts it there, whole. Null: somebody else is at it; come again.</summary>
    /// <exception cref="IOException">It could not be written; what was there before still is.</exception>
    Task<SiteChange?> PublishAsync(Site site, CancellationToken cancel);
}
