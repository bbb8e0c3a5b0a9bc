using System.Collections.Concurrent;
using System.Text.Encodings.Web;
using System.Text.Unicode;
using Fluid;
using Fluid.Values;
using Microsoft.Extensions.FileProviders;
using Sluice.Platform.Http;

namespace Sluice.Platform.Site;

/// <summary>What every page has to know of the storefront.</summary>
/// <param name="AssetsPrefix">Where scripts and styles of this build are: <c>/assets/…/</c>.</param>
/// <param name="SiteUrl">The shop's public address without a slash at its end, or empty where nobody said.</param>
/// <param name="TemplatesFolder">Where the templates of the pages are.</param>
public sealed record SiteLook(string AssetsPrefix, string SiteUrl, string TemplatesFolder);

/// <summary>
/// Whole pages out of templates (Liquid, <c>src/Web/storefront/templates</c>), the same whether a node answers with them or they are published. Everything that goes into a page is encoded, except what a template marks <c>raw</c>.
/// </summary>
public sealed class ShopPages
{
    // Letters of every script as they are: a page in Chinese would be three times as long in numbers.
    private static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    private static readonly FluidParser Parser = new();

    private readonly SiteLook look;
    private readonly TemplateOptions options;
    private readonly ConcurrentDictionary<string, IFluidTemplate> templates = new(StringComparer.Ordinal);

    public ShopPages(SiteLook look)
    {
        this.look = look;
        options = new TemplateOptions { FileProvider = new PhysicalFileProvider(look.TemplatesFolder), MaxSteps = 100_000, MaxRecursion = 10 };
    }

    /// <param name="name">The template's file name without <c>.liquid</c>.</param>
    /// <param name="url">The page's address; empty where it is one page for many addresses.</param>
    /// <param name="values">What the template names: texts, numbers, and lists and dictionaries of them.</param>
    public HtmlPage Render(string name, string url, IReadOnlyDictionary<string, object?> values)
    {
        var template = templates.GetOrAdd(name, _ => Parser.TryParse(File.ReadAllText(Path.Combine(look.TemplatesFolder, name + ".liquid")), out var parsed, out var error) ? parsed : throw new InvalidDataException($"Template {name}: {error}"));
        var context = new TemplateContext(options);
        context.SetValue("assets", look.AssetsPrefix);
        context.SetValue("site_url", look.SiteUrl);
        context.SetValue("url", url);
        foreach (var (key, value) in values)
        {
            context.SetValue(key, FluidValue.Create(value, options));
        }

        return HtmlPage.Of(template.Render(context, Encoder));
    }
}
