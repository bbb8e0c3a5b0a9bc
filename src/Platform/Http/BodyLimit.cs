using Microsoft.AspNetCore.Http.Metadata;

namespace Sluice.Platform.Http;

/// <summary>A route's own body limit in bytes, where the general 64 KiB does not do.</summary>
public sealed class BodyLimit(long bytesMax) : IRequestSizeLimitMetadata
{
    public long? MaxRequestBodySize => bytesMax;
}
