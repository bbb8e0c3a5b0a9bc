using System.Globalization;

namespace Sluice.Bench.Baseline;

/// <summary>The least that an endpoint can do: no auth, no limits, no state but a counter.</summary>
internal static class Bare
{
    private const int PayloadBytes = 1024;

    public static async Task<int> RunAsync(string[] args)
    {
        var app = Hosting.Build(args).Build();
        var payload = Payload();
        long claims = 0;

        app.MapGet("/bare", async context =>
        {
            context.Response.ContentType = "application/json";
            context.Response.ContentLength = payload.Length;
            await context.Response.BodyWriter.WriteAsync(payload, context.RequestAborted);
        });

        app.MapPost("/bare/claims", (ClaimRequest request) =>
        {
            var id = Interlocked.Add(ref claims, request.Units).ToString("D18", CultureInfo.InvariantCulture);
            return TypedResults.Json(new ClaimAnswer(id, "held"), Wire.Default.ClaimAnswer, statusCode: StatusCodes.Status202Accepted);
        });

        app.MapGet("/health/ready", () => TypedResults.Ok());
        await app.RunAsync();
        return 0;
    }

    private static byte[] Payload()
    {
        var payload = new byte[PayloadBytes];
        var head = "{\"text\":\""u8;
        payload.AsSpan().Fill((byte)'x');
        head.CopyTo(payload);
        "\"}"u8.CopyTo(payload.AsSpan(PayloadBytes - 2));
        return payload;
    }
}
