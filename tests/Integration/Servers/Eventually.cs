using System.Diagnostics;

namespace Sluice.Tests.Integration.Servers;

/// <summary>Waits for a condition, never for a time: looks again and again, and fails with what it waited for.</summary>
public static class Eventually
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60), Look = TimeSpan.FromMilliseconds(25);

    public static async Task TrueAsync(Func<Task<bool>> condition, string what, TimeSpan? atMost = null)
    {
        var started = Stopwatch.GetTimestamp();
        Exception? last = null;
        while (Stopwatch.GetElapsedTime(started) < (atMost ?? Patience))
        {
            try
            {
                if (await condition())
                {
                    return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or StackExchange.Redis.RedisException or System.Data.Common.DbException or TimeoutException or TaskCanceledException)
            {
                last = e;
            }

            await Task.Delay(Look, TimeProvider.System);
        }

        Assert.Fail($"Waited {(atMost ?? Patience).TotalSeconds:0} s in vain: {what}. {last?.Message}");
    }
}
