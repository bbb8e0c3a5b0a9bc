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
    /// <summary>Pages that are the same for everybody, by their address. The others are filled in for one visitor.</summary>
    private static readonly string[] PublishedPages = ["/", "/orders", "/account", "/sale", "/certificate", "/order", "/404"];

    private readonly Dictionary<string, HtmlPage> pages;
    private readonly string folder;

    private StorefrontFiles(string folder)
    {
        this.folder = folder;
        var assets = Directory.GetFiles(Path.Combine(folder, "assets")).Order(StringComparer.Ordinal).ToList();
        var hash = new XxHash3();
        foreach (var asset in assets)
        {
            hash.Append(Encoding.UTF8.GetBytes(Path.GetFileName(asset)));
            hash.Append(File.ReadAllBytes(asset));
        }

        AssetsPrefix = $"/assets/{Convert.ToHexStringLower(hash.GetHashAndReset())}/";
        pages = Directory.GetFiles(folder, "*.html").ToDictionary(page => Path.GetFileName(page), page => HtmlPage.Of(WithAssets(File.ReadAllText(page))), StringComparer.Ordinal);
    }

    /// <summary>Where scripts and styles of this build are: <c>/assets/…/</c>.</summary>
    public string AssetsPrefix { get; }

    /// <summary>Null in a build without a storefront.</summary>
    public static StorefrontFiles? Load()
    {
        var folder = Path.Combine(AppContext.BaseDirectory, "storefront");
        return Directory.Exists(folder) ? new StorefrontFiles(folder) : null;
    }

    public string Folder => folder;

    /// <summary>A page by its file name, or null.</summary>
    public HtmlPage? Page(string name) => pages.GetValueOrDefault(name);

    // The files are those of this build.
    public Task<long> VersionAsync() => Task.FromResult(0L);

    public async IAsyncEnumerable<SiteFile> FilesAsync()
    {
        var types = new FileExtensionContentTypeProvider();
        foreach (var (prefix, name) in new[] { (AssetsPrefix, "assets"), ("/img/", "img") })
        {
            foreach (var file in Directory.GetFiles(Path.Combine(folder, name)))
            {
                yield return new SiteFile(prefix + Path.GetFileName(file), types.TryGetContentType(file, out var type) ? type : "application/octet-stream", await File.ReadAllBytesAsync(file)) { NeverChanges = prefix == AssetsPrefix };
            }
        }

        foreach (var url in PublishedPages)
        {
            yield return new SiteFile(url, "text/html; charset=utf-8", pages[url == "/" ? "index.html" : url[1..] + ".html"].Html);
        }
    }

    private string WithAssets(string page) => page.Replace("\"/assets/", $"\"{AssetsPrefix}", StringComparison.Ordinal);
}
