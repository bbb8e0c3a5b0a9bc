using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>HEAD is GET without the body (RFC 9110), on every route that has GET. Runs before routing; Kestrel, which saw HEAD, keeps the body back.</summary>
public static class HeadRequests
{
    public static Task InvokeAsync(HttpContext context, RequestDelegate next) =>
        HttpMethods.IsHead(context.Request.Method) ? AsGetAsync(context, next) : next(context);

    /// <summary>Completes the <c>Allow</c> that routing wrote for a method it does not have.</summary>
    public static void Allow(HttpResponse response)
    {
        if (response.Headers.Allow is [{ } methods] && methods.Split(", ").Contains(HttpMethods.Get))
        {
            response.Headers.Allow = $"{methods}, {HttpMethods.Head}";
        }
    }

    private static async Task AsGetAsync(HttpContext context, RequestDelegate next)
    {
        var request = context.Request;
        request.Method = HttpMethods.Get;

        // A stream would hold the connection for something that nobody is going to read.
        request.Headers.Accept = default;
        try
        {
            await next(context);
        }
        finally
        {
            request.Method = HttpMethods.Head;
        }
    }
}
