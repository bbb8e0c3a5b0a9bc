namespace Sluice.Bench.Runner.Scenarios;

/// <summary>The sale page's data: read in full, and asked again with its ETag.</summary>
internal static class Reads
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var sluice = await rig.SluiceAsync(cancel);
        var bare = await rig.BareAsync(cancel);
        var sale = await sluice.OpenSaleAsync(stockUnits: 500, cancel);
        var path = $"/v1/flash-sales/{sale.Id}";
        using var answer = await sluice.Http.GetAsync(path, cancel);
        var etag = answer.Headers.ETag?.ToString() ?? throw new BenchException($"GET {path} has no ETag.");

        return new Plan("reads", "GET of a sale, in full and as 304, to a bare GET of 1 KB.",
            [
                rig.Load("sale", sluice.Process, "get.lua", sluice.Url, $"path={path}"),
                rig.Load("sale, 304", sluice.Process, "get.lua", sluice.Url, $"path={path}", $"etag={etag}"),
                rig.BareGet(bare),
            ],
            [
                new Comparison("sale", "bare GET", Goal: 0.80),
                new Comparison("sale, 304", "bare GET", Goal: 0.90),
            ]);
    }
}
