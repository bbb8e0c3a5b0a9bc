using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Sql;

/// <summary>Where the truth about everything that is drained lives.</summary>
public sealed class SqlOptions
{
    /// <summary><c>embedded</c>: SQLite (WAL, synchronous=FULL) in the data folder.</summary>
    [Required, RegularExpression("^embedded$", ErrorMessage = "only 'embedded' (SQLite) is there yet")]
    public string Connection { get; init; } = "embedded";

    /// <summary>How long a statement waits for another process's lock before the request is answered 503, 1–30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:00:30")] public TimeSpan LockWaitMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How many requests may wait for the writer before further ones are answered 503.</summary>
    [Range(1, 100_000)] public int WritersWaitingMax { get; init; } = 2_000;
}
