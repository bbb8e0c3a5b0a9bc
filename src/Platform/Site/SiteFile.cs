namespace Sluice.Platform.Site;

/// <summary>One file of the published site: what a GET of its address answers, to everybody alike.</summary>
/// <param name="Url">The address as visitors and clients write it, without a query: <c>/products/mug</c>, <c>/v1/products/mug</c>, <c>/assets/…/shop.css</c>.</param>
/// <param name="ContentType">As the node itself would say it.</param>
public sealed record SiteFile(string Url, string ContentType, byte[] Content)
{
    /// <summary>Whoever has it never asks again: its address changes with its content.</summary>
    public bool NeverChanges { get; init; }
}

/// <summary>What one part of Sluice, a module or the storefront, has to show to everybody.</summary>
public interface ISitePart
{
    /// <summary>A number that rises with each change of what the files are made from. Cheap: it is asked several times a second.</summary>
    Task<long> VersionAsync();

    /// <summary>Addresses whose answers with a query change with this part too. There are no files of them; caches in front are told to forget them.</summary>
    IReadOnlyList<string> AskedWithQueries => [];

    /// <summary>All files, as of a moment after this call.</summary>
    IAsyncEnumerable<SiteFile> FilesAsync();
}
