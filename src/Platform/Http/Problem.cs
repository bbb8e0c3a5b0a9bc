using System.Buffers;
using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>
/// A refusal as RFC 9457 problem details. <see cref="Code"/> is what programs read and never changes; <see cref="Detail"/> says what to do and may.
/// </summary>
public sealed class Problem(int status, string code, string title, string detail) : IResult
{
    // The answer is JSON and says so (nosniff), never part of a page: apostrophes may stay apostrophes.
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // A refusal that is told a million times (sold out) is one object and is written once.
    private byte[]? rendered;
    private string? retryAfter;

    public string Code => code;

    public int Status => status;

    public string Detail => detail;

    /// <summary>When asking again makes sense; becomes <c>Retry-After</c> in whole seconds, rounded up.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>How to say who is asking; becomes <c>WWW-Authenticate</c>, which each 401 has (RFC 9110).</summary>
    public IReadOnlyList<string> Challenges { get; init; } = [];

    /// <summary>Further members, e.g. <c>leftUnits</c>. Values: string, long, or list of strings.</summary>
    public IReadOnlyDictionary<string, object> More { get; init; } = FrozenDictionary<string, object>.Empty;

    public static Problem Invalid(string detail) => new(400, "invalid-request", "The request cannot be read", detail);

    public static Problem NotJson => new(
        415, "unsupported-media-type", "Not JSON", "Send 'Content-Type: application/json' in UTF-8, not compressed; or no body where the route needs none.");

    public static Problem NotFound(string what) => new(404, "not-found", "Not found", $"There is no such {what}, or it is not yours.");

    public Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        response.StatusCode = status;
        response.ContentType = "application/problem+json";
        response.Headers.CacheControl = "no-store";
        response.Headers.XContentTypeOptions = "nosniff"; // said here too: an exception's answer starts from cleared headers
        if (Challenges.Count > 0)
        {
            response.Headers.WWWAuthenticate = Challenges.ToArray();
        }

        if (RetryAfter is { } wait)
        {
            response.Headers.RetryAfter = retryAfter ??= ((long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        }

        var body = rendered ??= Render();
        response.ContentLength = body.Length;
        response.BodyWriter.Write(body); // sent when the request ends
        return Task.CompletedTask;
    }

    private byte[] Render()
    {
        using var buffer = new PooledBuffer();
        using (var json = new Utf8JsonWriter(buffer, WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("type", $"https://sluice.dev/problems/{code}");
            json.WriteString("title", title);
            json.WriteNumber("status", status);
            json.WriteString("detail", detail);
            json.WriteString("code", code);
            foreach (var (name, value) in More)
            {
                switch (value)
                {
                    case long number:
                        json.WriteNumber(name, number);
                        break;
                    case IEnumerable<string> texts:
                        json.WriteStartArray(name);
                        foreach (var text in texts)
                        {
                            json.WriteStringValue(text);
                        }

                        json.WriteEndArray();
                        break;
                    default:
                        json.WriteString(name, value.ToString());
                        break;
                }
            }

            json.WriteEndObject();
        }

        return buffer.Written.ToArray();
    }
}

/// <summary>Thrown where a refusal is found deep inside a handler; the edge turns it into its problem.</summary>
public sealed class ProblemException(Problem problem) : Exception(problem.Detail)
{
    public Problem Problem => problem;
}
