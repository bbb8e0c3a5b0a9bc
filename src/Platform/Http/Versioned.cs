using System.Buffers;
using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>Answers with an <c>ETag</c>: who has this version already gets 304 and no body.</summary>
public static class Versioned
{
    private static readonly IResult NothingNew = new NotModified();

    /// <summary>The version that the caller says it has, 0 when it names none or several. For answers whose tag is a number.</summary>
    public static long KnownVersion(HttpRequest request) =>
        request.Headers.IfNoneMatch is [{ Length: <= 30 } header] && header.AsSpan().Trim() is var tag && (tag.StartsWith("W/") ? tag[2..] : tag) is ['"', .. var number, '"'] &&
        long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var version) ? version : 0;

    /// <summary>The same for an answer of several parts, whose tag is the numbers of each (<see cref="TagOf"/>); zeros when the caller names none.</summary>
    public static long[] KnownVersions(HttpRequest request, int count)
    {
        var known = new long[count];
        if (request.Headers.IfNoneMatch is [{ Length: <= 100 } header] && header.Trim() is var tag && (tag.StartsWith("W/", StringComparison.Ordinal) ? tag[2..] : tag) is ['"', .. var numbers, '"'] &&
            numbers.Split('-') is var parts && parts.Length == count)
        {
            for (var i = 0; i < count; i++)
            {
                if (!long.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out known[i]))
                {
                    return new long[count];
                }
            }
        }

        return known;
    }

    /// <summary>The tag of an answer of several parts: <c>"3-17"</c>.</summary>
    public static string TagOf(params IEnumerable<long> versions) => $"\"{string.Join('-', versions.Select(version => version.ToString(CultureInfo.InvariantCulture)))}\"";

    /// <summary>The answer for somebody who has this version.</summary>
    public static IResult Unchanged(HttpContext context, long version) => Unchanged(context, Tag(version));

    /// <param name="etag">Quoted, as it goes over the wire.</param>
    public static IResult Unchanged(HttpContext context, string etag)
    {
        Head(context, etag);
        return NothingNew;
    }

    /// <summary>The answer in this version, or 304 for somebody who has it.</summary>
    public static IResult Answer(HttpContext context, long version, byte[] json) => Answer(context, Tag(version), json);

    /// <param name="etag">Quoted, as it goes over the wire.</param>
    public static IResult Answer(HttpContext context, string etag, byte[] json)
    {
        Head(context, etag);
        return Matches(context.Request.Headers.IfNoneMatch, etag) ? NothingNew : new Json(json);
    }

    /// <summary>The answer of what the caller has just changed, with its new version.</summary>
    public static IResult Changed(HttpContext context, long version, byte[] json)
    {
        Head(context, Tag(version));
        return new Json(json);
    }

    /// <summary>Whether the caller may change what is in this version now: it names this one in <c>If-Match</c>, or none.</summary>
    public static bool MayChange(HttpRequest request, long version) => request.Headers.IfMatch is not { Count: > 0 } header || Matches(header, Tag(version));

    private static string Tag(long version) => string.Create(CultureInfo.InvariantCulture, $"\"{version}\"");

    // What one user is answered is nothing for caches that others read from.
    private static void Head(HttpContext context, string etag)
    {
        context.Response.Headers.ETag = etag;
        context.Response.Headers.CacheControl = context.Features.Get<Caller>() is null ? "no-cache" : "private, no-cache";
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

    private sealed class Json(byte[] json) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.ContentType = "application/json; charset=utf-8";
            response.ContentLength = json.Length;
            response.BodyWriter.Write(json);
            return Task.CompletedTask;
        }
    }
}
