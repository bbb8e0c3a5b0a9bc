using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Data.Sqlite;

namespace Sluice.Bench.Baseline;

/// <summary>Rows per second that SQLite takes in multi-row inserts, one durable transaction per insert: no drain can be faster.</summary>
internal static class InsertLimit
{
    private const int Columns = 8;
    private const int BatchRowsMax = 4_000;   // times 8 columns stays below SQLite's 32,766 parameters

    public static int Run(string[] args)
    {
        var options = new ConfigurationBuilder().AddCommandLine(args).Build();
        var rows = Math.Clamp(options.GetValue("rows", 300_000), 1, 10_000_000);
        var batch = Math.Clamp(options.GetValue("batch", 500), 1, BatchRowsMax);
        var folder = options["data"] ?? throw new InvalidOperationException("--data <folder> is missing");

        using var connection = Database.Create(folder, Database.OrdersTable);
        using var insert = Prepare(connection, batch);
        var batches = rows / batch;
        var cpuBefore = Environment.CpuUsage.TotalTime;
        var watch = Stopwatch.StartNew();

        for (var index = 0; index < batches; index++)
        {
            using var transaction = connection.BeginTransaction();
            insert.Transaction = transaction;
            Fill(insert.Parameters, (long)index * batch, batch);
            insert.ExecuteNonQuery();
            transaction.Commit();
        }

        watch.Stop();
        var inserted = (long)batches * batch;
        var cpu = Environment.CpuUsage.TotalTime - cpuBefore;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $$"""{"rows":{{inserted}},"batchRows":{{batch}},"seconds":{{watch.Elapsed.TotalSeconds:F4}},"rowsPerSecond":{{inserted / watch.Elapsed.TotalSeconds:F0}},"cpuMicrosPerRow":{{cpu.TotalMicroseconds / inserted:F2}},"sqlite":"{{connection.ServerVersion}}"}"""));
        return 0;
    }

    private static SqliteCommand Prepare(SqliteConnection connection, int batch)
    {
        var sql = new StringBuilder("INSERT INTO orders (id, sale_id, user_id, ordinal, units, amount_cents, state, created_at) VALUES ");
        var insert = connection.CreateCommand();
        for (var row = 0; row < batch; row++)
        {
            sql.Append(row == 0 ? "(" : ",(");
            for (var column = 0; column < Columns; column++)
            {
                var name = string.Create(CultureInfo.InvariantCulture, $"@p{(row * Columns) + column}");
                sql.Append(column == 0 ? "" : ",").Append(name);
                insert.Parameters.Add(new SqliteParameter(name, null));
            }
            sql.Append(')');
        }
#pragma warning disable CA2100 // built from numbers only
        insert.CommandText = sql.ToString();
#pragma warning restore CA2100
        return insert;
    }

    private static void Fill(SqliteParameterCollection parameters, long first, int batch)
    {
        for (var row = 0; row < batch; row++)
        {
            var id = first + row + 1;
            var at = row * Columns;
            parameters[at].Value = id;
            parameters[at + 1].Value = 7301L;
            // Users do not come in order, so the index is not only appended to.
            parameters[at + 2].Value = string.Create(CultureInfo.InvariantCulture, $"u-{id * 2_654_435_761 % 4_294_967_291}");
            parameters[at + 3].Value = 1L;
            parameters[at + 4].Value = 1L;
            parameters[at + 5].Value = 4_900L;
            parameters[at + 6].Value = "pending";
            parameters[at + 7].Value = 1_700_000_000_000L + id;
        }
    }
}
