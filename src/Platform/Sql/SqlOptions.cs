using System.ComponentModel.DataAnnotations;
using MySqlConnector;

namespace Sluice.Platform.Sql;

/// <summary>Where the truth about everything that is drained lives.</summary>
public sealed record SqlOptions
{
    /// <summary>The value of <see cref="Connection"/> for SQLite in this process.</summary>
    public const string Embedded = "embedded";

    /// <summary>
    /// <c>embedded</c>: SQLite (WAL, synchronous=FULL) in the data folder. Otherwise a connection string
    /// (<c>Server=…;Port=…;User ID=…;Password=…;Database=…</c>) of a MySQL 8 or MariaDB 10.6 server or later, which must run with
    /// <c>innodb_flush_log_at_trx_commit=1</c>, and with <c>sync_binlog=1</c> where it writes a binary log. The database exists; its tables are made by the first start.
    /// </summary>
    [Required, SqlConnectionString] public string Connection { get; init; } = "embedded";

    /// <summary>
    /// Connection strings of servers that have the same data and are only read: replicas of the writer (MariaDB, with GTIDs), or the other nodes of its Galera cluster; <c>Sql:Readers:0</c>, <c>Sql:Readers:1</c> and so on,
    /// 16 at most. What a buyer sees there is never older than what they were told.
    /// </summary>
    [SqlConnectionStrings] public IReadOnlyList<string> Readers { get; init; } = [];

    /// <summary>
    /// Connection strings of primaries over which orders and payments are spread by their user; <c>Sql:Shards:0</c>, <c>Sql:Shards:1</c> and so on, 16 at most. One of them may be <c>Sql:Connection</c> itself, written alike.
    /// Empty: everything is in <c>Sql:Connection</c>. How many there are is fixed by the first start; docs/shards.md says how to change it.
    /// </summary>
    [SqlConnectionStrings] public IReadOnlyList<string> Shards { get; init; } = [];

    /// <summary>How long a read waits for a reader that is behind, 1 ms – 5 s. Then it goes to the writer, and the reader is left alone for a second.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "00:00:05")] public TimeSpan ReaderLagMax { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Reads of this node that the writer answers at once in the place of its readers, 1–256; eight times as many wait, and further ones are answered 503.</summary>
    [Range(1, 256)] public int ReaderMissesMax { get; init; } = 16;

    /// <summary>How long a statement waits for somebody else's lock before the request is answered 503, 1–30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:00:30")] public TimeSpan LockWaitMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How many requests may wait for their turn to write before further ones are answered 503.</summary>
    [Range(1, 100_000)] public int WritersWaitingMax { get; init; } = 2_000;

    /// <summary>How many transactions of this node write at once on a MySQL server. SQLite has one writer.</summary>
    [Range(1, 256)] public int WritersMax { get; init; } = 16;

    /// <summary>Connections of this node to a MySQL server, 4–1,000; it must allow as many for each node.</summary>
    [Range(4, 1_000)] public int ConnectionsMax { get; init; } = 64;

    /// <summary>How long a connection to a MySQL server may take, or the wait for a free one, before the request is answered 503, 1–30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:00:30")] public TimeSpan ConnectTimeMax { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long one statement on a MySQL server may take, with the reading of its rows, 1 s – 10 min. A rebuild reads all claims of a pool in one.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00")] public TimeSpan StatementTimeMax { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Accept a MySQL server that does not flush every commit. What was confirmed can then be lost with it; for trials only.</summary>
    public bool AcceptWeakDurability { get; init; }

    /// <summary>Nothing: a record would say all its values, and there are passwords among them.</summary>
    public override string ToString() => nameof(SqlOptions);

    /// <summary>What is wrong with settings that are each legal alone.</summary>
    public IEnumerable<string> Contradictions()
    {
        if (Shards.Count > 0 && Connection.Equals(Embedded, StringComparison.OrdinalIgnoreCase))
        {
            yield return "Sql:Shards: they stand beside a server; name it in Sql:Connection";
        }
    }
}

/// <summary><c>embedded</c>, or what MySqlConnector reads and that names server, user and database.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SqlConnectionStringAttribute() : ValidationAttribute("write 'embedded', or Server=…;Port=…;User ID=…;Password=…;Database=…")
{
    public override bool IsValid(object? value)
    {
        return value is string text && (text.Equals(SqlOptions.Embedded, StringComparison.OrdinalIgnoreCase) || IsServer(text));
    }

    public static bool IsServer(string text)
    {
        try
        {
            var parts = new MySqlConnectionStringBuilder(text);
            return parts is { Server.Length: > 0, UserID.Length: > 0, Database.Length: > 0 };
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidOperationException or OverflowException or InvalidCastException)
        {
            return false;
        }
    }
}

/// <summary>Up to 16 servers.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SqlConnectionStringsAttribute() : ValidationAttribute("write Server=…;Port=…;User ID=…;Password=…;Database=… into each, 16 at most")
{
    public override bool IsValid(object? value) => value is IReadOnlyList<string> { Count: <= 16 } texts && texts.All(SqlConnectionStringAttribute.IsServer);
}
