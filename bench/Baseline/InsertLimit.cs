using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Sluice.Bench.Baseline;

/// <summary>Rows per second that SQLite takes in multi-row inserts, one durable transaction per insert: no drain can be faster.</summary>
/// <remarks>
/// Parameters are bound by their number through SQLitePCL. By name, as SqliteCommand does it, SQLite searches its list of names for each
/// parameter: 500 rows of 8 columns are 4,000 names searched 4,000 times, and the "limit" would be the search.
/// </remarks>
internal static class InsertLimit
{
    private const int Columns = 8;
    private const int BatchRowsMax = 4_000;   // times 8 columns stays below SQLite's 32,766 parameters

    public static int Run(string[] args)
    {
        var options = new ConfigurationBuilder().AddCommandLine(args).Build();
        var rows = Math.Clamp(options.GetValue("rows", 300_000), 1, 10_000_000);
        var batchRows = Math.Clamp(options.GetValue("batch", 500), 1, BatchRowsMax);
        var folder = options["data"] ?? throw new InvalidOperationException("--data <folder> is missing");

        // Real buyers come in no order, and then the two indexes that begin with them are written all over: many times slower.
        var ordered = options["users"] switch
        {
            "ordered" => true,
            "scattered" or null => false,
            var other => throw new InvalidOperationException($"--users is ordered or scattered, not {other}"),
        };

        using var connection = Database.Create(folder, Database.OrdersTable);
        Check(raw.sqlite3_prepare_v2(connection.Handle, InsertSql(batchRows), out var insert));
        var batches = Math.Max(1, rows / batchRows);
        var cpuBefore = Environment.CpuUsage.TotalTime;
        var watch = Stopwatch.StartNew();

        // Each insert is its own transaction: auto-commit, and so one fsync of the WAL.
        for (var index = 0; index < batches; index++)
        {
            Bind(insert, (long)index * batchRows, batchRows, ordered);
            if (raw.sqlite3_step(insert) is var result and not raw.SQLITE_DONE) Check(result);
            Check(raw.sqlite3_reset(insert));
        }

        watch.Stop();
        var cpu = Environment.CpuUsage.TotalTime - cpuBefore;
        insert.Dispose();

        var inserted = (long)batches * batchRows;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $$"""{"rows":{{inserted}},"batchRows":{{batchRows}},"users":"{{(ordered ? "ordered" : "scattered")}}","seconds":{{watch.Elapsed.TotalSeconds:F4}},"rowsPerSecond":{{inserted / watch.Elapsed.TotalSeconds:F0}},"cpuMicrosPerRow":{{cpu.TotalMicroseconds / inserted:F2}},"sqlite":"{{connection.ServerVersion}}"}"""));
        return 0;
    }

    private static string InsertSql(int batchRows)
    {
        const string Row = "(?,?,?,?,?,?,?,?)";
        var sql = new StringBuilder("INSERT INTO orders (id, sale_id, user_id, ordinal, units, amount_cents, state, created_at) VALUES ", 256 + (batchRows * 18));
        for (var row = 0; row < batchRows; row++) sql.Append(row == 0 ? "" : ",").Append(Row);
        return sql.ToString();
    }

    private static void Bind(sqlite3_stmt insert, long first, int batchRows, bool ordered)
    {
        Span<byte> user = stackalloc byte[32];
        for (var row = 0; row < batchRows; row++)
        {
            var id = first + row + 1;
            var at = (row * Columns) + 1;
            var written = WriteUser(user, id, ordered);
            raw.sqlite3_bind_int64(insert, at, id);
            raw.sqlite3_bind_int64(insert, at + 1, 7301);
            raw.sqlite3_bind_text(insert, at + 2, user[..written]);
            raw.sqlite3_bind_int64(insert, at + 3, 1);
            raw.sqlite3_bind_int64(insert, at + 4, 1);
            raw.sqlite3_bind_int64(insert, at + 5, 4_900);
            raw.sqlite3_bind_text(insert, at + 6, "pending"u8);
            raw.sqlite3_bind_int64(insert, at + 7, 1_700_000_000_000 + id);
        }
    }

    private static int WriteUser(Span<byte> into, long id, bool ordered)
    {
        var number = ordered ? 1_000_000_000 + id : id * 2_654_435_761 % 4_294_967_291;
        Utf8.TryWrite(into, CultureInfo.InvariantCulture, $"u-{number}", out var written);
        return written;
    }

    private static void Check(int result)
    {
        if (result != raw.SQLITE_OK) throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"SQLite answered {result}"));
    }
}
