using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;

namespace Sluice.Platform.Http;

/// <summary>What holds for the body of every request, before anybody reads it. Runs after the caller was looked at: a stranger learns nothing about bodies.</summary>
public static class Bodies
{
    public static Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        // JSON is UTF-8 (RFC 8259), and nothing is unpacked here: other forms are told apart from broken JSON.
        if (context.Request.Headers.ContentEncoding.Count > 0 || IsOtherCharset(context.Request.ContentType))
        {
            return Problem.NotJson.ExecuteAsync(context);
        }

        // A route that takes more or less than the general limit says so.
        if (context.GetEndpoint()?.Metadata.GetMetadata<BodyLimit>() is { } limit &&
            context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature)
        {
            feature.MaxRequestBodySize = limit.MaxRequestBodySize;
        }

        return next(context);
    }

    /// <summary>
    /// Routes whose content type is looked at when the body is read. ASP.NET's routing would look first, and tell a stranger 415 before anybody asked who it is.
    /// </summary>
    public static IEndpointRouteBuilder ReadAfterAccess(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("");
        ((IEndpointConventionBuilder)group).Finally(endpoint =>
        {
            foreach (var accepts in endpoint.Metadata.OfType<IAcceptsMetadata>().ToList())
            {
                endpoint.Metadata.Remove(accepts);
            }
        });
        return group;
    }

    private static bool IsOtherCharset(string? contentType) =>
        contentType?.IndexOf("charset", StringComparison.OrdinalIgnoreCase) is >= 0 and var at &&
        !contentType.AsSpan(at + "charset".Length).Trim(" =\"").StartsWith("utf-8", StringComparison.OrdinalIgnoreCase);
}

/// <summary>A route's own body limit in bytes, where the general 64 KiB does not do.</summary>
public sealed class BodyLimit(long bytesMax) : IRequestSizeLimitMetadata
{
    public long? MaxRequestBodySize => bytesMax;
}

/// <summary>
/// The body of a route that reads it itself, for the API document. Not ASP.NET's own metadata for it, for the reason that <see cref="Bodies.ReadAfterAccess"/> says.
/// </summary>
public sealed record RequestBody(Type Type, bool IsRequired);
