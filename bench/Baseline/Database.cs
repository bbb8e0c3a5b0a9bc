using Microsoft.Data.Sqlite;

namespace Sluice.Bench.Baseline;

internal static class Database
{
    /// <summary>A new SQLite file that survives power loss at every commit: WAL, synchronous=FULL.</summary>
    public static SqliteConnection Create(string folder, string schema)
    {
        Directory.CreateDirectory(folder);
        var file = Path.Combine(folder, "baseline.db");
        foreach (var old in new[] { file, file + "-wal", file + "-shm" }) File.Delete(old);

        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ToString());
        connection.Open();
        // A cache of 64 MiB and a checkpoint every 10,000 pages (40 MB): with SQLite's small defaults the limit would be lower than it need be.
        Execute(connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=10000;");
        Execute(connection, schema);
        return connection;
    }

    public static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        // Only the fixed texts of this program come here.
#pragma warning disable CA2100
        command.CommandText = sql;
#pragma warning restore CA2100
        command.ExecuteNonQuery();
    }

    /// <summary>An orders table as a shop has it: integer key, one order per (sale, user, ordinal), and orders found by user and time.</summary>
    public const string OrdersTable = """
        CREATE TABLE orders (
          id INTEGER PRIMARY KEY,
          sale_id INTEGER NOT NULL,
          user_id TEXT NOT NULL,
          ordinal INTEGER NOT NULL,
          units INTEGER NOT NULL,
          amount_cents INTEGER NOT NULL,
          state TEXT NOT NULL,
          created_at INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX orders_by_holder ON orders (sale_id, user_id, ordinal);
        CREATE INDEX orders_by_user ON orders (user_id, created_at);
        """;
}
