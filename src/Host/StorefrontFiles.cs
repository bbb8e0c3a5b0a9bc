using System.IO.Hashing;
using System.Text;
using Microsoft.AspNetCore.StaticFiles;
using Sluice.Platform.Http;
using Sluice.Platform.Site;

namespace Sluice.Host;

/// <summary>
/// The shop's own pages, scripts, styles and pictures, as they were built. Scripts and styles are reached under an address with the hash of them all, <c>/assets/…/</c>: who has them never asks again, and a page never gets
/// scripts of another build.
/// </summary>
internal sealed class StorefrontFiles : ISitePart
{
    /// <summary>Templates of pages that are the same for everybody, with the address of each; none where it is one page for many, which a script fills.</summary>
    private static readonly (string Name, string Url)[] Templates = [("orders", "/orders"), ("account", "/account"), ("sale", ""), ("certificate", ""), ("order", ""), ("404", "")];

    // When the first of them is wanted: reading templates is 7 % of a node's start, and many nodes never show a page. A file that cannot be read is an error of that request, not of every later one.
    private readonly Lazy<Dictionary<string, HtmlPage>> pages;

    private StorefrontFiles(string folder, string siteUrl)
    {
        Folder = folder;
        var assets = Directory.GetFiles(Path.Combine(folder, "assets")).Order(StringComparer.Ordinal).ToList();
        var hash = new XxHash3();
        foreach (var asset in assets)
        {
            hash.Append(Encoding.UTF8.GetBytes(Path.GetFileName(asset)));
            hash.Append(File.ReadAllBytes(asset));
        }

        Look = new SiteLook($"/assets/{Convert.ToHexStringLower(hash.GetHashAndReset())}/", siteUrl, Path.Combine(folder, "templates"));
        Pages = new ShopPages(Look);
        pages = new(() => Templates.ToDictionary(page => page.Name, page => Pages.Render(page.Name, page.Url, new Dictionary<string, object?>()), StringComparer.Ordinal), LazyThreadSafetyMode.PublicationOnly);
    }

    public string Folder { get; }

    public SiteLook Look { get; }

    public ShopPages Pages { get; }

    /// <summary>Null in a build without a storefront.</summary>
    /// <param name="siteUrl">The shop's public address, or empty.</param>
    public static StorefrontFiles? Load(string siteUrl)
    {
        var folder = Path.Combine(AppContext.BaseDirectory, "storefront");
        return Directory.Exists(folder) ? new StorefrontFiles(folder, siteUrl) : null;
    }

    /// <summary>A page by the name of its template, or null.</summary>
    public HtmlPage? Page(string name) => pages.Value.GetValueOrDefault(name);

    // The files are those of this build.
    public Task<long> VersionAsync() => Task.FromResult(0L);

    public async IAsyncEnumerable<SiteFile> FilesAsync()
    {
        var types = new FileExtensionContentTypeProvider();
        foreach (var (prefix, name) in new[] { (Look.AssetsPrefix, "assets"), ("/img/", "img") })
        {
            foreach (var file in Directory.GetFiles(Path.Combine(Folder, name)))
            {
                yield return new SiteFile(prefix + Path.GetFileName(file), types.TryGetContentType(file, out var type) ? type : "application/octet-stream", await File.ReadAllBytesAsync(file)) { NeverChanges = prefix == Look.AssetsPrefix };
            }
        }

        foreach (var (name, url) in Templates)
        {
            yield return new SiteFile(url.Length > 0 ? url : "/" + name, "text/html; charset=utf-8", pages.Value[name].Html);
        }
    }
}
