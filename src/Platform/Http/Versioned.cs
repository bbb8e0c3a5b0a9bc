using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>A whole page, UTF-8, and the tag that names its content.</summary>
public sealed record HtmlPage(byte[] Html, string ETag)
{
    public static HtmlPage Of(string html) => Of(Encoding.UTF8.GetBytes(html));

    public static HtmlPage Of(byte[] html) => new(html, $"\"{Convert.ToHexStringLower(System.IO.Hashing.XxHash3.Hash(html))}\"");
}

/// <summary>
/// Answers with an <c>ETag</c>: who has this version already gets 304 and no body. A client that would rather not speak of headers writes the tag, without its quotes, as <c>?version=</c>,
/// and gets <c>{"version":"…","unchanged":true}</c>.
/// </summary>
public static class Versioned
{
    /// <summary>The query parameter in which a client names what it has.</summary>
    public const string Parameter = "version";

    private const int TagLengthMax = 64;

    private static readonly IResult NothingNew = new NotModified();

    /// <summary>The version that the caller says it has, 0 when it names none or several. For answers whose tag is a number.</summary>
    public static long KnownVersion(HttpRequest request) => KnownTag(request) is [not '0', ..] tag && long.TryParse(tag, NumberStyles.None, CultureInfo.InvariantCulture, out var version) ? version : 0;

    /// <summary>The same for an answer of several parts, whose tag is the numbers of each (<see cref="TagOf"/>); zeros when the caller names none.</summary>
    public static long[] KnownVersions(HttpRequest request, int count)
    {
        var known = new long[count];
        var tag = KnownTag(request);
        var i = 0;
        foreach (var part in tag.Split('-'))
        {
            if (i == count || tag[part] is ['0', _, ..] || !long.TryParse(tag[part], NumberStyles.None, CultureInfo.InvariantCulture, out known[i]))
            {
                return new long[count];
            }

            i++;
        }

        return i == count ? known : new long[count];
    }

    /// <summary>The tag of an answer of several parts: <c>"3-17"</c>.</summary>
    public static string TagOf(params IEnumerable<long> versions) => $"\"{string.Join('-', versions.Select(version => version.ToString(CultureInfo.InvariantCulture)))}\"";

    /// <summary>The answer for somebody who has this version.</summary>
    public static IResult Unchanged(HttpContext context, long version) => Unchanged(context, Tag(version));

    /// <param name="etag">Quoted, as it goes over the wire.</param>
    public static IResult Unchanged(HttpContext context, string etag)
    {
        Head(context, etag);
        return NothingNewFor(context.Request, etag);
    }

    /// <summary>The answer in this version, or 304 for somebody who has it.</summary>
    public static IResult Answer(HttpContext context, long version, byte[] json) => Answer(context, Tag(version), json);

    /// <param name="etag">Quoted, as it goes over the wire.</param>
    public static IResult Answer(HttpContext context, string etag, byte[] json)
    {
        if (context.Request.QueryString.HasValue && context.Request.Query[Parameter] is { Count: > 0 } named && named is not [{ Length: > 0 and <= TagLengthMax }])
        {
            return Problem.Invalid($"'{Parameter}' is what the ETag of an earlier answer said, without its quotes.");
        }

        Head(context, etag);
        return Matches(context.Request.Headers.IfNoneMatch, etag) || IsNamed(context.Request, etag) ? NothingNewFor(context.Request, etag) : new Body(json);
    }

    /// <summary>The answer of what the caller has just changed, with its new version.</summary>
    public static IResult Changed(HttpContext context, long version, byte[] json)
    {
        Head(context, Tag(version));
        return new Body(json);
    }

    /// <summary>Whether the caller may change what is in this version now: it names this one in <c>If-Match</c>, or none.</summary>
    public static bool MayChange(HttpRequest request, long version) => request.Headers.IfMatch is not { Count: > 0 } header || Matches(header, Tag(version));

    /// <summary>A page, or 304 for a browser that has it.</summary>
    public static IResult Page(HttpContext context, HtmlPage page)
    {
        Head(context, page.ETag);
        return Matches(context.Request.Headers.IfNoneMatch, page.ETag) ? NothingNew : new Body(page.Html, "text/html; charset=utf-8");
    }

    // The one tag that the header names, or the one in the query; without quotes.
    private static ReadOnlySpan<char> KnownTag(HttpRequest request)
    {
        if (request.QueryString.HasValue && request.Query[Parameter] is [{ Length: > 0 and <= TagLengthMax } named])
        {
            return named;
        }

        return request.Headers.IfNoneMatch is [{ Length: <= TagLengthMax } header] && header.AsSpan().Trim() is var tag && (tag.StartsWith("W/") ? tag[2..] : tag) is ['"', .. var inside, '"'] ? inside : default;
    }

    private static bool IsNamed(HttpRequest request, string etag) =>
        request.QueryString.HasValue && request.Query[Parameter] is [{ } named] && etag.AsSpan(1, etag.Length - 2).SequenceEqual(named);

    // In the form in which it was asked.
    private static IResult NothingNewFor(HttpRequest request, string etag) => IsNamed(request, etag) ? new Body([.. "{\"version\":"u8, .. Encoding.ASCII.GetBytes(etag), .. ",\"unchanged\":true}"u8]) : NothingNew;

    private static string Tag(long version) => string.Create(CultureInfo.InvariantCulture, $"\"{version}\"");

    // A CDN may answer for a second, one more while it asks, and for long while no node answers; browsers ask each time. What one user is answered is nothing for caches that others read from.
    private static void Head(HttpContext context, string etag)
    {
        context.Response.Headers.ETag = etag;
        context.Response.Headers.CacheControl = context.GetEndpoint()?.Metadata.GetMetadata<AccessRuleMetadata>()?.Rule == AccessRule.Public ? "public, max-age=0, s-maxage=1, stale-while-revalidate=1, stale-if-error=600" : "private, no-cache";
    }

    // A list of quoted tags, or *. Weak and strong are one: a tag names the content, not its bytes.
    private static bool Matches(Microsoft.Extensions.Primitives.StringValues header, string etag)
    {
        if (header.Count != 1 || header[0] is not { Length: <= 1_000 } tags)
        {
            return false;
        }

        foreach (var part in tags.AsSpan().Split(','))
        {
            var tag = tags.AsSpan(part).Trim();
            if (tag is "*" || tag.SequenceEqual(etag) || (tag.StartsWith("W/") && tag[2..].SequenceEqual(etag)))
            {
                return true;
            }
        }

        return false;
    }

    // Not ASP.NET's own results: those ask for a logger, and with it for a scope, each time.
    private sealed class NotModified : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.StatusCode = 304;
            return Task.CompletedTask;
        }
    }

    private sealed class Body(byte[] content, string contentType = "application/json; charset=utf-8") : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.ContentType = contentType;
            response.ContentLength = content.Length;
            response.BodyWriter.Write(content);
            return Task.CompletedTask;
        }
    }
}
