using System.Data.Common;
using System.Globalization;
using System.Text;

namespace Sluice.Platform.Sql;

/// <summary>
/// One INSERT of many rows that passes over rows whose unique keys exist already: the statement that makes an at-least-once queue exactly-once.
/// One statement for up to <see cref="ParametersMax"/> parameters; more rows become several statements in the same transaction.
/// </summary>
public sealed class MultiRowInsert
{
    /// <summary>SQLite takes 32,766 parameters in a statement, the MySQL protocol 65,535.</summary>
    public const int ParametersMax = 32_000;

    private readonly int columnCount;
    private readonly string head;
    private readonly string tail;
    private readonly Lock textsLock = new();
    private readonly Dictionary<int, string> texts = [];

    /// <param name="table">Table name.</param>
    /// <param name="columns">Column names, the key first: an integer column, unique in the table.</param>
    public MultiRowInsert(string table, params string[] columns)
    {
        columnCount = columns.Length;
        head = $"INSERT INTO {table} ({string.Join(',', columns)}) VALUES ";
        tail = $" ON CONFLICT DO NOTHING RETURNING {columns[0]}";
    }

    /// <summary>Inserts the rows and returns the keys of those that are new, in no order.</summary>
    /// <param name="transaction">The transaction that everything of the batch belongs to.</param>
    /// <param name="rowCount">How many rows.</param>
    /// <param name="value">The value of (row, column); null becomes NULL.</param>
    public async Task<HashSet<long>> RunAsync(DbTransaction transaction, int rowCount, Func<int, int, object?> value)
    {
        var fresh = new HashSet<long>(rowCount);
        var rowsMax = ParametersMax / columnCount;
        for (var from = 0; from < rowCount; from += rowsMax)
        {
            var rows = Math.Min(rowsMax, rowCount - from);
            await using var command = transaction.Connection!.CreateCommand();
            command.Transaction = transaction;
            command.CommandText = Text(rows);
            for (var row = 0; row < rows; row++)
            {
                for (var column = 0; column < columnCount; column++)
                {
                    var parameter = command.CreateParameter();
                    parameter.ParameterName = Name((row * columnCount) + column);
                    parameter.Value = value(from + row, column) ?? DBNull.Value;
                    command.Parameters.Add(parameter);
                }
            }

            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync())
            {
                fresh.Add(reader.GetInt64(0));
            }
        }

        return fresh;
    }

    private static string Name(int index) => string.Create(CultureInfo.InvariantCulture, $"@p{index}");

    private string Text(int rows)
    {
        lock (textsLock)
        {
            if (texts.TryGetValue(rows, out var known))
            {
                return known;
            }

            var text = new StringBuilder(head);
            for (var row = 0; row < rows; row++)
            {
                text.Append(row == 0 ? "(" : ",(");
                for (var column = 0; column < columnCount; column++)
                {
                    text.Append(column == 0 ? "" : ",").Append(Name((row * columnCount) + column));
                }

                text.Append(')');
            }

            // Bounded by the batch size: one text for each number of rows that was ever seen.
            return texts[rows] = text.Append(tail).ToString();
        }
    }
}
