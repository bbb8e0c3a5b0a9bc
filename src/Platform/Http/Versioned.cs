using System.Buffers;
using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>Answers with an <c>ETag</c>: who has this version already gets 304 and no body.</summary>
public static class Versioned
{
    private static readonly IResult Unchanged = new NotModified();

    /// <param name="etag">Quoted, as it goes over the wire.</param>
    public static IResult Answer(HttpContext context, string etag, byte[] json)
    {
        var response = context.Response;
        response.Headers.ETag = etag;
        response.Headers.CacheControl = "no-cache";
        return Matches(context.Request.Headers.IfNoneMatch, etag) ? Unchanged : new Json(json);
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
