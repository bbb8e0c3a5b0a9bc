using System.Diagnostics;
using System.Globalization;

namespace Sluice.Bench.Runner.Scenarios;

/// <summary>From the first request to the last committed order: what a shop can really ship.</summary>
internal static class DurableOrders
{
    public static async Task<Plan> PlanAsync(Rig rig, CancellationToken cancel)
    {
        var sluice = await rig.SluiceAsync(cancel);
        var textbook = await rig.TextbookAsync(cancel);
        var crowd = await rig.CrowdAsync(sluice, rig.Options.CrowdUsers, cancel);
        var textbookSale = 0L;
        return new Plan("durable-orders", "Orders committed per second, from the first request until the queue is empty.",
            [
                new Contender("order", token => MeasureAsync(rig, sluice, crowd, token)),
                new Contender("textbook order", token => MeasureTextbookAsync(rig, textbook, ++textbookSale, crowd, token)),
            ],
            [new Comparison("order", "textbook order", Goal: 12)]);
    }

    private static async Task<Sample> MeasureAsync(Rig rig, SluiceServer sluice, Crowd crowd, CancellationToken cancel)
    {
        var sale = await sluice.OpenSaleAsync(Claims.HugeStockUnits, cancel);
        var before = sluice.Process.CpuTime();
        var watch = Stopwatch.StartNew();
        var wrk = await Claims.SendAsync(rig, sluice, sale, crowd, cancel);
        var drained = await sluice.DrainedAsync(sale.PoolId, cancel);
        watch.Stop();
        var cpu = sluice.Process.CpuTime() - before;

        var orders = drained.CapacityUnits - drained.LeftUnits;
        var certificate = await sluice.SettledCertificateAsync(sale.PoolId, cancel);
        Rig.Require(certificate.Verdict == "holds" && certificate.Orders == orders,
            $"{orders} units are taken, and the certificate says: {certificate.Verdict}, {certificate.Orders} orders.");
        return new Sample(orders / watch.Elapsed.TotalSeconds, orders, cpu.TotalMicroseconds / orders, null, wrk.CpuSeconds * 1e6 / orders, wrk.P99Ms);
    }

    private static async Task<Sample> MeasureTextbookAsync(Rig rig, ServerProcess textbook, long sale, Crowd crowd, CancellationToken cancel)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"/textbook/{sale}");
        using var opened = await textbook.Http.PutAsync($"{path}?stock={Claims.HugeStockUnits}", content: null, cancel);
        Rig.Require(opened.IsSuccessStatusCode, $"the textbook's sale could not be opened: {opened.StatusCode}");

        var before = textbook.Process.CpuTime();
        var wrk = await rig.Wrk.RunAsync("claims.lua", textbook.Url, rig.Options.Seconds, cancel, $"path={path}/claims", $"tokens={crowd.UserPrefix}");
        var cpu = textbook.Process.CpuTime() - before;
        Rig.Require(wrk is { ErrorStatuses: 0, SocketErrors: 0, Timeouts: 0 } && wrk.Count("exhausted") == 0, $"the textbook refused: {wrk}");
        return Sample.Of(wrk, cpu);
    }
}
