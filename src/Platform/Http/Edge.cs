using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Http;

/// <summary>The one place where exceptions, and refusals by the framework that have no body, become answers.</summary>
public sealed partial class Edge(ILogger<Edge> log)
{
    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        try
        {
            await next(context);
            if (context.Response is { StatusCode: >= 400, HasStarted: false, ContentType: null, ContentLength: null } bare)
            {
                HeadRequests.Allow(bare);
                await OfStatus(bare.StatusCode).ExecuteAsync(context);
            }
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            if (Explain(context, e) is { } problem)
            {
                context.Response.Clear();
                await problem.ExecuteAsync(context);
            }
        }
    }

    private Problem? Explain(HttpContext context, Exception exception)
    {
        switch (exception)
        {
            case ProblemException e:
                return e.Problem;
            case DependencyUnavailableException e:
                LogUnavailable(log, e.Dependency, e.Message);
                return new Problem(
                    503, e.Dependency == "queue" ? "queue-full" : "unavailable", "Not now",
                    "An engine behind this shop does not answer or is full. Ask again with the same Idempotency-Key: it cannot be done twice.")
                { RetryAfter = e.RetryAfter };
            case ConnectionResetException or ConnectionAbortedException:
            case OperationCanceledException when context.RequestAborted.IsCancellationRequested:
                // The caller hung up: nobody reads an answer.
                return null;
            case BadHttpRequestException { InnerException: JsonException e }:
                return Problem.Invalid(Says(e));
            case BadHttpRequestException e:
                return OfStatus(e.StatusCode);
            case JsonException e:
                return Problem.Invalid(Says(e));
            default:
                LogBug(log, exception, context.Request.Method, context.Request.Path);
                return new Problem(500, "internal-error", "Our fault", "Something went wrong that should not have. It is in the server's log under this request's trace id.")
                {
                    More = new Dictionary<string, object>(StringComparer.Ordinal) { ["traceId"] = System.Diagnostics.Activity.Current?.TraceId.ToString() ?? context.TraceIdentifier },
                };
        }
    }

    // What routing, binding and Kestrel refuse with a status alone.
    private static Problem OfStatus(int status) => status switch
    {
        404 => Problem.NotFound("page or route"),
        405 => new Problem(405, "method-not-allowed", "Not this method", "This address exists, but not for this method. 'Allow' lists those it takes."),
        408 => new Problem(408, "request-timeout", "Too slow", "The body came too slowly or stopped. Send the request again."),
        413 => new Problem(413, "body-too-large", "Too large", "The body is larger than this route takes."),
        415 => Problem.NotJson,
        _ => Problem.Invalid("The request is not well-formed for this route."),
    };

    // Where the error is, without echoing what was sent.
    private static string Says(JsonException e)
    {
        var path = e.Path is { Length: > 0 and <= 100 } at && at.All(c => char.IsAsciiLetterOrDigit(c) || c is '$' or '.' or '[' or ']' or '_') ? $" at {at}" : "";
        return $"The body is not the JSON that this route takes{path}: check names, types and commas.";
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Answered 503: {Dependency}: {Says}")]
    private static partial void LogUnavailable(ILogger log, string dependency, string says);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    private static partial void LogBug(ILogger log, Exception error, string method, string path);
}
