using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Sluice.Platform.Http;

namespace Sluice.Platform.Admission;

/// <summary>The middleware of <see cref="AdmissionOptions.RequestsPerAddressPerSecond"/>: who asks too fast from one address is told so before anything is looked at. Runs only where the limit is set.</summary>
public sealed class AddressLimit(RateLimits limits, AdmissionOptions options, Access access)
{
    private readonly SharedRateLimit limit = limits.New("requests", options.RequestsPerAddressPerSecond, options.RequestsPerAddressBurst);

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        if (context.Request.Path.StartsWithSegments("/v1", StringComparison.Ordinal) && !access.IsServer(context.Request) &&
            await limit.CheckAsync(NameOf(context.Connection.RemoteIpAddress)) is { } wait)
        {
            await new Problem(429, "rate-limited", "Too fast", "Too many requests come from your address. Wait a moment.") { RetryAfter = wait }.ExecuteAsync(context);
            return;
        }

        await next(context);
    }

    /// <summary>One household has 2^64 addresses of IPv6; the first half of them is its own.</summary>
    public static string NameOf(IPAddress? address) => address switch
    {
        null => "",
        { AddressFamily: AddressFamily.InterNetworkV6, IsIPv4MappedToIPv6: false } => Convert.ToHexStringLower(address.GetAddressBytes().AsSpan(0, 8)),
        _ => address.MapToIPv4().ToString(),
    };
}
