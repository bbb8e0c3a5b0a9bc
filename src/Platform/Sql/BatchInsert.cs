using System.Data.Common;
using System.Globalization;
using System.Text;
using Microsoft.Data.Sqlite;
using MySqlConnector;
using SQLitePCL;

namespace Sluice.Platform.Sql;

/// <summary>
/// Inserts many rows in one transaction and passes over those whose unique keys exist already: what makes an at-least-once queue exactly-once.
/// Of rows that exclude each other the first one wins. Everything else that a row may suffer from (too long, NULL, out of range) is an error.
/// </summary>
/// <remarks>
/// SQLite runs in this process, so one prepared row is run again and again, and bound by number without the driver: that looks every parameter up by its name, in a list,
/// which costs half as much again as the insert, and fifty times as much in one statement of 500 rows.
/// A server across a network wants the opposite: many rows for each round trip. INSERT IGNORE would do it, and would also turn what is too long into something shorter; so it is
/// ON DUPLICATE KEY UPDATE that changes nothing, whose row count says how many rows are new. Which ones it does not say. All or none is the rule and needs no more;
/// otherwise (a worker died after its commit, and its batch comes again with others) the statement is taken back and its halves are asked, until each is one or the other.
/// </remarks>
public sealed class BatchInsert
{
    private const int RowsPerStatementMax = 500;

    private readonly string table;
    private readonly string[] columns;

    /// <param name="table">Table name.</param>
    /// <param name="columns">Column names, the key first: an integer column, unique in the table.</param>
    public BatchInsert(string table, params string[] columns) => (this.table, this.columns) = (table, columns);

    /// <summary>Inserts the rows and returns the keys of those that are new, in no order.</summary>
    /// <param name="transaction">The transaction that everything of the batch belongs to.</param>
    /// <param name="rowCount">How many rows.</param>
    /// <param name="value">The value of (row, column); null becomes NULL.</param>
    public async Task<HashSet<long>> RunAsync(DbTransaction transaction, int rowCount, Func<int, int, object?> value)
    {
        var fresh = new HashSet<long>(rowCount);
        if (rowCount == 0)
        {
            return fresh;
        }

        if (transaction is SqliteTransaction sqlite)
        {
            InsertInProcess(sqlite.Connection!.Handle!, rowCount, value, fresh);
            return fresh;
        }

        // From the first row to the last: of two that exclude each other the first is new.
        var todo = new Stack<(int First, int Rows)>();
        for (var first = (rowCount - 1) / RowsPerStatementMax * RowsPerStatementMax; first >= 0; first -= RowsPerStatementMax)
        {
            todo.Push((first, Math.Min(RowsPerStatementMax, rowCount - first)));
        }

        DbCommand? many = null;
        try
        {
            while (todo.TryPop(out var part))
            {
                if (many is null || many.Parameters.Count != part.Rows * columns.Length)
                {
                    await (many?.DisposeAsync() ?? ValueTask.CompletedTask);
                    many = NewCommand(
                        transaction, $"SAVEPOINT part; INSERT INTO {table} ({string.Join(',', columns)}) VALUES ", $" ON DUPLICATE KEY UPDATE {columns[0]} = {table}.{columns[0]}", part.Rows);
                }

                var inserted = await InsertAsync(many, part.First, value);
                if (inserted == part.Rows)
                {
                    fresh.UnionWith(Enumerable.Range(part.First, part.Rows).Select(row => (long)value(row, 0)!));
                }
                else if (inserted > 0)
                {
                    await transaction.RollbackAsync("part");
                    var half = part.Rows / 2;
                    todo.Push((part.First + half, part.Rows - half));
                    todo.Push((part.First, half));
                }
            }
        }
        finally
        {
            await (many?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        return fresh;
    }

    private void InsertInProcess(sqlite3 database, int rowCount, Func<int, int, object?> value, HashSet<long> fresh)
    {
        var text = $"INSERT INTO {table} ({string.Join(',', columns)}) VALUES ({string.Join(',', Enumerable.Repeat('?', columns.Length))}) ON CONFLICT DO NOTHING";
        SqliteException.ThrowExceptionForRC(raw.sqlite3_prepare_v2(database, text, out var insert), database);
        using (insert)
        {
            Span<byte> utf8 = stackalloc byte[1_024];
            for (var row = 0; row < rowCount; row++)
            {
                for (var column = 0; column < columns.Length; column++)
                {
                    SqliteException.ThrowExceptionForRC(Bind(insert, column + 1, value(row, column), utf8), database);
                }

                if (raw.sqlite3_step(insert) is var result and not raw.SQLITE_DONE)
                {
                    SqliteException.ThrowExceptionForRC(result, database);
                }

                if (raw.sqlite3_changes(database) == 1)
                {
                    fresh.Add((long)value(row, 0)!);
                }

                // Says again how the step ended, and it ended well.
                _ = raw.sqlite3_reset(insert);
            }
        }
    }

    // SQLite copies a text while it binds it, so the buffer serves the next one.
    private static int Bind(sqlite3_stmt insert, int number, object? value, Span<byte> utf8) => value switch
    {
        null => raw.sqlite3_bind_null(insert, number),
        long integer => raw.sqlite3_bind_int64(insert, number, integer),
        int integer => raw.sqlite3_bind_int64(insert, number, integer),
        string text => raw.sqlite3_bind_text(insert, number, Encoding.UTF8.TryGetBytes(text, utf8, out var length) ? utf8[..length] : Encoding.UTF8.GetBytes(text)),
        _ => throw new NotSupportedException($"A column of {value.GetType().Name}; columns hold long, int, string or null."),
    };

    private DbCommand NewCommand(DbTransaction transaction, string before, string after, int rows)
    {
        var command = transaction.Connection!.CreateCommand();
        command.Transaction = transaction;
        var text = new StringBuilder(before);
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns.Length; column++)
            {
                var parameter = command.CreateParameter();
                parameter.ParameterName = string.Create(CultureInfo.InvariantCulture, $"@v{(row * columns.Length) + column}");
                command.Parameters.Add(parameter);
                text.Append(column > 0 ? "," : row > 0 ? ",(" : "(").Append(parameter.ParameterName);
            }

            text.Append(')');
        }

        command.CommandText = text.Append(after).ToString();
        return command;
    }

    private Task<int> InsertAsync(DbCommand command, int first, Func<int, int, object?> value)
    {
        for (var i = 0; i < command.Parameters.Count; i++)
        {
            command.Parameters[i].Value = value(first + (i / columns.Length), i % columns.Length) ?? DBNull.Value;
        }

        return command.ExecuteNonQueryAsync();
    }
}
