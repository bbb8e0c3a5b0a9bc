namespace Sluice.Bench.Baseline;

internal static class Hosting
{
    /// <summary>Kestrel as a sensible host sets it: no Server header, no per-request log, a bounded body.</summary>
    public static WebApplicationBuilder Build(string[] args)
    {
        var builder = WebApplication.CreateSlimBuilder(args);
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 64 * 1024;
        });
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.TypeInfoResolverChain.Insert(0, Wire.Default));
        return builder;
    }
}
