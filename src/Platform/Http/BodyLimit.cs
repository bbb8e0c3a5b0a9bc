using Microsoft.AspNetCore.Http.Metadata;

namespace Sluice.Platform.Http;

/// <summary>A route's own body limit in bytes, where the general 64 KiB does not do.</summary>
public sealed class BodyLimit(long bytesMax) : IRequestSizeLimitMetadata
{
    public long? MaxRequestBodySize => bytesMax;
}

/// <summary>
/// The body of a route that reads it itself, for the API document. Not ASP.NET's own metadata for it: that one turns requests without a Content-Type away in routing, as 404.
/// </summary>
public sealed record RequestBody(Type Type, bool IsRequired);
