using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Redis;

/// <summary>Where claims live until SQL has them.</summary>
public sealed class RedisOptions
{
    /// <summary>
    /// <c>embedded</c>: a Garnet server inside this process, kept in the data folder. Otherwise a Redis connection string
    /// (<c>host:port,user=…,password=…,ssl=true</c>); that server must run with <c>appendonly yes</c> and <c>appendfsync always</c>.
    /// </summary>
    [Required] public string Connection { get; init; } = "embedded";

    /// <summary>Port on 127.0.0.1 on which the embedded server can also be looked at with redis-cli; 0 = none. No password: leave it off where others share the machine.</summary>
    [Range(0, 65_535)] public int EmbeddedPort { get; init; }

    /// <summary>Memory of the embedded server's log, 64–65,536 MiB. What does not fit goes to disk.</summary>
    [Range(64, 65_536)] public int EmbeddedMemoryMiB { get; init; } = 256;

    /// <summary>
    /// Claims are answered 503 while the disk under the embedded server has less than this free, 1–1,048,576 MiB. The rest goes on, so the queue drains meanwhile.
    /// Below 1 MiB there is no log to promise anything with: a log that could not be written once stays shut until the next start.
    /// </summary>
    [Range(1, 1_048_576)] public int DiskFreeMiBMin { get; init; } = 64;

    /// <summary>How long one call may take before the request is answered 503, 100 ms – 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")] public TimeSpan CallTimeMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Accept a Redis that does not fsync every write. Acknowledged claims can then be lost with it; for trials only.</summary>
    public bool AcceptWeakDurability { get; init; }
}
