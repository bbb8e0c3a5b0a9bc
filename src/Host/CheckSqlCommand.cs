using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Host;

/// <summary>
/// <c>sluice check-sql</c>: says over HTTP whether one SQL server may be written now, 200 or 503. HAProxy asks it before it sends anybody there (deploy/haproxy).
/// One runs on each database host. The connection string is better put into the environment than on the command line, where everybody on the host can read it.
/// </summary>
internal static class CheckSqlCommand
{
    // Less than the second that HAProxy gives a check: a frozen server is answered for, not waited for.
    private static readonly TimeSpan AnswerTimeMax = TimeSpan.FromMilliseconds(800);

    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, CancellationToken cancel)
    {
        var settings = Node.Load(overrides);
        var connection = settings.Get<SqlOptions>().Connection;
        if (connection.Equals(SqlOptions.Embedded, StringComparison.OrdinalIgnoreCase))
        {
            throw new SettingsException(["Sql:Connection: name the server to be checked (SLUICE__SQL__CONNECTION in the environment)"]);
        }

        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory, ApplicationName = "sluice", Args = ["--hostBuilder:reloadConfigOnChange=false"] });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(settings.Get<NodeOptions>().Urls.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = 100;
        });
        await using var app = builder.Build();
        app.Run(async context =>
        {
            var whyNot = await WritableCheck.WhyNotAsync(connection, AnswerTimeMax);
            context.Response.StatusCode = whyNot is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.CacheControl = "no-store";
            await context.Response.WriteAsync(whyNot is null ? "writable\n" : $"not writable: {whyNot}\n", context.RequestAborted);
        });
        await app.StartAsync(cancel);
        await app.WaitForShutdownAsync(cancel);
        return Commands.Well;
    }
}
